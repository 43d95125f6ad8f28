"""Why a document is a hit or none; and of what the caller may not read, the answer for what does not exist."""

from __future__ import annotations

import random
from typing import Any

import pytest

from rag_pipeline.contracts.filters import Filter, parse_condition
from rag_pipeline.errors import BadQuery
from rag_pipeline.retrieval.search import MODES, Searcher
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.pipeline.project import Project

QUERY = "who turns the pump of the workshop off"
RULE = (
    "Whoever leaves the workshop turns the main pump off, closes both valves of the red pipe, writes the state of the "
    "tank into the book beside the door and hands the key to the porter before the gate is locked for the night."
)
SECRETS = ("heron", "closed.md", "locked.md", "twin-closed.md", "broken-open.md", "broken.md")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project.create(tmp_path_factory.mktemp("explain"), boilerplate={"leave_out": False})
    made.settings["deduplication"] = {"near": False}
    notes = {
        "a.md": ("public", RULE),
        "b.md": ("public", RULE.replace("porter", "guard")),
        "c.md": ("public", "The workshop has a second pump, and its lamp is green."),
        "d.md": ("public", "Bread is baked on Mondays."),
        "closed.md": ("board", f"{RULE} The project heron is secret."),
        "twin-closed.md": ("board", f"{RULE} The project heron is secret."),
        "twin.md": ("public", "The workshop has a second pump, and its lamp is green."),
        "old.md": ("public", "The old pump of the workshop is turned off by hand."),
    }
    for name, (readers, text) in notes.items():
        status = "Draft" if name == "d.md" else "Final"
        made.write(name, f"---\nallowed_principals: [{readers}]\nstatus: {status}\n---\n{text}\n")
    made.write("broken.docx", b"PK\x03\x04 no archive")
    made.write("locked.docx", b"PK\x03\x04 no archive")
    made.write("locked.docx.meta.yaml", "allowed_principals: [board]\n")
    made.write("broken.md", "---\nallowed_principals: [public, {x: y}]\n---\nNobody knows who may read it.\n")
    made.refresh()
    return made


@pytest.fixture(scope="module")
def searcher(project: Project) -> Searcher:
    return Searcher.open(project.pipeline())


def why(searcher: Searcher, document: str, *principals: str, **options: Any) -> Any:
    explanation = searcher.explain(QUERY, principals=principals or ["public"], document=document, **options)
    assert list(explanation.hits) == searcher.search(QUERY, principals=principals or ["public"], **options)
    (found,) = explanation.documents
    return found


def test_each_reason_is_said(searcher: Searcher) -> None:
    first, second = why(searcher, "a.md"), why(searcher, "b.md")
    assert {first.reason, second.reason} == {"hit", "collapsed"}
    assert first.hit == second.hit
    assert {first.into, second.into} == {None, first.hit.uri}
    below = why(searcher, "d.md", k=1)
    assert (below.reason, below.hit.rank > 1) == ("below", True)
    assert below.sentence.endswith("and the search ended at 1")
    filtered = why(
        searcher, "d.md", limits=Filter(frozenset(), conditions=(parse_condition("status=Final"),), paths=("docs/**",))
    )
    assert (filtered.reason, filtered.conditions) == ("filtered", ("status=final",))
    assert why(searcher, "d.md", mode="text").reason == "not_found"
    left_out = {name: why(searcher, name) for name in ("c.md", "twin.md")}
    duplicate = next(one for one in left_out.values() if one.reason == "duplicate")
    assert duplicate.into in ("docs/c.md", "docs/twin.md")
    assert duplicate.into in duplicate.sentence
    refused = why(searcher, "broken.docx")
    assert refused.reason == "quarantined"
    assert "quarantine" in refused.sentence


def test_what_was_taken_in_and_not_published_says_so(tmp_path: Any) -> None:
    from rag_pipeline.refresh.bronze import refresh_source
    from rag_pipeline.refresh.chunks import refresh_chunks
    from rag_pipeline.refresh.documents import refresh_documents

    project = Project.create(tmp_path)
    project.write("a.md", RULE)
    project.refresh()
    project.write("late.md", "A pump that came late.")
    with project.workspace() as workspace:
        refresh_source(workspace, "docs")
        refresh_documents(workspace)
        refresh_chunks(workspace)
    assert why(Searcher.open(project.pipeline()), "late.md").reason == "not_published"


