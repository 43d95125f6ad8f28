"""No way of asking names, shows or moves anything by what the caller may not read."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_pipeline.contracts.filters import Filter, parse_condition
from rag_pipeline.errors import RagPipelineError
from rag_pipeline.retrieval.search import MODES, Hit, Searcher
from rag_pipeline.retrieval.windows import WINDOWS_BY
from rag_pipeline_tests.embedding.cross_models import make_late_model
from rag_pipeline_tests.pipeline.project import Project

ASKERS = ("public", "staff", "board")
READERS = ("public", "staff", "board", "staff, board")
World = tuple[Searcher, list[Hit], dict[str, frozenset[str]], datetime]
SUBJECTS = ("pump", "gate", "lamp")


def mark_of(at: int) -> str:
    """A word that stands in one document alone, in its address, its title and its metadata."""
    return f"heron{'abcdefghijklmnopqrstuvwxyz'[at]}"


def note(at: int, readers: str, night: int, count: int) -> str:
    mark = mark_of(at)
    # Named by number, so that no document has another one's mark in its own metadata.
    versions = f"number: {at}\nsuperseded_by: {(at + 1) % count}"
    fields = f"title: Note {mark}\nallowed_principals: [{readers}]\nfield_{mark}: {mark}\n{versions}"
    subject = SUBJECTS[at % len(SUBJECTS)]
    same = f"The {subject} of the hall is closed at night, and its key hangs beside the door of the porter."
    return (
        f"---\n{fields}\n---\n# Part {mark}\n\n{same}\n\n## Word {mark}\n\nThe word is {mark}, as of night {night}.\n"
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A searcher, what is found of everything, the marks each asker may know of, and a time of other permissions."""
    folder = tmp_path_factory.mktemp("leaks")
    make_late_model(folder / "late")
    project = Project.create(
        folder,
        deduplication={"near": False},
        boilerplate={"leave_out": False},
        late_interaction={"model": "tiny", "folder": "late", "time_budget_seconds": 3_600},
    )
    count = 9
    for at in range(count):
        project.write(f"{mark_of(at)}.md", note(at, READERS[(at + 1) % len(READERS)], 0, count))
    project.refresh()
    before = datetime.now(UTC)
    for at in range(count):
        project.write(f"{mark_of(at)}.md", note(at, READERS[at % len(READERS)], 1, count))
    # One whose file is gone, and one that is in quarantine.
    (project.folder / "docs" / f"{mark_of(8)}.md").unlink()
    project.write(f"{mark_of(7)}.md", f"---\nallowed_principals: [board, {{x: y}}]\n---\n{mark_of(7)}\n")
    project.refresh()
    known = {
        asker: frozenset(mark_of(at) for at in range(7) if {asker, "public"} & set(READERS[at % 4].split(", ")))
        for asker in ASKERS
    }
    searcher = Searcher.open(project.pipeline())
    everybody = searcher.search("heron note of the hall", principals=ASKERS, k=50)
    assert any(hit.rerank_score is not None for hit in everybody)
    assert {hit.document_id for hit in everybody} > {
        hit.document_id for hit in searcher.search("hall", principals=["public"])
    }
    return searcher, everybody, known, before


def said(
    searcher: Searcher,
    everybody: list[Hit],
    asker: str,
    way: str,
    named: str,
    asked: dict[str, Any],
    as_of: datetime | None,
) -> str:
    """Everything that one way of asking lets a caller see."""
    who: dict[str, Any] = {"principals": [asker]}
    question = asked.pop("question")
    if way == "explain":
        found: Any = asdict(searcher.explain(question, **who, **asked, as_of=as_of, document=named))
        answer = json.dumps(found, default=str)
        # What was typed may be said again: the document that was named, and what one that may be read does not meet.
        limits: Filter = asked["limits"]
        typed = [f"{one.field}{one.operator}{','.join(one.values)}" for one in limits.conditions]
        for said_again in (f"there is no document {named!r}", *(f"path {one}" for one in limits.paths or ()), *typed):
            answer = answer.replace(said_again, "")
        return answer
    if way in WINDOWS_BY:
        return str(searcher.windows(everybody, **who, max_tokens=1_000, by=way, as_of=as_of))
    if way == "window":
        return str([searcher.window(hit, **who) for hit in everybody])
    if way == "chunk":
        return str([searcher.chunk(hit.chunk_id, **who) for hit in everybody])
    if way == "verify":
        return str([hit.record() for hit in searcher.search(question, **who, **asked, as_of=as_of, verify=True)])
    return str([hit.record() for hit in searcher.search(question, **who, **asked, as_of=as_of)])


