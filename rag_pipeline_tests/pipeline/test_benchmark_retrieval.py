"""What the benchmark of retrieval counts: places, judgements, and a whole small set through the search."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import retrieval
from benchmarks.retrieval import beir_set, built, figures_of, financebench, page_of, ranks_of, row, stem_of
from rag_pipeline.transforms.metrics import ndcg_at
from rag_pipeline_tests.embedding.cross_models import make_cross_encoder, make_late_model


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
    monkeypatch.setattr(retrieval, "make_pipeline", hashed)
    assert figures_of(judged, built(judged, work, tmp_path), None) == {"hybrid": 1.0, "vector": 1.0, "text": 1.0}


def test_reranking_is_measured_beside_the_order_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    for number in range(12):
        (documents / f"{number}.txt").write_text(f"word1 word{number + 2} word{number + 3}\n", "utf-8")
    questions = [retrieval.Question(f"word1 word{number + 2}", frozenset({str(number)})) for number in range(12)]
    judged = retrieval.JudgedSet("small", documents, questions, stem_of, "nDCG@10", lambda ranks: ndcg_at(ranks, 10))
    monkeypatch.setattr(retrieval, "make_pipeline", hashed)
    model = make_cross_encoder(tmp_path / "model")
    figures = figures_of(judged, built(judged, tmp_path, tmp_path, model), None)
    assert 0 < figures["chance"] <= 1
    assert min(figures["reranked ms"], figures["hybrid ms"]) > 0
    assert figures["reranked"] != figures["hybrid"]
    assert len(row(judged, figures).split("|")) == 13
    late = make_late_model(tmp_path / "late")
    compared = figures_of(judged, built(judged, tmp_path, tmp_path, late, "late_interaction"), None)
    assert compared["hybrid"] == figures["hybrid"]
    assert compared["reranked"] not in (figures["hybrid"], figures["reranked"])


def test_a_translated_set_asks_in_one_language_of_documents_in_another(tmp_path: Path) -> None:
    for language, asked in (("de", ["rot?", "blau?", "grün?"]), ("en", ["red?", "blue?"])):
        folder = tmp_path / "xquad" / language
        (folder / "qrels").mkdir(parents=True)
        (folder / "corpus.jsonl").write_text(f'{{"_id": "{language}", "text": "Red, blue: {language}."}}\n', "utf-8")
        lines = [json.dumps({"_id": f"q{number}", "text": text}) for number, text in enumerate(asked)]
        (folder / "queries.jsonl").write_text("\n".join(lines), "utf-8")
        qrels = "".join(f"q{number}\t{language}\t1\n" for number in range(len(asked)))
        (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{qrels}", "utf-8")
    ((judged, work),) = retrieval.sets_of(["xquad/de-en"], _shared(tmp_path), tmp_path / "cache")
    assert [question.text for question in judged.questions] == ["rot?", "blau?"]
    assert work.name == "retrieval-xquad-en"
    assert [path.read_text() for path in judged.documents.iterdir()] == ["Red, blue: en."]


def _shared(folder: Path) -> Path:
    (folder / "shared" / "eval").mkdir(parents=True)
    (folder / "xquad").rename(folder / "shared" / "eval" / "xquad")
    return folder / "shared"


def test_a_known_filing_is_all_that_is_searched(tmp_path: Path) -> None:
    record = {"doc": "X", "question": "What was sold?", "evidence": [{"doc": "X", "page_index": 0}]}
    (tmp_path / "questions.jsonl").write_text(f"{json.dumps(record)}\n", "utf-8")
    (question,) = financebench(tmp_path, known=True).questions
    assert question.limits is not None
    assert question.limits.paths == ("X.pdf",)
    assert financebench(tmp_path).questions[0].limits is None


original = retrieval.make_pipeline


def hashed(work: Path, documents: Path, **settings: Any) -> Any:
    """The same pipeline with a model that needs no weights."""
    models = {"minilm": {"kind": "hashing", "model": "hashing"}}
    return original(work, documents, **settings | {"embedding_models": models})
