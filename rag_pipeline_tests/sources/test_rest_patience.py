"""Every preset against a server that is asked too often and lets cursors run out: the same objects, or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rag_pipeline.contracts.sources import Source
from rag_pipeline.errors import SourceUnavailable
from rag_pipeline.settings.sources.rest import preset_names
from rag_pipeline_tests.sources.rest_api import as_json, rest_source
from rag_pipeline_tests.sources.site import Asked, Reply, Site
from rag_pipeline_tests.sources.test_rest_presets import Confluence, GitHub, Slack, wiki
from rag_pipeline_tests.sources.test_rest_seen import Redmine
from rag_pipeline_tests.sources.test_rest_seen import opened as redmine
from rag_pipeline_tests.sources.test_rest_trackers import GitLab, Jira, Notion, Zendesk, opened

pytestmark = pytest.mark.usefixtures("no_waits")

USER = {"user": "bot@example.org", "password": "$token"}
OBJECTS = 5


def _rest(site: Site, name: str, **variables: str) -> Source:
    return rest_source(site, {"kind": "rest", "preset": name, "variables": variables, "auth": {"bearer": "$token"}})


def _confluence(site: Site) -> Source:
    server = Confluence(site)
    server.space = [("user", "acc-1")]
    for number in range(OBJECTS):
        server.write(f"1{number}", f"Page {number}", "<p>Text</p>")
    return wiki(site)


def _github(site: Site) -> Source:
    server = GitHub(site)
    for number in range(OBJECTS):
        server.write(number + 1, "Issue", "Text")
    return _rest(site, "github_issues", repository="acme/docs")


def _gitlab(site: Site) -> Source:
    server = GitLab(site)
    for number in range(OBJECTS):
        server.write(number + 1)
    return opened(site, "gitlab_issues", {"header": "PRIVATE-TOKEN", "value": "$token"}, project="7")


def _jira(site: Site) -> Source:
    server = Jira(site)
    for number in range(OBJECTS):
        server.write(number + 1)
    return opened(site, "jira_issues", USER, project="ABC")


def _notion(site: Site) -> Source:
    server = Notion(site)
    for name in "abcdefgh"[:OBJECTS]:
        server.write(name, f"Page {name}")
    return _rest(site, "notion_pages")


def _redmine(site: Site) -> Source:
    server = Redmine(site)
    for number in range(OBJECTS):
        server.write(number + 1, "Text")
    return redmine(site)


def _slack(site: Site) -> Source:
    server = Slack(site)
    for number in range(OBJECTS):
        server.say(f"160000000{number}.000100", "Text")
    return _rest(site, "slack_channel", channel="C7", team="T1")


def _zendesk(site: Site) -> Source:
    server = Zendesk(site)
    for number in range(OBJECTS):
        server.write(number + 1)
        server.comments[number + 1] = ["Text"]
    return opened(site, "zendesk_tickets", USER)


OPENED: dict[str, Callable[[Site], Source]] = {
    "confluence_pages": _confluence,
    "github_issues": _github,
    "gitlab_issues": _gitlab,
    "jira_issues": _jira,
    "notion_pages": _notion,
    "redmine_issues": _redmine,
    "slack_channel": _slack,
    "zendesk_tickets": _zendesk,
}
# What names the place to go on from; those that count pages or objects have nothing that runs out.
CURSORS = {
    "confluence_pages": "cursor=",
    "jira_issues": "nextPageToken=",
    "notion_pages": "start_cursor",
    "slack_channel": "cursor=",
    "zendesk_tickets": "cursor=",
}


def told(source: Source) -> list[tuple[Any, ...]]:
    return [(item.address, item.stamp, item.declared) for item in source.list()]


def test_every_preset_is_here() -> None:
    assert sorted(OPENED) == preset_names()


@pytest.mark.parametrize("name", OPENED)
def test_a_server_that_is_asked_too_often_is_waited_for(site: Site, name: str) -> None:
    source = OPENED[name](site)
    whole, answer, count = told(source), site.fallback, 0
    assert len(whole) == OBJECTS

    def busy(asked: Asked) -> Reply:
        nonlocal count
        count += 1
        return as_json({}, 429, **{"Retry-After": "0"}) if count % 3 == 1 else answer(asked)

    site.fallback = busy
    assert told(source) == whole
    # It does not end: nothing is listed, and nothing is shorter.
    site.fallback = lambda asked: as_json({}, 429, **{"Retry-After": "0"}) if count > 2 else busy(asked)
    count = 0
    with pytest.raises(SourceUnavailable, match="asked too often"):
        source.list()


@pytest.mark.parametrize("name", CURSORS)
def test_a_cursor_that_runs_out_begins_the_list_again_and_no_shorter_one(site: Site, name: str) -> None:
    source = OPENED[name](site)
    whole, answer = told(source), site.fallback
    left = 1

    def expiring(asked: Asked) -> Reply:
        nonlocal left
        is_cursor = CURSORS[name] in asked.path or CURSORS[name].encode() in asked.body
        if is_cursor and left:
            left -= 1
            return as_json({"error": "invalid cursor"}, 400)
        return answer(asked)

    site.fallback = expiring
    assert told(source) == whole
    assert left == 0
    left = 99
    with pytest.raises(SourceUnavailable, match=r"It was read 3 times"):
        source.list()
