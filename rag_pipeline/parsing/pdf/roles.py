"""What the tags of a PDF change in the pieces of its pages, where they are to be believed.

Belongs here: telling sane tags from nonsense, and giving pieces the role that their tags name.
Does not belong here: reading tags (`tags`), bookmarks (`outline`), running heads without tags (`running`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from rag_pipeline.parsing.decode import clean_again
from rag_pipeline.parsing.pdf.layout import MAX_HEADING_CHARS, Piece
from rag_pipeline.parsing.pdf.outline import Bookmark, key, place
from rag_pipeline.parsing.pdf.running import is_in_margin
from rag_pipeline.parsing.pdf.tags import Mark, PageTags
from rag_pipeline.parsing.pdf.witness import letters
from rag_pipeline.parsing.tabular import table_lines

# Programs that tag account for all text of a page but a few signs.
MIN_TAGGED_SHARE = 0.8
# A document is not made of headings, nor of heads and feet.
MAX_HEADING_SHARE = 0.3
MAX_ARTIFACT_SHARE = 0.3
MIN_PLACED_SHARE = 0.5
# Lines of one heading.
MAX_PARTS = 4
# Shorter texts occur within others by chance.
MIN_PART_LETTERS = 4
# Half a line of text, as share of a page.
NEAR = 0.01

_MARKER = re.compile(r"(?:[-*\u2022\u25aa\u25e6\u2013\u2014\u00b7\uf0b7]|\(?(?:\d{1,3}|[a-z]|[ivx]{1,5})[.)])\s", re.I)

Tags = Mapping[int, PageTags]
"""Tags by the number of their page from 1."""


def believed(tags: Tags) -> Tags:
    """The tags, or none at all if they leave out much of the text."""
    texts = sum(page.texts for page in tags.values())
    tagged = sum(page.tagged for page in tags.values())
    return tags if texts and tagged >= MIN_TAGGED_SHARE * texts else {}


def with_parts(pages: list[list[Piece]], tags: Tags) -> list[list[Piece]]:
    """The pages, changed in place: items and tables as they are tagged."""
    for pieces in pages:
        page = tags.get(pieces[0].page) if pieces else None
        if page is not None:
            _mark_items(pieces, page)
            for rows, heads in page.tables:
                _put_table(pieces, rows, heads)
    return pages


def add_pictures(pages: list[list[Piece]], tags: Tags) -> None:
    """Adds, in place, what pictures are said to show, before what stands below them."""
    for number, pieces in enumerate(pages, 1):
        for said, top in tags[number].pictures if number in tags else ():
            words = clean_again(said).strip()
            if words and letters(words) not in letters("".join(piece.text for piece in pieces)):
                position = next(
                    (index for index, piece in enumerate(pieces) if piece.top is not None and piece.top > top),
                    len(pieces),
                )
                pieces.insert(position, Piece("paragraph", words, number, top=top, bottom=top))


def place_headings(pages: list[list[Piece]], tags: Tags, bookmarks: int = 0) -> bool:
    """Makes headings, in place, of what is tagged so, and of nothing else where most headings are; True if it did.

    A heading that only its font suggests stays above the first tagged one, since programs tag a title as a paragraph.
    Where the font suggests more headings than the tags name, those go below the tagged ones.

    Args:
        bookmarks: How many there are; tags that name less than half as much are left to them.
    """
    wanted = [(number, level, text) for number, page in tags.items() for level, text in page.headings]
    titles = [heading for heading in wanted if len(heading[2]) <= MAX_HEADING_CHARS and key(heading[2])]
    said = sum(len(letters(text)) for _, _, text in wanted)
    if (
        2 * len(titles) < max(1, bookmarks)
        or said > MAX_HEADING_SHARE * _letter_count(pages)
        or len(titles) < MIN_PLACED_SHARE * len(wanted)
    ):
        return False
    copies = [[replace(piece) for piece in pieces] for pieces in pages]
    placed: set[int] = set()
    for number, level, text in titles:
        pieces = copies[number - 1]
        _join_lines(pieces, text, placed)
        place(pieces, Bookmark(text, level, number), placed)
    if len(placed) < MIN_PLACED_SHARE * len(titles):
        return False
    pages[:] = copies
    _settle_others(pages, placed, max(level for _, level, _ in titles))
    return True


def _settle_others(pages: list[list[Piece]], placed: set[int], deepest: int) -> None:
    """Lowers headings without a tag, or makes paragraphs of them where most headings have one."""
    headings = [piece for pieces in pages for piece in pieces if piece.kind == "heading"]
    first = next(index for index, piece in enumerate(headings) if id(piece) in placed)
    others = [piece for piece in headings[first:] if id(piece) not in placed]
    for piece in others:
        if len(others) <= len(placed):
            piece.kind, piece.level = "paragraph", 0
        else:
            piece.level = min(deepest + max(1, piece.level), 6)


def _letter_count(pages: list[list[Piece]]) -> int:
    return sum(len(letters(piece.text)) for pieces in pages for piece in pieces)


def _join_lines(pieces: list[Piece], title: str, placed: set[int]) -> None:
    """Joins, in place, neighbouring pieces that together are the title."""
    wanted = key(title)
    for start, piece in enumerate(pieces):
        if id(piece) in placed or not wanted.startswith(key(piece.text) or "\0") or key(piece.text) == wanted:
            continue
        text = piece.text
        for stop in range(start + 1, min(start + MAX_PARTS, len(pieces))):
            after = pieces[stop]
            if after.kind not in ("paragraph", "heading"):
                break
            text = f"{text} {after.text}"
            if key(text) == wanted:
                piece.text, piece.bottom = text, after.bottom
                del pieces[start + 1 : stop + 1]
                return


def without_artifacts(pages: list[list[Piece]], tags: Tags) -> tuple[list[list[Piece]], list[Piece]]:
    """The pages without what is tagged as pagination, and what that is."""
    gone: set[int] = set()
    for pieces in pages:
        marks = tags[pieces[0].page].artifacts if pieces and pieces[0].page in tags else []
        gone |= {id(piece) for piece in pieces if marks and _is_artifact(piece, marks)}
    artifacts = [piece for pieces in pages for piece in pieces if id(piece) in gone]
    if not gone or _letter_count([artifacts]) > MAX_ARTIFACT_SHARE * _letter_count(pages):
        return pages, []
    return [[piece for piece in pieces if id(piece) not in gone] for pieces in pages], artifacts


def _is_artifact(piece: Piece, marks: list[Mark]) -> bool:
    """Whether the piece is, or is part of, what artifacts say where it stands."""
    said = letters(piece.text)
    if not said or piece.top is None or piece.bottom is None:
        return False
    beside = [mark for mark in marks if piece.top - NEAR <= mark.top <= piece.bottom + NEAR]
    is_out = is_in_margin(piece) or all(mark.is_pagination for mark in beside)
    marked = [letters(mark.text) for mark in beside]
    joined = "".join(marked)
    is_part = said in joined if len(said) >= MIN_PART_LETTERS else said in marked
    return bool(beside) and is_out and (is_part or Counter(said) == Counter(joined))


def _mark_items(pieces: list[Piece], page: PageTags) -> None:
    """Makes lists, in place, of paragraphs that are made of tagged items and nothing else."""
    items = [clean_again(item).strip() for item in page.items]
    keys = [letters(item) for item in items]
    start = 0
    for piece in pieces:
        said = letters(piece.text) if piece.kind == "paragraph" else ""
        first = next((index for index in range(start, len(keys)) if keys[index] and said.startswith(keys[index])), None)
        if not said or first is None:
            continue
        stop, length = first, 0
        while stop < len(keys) and said.startswith(keys[stop], length):
            length += len(keys[stop])
            stop += 1
        if length == len(said):
            piece.kind, start = "list", stop
            piece.text = "\n".join(item if _MARKER.match(item) else f"- {item}" for item in items[first:stop] if item)


def _put_table(pieces: list[Piece], rows: list[list[str]], heads: int) -> None:
    """Puts a tagged table, in place, where neighbouring pieces hold exactly its letters; known ones stay."""
    cells = [[" ".join(clean_again(cell).split()) for cell in row] for row in rows]
    wanted = Counter(letters("".join("".join(row) for row in cells)))
    length = wanted.total()
    for start in range(len(pieces)):
        said = ""
        for stop in range(start, len(pieces)):
            said += letters(pieces[stop].text)
            if len(said) >= length:
                break
        else:
            return
        if len(said) == length and Counter(said) == wanted and length:
            first, last = pieces[start], pieces[stop]
            table = Piece("table", "\n".join(table_lines(cells)), first.page, top=first.top, bottom=last.bottom)
            table.rows, table.bold_rows = cells, heads
            pieces[start : stop + 1] = [table]
            return
