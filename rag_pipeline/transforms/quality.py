"""How good a text a document is, as named parts in [0, 1] and one score.

Belongs here: measures of a document's text and structure, and how they make one number.
Does not belong here: what is done about a low score (`enrich.py`), or anything that needs other documents.

The measures are those of Gopher (Rae et al. 2021), C4 (Raffel et al. 2020) and FineWeb (Penedo et al. 2024), but where
those drop a document that breaks one rule, each measure here slopes from 1 (nothing unusual) to 0 (never seen in a
good document), so that only extremes score low.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.transforms.language import PROSE_KINDS

# Part of every document's recipe: bump whenever a part or the score may come out differently.
VERSION = "1"

# Each part weighs as much as it tells alone: a text with 0 in one of the two heaviest scores below 0.3.
WEIGHTS: Mapping[str, float] = {
    "decoded": 5.0,
    "words": 5.0,
    "language": 3.0,
    "letters": 2.0,
    "symbols": 2.0,
    "unencoded": 4.0,
    "distinct_lines": 3.0,
    "distinct_phrases": 3.0,
    "links": 1.0,
    "length": 1.0,
    "title": 0.5,
    "extraction": 1.0,
}
# A part of 0 counts as this, so that one part alone cannot make the product 0.
FLOOR = 0.0001

# A longer text is judged by three pieces of this size: its beginning, middle and end.
PIECE_CHARS = 40_000
# In a shorter text nothing can be said about repetition.
MIN_LINES = 8
MIN_WORDS = 50
MIN_WALL_LETTERS = 80
PHRASE_WORDS = 3
# The language of a folder: a person uses fewer, and it takes a few megabytes.
KNOWN_WORDS = 16_384
# Longer ones are addresses and the like, which do not come again, and would fill the memory.
MAX_KNOWN_CHARS = 40

_RECORDS = frozenset({"table", "record", "field"})
_CODE = frozenset({"code", "html"})
# Letters of every script, with the vowel signs that many write as marks.
_LETTER = r"[A-Za-z\u00c0-\u1fff\u2c00-\ud7ff\U00010000-\U0010ffff]"
# A word as people write it, with the punctuation around it; a number counts as one.
_CLEAN = re.compile(
    r"(?<!\S)[\"'`*_~(\[{<\u00ab\u2018-\u201f#$\u20ac\u00a3+-]*"
    rf"(?:{_LETTER}{{2,}}(?:['\u2019/.&:_-]{_LETTER}+)*|[aAiIoOyYeEuU&\u00e0\u00e9\u00f3-]|\d[\d.,:/%-]*)"
    r"[\"'`*_~)\]}>\u00bb\u2018-\u201f.,:;!?\u2026%]*(?!\S)"
)
_LOWER = re.compile(r"(?<![A-Za-z\u00c0-\u024f])[a-z]{3,}(?![A-Za-z\u00c0-\u024f])")
_ODD = re.compile(r"(?<![a-z])(?:[b-df-hj-np-tv-xz]{3,}|[a-z]*[b-df-hj-np-tv-xz]{5,}[a-z]*)(?![a-z])")
# A digit or a speck inside a word of small letters, as in "br0wn" and "har^our": misread by OCR.
_BROKEN = re.compile(r"(?<![A-Za-z0-9/._{<$-])[A-Za-z]*[a-z][0-9~^;\u00b0\u00ac`][a-z]+")
# Longer than a hash in hexadecimal; not a path or a part of an address.
ENCODED_CHARS = 70
_ENCODED = re.compile(rf"(?<![/\w.:-])[A-Za-z0-9+/=]{{{ENCODED_CHARS},}}")
_LINK = re.compile(r"\b(?:https?|ftp)://[^\s)>\]]+")
_PUNCTUATION = frozenset(".,;:!?'\"()-\u2013\u2014\u2018\u2019\u201a\u201c\u201d\u201e\u2026\u00ab\u00bb")

_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_ASCII = [chr(code) for code in range(0x80)]
_SPACES, _LETTERS, _DIGITS, _SIGNS = (
    "".join(filter(is_one, _ASCII)).encode()
    for is_one in (str.isspace, str.isalpha, str.isdigit, _PUNCTUATION.__contains__)
)


def measure(
    document: ParsedDocument, *, language_confidence: float | None = None, is_code: bool = False
) -> dict[str, float]:
    """Named parts of a document's quality, each in [0, 1], higher is better; what cannot be told is left out.

    Args:
        language_confidence: Of the language model, None where it was not asked.
        is_code: The document is source code by its media type.
    """
    prose, kind = _text_to_judge(document, is_code=is_code)
    whole = _pieces(document.text)
    characters = _Characters.of(prose or whole)
    words = whole.split()
    parts = {
        "decoded": _decoded(characters),
        "unencoded": 1 - _slope(_encoded_share(whole, words), 0.35, 0.8),
        "length": 0.4 + 0.6 * _slope(sum(map(len, words)), 20, 200),
        "title": 1.0 if document.title else 0.7,
        "extraction": _extraction(document),
        **_repetition(whole, words, is_prose=kind == "prose"),
    }
    if kind == "prose":
        parts["letters"] = _slope(characters.letters / max(1, characters.visible), 0.25, 0.6)
        parts["symbols"] = 1 - _slope(characters.symbols / max(1, characters.visible), 0.15, 0.5)
        links = sum(map(len, _LINK.findall(prose))) if "://" in prose else 0
        parts["links"] = 1 - 0.8 * _slope(links / max(1, len(prose)), 0.4, 0.9)
        parts["words"] = _words(prose, words if prose == whole else prose.split())
        if language_confidence is not None:
            parts["language"] = _slope(language_confidence, 0.1, 0.4)
    else:
        parts["letters"] = _slope((characters.letters + characters.digits) / max(1, characters.visible), 0.1, 0.4)
    return {name: round(value, 3) for name, value in sorted(parts.items())}


def total_score(parts: Mapping[str, float]) -> float:
    """Geometric mean of the parts of a document's quality, weighted by `WEIGHTS`; other parts do not count."""
    known = {name: weight for name, weight in WEIGHTS.items() if name in parts}
    product = 1.0
    for name, weight in known.items():
        product *= max(FLOOR, parts[name]) ** weight
    return round(product ** (1 / sum(known.values())), 3) if known else 1.0


