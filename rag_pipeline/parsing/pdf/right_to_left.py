"""Right-to-left words of a PDF whose ligatures a reader of the file turned round.

A glyph that stands for several letters, such as lam-alef, names them in the order in which they are read. PDFium turns
all letters of a right-to-left line, and with them those within the glyph.

Belongs here: which words of a page are wrong, and how they are read. Does not belong here: the order of words.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from ctypes import c_double
from functools import cache, lru_cache
from typing import Any

_LETTER = "\u0590-\u05ff\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb1d-\ufdff\ufe70-\ufefc"
_WORD = re.compile(f"[{_LETTER}]+")
_IS_LETTER = re.compile(f"[{_LETTER}]")
# Where they begin: most letters of most pages stand before.
_FIRST_LETTER = 0x0590
# Points; below what a printer can show.
SAME_PLACE = 0.01

Words = dict[str, str]


def misread_words(textpage: Any, text: str, limit_chars: int) -> Words:
    """Words of the page as they came out, with how they are read; the more frequent reading where both occur.

    Args:
        textpage: pypdfium2's text page.
        text: What came out of it.
    """
    if not _IS_LETTER.search(text):
        return {}
    readings: dict[str, Counter[str]] = {}
    for groups in _words(textpage, limit_chars):
        came_out = "".join(groups)
        readings.setdefault(came_out, Counter())["".join(map(_in_order, groups))] += 1
    best = {came_out: found.most_common(1)[0][0] for came_out, found in readings.items()}
    return {came_out: reading for came_out, reading in best.items() if came_out != reading}


def mended(text: str, words: Words) -> str:
    """`text` with the words as they are read."""
    return _WORD.sub(lambda match: words.get(match[0], match[0]), text) if words else text


def _words(textpage: Any, limit_chars: int) -> Iterator[list[str]]:
    """Right-to-left words of the page that may be wrong, each as groups of letters that one glyph stands for."""
    from pypdfium2 import raw as pdfium

    # A page has thousands of letters: names are looked up once.
    code_of, page, letters = pdfium.FPDFText_GetUnicode, textpage.raw, _letters()
    word: list[str] = []
    count = min(textpage.count_chars(), limit_chars)
    for index in range(count):
        code = code_of(page, index)
        letter = chr(code) if _FIRST_LETTER <= code < 0x110000 else " "
        if letter in letters:
            word.append(letter)
        elif word:
            if _may_be_misread("".join(word)):
                yield _groups(page, word, index - len(word))
            word.clear()
    if word and _may_be_misread("".join(word)):
        yield _groups(page, word, count - len(word))


def _groups(page: Any, word: list[str], start: int) -> list[str]:
    """The letters of a word by the place where they stand, which is the same for those of one glyph."""
    from pypdfium2 import raw as pdfium

    left, right, bottom, top = c_double(), c_double(), c_double(), c_double()
    groups: list[str] = []
    before = (0.0, 0.0)
    for index, letter in enumerate(word):
        left.value = right.value = 0.0
        pdfium.FPDFText_GetCharBox(page, start + index, left, right, bottom, top)
        here = (left.value, right.value)
        if index and max(abs(here[0] - before[0]), abs(here[1] - before[1])) < SAME_PLACE:
            groups[-1] += letter
        else:
            groups.append(letter)
        before = here
    return groups


@lru_cache(maxsize=4096)
def _may_be_misread(word: str) -> bool:
    """Whether some letters of a word would be turned round if they were one glyph, by `_in_order`."""
    pairs = _turned_pairs()
    return any(word[at : at + 2] in pairs or unicodedata.combining(word[at]) for at in range(len(word) - 1))


def _in_order(group: str) -> str:
    """The letters of one glyph in the order in which they are read."""
    turned = group[::-1]
    if len(group) < 2 or turned == group:
        return group
    if unicodedata.combining(group[0]) and not unicodedata.combining(group[-1]):
        return turned
    return turned if turned in _ligatures() and group not in _ligatures() else group


@cache
def _letters() -> frozenset[str]:
    return frozenset(letter for letter in map(chr, range(_FIRST_LETTER, 0x10000)) if _IS_LETTER.match(letter))


@cache
def _turned_pairs() -> frozenset[str]:
    """The last two letters of every ligature, turned round."""
    return frozenset(letters[:-3:-1] for letters in _ligatures())


@cache
def _ligatures() -> frozenset[str]:
    """The letters of every ligature that Unicode knows."""
    codes = (*range(0xFB1D, 0xFE00), *range(0xFE70, 0xFEFD))
    return frozenset(letters for letters in (unicodedata.normalize("NFKC", chr(code)) for code in codes) if letters[1:])
