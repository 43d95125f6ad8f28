"""A reranker is published like a change of the model: evaluated, held to the gate, taken back; and never an outage."""

from __future__ import annotations

import logging
import re
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.evaluation import EVALUATIONS
from rag_pipeline.contracts.recipe import SearchRecipe
from rag_pipeline.contracts.reranking import RerankerSpec
from rag_pipeline.embedding.cross_encoder import CrossEncoder
from rag_pipeline.embedding.reranker import open_reranker
from rag_pipeline.errors import EvaluationBelowBaseline
from rag_pipeline.refresh.publication import publish, rollback
from rag_pipeline.retrieval.search import Hit, Searcher
from rag_pipeline_tests.embedding.cross_models import make_cross_encoder, make_late_model
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.refresh.test_evaluation import LAMPS, ask, build, page, published, question

ASKED = "who lit lantern3?"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def vocabulary() -> list[str]:
    text = " ".join(page(number) for number in range(LAMPS)) + " who ?"
    return [*SPECIAL, *dict.fromkeys(re.findall(r"\w+|[^\w\s]+", text))]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.create(tmp_path, cache=str(tmp_path / "cache"))
    for number in range(LAMPS):
        project.write(f"{number}.md", page(number))
    ask(project, *(question(number) for number in range(LAMPS)))
    project.settings["evaluation"]["mode"] = "hybrid"
    make_cross_encoder(tmp_path / "model", vocabulary())
    return project


def configured(project: Project, tolerance: float = 1.0, **changes: Any) -> None:
    """A model of random weights that alone decides; a tolerance of 1 lets it pass the gate all the same."""
    project.settings["rerank"] = {"model": "tiny", "folder": "model", "weight": 1.0, **changes}
    project.settings["evaluation"]["tolerance"] = tolerance


def searched(project: Project, **options: Any) -> list[Hit]:
    before = set(threading.enumerate())
    with Searcher.open(project.pipeline()) as searcher:
        hits = searcher.search(ASKED, principals=["public"], k=LAMPS, **options)
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if thread.name.startswith("rerank")]
    return hits


def model(project: Project) -> CrossEncoder:
    return open_reranker(RerankerSpec("tiny", str(project.folder / "model")), project.folder / "cache")


def served(project: Project) -> SearchRecipe:
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
    assert last is not None
    return last.recipe


def test_hits_stand_as_the_published_model_orders_them(project: Project) -> None:
    configured(project)
    build(project)
    published(project)
    hits = searched(project)
    assert len(hits) == LAMPS
    scores = dict(
        zip((hit.chunk_id for hit in hits), model(project).scores(ASKED, _embedded(project, hits)), strict=True)
    )
    assert [hit.rerank_score for hit in hits] == [scores[hit.chunk_id] for hit in hits]
    assert [hit.rerank_score for hit in hits] == sorted((hit.rerank_score or 0 for hit in hits), reverse=True)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert {hit.rerank_note for hit in hits} == {None}
    plain = searched(project, rerank=False)
    assert {hit.rerank_score for hit in plain} == {None}
    assert [hit.chunk_id for hit in plain] != [hit.chunk_id for hit in hits]
    assert {hit.chunk_id for hit in plain} == {hit.chunk_id for hit in hits}
    for mode in ("vector", "text"):
        assert {hit.rerank_score for hit in searched(project, mode=mode)} == {None}


def _embedded(project: Project, hits: list[Hit]) -> list[str]:
    searcher = Searcher.open(project.pipeline())
    chunks = [searcher.chunk(hit.chunk_id, principals=["public"]) for hit in hits]
    return [str(chunk["embedded_text"]) for chunk in chunks if chunk is not None]


def test_only_the_best_are_read_and_the_others_keep_their_places(project: Project) -> None:
    configured(project, candidates=4)
    build(project)
    published(project)
    plain, hits = searched(project, rerank=False), searched(project)
    assert {hit.chunk_id for hit in hits[:4]} == {hit.chunk_id for hit in plain[:4]}
    assert [hit.chunk_id for hit in hits[4:]] == [hit.chunk_id for hit in plain[4:]]
    assert [hit.rerank_score is None for hit in hits] == [False] * 4 + [True] * (LAMPS - 4)


