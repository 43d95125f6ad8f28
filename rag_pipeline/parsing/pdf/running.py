"""Running heads and feet of a PDF, and its page numbers: what a page repeats and no reader reads.

Belongs here: telling what repeats, or counts the pages, from headings that differ by their number.
Does not belong here: how blocks of a page are found (`layout`).

An invoice number, a chapter's or a case's rises from page to page just as a page number does. So a number counts
the pages only where it also reads like a page number: by the word before it, by standing apart, or in the foot.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from rag_pipeline.parsing.pdf.layout import MARGIN_SHARE, Piece

# Two lines of small print.
MAX_RUNNING_CHARS = 150
# What stands on two pages may be said twice.
MIN_RUNNING_PAGES = 3
# Chapters have heads of their own, and a book three or four that are as long.
RUNNING_PAGE_SHARE = 0.3
# A page's printed number is seldom further than this from its place in the file, unless the file says "page".
MAX_OFFSET_PAGES = 50
LONG_LETTERS = 30

_DIGITS = re.compile(r"\d+")
_PAGE_WORD = r"(?:pages?|pag|pág|página|pagina|seite|blatt|sida|side|strona|str|pg|pp|p|s)"
_SAYS_PAGE = re.compile(rf"(?<![\w'\u2019]){_PAGE_WORD}[\s.:-]{{0,3}}$", re.I)
_LABEL = re.compile(
    r"(?:[#№]|\b(?:n[or°º]|num(?:ber|mer|éro|ero)?|id|ref(?:erence)?|chapter|kapitel|chapitre|cap[ií]tulo|section|part|teil"
    r"|article|artikel|appendix|annex|anhang|anlage|exhibit|schedule|invoice|rechnung|facture|bill|receipt|order|offer"
    r"|quote|case|fall|akte|ticket|issue|claim|file|docket|contract|vertrag|policy|customer|kunde|account|konto"
    r"|year|jahr|lesson|lektion|unit|module|step|schritt|day|tag|week|woche|question|frage|exercise|aufgabe|table|tabelle"
    r"|figure|abbildung|sheet|form|item|lot|batch|room|patient|sample|student|volume|band|book|act|scene|rule|§))"
    r"[\s.:\u2013-]*$",
    re.I,
)
_PARTED_BEFORE = re.compile(r"(?:[|•·\u2013\u2014]|\s-)\s*$")
_PARTED_AFTER = re.compile(r"^\s*(?:[|•·\u2013\u2014]|-\s)")
_ONLY_NUMBER = re.compile(
    rf"\W*(?P<word>{_PAGE_WORD}(?![^\W\d_]))?\W*(?P<number>\d{{1,4}}|[ivxlc]{{1,7}})"
    r"(?:\s*(?:of|/|von|de|sur|di)\s*\d{1,4})?\W*$",
    re.I,
)
_TOTAL = re.compile(r"#(?:\s*(?:of|/|von|de|sur|di)\s*\d{1,4})")
_TOTAL_AFTER = re.compile(r"^\s*(?:of|/|von|de|sur|di)\s*\d{1,4}$")
_YEARS = range(1900, 2100)
_ROMAN = re.compile(r"(c{0,3})(xc|xl|l?x{0,3})(ix|iv|v?i{0,3})$", re.I)
_ROMAN_VALUES = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}


@dataclass(slots=True)
class _Line:
    """A short text in the margin.

    Attributes:
        numbers: Start, end and value of each number in `text`, and whether it may count the pages.
        form: `text` with the numbers that count the pages as `#`.
    """

    piece: Piece
    text: str
    is_foot: bool
    numbers: list[tuple[int, int, int, bool, bool]]
    form: str = ""

    @property
    def pattern(self) -> tuple[bool, str]:
        return self.is_foot, _DIGITS.sub("#", self.text)


def without_running_heads(pages: list[list[Piece]]) -> list[list[Piece]]:
    """The pages without page numbers and without short texts that repeat in the margins.

    A text that repeats but has neighbours which differ from it by a number only, such as "Chapter 2" on each page
    of a chapter, stays where it stands first.
    """
    lines = [_line(piece) for pieces in pages for piece in pieces if is_in_margin(piece)]
    _mark_counts(lines, len(pages))
    gone = {id(line.piece) for line in _repeated(lines, len(pages))}
    gone |= {id(piece) for piece in _page_numbers([line.piece for line in lines])}
    return [[piece for piece in pieces if id(piece) not in gone] for pieces in pages]


def is_in_margin(piece: Piece) -> bool:
    """Whether the piece is a short text in the outer tenth of its page."""
    if piece.kind == "table" or len(piece.text) > MAX_RUNNING_CHARS or piece.top is None or piece.bottom is None:
        return False
    return piece.bottom < MARGIN_SHARE or piece.top > 1 - MARGIN_SHARE


def _line(piece: Piece) -> _Line:
    text = " ".join(piece.text.casefold().split())
    is_foot = piece.top is not None and piece.top > 0.5
    numbers = []
    for match in _DIGITS.finditer(text):
        if len(match.group()) > 6:
            continue
        before, after = text[: match.start()], text[match.end() :]
        says_page = _SAYS_PAGE.search(before) is not None
        numbers.append((match.start(), match.end(), int(match.group()), says_page, _may_count(piece, before, after)))
    return _Line(piece, text, is_foot, numbers)


def _may_count(piece: Piece, before: str, after: str) -> bool:
    """Whether a number that says of itself not what it is may be a page number, by where it stands."""
    if piece.kind == "heading" or _LABEL.search(before):
        return False
    is_foot = piece.top is not None and piece.top > 0.5
    if is_foot and _is_long(before + after):
        return True
    is_at_edge = not before.strip() or not _TOTAL_AFTER.sub("", after).strip()
    if not is_at_edge:
        return False
    if piece.has_gaps or _PARTED_BEFORE.search(before) or _PARTED_AFTER.search(after):
        return True
    return is_foot and (before[-1:].isspace() or after[:1].isspace())


def _is_long(text: str) -> bool:
    """Whether a text is too long for a heading that a number ends."""
    return sum(map(str.isalpha, text)) >= LONG_LETTERS


def _mark_counts(lines: list[_Line], pages: int) -> None:
    """Fills in each line's form, from how its numbers go with the page among lines of the same pattern."""
    places: dict[tuple[tuple[bool, str], int], list[tuple[int, int]]] = {}
    for line in lines:
        for slot, (_, _, value, says_page, may_count) in enumerate(line.numbers):
            if says_page or may_count:
                places.setdefault((line.pattern, slot), []).append((line.piece.page, value))
    offsets = {key: Counter(value - page for page, value in found) for key, found in places.items()}
    rising = {key for key, found in places.items() if _rises(found)}
    furthest = max(MAX_OFFSET_PAGES, pages)
    for line in lines:
        form, end = "", 0
        is_long = _is_long(line.text)
        for slot, (start, stop, value, says_page, may_count) in enumerate(line.numbers):
            key, offset = (line.pattern, slot), value - line.piece.page
            alike = offsets.get(key, Counter())[offset]
            is_near = abs(offset) <= furthest or (is_long and value not in _YEARS)
            counts = says_page and alike > 1
            counts |= may_count and is_near and alike >= MIN_RUNNING_PAGES
            # An excerpt skips pages, but what its feet count still rises.
            counts |= may_count and is_long and line.is_foot and key in rising
            form += line.text[end:start] + ("#" if counts else line.text[start:stop])
            end = stop
        line.form = _TOTAL.sub("#", form + line.text[end:])


