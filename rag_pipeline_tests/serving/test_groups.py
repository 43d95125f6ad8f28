"""Callers have the groups that sources put them in now, whichever way they came and whatever they look as."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag_pipeline.errors import Forbidden
from rag_pipeline.refresh.memberships import open_memberships, poll_memberships
from rag_pipeline.serving.callers import Caller, caller_of
from rag_pipeline.serving.questions import Question, SearchQuestion
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
