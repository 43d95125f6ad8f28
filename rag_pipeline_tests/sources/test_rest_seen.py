"""Readers of an API that is asked as each person: what it shows to whom, and servers that pay no heed."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from rag_pipeline.contracts.sources import Source
from rag_pipeline.errors import SourceUnavailable
from rag_pipeline_tests.sources.rest_api import as_json, rest_source
from rag_pipeline_tests.sources.site import Asked, Reply, Site

pytestmark = pytest.mark.usefixtures("no_waits")


class Redmine:
    """Issues of a project as Redmine gives them: pages of two, and to each only what may be seen."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.issues: dict[int, dict[str, Any]] = {}
        self.notes: dict[int, list[dict[str, Any]]] = {}
        self.people = ["ada", "bo"]
        # Of these nobody but the administrator sees anything.
        self.private: set[int] = set()
        self.heeds = True
        self.broken: dict[str, int] = {}
        self.during: list[Any] = []
        site.fallback = self._answer

    def write(self, number: int, text: str) -> None:
        said = {"id": number, "subject": f"Issue {number}", "description": text, "author": {"name": "Ada"}}
        self.issues[number] = said | {"status": {"name": "New"}, "updated_on": "2026-01-05T10:00:00Z"}

    def _answer(self, asked: Asked) -> Reply:
        person = asked.headers.get("x-redmine-switch-user", "") if self.heeds else ""
        if person in self.broken:
            return as_json({}, self.broken[person])
        match urlsplit(asked.path).path.removeprefix("/api/").split("/"):
            case ["users.json"]:
                return self._page(asked, "users", [{"login": name} for name in self.people])
            case ["users", "current.json"]:
                return as_json({"user": {"login": person or "admin"}})
            case ["projects", "harbour", "issues.json"]:
                shown = [each for key, each in sorted(self.issues.items()) if not (person and key in self.private)]
                return self._page(asked, "issues", shown)
            case ["issues", name]:
                number = int(name.removesuffix(".json"))
                answer = as_json({"issue": self.issues[number] | {"journals": list(self.notes.get(number, []))}})
                if self.during:
                    self.during.pop()()
                return answer
        return as_json({}, 404)

    def _page(self, asked: Asked, name: str, entries: list[Any]) -> Reply:
        start = int(parse_qs(urlsplit(asked.path).query)["offset"][0])
        return as_json({name: entries[start : start + 2], "total_count": len(entries)})


def note(text: str, *, private: bool = False) -> dict[str, Any]:
    return {"user": {"name": "Bo"}, "notes": text, "created_on": "2026-01-06T10:00:00Z", "private_notes": private}


@pytest.fixture
def redmine(site: Site) -> Redmine:
    found = Redmine(site)
    for number in range(1, 4):
        found.write(number, f"Text {number}.")
    return found


def opened(site: Site) -> Source:
    variables = {"site": f"{site.url}/api", "project": "harbour"}
    given = {"kind": "rest", "preset": "redmine_issues", "variables": variables}
    return rest_source(site, given | {"auth": {"header": "X-Redmine-API-Key", "value": "$token"}})


def readers(source: Source) -> dict[str, tuple[str, ...] | None]:
    return {item.address: item.declared.allowed_principals for item in source.list() if item.declared is not None}


def test_whoever_an_object_is_shown_to_may_read_it(site: Site, redmine: Redmine) -> None:
    source = opened(site)
    before = {item.address: item for item in source.list()}
    assert readers(source) == {"1": ("ada", "bo"), "2": ("ada", "bo"), "3": ("ada", "bo")}
    redmine.private.add(2)
    redmine.people.append("cy")
    assert readers(source) == {"1": ("ada", "bo", "cy"), "2": (), "3": ("ada", "bo", "cy")}
    # Whoever is locked is in no list of people; one who looks like everybody is nobody, as one who fits no header.
    redmine.people[:] = ["bo", "public", "two\nlines", "d\u00e9", "Eve", "eve"]
    assert readers(source)["1"] == ("bo",) or readers(source)["1"] == ("Eve", "bo", "eve")
    assert {item.address: item.stamp for item in source.list()} == {a: item.stamp for a, item in before.items()}


def test_a_server_that_pays_no_heed_to_the_header_shows_nothing(site: Site, redmine: Redmine) -> None:
    redmine.heeds = False
    with pytest.raises(SourceUnavailable, match=r"`seen_by.header`: the server does not answer as the person"):
        opened(site).list()


def test_who_is_refused_reads_nothing_and_a_server_that_is_down_is_no_answer(site: Site, redmine: Redmine) -> None:
    redmine.broken = {"ada": 403}
    assert readers(opened(site))["1"] == ("bo",)
    redmine.broken = {"ada": 500}
    assert readers(opened(site))["1"] == ("bo",)
    redmine.people += ["cy", "di"]
    redmine.broken = dict.fromkeys(redmine.people, 500)
    with pytest.raises(SourceUnavailable):
        opened(site).list()


def test_a_text_that_is_written_under_a_restriction_has_the_readers_of_after_it(site: Site, redmine: Redmine) -> None:
    def closed_and_written() -> None:
        redmine.private.add(3)
        redmine.write(3, "A secret.")
        redmine.notes[3] = [note("A secret.")]

    source = opened(site)
    # While the notes of the first are read; those of the last are read after that.
    redmine.during.append(closed_and_written)
    shown = {item.address: item for item in source.list()}
    assert b"A secret." in (shown["3"].raw or b"")
    assert shown["3"].declared is not None
    assert shown["3"].declared.allowed_principals == ()


def test_a_note_that_becomes_private_or_is_edited_changes_its_issue_and_no_other(site: Site, redmine: Redmine) -> None:
    redmine.notes[1] = [note("For us.", private=True), note("Shown."), note("")]
    source = opened(site)
    before = {item.address: item for item in source.list()}
    fetched = source.fetch(before["1"])
    assert fetched.raw.decode().rstrip() == "h1. Issue 1\n\nText 1.\n\n\nh2. Bo, 2026-01-06T10:00:00Z\n\nShown."
    assert fetched.declared == before["1"].declared
    redmine.notes[1][1]["private_notes"] = True
    after = {item.address: item for item in source.list()}
    assert [each for each in after if after[each].stamp != before[each].stamp] == ["1"]
    assert b"Shown" not in source.fetch(after["1"]).raw