def _rises(found: list[tuple[int, int]]) -> bool:
    """Whether the values of at least three pages rise from each page to the next."""
    return len(found) >= MIN_RUNNING_PAGES and all(
        page < next_page and value < next_value for (page, value), (next_page, next_value) in pairwise(found)
    )


def _repeated(lines: list[_Line], pages: int) -> Iterator[_Line]:
    least = max(MIN_RUNNING_PAGES, int(RUNNING_PAGE_SHARE * pages))
    on_pages: dict[tuple[bool, str], set[int]] = {}
    forms: dict[tuple[bool, str], set[str]] = {}
    for line in lines:
        on_pages.setdefault((line.is_foot, line.form), set()).add(line.piece.page)
        forms.setdefault(line.pattern, set()).add(line.form)
    for line in lines:
        found = on_pages[line.is_foot, line.form]
        if len(found) < least:
            continue
        differs = _DIGITS.search(line.form) is not None and len(forms[line.pattern]) > 1
        if not differs or line.piece.page != min(found):
            yield line


def _page_numbers(pieces: list[Piece]) -> Iterator[Piece]:
    """Pieces that hold a page number and nothing else."""
    found: list[tuple[Piece, int, bool]] = []
    for piece in pieces:
        match = _ONLY_NUMBER.match(piece.text)
        value = _value(match["number"]) if match else None
        if match is not None and value is not None:
            found.append((piece, value, bool(match["word"])))
    alike = Counter(value - piece.page for piece, value, _ in found)
    counting = [value == piece.page or alike[value - piece.page] > 1 for piece, value, _ in found]
    most_count = 2 * sum(counting) > len(counting)
    for (piece, value, says_page), counts in zip(found, counting, strict=True):
        is_heading = piece.kind == "heading" and (piece.top or 0) < 0.5
        if says_page or (not is_heading and (counts or (most_count and value <= piece.page))):
            yield piece


def _value(number: str) -> int | None:
    """The value of digits or of a well-formed Roman number."""
    if number.isdecimal():
        return int(number)
    if not _ROMAN.match(number):
        return None
    values = [_ROMAN_VALUES[letter] for letter in number.lower()]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))