def test_what_the_caller_may_not_read_is_not_read_to_the_model_either(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.settings["sources"]["docs"]["permission_rules"] = [{"pattern": "1*.md", "allowed_principals": ["hr"]}]
    configured(project)
    build(project)
    published(project)
    read: list[str] = []
    scores = CrossEncoder.scores

    def seen(self: CrossEncoder, asked: str, texts: list[str], seconds: float | None = None) -> Any:
        read.extend(texts)
        return scores(self, asked, texts, seconds)

    monkeypatch.setattr(CrossEncoder, "scores", seen)
    hits = searched(project)
    assert {Path(hit.uri).stem for hit in hits} == {"0", *(str(number) for number in range(2, 10))}
    assert not [text for text in read if re.search(r"lantern1\b|lantern1[01]", text)]


def test_after_its_time_the_first_order_stands_and_is_said(project: Project) -> None:
    configured(project, time_budget_seconds=1e-9)
    build(project)
    published(project)
    hits = searched(project)
    assert [hit.chunk_id for hit in hits] == [hit.chunk_id for hit in searched(project, rerank=False)]
    assert {hit.rerank_note for hit in hits} == {f"reranked 0 of {LAMPS} hits in the 1e-09 s that it may take"}


def test_a_model_that_is_gone_costs_the_order_and_no_answer(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    configured(project)
    build(project)
    published(project)
    shutil.rmtree(project.folder / "model")
    shutil.rmtree(project.folder / "cache")
    with caplog.at_level(logging.WARNING):
        hits = searched(project)
    assert [hit.chunk_id for hit in hits] == [hit.chunk_id for hit in searched(project, rerank=False)]
    assert "not reranked" in str(hits[0].rerank_note)
    assert "were not found" in caplog.text


def test_a_reranker_is_evaluated_and_published_like_a_change_of_the_model(project: Project) -> None:
    build(project)
    first = published(project)
    configured(project)
    report = build(project)
    assert report is not None
    assert report.computed == 1
    assert report.published is not None
    second = published(project)
    assert second.moved
    assert (second.table_version, second.sequence) == (first.table_version, first.sequence + 1)
    recipe = served(project)
    assert recipe.rerank is not None
    assert recipe.reranker == model(project).fingerprint
    again = build(project)
    assert again is not None
    assert (again.computed, again.commits) == (0, 0)
    assert not published(project).moved
    with project.workspace() as workspace:
        evaluations = workspace.lake.read(EVALUATIONS)
    assert evaluations["evaluator_fingerprint"].n_unique() == 2


def test_a_worse_order_is_refused_and_new_documents_reach_readers_all_the_same(project: Project) -> None:
    build(project)
    published(project)
    before = [hit.chunk_id for hit in searched(project)]
    configured(project, tolerance=0.02)
    project.write("new.md", "# Hall of visitors\n\nNobody lit anything here.\n")
    (project.folder / "docs" / "5.md").unlink()
    build(project)
    with pytest.raises(EvaluationBelowBaseline, match="worse than what readers see"):
        published(project)
    assert served(project) == SearchRecipe()
    hits = searched(project)
    assert {hit.rerank_score for hit in hits} == {None}
    stems = {Path(hit.uri).stem for hit in hits}
    assert "new" in stems
    assert "5" not in stems
    assert [hit.chunk_id for hit in hits if hit.chunk_id in before] != []
    published(project, override_gate=True, note="tried on purpose", by_hand=True)
    assert served(project).rerank is not None


def test_going_back_takes_the_reranker_back(project: Project) -> None:
    build(project)
    first = published(project)
    configured(project)
    build(project)
    published(project)
    with project.workspace() as workspace:
        back = rollback(workspace)
    assert back.table_version == first.table_version
    assert served(project) == SearchRecipe()
    with project.workspace() as workspace:
        assert publish(workspace).is_held
        assert publish(workspace, by_hand=True).moved
    assert served(project).rerank is not None


def test_a_revocation_keeps_the_way_of_searching(project: Project) -> None:
    configured(project)
    build(project)
    published(project)
    recipe = served(project)
    (project.folder / "docs" / "3.md").unlink()
    with project.workspace() as workspace:
        from rag_pipeline.refresh.bronze import refresh_source
        from rag_pipeline.refresh.revoke import revoke_now

        refresh_source(workspace, "docs", allow_mass_deletion=True)
        revoke_now(workspace)
    assert served(project) == recipe
    hits = searched(project)
    assert {Path(hit.uri).stem for hit in hits} == {str(number) for number in range(LAMPS) if number != 3}
    assert None not in {hit.rerank_score for hit in hits}


def test_the_publication_says_how_it_is_searched(project: Project) -> None:
    configured(project)
    build(project)
    published(project)
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
    assert last is not None
    figures = last.figures
    assert figures["recipe"]["rerank"]["weight"] == 1.0


def test_late_interaction_is_evaluated_and_published_like_a_cross_encoder(project: Project) -> None:
    build(project)
    published(project)
    plain = [hit.chunk_id for hit in searched(project)]
    make_late_model(project.folder / "late", vocabulary())
    project.settings["late_interaction"] = {"model": "tiny", "folder": "late", "weight": 1.0, "candidates": 50}
    project.settings["evaluation"]["tolerance"] = 1.0
    report = build(project)
    assert report is not None
    assert report.computed == 1
    assert published(project).moved
    recipe = served(project)
    assert recipe.rerank is not None
    assert recipe.rerank.is_late
    hits = searched(project)
    own = open_reranker(recipe.rerank, project.folder / "cache")
    scores = own.scores(ASKED, _embedded(project, hits))
    own.close()
    assert [hit.rerank_score for hit in hits] == scores
    assert scores == sorted((score or 0 for score in scores), reverse=True)
    assert [hit.chunk_id for hit in hits] != plain
    again = build(project)
    assert again is not None
    assert (again.computed, again.commits) == (0, 0)
    assert {hit.rerank_score for hit in searched(project, rerank=False)} == {None}


def test_a_worse_late_interaction_is_refused(project: Project) -> None:
    build(project)
    published(project)
    make_late_model(project.folder / "late", vocabulary())
    project.settings["late_interaction"] = {"model": "tiny", "folder": "late", "weight": 1.0}
    build(project)
    with pytest.raises(EvaluationBelowBaseline, match="worse than what readers see"):
        published(project)
    assert served(project) == SearchRecipe()
