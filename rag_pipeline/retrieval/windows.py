"""Windows: the text around hits, stitched from rows that are stored once. Small to find, large to read.

Belongs here: which neighbours belong to a window, windows that touch, and joining rows.
Does not belong here: reading the rows for a caller (`search.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

from rag_pipeline.retrieval.hits import Hit, body_of

WindowBy = Literal["section", "tokens"]
WINDOWS_BY: tuple[WindowBy, ...] = get_args(WindowBy)
WINDOW_COLUMNS = [
    "chunk_id",
    "document_id",
    "uri",
    "section_path",
    "start_char",
    "end_char",
    "token_count",
    "header_chars",
    "embedded_text",
]
# White space between two chunks is hardly ever wider, and a block that is left out never narrower.
WIDEST_GAP_CHARS = 10

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Window:
    """The text around one hit, or around several that are neighbours.

    Attributes:
        ranks: Of the hits that stand in it, best first.
        start_char, end_char: Span in the document's text, code points.
        token_count: Tokens of its chunks.
    """

    document_id: str
    uri: str
    ranks: tuple[int, ...]
    chunk_ids: tuple[str, ...]
    start_char: int
    end_char: int
    token_count: int
    text: str


def window_around(rows: Sequence[Row], chunk_id: str, max_tokens: int) -> str:
    """The text around one chunk inside its section, up to a budget of tokens; empty if the chunk is none of the rows.

    Args:
        rows: Those of its document that the caller may read, in the order of the text.
    """
    span = _span(rows, chunk_id, max_tokens, "section")
    return stitched(rows[span[0] : span[1] + 1]) if span else ""


def merged_windows(rows: Sequence[Row], hits: Sequence[Hit], max_tokens: int, by: WindowBy) -> list[Window]:
    """One window for each hit whose row is there, and one for hits whose windows touch; by their best hit.

    Args:
        rows: Those of the hits' documents that the caller may read, in any order.
        max_tokens: Budget of each hit; where windows are merged, each keeps its own.
        by: `section`: no window leaves the section of its hit. `tokens`: neighbours whatever section they stand in.
    """
    documents: dict[str, list[Row]] = {}
    for row in rows:
        documents.setdefault(row["document_id"], []).append(row)
    windows: list[Window] = []
    for document, mine in documents.items():
        mine.sort(key=lambda row: row["start_char"])
        spans = []
        for hit in hits:
            span = _span(mine, hit.chunk_id, max_tokens, by) if hit.document_id == document else None
            if span is not None:
                spans.append((*span, hit.rank))
        windows += [_window(mine[first : last + 1], ranks) for first, last, ranks in _merged(mine, spans, by)]
    return sorted(windows, key=lambda window: window.ranks[0])


def _span(rows: Sequence[Row], chunk_id: str, max_tokens: int, by: WindowBy) -> tuple[int, int] | None:
    here = next((i for i, row in enumerate(rows) if row["chunk_id"] == chunk_id), None)
    if here is None:
        return None
    first = last = here
    budget = max_tokens - rows[here]["token_count"]
    grew = True
    while grew:
        grew = False
        for at in (last + 1, first - 1):
            fits = 0 <= at < len(rows) and rows[at]["token_count"] <= budget
            if fits and (by == "tokens" or rows[at]["section_path"] == rows[here]["section_path"]):
                first, last = min(first, at), max(last, at)
                budget -= rows[at]["token_count"]
                grew = True
    return first, last


def _merged(
    rows: Sequence[Row], spans: Sequence[tuple[int, int, int]], by: WindowBy
) -> list[tuple[int, int, tuple[int, ...]]]:
    """Spans that overlap, or of which one begins where the other ends, as one; those of two sections stay two."""
    found: list[tuple[int, int, list[int]]] = []
    for first, last, rank in sorted(spans):
        if found and first <= found[-1][1] + 1:
            before = found[-1]
            same = by == "tokens" or rows[first]["section_path"] == rows[before[1]]["section_path"]
            if same or first <= before[1]:
                found[-1] = (before[0], max(before[1], last), [*before[2], rank])
                continue
        found.append((first, last, [rank]))
    return [(first, last, tuple(sorted(ranks))) for first, last, ranks in found]


def _window(rows: Sequence[Row], ranks: tuple[int, ...]) -> Window:
    return Window(
        document_id=rows[0]["document_id"],
        uri=rows[0]["uri"],
        ranks=ranks,
        chunk_ids=tuple(row["chunk_id"] for row in rows),
        start_char=rows[0]["start_char"],
        end_char=rows[-1]["end_char"],
        token_count=sum(row["token_count"] for row in rows),
        text=stitched(rows),
    )


def stitched(rows: Sequence[Row]) -> str:
    """Neighbouring chunks as one text; what is missing between two is white space, or boilerplate and shown as such."""
    parts = [body_of(rows[0])]
    for before, row in pairwise(rows):
        gap = row["start_char"] - before["end_char"]
        joint = "\n\n" if gap <= WIDEST_GAP_CHARS else "\n\n[…]\n\n"
        parts += ["" if gap == 0 else " " if gap == 1 else joint, body_of(row)]
    return "".join(parts)
