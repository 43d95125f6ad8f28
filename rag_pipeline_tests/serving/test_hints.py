"""Change hints over HTTP: taken from those who may give them, and seen by what looks into their folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rag_pipeline.errors import SettingsError
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.serving.app import build_app
from rag_pipeline.stores.hints import HintFolder
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.conftest import Served, running, tokens_for
from rag_pipeline_tests.serving.test_api import assert_problem

HINT = {"sources": ["docs"]}


@pytest.fixture(scope="module")
def hinted(lake: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that takes hints from bob and from the group `hooks`, who may read nothing."""
    from rag_pipeline.serving.tokens import add_token

    project = lake.copied(tmp_path_factory.mktemp("hinted"))
    project.settings["serving"] = project.settings["serving"] | {"anonymous": True}
    project.settings["hints"] = {"folder": "hints", "allowed_principals": ["bob", "hooks"]}
    tokens = tokens_for(project) | {"hook": add_token(project.pipeline().tokens_file, "hook", ("hooks",))[0]}
    with running(build_app(project.pipeline())) as url:
        yield Served(url, project, tokens)


def folder_of(served: Served) -> HintFolder:
    return HintFolder(served.project.folder / "hints", {"docs"})


def test_a_hint_waits_for_the_sensor_once_however_often_it_comes(hinted: Served) -> None:
    folder = folder_of(hinted)
    assert folder.waiting() == []
    for who in ("bob", "hook", "bob"):
        with hinted.client(who) as client:
            answer = client.post("/v1/hints", json={"sources": ["docs", "docs"]})
        assert (answer.status_code, answer.json()) == (202, HINT)
    assert folder.waiting() == ["docs"]
    assert folder.hinted_at("docs") > 0
    assert [path.name for path in folder.marks.iterdir()] == ["docs"]
    # What the sensor does, and then the run that it asks for.
    folder.take_in()
    assert folder.waiting() == ["docs"]
    with hinted.project.workspace() as workspace:
        refresh_source(workspace, "docs")
    assert folder.waiting() == []
    with folder.looking("docs"), hinted.client("bob") as client:
        assert client.post("/v1/hints", json=HINT).status_code == 202
    # It came while the source was looked at, so it is looked at once more.
    assert folder.waiting() == ["docs"]
    with folder.looking("docs"):
        pass


def test_objects_that_are_named_are_marked_and_are_those_of_one_source(hinted: Served) -> None:
    folder = folder_of(hinted)
    with folder.looking("docs"), hinted.client("bob") as client:
        named = HINT | {"addresses": ["rota/may.md", "a.md"]}
        assert client.post("/v1/hints", json=named).status_code == 202
        both = {"sources": ["docs", "people"], "addresses": ["a.md"]}
        assert_problem(client.post("/v1/hints", json=both), 422, "bad_request")
    with folder.looking("docs") as addresses:
        assert sorted(addresses) == ["a.md", "rota/may.md"]