def test_that_a_closed_document_says_the_same_is_not_told(tmp_path: Any) -> None:
    """The copy is not in the index, and the one that stood for it was closed and revoked before the next run."""
    from rag_pipeline.refresh.bronze import refresh_source
    from rag_pipeline.refresh.revoke import revoke_now

    project = Project.create(tmp_path, boilerplate={"leave_out": False})
    for name in ("a.md", "b.md"):
        project.write(name, RULE)
    project.refresh()
    whys = {name: why(Searcher.open(project.pipeline()), name) for name in ("a.md", "b.md")}
    (copy,) = (name for name, found in whys.items() if found.reason == "duplicate")
    (kept,) = whys.keys() - {copy}
    project.write(f"{kept}.meta.yaml", "allowed_principals: [board]\n")
    with project.workspace() as workspace:
        refresh_source(workspace, "docs")
        revoke_now(workspace)
    found = why(Searcher.open(project.pipeline()), copy)
    assert (found.reason, found.into) == ("not_published", None)
    assert "same" not in found.sentence


@pytest.mark.parametrize("k", [5, 30])
def test_the_hits_that_are_explained_are_those_of_the_search(deep: Searcher, k: int) -> None:
    """More rows fit than a search looks at, and scores hang on how many it does look at."""
    for query in ("berth harbour", "quay fee lamp"):
        for mode in MODES:
            hits = deep.search(query, principals=["public"], mode=mode, k=k)
            explanation = deep.explain(query, principals=["public"], mode=mode, k=k, document="7.md")
            assert list(explanation.hits) == hits


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    chance = random.Random(1)
    project = Project.create(
        tmp_path_factory.mktemp("deep"), deduplication={"near": False}, boilerplate={"leave_out": False}
    )
    words = ["quay", "fee", "berth", "harbour", "mooring", "crown", "crane", "lamp", "rope", "tide", "pilot", "cargo"]
    other = [f"w{at}x" for at in range(300)]
    for at in range(250):
        said = [chance.choice(words if chance.random() < 0.4 else other) for _ in range(chance.randint(15, 60))]
        project.write(f"{at}.md", f"# Note {at}\n\n{' '.join(said)}.\n")
    project.refresh()
    return Searcher.open(project.pipeline())


@pytest.mark.parametrize(
    "name",
    ["closed.md", "twin-closed.md", "locked.docx", "broken.md", "nothing.md", "docs/closed.md", "*closed*", "**"],
)
def test_of_what_is_closed_the_answer_is_that_of_what_is_not_there(searcher: Searcher, name: str) -> None:
    explanation = searcher.explain(QUERY, principals=["public"], document=name)
    if name == "**":
        assert not {"docs/closed.md", "docs/twin-closed.md"} & {one.uri for one in explanation.documents}
        return
    (found,) = explanation.documents
    assert found.reason == "unknown"
    (missing,) = searcher.explain(QUERY, principals=["public"], document="zzz.md").documents
    assert found.sentence.replace(name, "zzz.md") == missing.sentence
    assert found.document_id is None


def test_who_may_read_it_is_told(searcher: Searcher) -> None:
    reasons = {why(searcher, name, "board").reason for name in ("closed.md", "twin-closed.md")}
    assert "duplicate" in reasons
    assert why(searcher, "locked.docx", "board").reason == "quarantined"


def test_an_id_of_a_closed_document_opens_nothing(searcher: Searcher) -> None:
    for name in ("closed.md", "twin-closed.md", "locked.docx"):
        known = why(searcher, name, "board").document_id
        assert why(searcher, known, "board").document_id == known
        assert why(searcher, known, "public").reason == "unknown"
    with pytest.raises(BadQuery, match="must be a string"):
        searcher.explain(QUERY, principals=["public"], document=" ")


def test_the_command_says_it(project: Project) -> None:
    project.pipeline()
    answer = ask_in(project.folder, "search", QUERY, "--as", "public", "--explain", "--why", "d.md", "--k", "1")
    said = " ".join(answer.out.split())
    assert "the text retriever found it at 1" in said
    assert "docs/d.md: it comes at rank" in said
    records = ask_in(project.folder, "search", QUERY, "--as", "public", "--why", "closed.md", "--json").records
    assert records[-1]["why"]["reason"] == "unknown"
