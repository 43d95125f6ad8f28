"""Windows: the text around a hit, stitched from rows that are stored once. Small to find, large to read.

Belongs here: which neighbours belong to a window, and joining them.
Does not belong here: reading the rows for a caller (`search.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from rag_pipeline.retrieval.hits import body_of

# White space between two chunks is hardly ever wider, and a block that is left out never narrower.
WIDEST_GAP_CHARS = 10


def window_around(rows: Sequence[Mapping[str, Any]], chunk_id: str, max_tokens: int) -> str:
    """The text around one chunk inside its section, up to a budget of tokens; empty if the chunk is none of the rows.

    Args:
        rows: Those of its document that the caller may read, in the order of the text.
    """
    here = next((i for i, row in enumerate(rows) if row["chunk_id"] == chunk_id), None)
    if here is None:
        return ""
    first = last = here
    budget = max_tokens - rows[here]["token_count"]
    grew = True
    while grew:
        grew = False
        for at in (last + 1, first - 1):
            fits = 0 <= at < len(rows) and rows[at]["token_count"] <= budget
            if fits and rows[at]["section_path"] == rows[here]["section_path"]:
                first, last = min(first, at), max(last, at)
                budget -= rows[at]["token_count"]
                grew = True
    return stitched(rows[first : last + 1])


def stitched(rows: Sequence[Mapping[str, Any]]) -> str:
    """Neighbouring chunks as one text; what is missing between two is white space, or boilerplate and shown as such."""
    parts = [body_of(rows[0])]
    for before, row in pairwise(rows):
        gap = row["start_char"] - before["end_char"]
        joint = "\n\n" if gap <= WIDEST_GAP_CHARS else "\n\n[…]\n\n"
        parts += ["" if gap == 0 else " " if gap == 1 else joint, body_of(row)]
    return "".join(parts)