def test_a_notification_is_taken_as_it_comes_and_event_grid_is_told_that_it_may_come(
    lake: Project, tmp_path: Path
) -> None:
    project = lake.copied(tmp_path)
    project.settings["hints"] = {"folder": "hints", "allowed_principals": ["bob"]}
    # It is never polled here: only what it is called counts.
    project.settings["sources"]["docs"]["location"] = "abfs://wiki@acct.dfs.core.windows.net/pages"
    tokens = tokens_for(project)
    event = {
        "eventType": "Microsoft.Storage.BlobCreated",
        "topic": "/subscriptions/1/storageAccounts/acct",
        "subject": "/blobServices/default/containers/wiki/blobs/pages/a.md",
    }
    place = "/v1/hints/notifications"
    with running(build_app(project.pipeline())) as url:
        served = Served(url, project, tokens)
        with served.client("bob") as client:
            asked = [{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "42"}}]
            answer = client.post(place, json=asked)
            assert (answer.status_code, answer.json()) == (200, {"validationResponse": "42"})
            answer = client.options(place, headers={"WebHook-Request-Origin": "eventgrid.azure.net"})
            assert answer.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"
            answer = client.post(place, json=[event])
            assert (answer.status_code, answer.json()) == (202, HINT)
            cloud = event | {"type": event["eventType"], "specversion": "1.0", "source": event["topic"]}
            kind = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
            assert client.post(place, content=json.dumps(cloud), headers=kind).json() == HINT
            # Of another container, and of nothing: it is no fault of whoever sends it.
            other = event | {"subject": "/blobServices/default/containers/else/blobs/a.md"}
            assert client.post(place, json=[other, {}]).json() == {"sources": []}
            assert_problem(client.post(place, json=3), 422, "bad_request")
        with served.client("eve") as client:
            assert_problem(client.post(place, json=asked), 403, "forbidden")
            assert_problem(client.post(place, json=[event]), 403, "forbidden")
    with folder_of(served).looking("docs") as addresses:
        assert addresses == ["a.md"]


def test_who_may_not_gives_none(hinted: Served) -> None:
    for who in ("ann", "eve", None):
        with hinted.client(who) as client:
            assert_problem(client.post("/v1/hints", json=HINT), 403, "forbidden")
            # Nor do they learn which sources there are.
            assert_problem(client.post("/v1/hints", json={"sources": ["nowhere"]}), 403, "forbidden")
    wrong = {"Authorization": "Bearer ragp_wrong"}
    assert_problem(httpx.post(f"{hinted.url}/v1/hints", json=HINT, headers=wrong), 401, "unidentified")
    assert folder_of(hinted).waiting() == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"sources": ["docs", "nowhere"]}, 404, "not_there"),
        ({"sources": ["../docs"]}, 422, "bad_request"),
        ({"sources": []}, 422, "bad_request"),
        ({"sources": "docs"}, 422, "bad_request"),
        ({"sources": ["docs"] * 101}, 422, "bad_request"),
        ({"sources": ["d" * 64]}, 422, "bad_request"),
        (HINT | {"address": "s3://elsewhere/x.pdf"}, 422, "bad_request"),
        (HINT | {"view_as": ["bob"]}, 422, "bad_request"),
    ],
)
def test_what_is_no_hint_is_refused_whole(hinted: Served, body: dict[str, Any], status: int, code: str) -> None:
    with hinted.client("bob") as client:
        assert_problem(client.post("/v1/hints", json=body), status, code)
    assert folder_of(hinted).waiting() == []


def test_where_no_hints_are_taken_that_is_said(served: Served) -> None:
    with served.client("eve") as client:
        problem = assert_problem(client.post("/v1/hints", json=HINT), 404, "not_there")
        described = client.get("/openapi.json").json()
    assert "no folder" in problem["detail"]
    hint = described["components"]["schemas"]["HintQuestion"]["properties"]["sources"]
    assert hint["examples"] == [["handbook"]]
    assert described["paths"]["/v1/hints"]["post"]["responses"].keys() >= {"202", "403", "404", "422"}


def test_a_folder_that_cannot_be_written_is_a_fault_of_the_server(lake: Project, tmp_path: Path) -> None:
    project = lake.copied(tmp_path)
    project.settings["hints"] = {"folder": "hints", "allowed_principals": ["bob"]}
    tokens = tokens_for(project)
    (project.folder / "hints").write_text("a file, not a folder")
    with running(build_app(project.pipeline())) as url, Served(url, project, tokens).client("bob") as client:
        problem = assert_problem(client.post("/v1/hints", json=HINT), 503, "store")
    assert str(project.folder) not in str(problem)


def test_everybody_is_nobody_who_may_give_hints(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.settings["hints"] = {"folder": "hints", "allowed_principals": ["public"]}
    with pytest.raises(SettingsError, match="public is everybody"):
        project.pipeline()
