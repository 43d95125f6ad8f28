"""Quality never blocks: an index over 10,000 rows is published however trained, and searched as deep as needed."""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lancedb.index import IvfPq, IvfRq

from rag_pipeline.errors import StoreError
from rag_pipeline.refresh import audit, recall
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.recall import recall_of_index
from rag_pipeline.refresh.revoke import revoke_now
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.stores import upkeep, vectors
from rag_pipeline.stores.retrievers import EXACT, REFINE_FACTOR
from rag_pipeline.stores.vectors import VectorTable
from rag_pipeline_tests.pipeline.project import Project

DOCUMENTS, SECTIONS = 105, 100
WORDS = [f"{first}{last}" for first in "bdfgklmnprst" for last in ("arin", "elot", "ivus", "ondra", "umeth", "yster")]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A published lake of 10,500 chunks of made-up text."""
    project = Project.create(
        tmp_path_factory.mktemp("large"),
        embedding_models={"small": {"kind": "hashing", "model": "hashing", "dimension": 128}},
        chunking={"min_tokens": 0},
        deduplication={"near": False},
        boilerplate={"leave_out": False},
    )
    chance = random.Random(8)
    for number in range(DOCUMENTS):
        sections = (f"# Part {n}\n\n{' '.join(chance.choices(WORDS, k=12))}\n" for n in range(SECTIONS))
        project.write(f"{number}.md", "\n".join(sections))
    project.refresh()
    return project


def figures(project: Project) -> dict[str, Any]:
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
        assert last is not None
        return {**last.figures, "rows": last.rows}


def opened(project: Project) -> VectorTable:
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
        assert last is not None
        return workspace.vectors.open(last.table_name, last.space_fingerprint)


def test_an_index_over_made_up_text_is_published(large: Project) -> None:
    kept = figures(large)
    assert kept["rows"] == DOCUMENTS * SECTIONS
    factor = kept["search"]["refine_factor"]
    assert factor in recall.FACTORS[:2]
    assert kept["search"]["recall"][str(factor)] >= 0.95
    assert large.verify().findings == []


def test_an_index_that_was_not_trained_again_is_not_measured_again(
    large: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = figures(large)
    monkeypatch.setattr(recall, "recall_of_index", lambda *_: 0.0)
    large.write("3.md.meta.yaml", "allowed_principals: [board]\n")
    large.refresh()
    after = figures(large)
    assert after["audit_id"] != before["audit_id"]
    assert after["search"] == before["search"]


def test_more_candidates_help_a_poor_index(large: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VectorTable, "_index_vectors", train_badly)
    monkeypatch.setattr(recall, "FACTORS", (REFINE_FACTOR, 20 * REFINE_FACTOR))
    large.write("5.md.meta.yaml", "allowed_principals: [board]\n")
    large.refresh()
    search = figures(large)["search"]
    assert search["recall"][str(REFINE_FACTOR)] < 0.95 <= search["recall"][str(search["refine_factor"])]
    assert search["refine_factor"] > REFINE_FACTOR


def train_badly(table: VectorTable, _: set[str], __: int) -> bool:
    table._create_index("vector", IvfPq(distance_type="cosine", num_sub_vectors=1, num_bits=8))
    return True


@pytest.fixture
def poor(large: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The same lake after a revocation and a training that went wrong: one byte stands for 128 numbers."""
    # Where four times the candidates are few, they help no more than ten times do here.
    monkeypatch.setattr(recall, "FACTORS", (REFINE_FACTOR,))
    with monkeypatch.context() as patch:
        patch.setattr(VectorTable, "_index_vectors", train_badly)
        large.write("7.md.meta.yaml", "allowed_principals: [board]\n")
        large.refresh()
    return large


