"""JSON APIs as sources: a list counts once it is proven whole, and errors name the field of the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from pydantic import ValidationError

from rag_pipeline.contracts.sources import KnowsGroups, PermissionRule, Source, SourceSpec
from rag_pipeline.errors import DocumentUnavailable, DocumentUnreadable, SourceUnavailable
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.settings.sources import RestSettings
from rag_pipeline.sources import open_source
from rag_pipeline.sources.rest.values import value_at
from rag_pipeline.testing import SourceConformance
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.sources.rest_api import TICKETS, as_json, rest_fields, rest_source
from rag_pipeline_tests.sources.site import Asked, Reply, Site

pytestmark = pytest.mark.usefixtures("no_waits")


GROUPS: dict[str, Any] = {
    "list": {"path": "teams"},
    "name": "slug",
    "members": {"path": "teams/{group}/members", "field": "login"},
    "subgroups": {"path": "teams/{group}/teams", "field": "login"},
}


class ApiWorld:
    """A server with objects, that are listed page by page with a cursor."""

    def __init__(self, site: Site, **fields: Any) -> None:
        self.site = site
        self.items: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, tuple[Sequence[str], Sequence[str]]] = {}
        self.faults: dict[str, int] = {}
        self._fields = {"groups": GROUPS, **fields}
        self._revision = 0
        self._is_down = False
        site.fallback = self.answer

    def answer(self, asked: Asked) -> Reply:
        if self._is_down:
            return as_json({"message": "maintenance"}, 503)
        parts = urlsplit(asked.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/api/items":
            start, size = int(query.get("cursor", 0)), int(query.get("limit", 1000))
            names = sorted(self.items)
            shown = [self.items[name] for name in names[start : start + size]]
            return as_json({"items": shown, "next": str(start + size) if start + size < len(names) else ""})
        if parts.path.startswith("/api/teams"):
            return self._teams(*map(unquote, parts.path.split("/")[3:]))
        name = unquote(parts.path.removeprefix("/api/items/"))
        return as_json(self.items[name]) if name in self.items else as_json({}, 404)

    def _teams(self, team: str = "", list_of: str = "") -> Reply:
        if not team:
            return as_json([{"slug": name} for name in self.groups])
        if team in self.faults or team not in self.groups:
            return as_json({}, self.faults.get(team, 404))
        return as_json([{"login": name} for name in self.groups[team][list_of == "teams"]])

    def set_group(self, group: str, members: Sequence[str], groups: Sequence[str] = ()) -> None:
        self.groups[group] = (members, groups)

    def remove_group(self, group: str) -> None:
        del self.groups[group]

    def source(self) -> Source:
        return rest_source(self.site, **self._fields)

    def put(self, name: str, text: str) -> None:
        self._revision += 1
        self.items[name] = {"id": name, "body": text, "readers": [], "revision": self._revision}

    def delete(self, name: str) -> None:
        del self.items[name]

    def fill(self, count: int) -> None:
        for number in range(count):
            self.put(str(number), "x")

    def break_down(self) -> None:
        self._is_down = True

    def heal(self) -> None:
        self._is_down = False

    def allow(self, name: str, principals: Sequence[str]) -> None:
        self.items[name]["readers"] = list(principals)


class TestApi(SourceConformance):
    # Pages of two.
    many = 40

    @pytest.fixture
    def world(self, site: Site) -> ApiWorld:
        return ApiWorld(site)


class TestApiWhoseListHoldsAll(SourceConformance):
    many = 3_000

    @pytest.fixture
    def world(self, site: Site) -> ApiWorld:
        pages = {"type": "cursor", "field": "next", "param": "cursor", "size_param": "limit", "size": 1_000}
        return ApiWorld(site, detail=None, revision=[], list={"path": "items", "items": "items", "pages": pages})


@pytest.mark.parametrize(
    "change", [{"parts": [{"path": "no/{id}", "template": "x"}]}, {"readers": [{"path": "no", "field": "x"}]}]
)
def test_parts_and_readers_that_are_not_there_are_no_deletion(site: Site, change: dict[str, Any]) -> None:
    world = ApiWorld(site)
    world.put("a", "text")
    [known] = world.source().list()
    with pytest.raises(DocumentUnreadable, match=r"0(\.path)?`: the server answers 404"):
        rest_source(site, **change).fetch(known)


def test_a_server_that_breaks_at_some_objects_is_asked_for_the_others(site: Site) -> None:
    world = ApiWorld(site)
    world.fill(9)
    source = world.source()
    items = source.list()
    broken = {f"/api/items/{number}" for number in range(6)}
    site.fallback = lambda asked: as_json({}, 500) if asked.path in broken else world.answer(asked)
    for item in items[:6]:
        with pytest.raises(DocumentUnavailable, match="the server answers 500"):
            source.fetch(item)
    assert source.fetch(items[6]).raw == b"x"
    # One that answers nothing at all is not waited for again and again.
    world.break_down()
    for item in items[:5]:
        with pytest.raises(DocumentUnavailable, match="the server answers 50"):
            source.fetch(item)
    asked = len(site.asked)
    with pytest.raises(DocumentUnavailable, match="the API does not answer"):
        source.fetch(items[6])
    assert len(site.asked) == asked
    # Nor is one that lists its objects and gives none of them.
    world.heal()
    source.list()
    site.fallback = lambda asked: as_json({}, 500) if "/items/" in asked.path else world.answer(asked)
    for _ in range(25):
        with pytest.raises(DocumentUnavailable, match="the server answers 500"):
            source.fetch(items[6])
    with pytest.raises(DocumentUnavailable, match="the API does not answer"):
        source.fetch(items[7])


def test_an_object_that_its_server_breaks_at_keeps_its_text_and_narrower_readers(site: Site, tmp_path: Path) -> None:
    world = ApiWorld(site)
    for name in "abc":
        world.put(name, f"The crane {name} creaks when the north wind blows.")
        world.allow(name, ["ada", "bo"])
    project = Project.create(tmp_path)
    project.settings["sources"]["docs"] = TICKETS | {"location": f"{site.url}/api", "networks": ["127.0.0.0/8"]}
    project.refresh()
    world.put("a", "The crane a was greased.")
    world.allow("a", ["bo", "cy"])
    world.put("d", "The crane d is new here.")
    for status in (500, 429):
        broken = as_json({}, status, **{"Retry-After": "999"})
        site.fallback = lambda asked, broken=broken: broken if asked.path[-2:] in ("/a", "/d") else world.answer(asked)
        with project.workspace() as workspace:
            report = refresh_source(workspace, "docs")
        assert report.kept == 1
        assert any("cannot be read now" in each and "docs:a" in each for each in report.idle)
        project.refresh()
        seen = {row["uri"]: (row["embedded_text"], row["allowed_principals"]) for row in project.published()}
        assert seen.keys() == {"docs:a", "docs:b", "docs:c"}
        assert "creaks" in seen["docs:a"][0]
        assert seen["docs:a"][1] == ["bo"]
    site.fallback = world.answer
    project.refresh()
    assert project.published() == project.rebuilt()


def test_rules_that_match_no_object_are_told(site: Site) -> None:
    world = ApiWorld(site)
    world.put("a", "text")
    spec = SourceSpec("tickets", f"{site.url}/api", kind="rest", fields=rest_fields(site))
    source = open_source(replace(spec, permission_rules=(PermissionRule("a", ("x",)), PermissionRule("b", ("x",)))))
    source.list()
    assert [each.name for each in source.idle()] == ["b"]


def test_a_list_that_is_not_there_is_no_deletion(site: Site) -> None:
    world = ApiWorld(site, detail=None, revision=[])
    world.put("a", "text")
    [known] = world.source().list()
    site.fallback = lambda _: as_json({}, 404)
    with pytest.raises(DocumentUnreadable):
        world.source().fetch(known)


def item(number: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "revision": 1, "body": "x", "readers": []} | more


def page(*numbers: int, **more: Any) -> Reply:
    return as_json({"items": [item(number) for number in numbers]} | more)


# Each first page is good; what comes after it is not the end.
BROKEN = {
    "another shape": (
        as_json({"message": "sorry"}),
        r"`list.items`: page 2 holds no list there, only an object with mess",
    ),
    "no JSON": (Reply(b"<html>"), r"`list.path`: the answer is no JSON"),
    "a cursor that comes back": (page(3, next="b"), r"`list.pages`: after page 2 the list begins again"),
    "an object that comes back": (page(1), r"`id`: 1 is named twice. It was read 3 times"),
    "a cursor that ran out": (as_json({}, 410), r"`list.path`: the server answers 410. It was read 3 times"),
    "an object without a name": (as_json({"items": [{"revision": 1}]}), r"`id`: an object has no id"),
    "no right": (as_json({}, 403), r"`list.path`: the server answers 403. Correct `auth`"),
    "an object without a revision": (as_json({"items": [{"id": 7}]}), r"`revision`: 7 has none of revision"),
    "a cursor of another shape": (page(3, next={"a": 1}), r"`list.pages.field`: page 2 holds an object with a"),
    "a fault": (as_json({}, 500), r"`list.path`: the server answers 500"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_list_that_does_not_come_to_its_end_is_no_shorter_one(site: Site, what: str) -> None:
    reply, says = BROKEN[what]
    site.fallback = lambda asked: reply if "cursor=b" in asked.path else page(1, 2, next="b")
    with pytest.raises(SourceUnavailable, match=f"{says}.*Nothing of the source was changed"):
        rest_source(site).list()


def test_a_next_page_elsewhere_is_not_asked_with_our_token(site: Site) -> None:
    other = Site()
    try:
        links = {"path": "items", "items": "items", "pages": {"type": "link"}}
        site.fallback = lambda _: as_json({"items": []}, Link=f'<{other.url}/api/items>; rel="next"')
        with pytest.raises(SourceUnavailable, match="the next page is on another server"):
            rest_source(site, list=links, auth={"bearer": "$secret"}).list()
        assert site.asked[0].headers["authorization"] == "Bearer secret"
        assert not other.asked
    finally:
        other.close()


@pytest.mark.parametrize("kind", ["page_number", "offset"])
def test_pages_by_number_are_read_until_two_readings_agree(site: Site, kind: str) -> None:
    names = list(range(6))
    asked_for: list[str] = []

    def answer(asked: Asked) -> Reply:
        start = int(parse_qs(urlsplit(asked.path).query)["at"][0])
        start = 2 * (start - 1) if kind == "page_number" else start
        asked_for.append(asked.path)
        found = page(*names[start : start + 2])
        # Somebody deletes the first while the list is read, so that what stands behind moves up.
        if len(asked_for) == 1:
            names.pop(0)
        return found

    site.fallback = answer
    pages = {"type": kind, "param": "at", "size_param": "limit", "size": 2}
    settings = {"path": "items", "items": "items", "pages": pages}
    assert [item.address for item in rest_source(site, list=settings).list()] == ["1", "2", "3", "4", "5"]


def test_a_total_must_be_what_came(site: Site) -> None:
    site.fallback = lambda _: page(1, 2, total=3)
    settings = {"path": "items", "items": "items", "total": "total"}
    with pytest.raises(SourceUnavailable, match=r"`list.total`: 3 are said to be there, and 2 came"):
        rest_source(site, list=settings).list()
    with pytest.raises(SourceUnavailable, match=r"`list.total`: the answer holds nothing there"):
        rest_source(site, list=settings | {"total": "count"}).list()


def test_an_error_that_comes_as_a_good_answer_is_one(site: Site) -> None:
    site.fallback = lambda _: as_json({"ok": False, "error": "invalid_auth", "items": []})
    with pytest.raises(SourceUnavailable, match=r"`ok`: the server says invalid_auth to `list.path`"):
        rest_source(site, ok="ok").list()


def test_readers_are_who_stands_in_every_list(site: Site) -> None:
    restricted: dict[str, Any] = {"space": ["ada", "bo", "cy"], "1": [], "2": ["ada", "bo"], "3": ["bo"]}
    groups: dict[str, list[str]] = {}
    gone: set[str] = set()

    def answer(asked: Asked) -> Reply:
        name = asked.path.rpartition("/")[2]
        if name == "items":
            above = {"1": [], "2": [{"id": "1"}], "3": [{"id": "1"}, {"id": "2"}]}
            return as_json({"items": [item(int(each), above=above[each]) for each in above]})
        if name in gone:
            return as_json({}, 404)
        return as_json({"users": [{"name": each} for each in restricted[name]], "groups": groups.get(name, [])})

    site.fallback = answer
    on_page = {"items": "users", "field": "name", "empty": "everybody", "others": ["groups"]}
    readers = [
        {"path": "readers/space", "items": "users", "field": "name"},
        {"path": "readers/{each}", "each": "above.id", **on_page},
        {"path": "readers/{id}", **on_page},
    ]
    settings = {"path": "items", "items": "items"}
    source = rest_source(site, list=settings, principals=None, readers=readers)

    def allowed() -> list[tuple[str, ...] | None]:
        return [item.declared.allowed_principals for item in source.list() if item.declared is not None]

    before = [item.stamp for item in source.list()]
    assert allowed() == [("ada", "bo", "cy"), ("ada", "bo"), ("bo",)]
    # What the pages above share is asked once.
    assert sum("readers/1" in path for path in site.paths) == 2
    # The narrowest list is not the only one.
    restricted["2"] = ["ada"]
    assert allowed() == [("ada", "bo", "cy"), ("ada",), ()]
    # A restriction to a group is one, although nobody knows who is in it.
    groups["1"] = ["staff"]
    assert allowed() == [(), (), ()]
    groups.clear()
    # A page above that may not be read closes what is below it.
    gone.add("2")
    assert allowed() == [("ada", "bo", "cy"), (), ()]
    gone.add("space")
    with pytest.raises(SourceUnavailable, match=r"`readers.0.path`: the server answers 404"):
        source.list()
    assert [item.stamp for item in rest_source(site, list=settings).list()] == before


def test_settings_that_do_not_fit_are_refused_with_the_field() -> None:
    good = TICKETS | {"location": "https://x.example"}
    for change, says in (
        ({"text": ["body"]}, "one of text and template"),
        ({"revision": []}, "revision: with detail"),
        ({"auth": {"bearer": "abc"}}, "auth.bearer: want the name of a variable"),
        ({"auth": {"user": "abc"}}, "auth: want bearer, or user"),
        ({"list": {"path": "x", "pages": {"type": "cursor"}}}, "cursor needs field"),
        ({"preset": "gitthub"}, "there is no 'gitthub'; presets: .*github_issues"),
        ({"location": "https://me:secret@x.example"}, "a user and a password stand in `auth`"),
        ({"location": "https://secret@x.example/api"}, "a user and a password stand in `auth`"),
        ({"preset": "github_issues", "variables": {"repository": "$NAME"}}, "variables.repository: want the value"),
        ({"preset": "github_issues"}, "the preset github_issues wants repository"),
    ):
        with pytest.raises(ValidationError, match=says):
            RestSettings.model_validate(good | change)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@x.example/pages?id={id}", "https://x.example/pages?id=1"),
        ("link", "https://x.example:8443/pages?id=1&by=me@x.example#top"),
        ("none", "tickets:1"),
    ],
)
def test_an_address_for_people_keeps_its_query_and_no_password(site: Site, url: str, shown: str) -> None:
    link = "https://me:secret@x.example:8443/pages?id=1&by=me@x.example#top"
    site.fallback = lambda _: as_json({"items": [item(1, link=link)]})
    [found] = rest_source(site, list={"path": "items", "items": "items"}, url=url).list()
    assert found.uri == shown


def test_values_are_found_in_members_of_lists() -> None:
    value = {"a": [{"b": 1}, {"c": 2}, {"b": 3}], "d": {"e": "x"}}
    assert value_at(value, "a.b") == [1, 3]
    assert value_at(value, "d.e") == "x"
    assert value_at(value, "d.e.f") is None
    assert value_at(value, "") is value


def told(world: ApiWorld) -> tuple[set[tuple[str, str]], set[str]]:
    source = world.source()
    assert isinstance(source, KnowsGroups)
    found = source.memberships()
    return {(one.group, one.member) for one in found.memberships}, set(found.unknown)


def test_a_group_that_may_not_be_seen_has_nobody_and_one_that_the_server_breaks_at_is_unknown(site: Site) -> None:
    world = ApiWorld(site)
    for name in ("crew", "deck", "mates"):
        world.set_group(name, ["ada"])
    everything = {(name, "ada") for name in world.groups}
    assert told(world) == (everything, set())
    for status, unknown in ((403, set()), (404, set()), (410, set()), (500, {"deck"}), (503, {"deck"})):
        world.faults = {"deck": status}
        assert told(world) == (everything - {("deck", "ada")}, unknown), status
    world.faults = dict.fromkeys(world.groups, 500)
    with pytest.raises(SourceUnavailable, match=r"groups\.members"):
        told(world)
    # What is neither is a fault of the settings.
    world.faults = {"deck": 400}
    with pytest.raises(SourceUnavailable, match=r"groups\.members"):
        told(world)


def test_two_groups_of_one_name_are_not_taken_for_one(site: Site) -> None:
    groups = {"list": {"path": "all", "items": "teams"}, "id": "id", "name": "n", "member": "people.login"}
    world = ApiWorld(site, groups=groups)
    teams = [
        {"id": number, "n": "developers", "people": [{"login": name}]} for number, name in ((7, "ada"), (9, "eve"))
    ]
    site.fallback = lambda _: as_json({"teams": teams})
    with pytest.raises(SourceUnavailable, match=r"groups\.name.*unique"):
        told(world)
    teams[1]["n"] = "others"
    assert told(world) == ({("developers", "ada"), ("others", "eve")}, set())


def test_members_may_stand_in_the_list_of_groups_and_half_of_it_is_nothing(site: Site) -> None:
    pages = {"type": "cursor", "field": "next", "param": "cursor"}
    groups = {"list": {"path": "all", "items": "teams", "pages": pages}, "name": "n", "member": "people.login"}
    world = ApiWorld(site, groups=groups | {"subgroup": "inner"})
    first = {"teams": [{"n": "crew", "people": [{"login": "ada"}, {"login": 7}], "inner": ["deck"]}], "next": "2"}
    answers: dict[str, Any] = {"": first, "2": {"teams": [{"n": "deck", "people": [{"login": "bob"}]}], "next": ""}}

    def answer(asked: Asked) -> Reply:
        cursor = parse_qs(urlsplit(asked.path).query).get("cursor", [""])[0]
        return as_json(answers[cursor]) if cursor in answers else as_json({}, 500)

    site.fallback = answer
    assert told(world) == ({("crew", "ada"), ("crew", "7"), ("crew", "deck"), ("deck", "bob")}, set())
    for second in ({"message": "sorry"}, {"teams": None}, {"teams": [{"people": []}]}, {"teams": [{"n": ["a", "b"]}]}):
        answers["2"] = second
        with pytest.raises(SourceUnavailable, match="groups"):
            told(world)
    del answers["2"]
    with pytest.raises(SourceUnavailable, match="groups"):
        told(world)


def test_groups_of_an_api_want_one_place_for_members() -> None:
    for groups in (
        {"list": {"path": "teams"}},
        {"member": "x"},
        {**GROUPS, "member": "x"},
        {**GROUPS, "file": "x.yaml"},
    ):
        with pytest.raises(ValidationError, match="groups"):
            RestSettings.model_validate(TICKETS | {"location": "https://x.example", "groups": groups})
