"""Windows of rows without a lake: how far they grow, what makes them one, and what stands between two chunks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rag_pipeline.retrieval.windows import WIDEST_GAP_CHARS, WindowBy, merged_windows, stitched, window_around

OIL, WATER = ["Guide", "Oil"], ["Guide", "Water"]
LENGTH = 8


def row(at: int, section: list[str] | None = None, *, gap: int = 2, **changed: Any) -> dict[str, Any]:
    """A chunk of ten tokens that says its number; `gap` characters lie between two."""
    start = at * (LENGTH + gap)
    text = f"chunk {at:02}"
    return {
        "document_id": "d",
        "uri": "docs/guide.md",
        "chunk_id": str(at),
        "section_path": section or OIL,
        "start_char": start,
        "end_char": start + LENGTH,
        "token_count": 10,
        "embedded_text": text,
        "header_chars": 0,
        **changed,
    }


def hit(at: int, rank: int, document: str = "d") -> Any:
    return SimpleNamespace(chunk_id=str(at), document_id=document, rank=rank)


def merged(rows: list[dict[str, Any]], hits: list[Any], max_tokens: int = 10, by: WindowBy = "section") -> list[Any]:
    return [(window.chunk_ids, window.ranks) for window in merged_windows(rows, hits, max_tokens, by)]


@pytest.mark.parametrize(
    ("max_tokens", "held"),
    [(1, "2"), (10, "2"), (19, "2"), (20, "23"), (29, "23"), (30, "123"), (40, "1234"), (50, "01234"), (900, "01234")],
)
def test_a_window_grows_behind_and_before_its_chunk_while_its_budget_lasts(max_tokens: int, held: str) -> None:
    rows = [row(at) for at in range(5)]
    assert window_around(rows, "2", max_tokens) == stitched([rows[int(at)] for at in held])


def test_a_neighbour_that_is_too_long_ends_the_window_on_its_side_only() -> None:
    rows = [row(0), row(1), row(2), row(3, token_count=100), row(4)]
    assert window_around(rows, "2", 50) == stitched(rows[:3])


def test_a_window_around_stays_in_its_section_and_one_of_no_chunk_is_empty() -> None:
    rows = [row(0), row(1), row(2, WATER), row(3, WATER)]
    assert window_around(rows, "1", 900) == stitched(rows[:2])
    assert window_around(rows, "2", 900) == stitched(rows[2:])
    assert window_around(rows, "7", 900) == ""


@pytest.mark.parametrize(
    ("gap", "joint"),
    [
        (0, ""),
        (1, " "),
        (2, "\n\n"),
        (WIDEST_GAP_CHARS, "\n\n"),
        (WIDEST_GAP_CHARS + 1, "\n\n[…]\n\n"),
    ],
)
def test_what_stands_between_two_chunks_is_shown_by_the_width_of_the_gap(gap: int, joint: str) -> None:
    assert stitched([row(0, gap=gap), row(1, gap=gap)]) == f"chunk 00{joint}chunk 01"


def test_windows_that_touch_or_overlap_are_one_and_others_are_not() -> None:
    rows = [row(at) for at in range(6)]
    assert merged(rows, [hit(0, 2), hit(1, 1)]) == [(("0", "1"), (1, 2))]
    assert merged(rows, [hit(0, 1), hit(2, 2)]) == [(("0",), (1,)), (("2",), (2,))]
    assert merged(rows, [hit(4, 1), hit(0, 2)]) == [(("4",), (1,)), (("0",), (2,))]
    assert merged(rows, [hit(0, 1), hit(2, 2)], 20) == [(("0", "1", "2", "3"), (1, 2))]
    assert merged(rows, [hit(1, 1), hit(2, 2), hit(1, 3)], 900) == [(("0", "1", "2", "3", "4", "5"), (1, 2, 3))]


def test_neighbours_of_two_sections_are_one_window_by_tokens_only() -> None:
    rows = [row(0), row(1, WATER)]
    hits = [hit(0, 1), hit(1, 2)]
    assert merged(rows, hits) == [(("0",), (1,)), (("1",), (2,))]
    assert merged(rows, hits, by="tokens") == [(("0", "1"), (1, 2))]


def test_a_window_says_where_it_is_and_how_long_in_whatever_order_rows_come() -> None:
    other = row(9, document_id="e", uri="docs/other.md")
    rows = [row(2), other, row(1), row(0)]
    first, second = merged_windows(rows, [hit(1, 2), hit(9, 1, "e"), hit(8, 3)], 900, "section")
    assert (first.uri, first.document_id, first.chunk_ids) == ("docs/other.md", "e", ("9",))
    assert (second.uri, second.chunk_ids, second.ranks) == ("docs/guide.md", ("0", "1", "2"), (2,))
    assert (second.start_char, second.end_char, second.token_count) == (0, 2 * (LENGTH + 2) + LENGTH, 30)
    assert second.text == "chunk 00\n\nchunk 01\n\nchunk 02"
