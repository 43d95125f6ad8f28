"""Right-to-left words of a PDF whose ligatures a reader of the file turned round.

A glyph that stands for several letters, such as lam-alef, names them in the order in which they are read. PDFium turns
all letters of a right-to-left line, and with them those within the glyph.

Belongs here: which words of a page are wrong, and how they are read. Does not belong here: the order of words.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from ctypes import c_double
from functools import cache
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


def _words(textpage: Any, limit_chars: int) -> list[list[str]]:
    """The right-to-left words of the page, each as groups of letters that one glyph stands for."""
    from pypdfium2 import raw as pdfium

    # A page has thousands of letters: names are looked up and numbers made once.
    code_of, box_of, page = pdfium.FPDFText_GetUnicode, pdfium.FPDFText_GetCharBox, textpage.raw
    left, right, bottom, top = c_double(), c_double(), c_double(), c_double()
    words: list[list[str]] = []
    box: tuple[float, float] | None = None
    for index in range(min(textpage.count_chars(), limit_chars)):
        code = code_of(page, index)
        letter = chr(code) if _FIRST_LETTER <= code < 0x110000 else " "
        if not _IS_LETTER.match(letter):
            box = None
            continue
        left.value = right.value = 0.0
        box_of(page, index, left, right, bottom, top)
        here = (left.value, right.value)
        if box is None:
            words.append([letter])
        elif max(abs(here[0] - box[0]), abs(here[1] - box[1])) < SAME_PLACE:
            words[-1][-1] += letter
        else:
            words[-1].append(letter)
        box = here
    return words


def _in_order(group: str) -> str:
    """The letters of one glyph in the order in which they are read."""
    turned = group[::-1]
    if len(group) < 2 or turned == group:
        return group
    if unicodedata.combining(group[0]) and not unicodedata.combining(group[-1]):
        return turned
    return turned if turned in _ligatures() and group not in _ligatures() else group


@cache
def _ligatures() -> frozenset[str]:
    """The letters of every ligature that Unicode knows."""
    codes = (*range(0xFB1D, 0xFE00), *range(0xFE70, 0xFEFD))
    return frozenset(letters for letters in (unicodedata.normalize("NFKC", chr(code)) for code in codes) if letters[1:])
