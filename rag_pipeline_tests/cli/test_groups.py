"""`groups refresh` on a server that tells teams: who left one finds nothing of it at the next search, without a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag_pipeline.retrieval.search import Searcher
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.sources.conftest import no_waits
from rag_pipeline_tests.sources.rest_api import TICKETS
from rag_pipeline_tests.sources.site import Site
from rag_pipeline_tests.sources.test_rest import GROUPS, ApiWorld

__all__ = ["no_waits"]
pytestmark = pytest.mark.usefixtures("no_waits")


@pytest.fixture
def world() -> Iterator[ApiWorld]:
    site = Site()
    yield ApiWorld(site)
    site.close()


def test_who_left_a_group_loses_it_at_once_and_who_came_waits_for_a_run(world: ApiWorld, tmp_path: Path) -> None:
    for team in ("crew", "deck"):
        world.put(team, f"The pump of {team} is oiled at dawn.")
        world.allow(team, [f"tickets:{team}"])
        world.set_group(team, ["ada"])
    project = Project.create(tmp_path, [])
    source = {"location": f"{world.site.url}/api", "networks": ["127.0.0.0/8"], "groups": GROUPS}
    project.settings["sources"] = {"tickets": TICKETS | source}
    project.refresh()
    rows = project.published()
    with Searcher.open(project.pipeline()) as searcher:

        def found(who: str) -> int:
            return len(searcher.search("pump", principals=[who], k=9))

        assert (found("ada"), found("bob")) == (2, 0)
        world.set_group("crew", ["bob"])
        # Whatever the documents say now is for a run to find.
        world.put("crew", "The pump is gone.")
        world.allow("crew", ["tickets:crew"])
        seen = len(world.site.asked)
        answer = ask_in(tmp_path, "groups", "refresh", "--json")
        assert answer.code == 0
        [record] = answer.records
        assert (record["withdrawn"], record["added"], record["waits_for_a_run"]) == (1, 1, True)
        assert all(asked.path.startswith("/api/teams") for asked in world.site.asked[seen:])
        assert (found("ada"), found("bob")) == (1, 0)
        assert project.published() == rows
        project.refresh()
        assert (found("ada"), found("bob")) == (1, 1)
        assert ask_in(tmp_path, "groups", "refresh", "--json").records[0]["waits_for_a_run"] is False


def test_groups_that_cannot_be_told_stand_and_are_said(world: ApiWorld, tmp_path: Path) -> None:
    world.put("a", "The pump of crew is oiled at dawn.")
    world.allow("a", ["tickets:crew"])
    world.set_group("crew", ["ada"])
    world.set_group("deck", ["eve"])
    project = Project.create(tmp_path, [])
    source = {"location": f"{world.site.url}/api", "networks": ["127.0.0.0/8"], "groups": GROUPS}
    project.settings["sources"] = {"tickets": TICKETS | source}
    project.refresh()
    world.faults["crew"] = 500
    answer = ask_in(tmp_path, "groups", "refresh")
    assert answer.code == 1
    assert "does not tell who is in crew" in " ".join(answer.err.split())
    world.break_down()
    answer = ask_in(tmp_path, "groups", "refresh")
    assert answer.code == 1
    assert "Source tickets does not tell its groups" in " ".join(answer.err.split())
    assert len(project.search("pump", "ada")) == 1
