"""What the benchmark of searching counts: a whole small lake, the retrievers by hand beside the search."""

from __future__ import annotations

from pathlib import Path

from benchmarks.search import ByHand, Spent, built, gain_of_callers, questions_of, row_of
from rag_pipeline.retrieval.search import Searcher


def test_retrievers_by_hand_find_what_the_search_finds(tmp_path: Path) -> None:
    pipeline = built(tmp_path, 60)
    by_hand = ByHand(pipeline)
    with Searcher.open(pipeline) as searcher:
        row = row_of("one of three", "**/*000.md", questions_of(3), searcher, by_hand)
        assert row.startswith("| one of three | ")
        assert row.endswith(" | 1.000 |"), "without an approximate index nothing is lost"
        assert gain_of_callers(questions_of(3), searcher, 2) > 0


def test_what_was_spent_is_the_median_of_the_clock_and_the_mean_of_the_processor() -> None:
    spent = Spent(wall=[0.001, 0.002, 0.009], cpu=[0.001, 0.002, 0.009])
    assert spent.p50_ms == 2
    assert round(spent.cpu_ms, 6) == 4
