"""Callers have the groups that sources put them in now, whichever way they came and whatever they look as."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag_pipeline.errors import Forbidden
from rag_pipeline.refresh.memberships import open_memberships, poll_memberships
from rag_pipeline.refresh.remarks import accept
from rag_pipeline.serving.callers import Caller, caller_of
from rag_pipeline.serving.questions import FeedbackQuestion, HintQuestion, Question, SearchQuestion
from rag_pipeline.serving.service import Service
from rag_pipeline_tests.pipeline.project import Project

ADA = caller_of("ada", [], "token", [])
# Of the identity provider, as a member of a group of the source.
SAILOR = caller_of("joe", ["sailors"], "jwt", [], "okta:")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.create(tmp_path, serving={"administrators": ["docs:crew"]})
    source = project.settings["sources"]["docs"]
    source |= {"groups": {"file": "groups.yaml"}, "allowed_principals": ["docs:crew"]}
    (project.folder / "groups.yaml").write_text("crew: {members: ['okta:sailors'], groups: [deck]}\ndeck: [ada]\n")
    project.write("pump.md", "# Pump\n\nThe pump is oiled at dawn.\n")
    project.refresh()
    return project


@pytest.fixture
def service(project: Project) -> Iterator[Service]:
    service = Service(project.pipeline())
    yield service
    service.close()


def found(service: Service, caller: Caller, view_as: list[str] | None = None) -> int:
    return len(service.search(caller, SearchQuestion(query="pump", mode="text", view_as=view_as))["hits"])


def counted(service: Service, caller: Caller) -> int:
    return sum(source["documents"] for source in service.sources(caller, Question())["sources"])


def test_what_the_provider_and_what_sources_say_of_a_caller_is_added_together(service: Service) -> None:
    assert service.known(ADA).principals == {"ada", "public", "docs:crew", "docs:deck"}
    assert service.known(SAILOR).principals == {"okta:joe", "okta:sailors", "public", "docs:crew"}


def test_looking_as_a_group_shows_no_more_from_before_than_the_caller_may_see(
    project: Project, service: Service
) -> None:
    (project.folder / "groups.yaml").write_text("crew: [ada, bob]\n")
    with project.workspace() as workspace:
        poll_memberships(workspace)
        open_memberships(workspace)
        before = workspace.now().isoformat()
    project.write("pump.md", "# Pump\n\nThe pump stands still.\n")
    (project.folder / "groups.yaml").write_text("crew: [ada, bob, eve]\n")
    project.refresh()
    for name, hits in (("bob", 1), ("eve", 0)):
        caller = caller_of(name, [], "token", [])
        for view in (None, ["docs:crew"]):
            asked = SearchQuestion(query="pump", mode="text", view_as=view, as_of=before)
            assert len(service.search(caller, asked)["hits"]) == hits, (name, view)
        assert found(service, caller, ["docs:crew"]) == 1


def test_looking_as_somebody_is_by_the_groups_of_now(project: Project, service: Service) -> None:
    assert (found(service, ADA), counted(service, ADA)) == (1, 1)
    # Whoever is only in the inner group is in the outer one by it.
    for view, hits in ((["docs:crew"], 1), (["docs:deck"], 1), (["ada"], 1), (["public"], 0)):
        assert found(service, ADA, view) == hits
    with pytest.raises(Forbidden):
        found(service, ADA, ["okta:sailors"])
    (project.folder / "groups.yaml").write_text("crew: []\n")
    with project.workspace() as workspace:
        poll_memberships(workspace)
        open_memberships(workspace)
    assert (found(service, ADA), counted(service, ADA)) == (0, 0)
    assert not service.known(ADA).is_administrator
    with pytest.raises(Forbidden):
        found(service, ADA, ["public"])


def test_what_is_read_by_a_group_of_a_source_can_be_remarked_on_and_asked_again(
    project: Project, service: Service
) -> None:
    [hit] = service.search(ADA, SearchQuestion(query="pump", mode="text"))["hits"]
    remark = FeedbackQuestion(query="When is the pump oiled?", chunk_id=hit["chunk_id"], verdict="up")
    kept = service.feedback(ADA, remark)["feedback_id"]
    file = project.folder / "questions.jsonl"
    with project.workspace() as workspace:
        question = accept(workspace, kept, file).question
    assert set(question.principals) == {"ada", "public", "docs:crew", "docs:deck"}
    assert file.read_text("utf-8").count("pump.md") == 1


def test_a_group_of_a_source_may_give_hints(project: Project) -> None:
    project.settings["hints"] = {"folder": "hints", "allowed_principals": ["docs:crew"]}
    service = Service(project.pipeline())
    try:
        assert service.hint(ADA, HintQuestion(sources=["docs"])) == {"sources": ["docs"]}
        with pytest.raises(Forbidden):
            service.hint(caller_of("eve", [], "token", []), HintQuestion(sources=["docs"]))
    finally:
        service.close()
