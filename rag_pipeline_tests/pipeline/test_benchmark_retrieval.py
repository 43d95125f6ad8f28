"""What the benchmark of retrieval counts: places, judgements, and a whole small set through the search."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import retrieval
from benchmarks.retrieval import beir_set, built, figures_of, financebench, page_of, ranks_of, row, stem_of


def hit(uri: str, page: int | None = None) -> Any:
    return SimpleNamespace(uri=uri, page=page)


def test_chunks_of_one_place_count_once() -> None:
    hits = [hit("docs/b.txt"), hit("docs/b.txt"), hit("docs/a.txt")]
    assert ranks_of(hits, frozenset({"a", "b", "c"}), stem_of) == [2, 1, None]
    pages = [hit("docs/x.pdf", 4), hit("docs/x.pdf", 2)]
    assert ranks_of(pages, frozenset({"x#2"}), page_of) == [2]


def test_pages_of_financebench_count_from_one(tmp_path: Path) -> None:
    record = {"question": "What was sold?", "evidence": [{"doc": "X", "page_index": 0}, {"doc": "X", "page_index": 3}]}
    nothing = {"question": "And why?", "evidence": []}
    (tmp_path / "questions.jsonl").write_text(f"{json.dumps(record)}\n{json.dumps(nothing)}\n", "utf-8")
    (question,) = financebench(tmp_path).questions
    assert question.wanted == {"X#1", "X#4"}


def test_a_row_says_whether_hybrid_holds() -> None:
    judged: Any = SimpleNamespace(name="small", metric_name="nDCG@10")
    assert row(judged, {"text": 0.5, "vector": 0.4, "hybrid": 0.496}).endswith("| -0.0040 | yes |")
    assert row(judged, {"text": 0.5, "vector": 0.4, "hybrid": 0.49}).endswith("| -0.0100 | no |")


def test_a_set_is_asked_through_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [
        {"_id": "one", "title": "Pumps", "text": "The red lever starts the pump in the cellar."},
        {"_id": "two", "title": "", "text": "The gate of the garden is closed at night."},
    ]
    folder, work = tmp_path / "set", tmp_path / "work"
    (folder / "qrels").mkdir(parents=True)
    work.mkdir()
    (folder / "corpus.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records), "utf-8")
    asked = [{"_id": "q1", "text": "red lever pump"}, {"_id": "q2", "text": "garden gate"}, {"_id": "q3", "text": "no"}]
    (folder / "queries.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in asked), "utf-8")
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\tone\t1\nq2\ttwo\t1\nq3\tone\t0\n", "utf-8"
    )
    judged = beir_set("small", folder, work)
    assert [question.wanted for question in judged.questions] == [{"000000"}, {"000001"}]
    monkeypatch.setattr(
        retrieval,
        "make_pipeline",
        lambda work, documents, **settings: original(
            work, documents, **settings | {"embedding_models": {"minilm": {"kind": "hashing", "model": "hashing"}}}
        ),
    )
    assert figures_of(judged, built(judged, work, tmp_path), None) == {"hybrid": 1.0, "vector": 1.0, "text": 1.0}


original = retrieval.make_pipeline