def _slope(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high`, in a straight line between."""
    return min(1.0, max(0.0, (value - low) / (high - low)))


@dataclass(frozen=True, slots=True)
class _Characters:
    """Counts of characters of a text by class; `high_latin` are the letters U+00C0 to U+00FF, `marks` U+FFFD."""

    visible: int
    letters: int
    digits: int
    symbols: int
    high_latin: int
    marks: int

    @classmethod
    def of(cls, text: str) -> _Characters:
        # Bytes are counted at once, in a tenth of the time that it takes one by one.
        plain = text.encode("ascii", "ignore")
        visible = len(plain.translate(None, _SPACES))
        letters = len(plain) - len(plain.translate(None, _LETTERS))
        digits = len(plain) - len(plain.translate(None, _DIGITS))
        symbols = visible - letters - digits - (len(plain) - len(plain.translate(None, _SIGNS)))
        high_latin = 0
        counted = Counter("".join(_NOT_ASCII.findall(text)) if len(plain) < len(text) else "")
        for char, count in counted.items():
            if char.isspace():
                continue
            visible += count
            # Vowel signs of many scripts are marks, not letters, and all stand above the Latin blocks.
            if char.isalpha() or (char > "\u02ff" and not char.isprintable()) or "\u0300" <= char < "\u2000":
                letters += count
                high_latin += count if "\u00c0" <= char <= "\u00ff" else 0
            elif char.isdigit():
                digits += count
            elif char not in _PUNCTUATION and not "\u3000" <= char < "\u3100":
                symbols += count
        return cls(visible, letters, digits, symbols, high_latin, counted["\ufffd"])


def _text_to_judge(document: ParsedDocument, *, is_code: bool) -> tuple[str, str]:
    """The text whose words are judged, and whether the document is prose, code or records by most of its text."""
    sizes = {"prose": 0, "code": 0, "records": 0}
    for block in document.blocks:
        kind = "records" if block.kind in _RECORDS else "code" if block.kind in _CODE else "prose"
        sizes[kind] += block.end_char - block.start_char
    kind = "code" if is_code else max(sizes, key=lambda name: sizes[name])
    if kind != "prose":
        return "", kind
    if sizes["code"] + sizes["records"] == 0:
        return _pieces(document.text), kind
    blocks = [b for b in document.blocks if b.kind in PROSE_KINDS]
    return _pieces("\n\n".join(document.text[b.start_char : b.end_char] for b in blocks)), kind


def _pieces(text: str) -> str:
    if len(text) <= 3 * PIECE_CHARS:
        return text
    middle = (len(text) - PIECE_CHARS) // 2
    return "\n".join((text[:PIECE_CHARS], text[middle : middle + PIECE_CHARS], text[-PIECE_CHARS:]))


def _decoded(characters: _Characters) -> float:
    """No replacement characters, and not the wall of accented letters that one encoding read as another gives."""
    lost = _slope(characters.marks / max(1, characters.visible), 0.0, 0.05)
    wall = _slope(characters.high_latin / max(1, characters.letters), 0.35, 0.6)
    # "äöü" alone is no wall.
    return 1 - max(lost, wall * min(1.0, characters.letters / MIN_WALL_LETTERS))


def _encoded_share(text: str, words: list[str]) -> float:
    """Share of the visible text in long unbroken runs: base64, hexadecimal, minified code without spaces."""
    if max(map(len, words), default=0) < ENCODED_CHARS:
        return 0.0
    runs = sum(len(run) for run in _ENCODED.findall(text) if len(set(run)) > 4)
    return runs / max(1, len(text) - text.count(" ") - text.count("\n"))


def _words(prose: str, words: list[str]) -> float:
    """Whether the text is made of words: clean ones, and, in Latin script, ones that can be pronounced."""
    tokens = len(words)
    if tokens == 0:
        return 1.0
    clean = latin = odd = misread = 0
    for word, count in Counter(words).items():
        looks = _known_looks(word) if len(word) <= MAX_KNOWN_CHARS else _word_looks(word)
        clean += count * looks[0]
        latin += count * looks[1]
        odd += count * looks[2]
        misread += count * looks[3]
    value = 1.0
    # Chinese, Japanese and Thai put no spaces between words.
    if prose.isascii() or len(prose) < 15 * tokens:
        value = _slope(clean / tokens, 0.4, 0.62)
    if latin >= 10:
        value *= 1 - _slope(odd / latin, 0.2, 0.45)
    broken = _slope(misread / tokens, 0.04, 0.12)
    # A few words, such as those of a command's help, prove little.
    value = 1 - (1 - value) * min(1.0, tokens / MIN_WORDS)
    return min(value, 1 - broken * min(1.0, tokens / (3 * MIN_WORDS)))


def _word_looks(word: str) -> tuple[int, int, int, int]:
    """Of what stands between spaces: whether it is a clean word, and the words of small letters, odd and misread."""
    is_clean = _CLEAN.fullmatch(word) is not None
    lower = len(_LOWER.findall(word))
    return is_clean, lower, len(_ODD.findall(word)), len(_BROKEN.findall(word))


# Words come again within a document and from one to the next.
_known_looks = lru_cache(maxsize=KNOWN_WORDS)(_word_looks)


def _repetition(text: str, words: list[str], *, is_prose: bool) -> dict[str, float]:
    parts = {}
    lines = [line for line in map(str.strip, text.split("\n")) if len(line) > 3]
    if len(lines) >= MIN_LINES:
        parts["distinct_lines"] = 1 - _slope(_repeated(lines), 0.4, 0.8)
    if len(words) >= MIN_WORDS:
        phrases = set(zip(words, words[1:], words[2:], strict=False))
        parts["distinct_phrases"] = 1 - _slope(1 - len(phrases) / (len(words) - PHRASE_WORDS + 1), 0.5, 0.9)
    if is_prose:
        return parts
    # Code and records repeat themselves by nature: braces, empty cells, equal values.
    return {name: 0.4 + 0.6 * value for name, value in parts.items()}


def _repeated(lines: Iterable[str]) -> float:
    """Share of the characters that stand in lines seen before."""
    counts = Counter(lines)
    total = sum(len(line) * count for line, count in counts.items())
    return 1 - sum(map(len, counts)) / total


def _extraction(document: ParsedDocument) -> float:
    """How much of the file the parser could read, by what it says of itself."""
    facts = document.metadata
    # What was read from a picture is as good as the engine is sure of it.
    value = document.quality.get("pages_with_text", 1.0) * document.quality.get("ocr_confidence", 1.0)
    if "parse_error" in facts:
        value *= 0.5
    if facts.get("heading_source") == "none":
        value *= 0.8
    if "unread_attachments" in facts or "unread_chapters" in facts:
        value *= 0.8
    return value