WAYS = ("search", "search", "search", "explain", *WINDOWS_BY, "window", "chunk", "verify")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_way_of_asking_tells_of_what_is_closed(world: World, data: st.DataObject) -> None:
    searcher, everybody, known, before = world
    check_nothing_is_told(searcher, everybody, known, before, 9, data.draw)


def check_nothing_is_told(
    searcher: Searcher,
    everybody: list[Hit],
    known: dict[str, frozenset[str]],
    before: datetime,
    count: int,
    draw: Any,
) -> None:
    """Ask in one way or another, and look whether the answer tells of a document that is closed.

    Args:
        everybody: Hits of everything there is.
        known: Marks that each asker may know of.
        before: A time of other permissions.
        count: Of the marks.
    """
    asker = draw(st.sampled_from(ASKERS))
    secret = draw(st.sampled_from([mark_of(at) for at in range(count)]))
    conditions = draw(
        st.sampled_from(
            [
                (),
                ("superseded_by",),
                (f"field_{secret}={secret}",),
                ("superseded_by=4",),
                (f"field_{secret}>a",),
            ]
        )
    )
    limits = Filter(
        frozenset({"board"}),
        conditions=tuple(parse_condition(text) for text in conditions),
        paths=draw(st.sampled_from([None, None, (f"{secret}.md",), ("**",)])),
        modified_after=draw(st.sampled_from([None, datetime(2020, 1, 1, tzinfo=UTC)])),
        modified_before=draw(st.sampled_from([None, datetime(2200, 1, 1, tzinfo=UTC)])),
        sources=draw(st.sampled_from([None, ("docs",)])),
        media_types=draw(st.sampled_from([None, ("text/markdown",)])),
        languages=draw(st.sampled_from([None, ("en",)])),
        least_quality=draw(st.sampled_from([None, 0.1])),
        document_ids=draw(st.sampled_from([None, tuple(hit.document_id for hit in everybody)])),
        chunk_ids=draw(st.sampled_from([None, tuple(hit.chunk_id for hit in everybody)])),
    )
    asked: dict[str, Any] = {
        "question": draw(st.sampled_from([f"word {secret}", "the pump of the hall", "key beside the door", secret])),
        "mode": draw(st.sampled_from(MODES)),
        "k": draw(st.sampled_from([1, 3, 50])),
        "per_document": draw(st.sampled_from([None, 1])),
        "diversity": draw(st.sampled_from([0.0, 0.5])),
        "rerank": draw(st.booleans()),
        "limits": limits,
    }
    named = draw(st.sampled_from([f"{secret}.md", f"docs/{secret}.md", secret, "**", "*.md"]))
    way = draw(st.sampled_from(WAYS))
    try:
        answer = said(searcher, everybody, asker, way, named, dict(asked), draw(st.sampled_from([None, before])))
    except RagPipelineError as error:
        # A field that is typed may be named; what there is instead may not.
        answer = error.message.replace(f"field_{secret}", "", 1)
    for closed in {mark_of(at) for at in range(count)} - known[asker]:
        assert closed not in answer, (asker, way, conditions)


@pytest.mark.parametrize("asker", ASKERS)
def test_what_is_closed_moves_nothing(world: World, asker: str) -> None:
    """Superseded are only those whose successor the caller may read too."""
    searcher, _, known, _ = world
    hits = searcher.search("note of the hall", principals=[asker], k=50)
    assert hits
    for hit in hits:
        at = next(at for at in range(9) if mark_of(at) in hit.uri)
        following = mark_of(at + 1)
        assert bool(hit.superseded_by) == (following in known[asker])