def test_a_poor_index_is_published_and_searched_exactly(poor: Project) -> None:
    search = figures(poor)["search"]
    assert search["refine_factor"] == EXACT
    assert max(search["recall"].values()) < 0.95
    assert recall_of_index(opened(poor), REFINE_FACTOR) < 0.95, "the index is not poor, so nothing is shown"

    searcher = Searcher.open(poor.pipeline())
    with poor.workspace() as workspace:
        last = workspace.lake.last_publication()
    assert last is not None
    model = searcher._models.of(last)
    for query in ("barin delot", "yster kondra fivus", "marin"):
        hits = searcher.search(query, principals=["public"], mode="vector", k=20)
        rows = opened(poor).read(["document_id", "start_char", "vector", "allowed_principals"])
        rows = rows.filter(rows["allowed_principals"].list.contains("public"))
        distances = 1 - np.stack(rows["vector"].to_list()) @ model.embed_query(query)
        assert [hit.vector_distance for hit in hits] == pytest.approx(np.sort(distances)[:20].tolist(), abs=1e-5)
        assert all("board" not in hit.allowed_principals for hit in hits)
    assert poor.verify().findings == []


def test_readers_search_as_deep_after_a_revocation(poor: Project) -> None:
    before = figures(poor)["search"]
    poor.write("8.md.meta.yaml", "allowed_principals: [board]\n")
    with poor.workspace() as workspace:
        refresh_source(workspace, "docs")
        report = revoke_now(workspace)
        audit = workspace.lake.last_audit(opened(poor).space.fingerprint)
    assert report.documents == 1
    assert figures(poor)["search"] == before
    assert audit is not None
    assert audit.findings["search"] == before
    assert Searcher.open(poor.pipeline())._pointer._current().table.refine_factor == EXACT
    poor.refresh()


def test_the_check_is_yellow_and_says_the_figure(poor: Project) -> None:

    from rag_pipeline.defs.quality_checks import closeness

    result = closeness(figures(poor)["search"])
    assert not result.passed
    assert "exactly" in str(result.description)


def test_an_index_that_cannot_be_searched_is_left_aside(
    large: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = VectorTable.distances

    def fails(table: VectorTable, vector: np.ndarray, limit: int, refine_factor: int) -> np.ndarray:
        if refine_factor != EXACT:
            raise StoreError("an index file is cut short")
        return found(table, vector, limit, refine_factor)

    monkeypatch.setattr(VectorTable, "distances", fails)
    monkeypatch.setattr(VectorTable, "_index_vectors", lambda *_: True)
    large.write("9.md.meta.yaml", "allowed_principals: [board]\n")
    with caplog.at_level(logging.WARNING):
        large.refresh()
    assert figures(large)["search"]["refine_factor"] == EXACT
    assert "cut short" in caplog.text


def test_an_audit_without_a_figure_is_made_again(large: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lakes that were audited before the figure was kept: the next run measures, and readers follow."""
    monkeypatch.setattr(audit, "depth_of_search", lambda _: {})
    monkeypatch.setattr(VectorTable, "_index_vectors", lambda *_: True)
    large.write("11.md.meta.yaml", "allowed_principals: [board]\n")
    large.refresh()
    assert "search" not in figures(large)
    monkeypatch.undo()
    monkeypatch.setattr(recall, "LEAST_RECALL", 1.1)
    large.refresh()
    assert figures(large)["search"]["refine_factor"] == EXACT


def test_equal_rows_are_no_loss(tmp_path: Path) -> None:
    """Which of many equal rows an index gives is chance, and no fault of it."""
    store = vectors.VectorStore(str(tmp_path))
    table = store._connection.create_table(
        "equal",
        [{"chunk_id": f"{n:05}", "vector": [float(n % 2)] * 8 + [float(1 - n % 2)] * 8} for n in range(12_000)],
    )
    table.create_index("vector", config=IvfRq(distance_type="cosine"))
    assert recall_of_index(VectorTable(table, "equal", str(tmp_path)), REFINE_FACTOR) == 1.0


def test_a_width_that_the_index_cannot_hold_is_searched_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "INDEXED_ABOVE_ROWS", 2)
    project = Project.create(
        tmp_path, embedding_models={"small": {"kind": "hashing", "model": "hashing", "dimension": 60}}
    )
    for number in range(4):
        project.write(f"{number}.md", f"# Note {number}\n\nThe pump {number} starts when the lamp is lit.\n")
    project.refresh()
    assert not opened(project).has_vector_index
    assert len(project.search("pump", "public", mode="vector")) == 4
