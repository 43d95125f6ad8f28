"""Who may read the objects of an API: what cannot be read of a restriction opens nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.sources import Source
from rag_pipeline.errors import DocumentUnreadable, SourceUnavailable
from rag_pipeline.settings.sources import RestSettings
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.sources.rest_api import TICKETS, as_json, rest_source
from rag_pipeline_tests.sources.site import Reply, Site

SPACE = {"path": "space", "field": "name"}


pytestmark = pytest.mark.usefixtures("no_waits")


def served(site: Site, answers: dict[str, Any], *readers: dict[str, Any], names: str = "a") -> Source:
    """A source whose server has these answers below the location; what is a `Reply` is given as it is."""
    items = [{"id": name, "revision": 1, "body": "x"} for name in names]
    all_of_them = {"items": {"items": items}, "space": [{"name": "ada"}, {"name": "7"}]} | answers

    def answer(path: str) -> Reply:
        found = all_of_them.get(path.removeprefix("/api/").partition("?")[0], Reply(b"", 404))
        return found if isinstance(found, Reply) else as_json(found)

    site.fallback = lambda asked: answer(asked.path)
    return rest_source(site, list={"path": "items", "items": "items"}, principals=None, readers=[SPACE, *readers])


def allowed(source: Source) -> dict[str, tuple[str, ...] | None]:
    return {item.address: item.declared.allowed_principals for item in source.list() if item.declared is not None}


@pytest.mark.parametrize(
    ("told", "change", "readers"),
    [
        ([], {}, ("7", "ada")),
        ([{"users": []}, {"users": []}], {}, ("7", "ada")),
        ([{"users": [{"id": 7}]}], {}, ("7",)),
        ([{"users": [{"id": True}]}], {}, ()),
        ([{"users": [{"id": ""}]}], {}, ()),
        ([{"users": [{"key": "bob"}]}], {}, ()),
        ([{"users": None}], {}, ()),
        ([{"users": "bob"}], {}, ()),
        ([{}], {}, ()),
        (["bob"], {}, ()),
        ([{"type": "team", "users": []}], {"person": {"type": "user"}}, ()),
        ([{"type": "user", "users": []}], {"person": {"type": "user"}}, ("7", "ada")),
    ],
)
def test_only_a_list_with_nothing_in_it_restricts_nothing(
    site: Site, told: list[Any], change: dict[str, Any], readers: tuple[str, ...]
) -> None:
    on_page = {"path": "readers/{id}", "field": "users.id", "empty": "everybody"} | change
    assert allowed(served(site, {"readers/a": told}, on_page)) == {"a": readers}


def test_groups_without_a_name_and_other_lists_that_hold_something_restrict(site: Site) -> None:
    groups = {"at": "groups.id", "path": "groups/{group}", "field": "name"}
    on_page = {"path": "readers/{id}", "field": "users.id", "empty": "everybody", "groups": groups}
    answers = {"readers/a": [{"users": [], "groups": [{"title": "crew"}]}], "readers/b": [{"users": [], "groups": []}]}
    answers |= {"readers/c": [{"users": [], "groups": [{"id": 5}]}], "groups/5": [{"name": 7}]}
    assert allowed(served(site, answers, on_page, names="abc")) == {"a": (), "b": ("7", "ada"), "c": ("7",)}
    others = {"path": "readers/{id}", "items": "users", "field": "id", "empty": "everybody", "others": ["more.teams"]}
    answers = {"readers/a": {"users": [], "more": [{"crews": ["x"]}]}, "readers/b": {"users": [], "more": []}}
    assert allowed(served(site, answers, others, names="ab")) == {"a": (), "b": ("7", "ada")}


def test_two_conditions_on_one_answer_are_two(site: Site) -> None:
    entries = [{"kind": "read", "name": "ada"}, {"kind": "read", "name": "7"}, {"kind": "see", "name": "7"}]
    one = {"path": "readers/{id}", "field": "name", "only": {"kind": "read"}}
    assert allowed(served(site, {"readers/a": entries}, one, one | {"only": {"kind": "see"}})) == {"a": ("7",)}
    # Nor is what stands above an object in one tree what stands above it in another.
    above = {"path": "folders/{id}", "field": "id"}
    each = {"path": "readers/{each}", "field": "name", "each_of": above}
    answers = {"folders/a": [{"id": "f"}], "teams/a": [{"id": "t"}], "readers/f": entries, "readers/t": [{"name": "7"}]}
    in_teams = each | {"each_of": above | {"path": "teams/{id}"}}
    assert allowed(served(site, answers, each, in_teams)) == {"a": ("7",)}


def test_a_person_who_is_called_public_is_not_everybody(site: Site) -> None:
    answers = {"space": [{"name": "ada"}, {"name": "public"}], "readers/a": [{"name": "public"}]}
    on_page = {"path": "readers/{id}", "field": "name", "empty": "everybody"}
    assert allowed(served(site, answers, on_page)) == {"a": ()}
    groups = {"at": "group", "path": "crew", "field": "name"}
    answers = {"space": [{"group": "crew"}], "crew": [{"name": "public"}, {"name": "ada"}]}
    served(site, answers)
    source = rest_source(
        site, list={"path": "items", "items": "items"}, principals=None, readers=[SPACE | {"groups": groups}]
    )
    assert allowed(source) == {"a": ("ada",)}


@pytest.mark.parametrize("answer", [[{"error": "sorry"}], [], {"data": [{"items": []}]}, {"data": []}])
def test_a_list_in_place_of_an_object_is_no_end(site: Site, answer: Any) -> None:
    [listed] = served(site, {"things": answer, "items/a": answer}).list()
    with pytest.raises(DocumentUnreadable):
        rest_source(site, detail_item="data.items").fetch(listed)
    source = rest_source(site, list={"path": "things", "items": "data.items"}, principals=None)
    with pytest.raises(SourceUnavailable, match=r"`list.items`: page 1 holds no list there"):
        source.list()


def test_what_was_written_after_the_listing_has_the_readers_of_after_it(site: Site) -> None:
    answers: dict[str, Any] = {"readers/a": [{"name": "ada"}, {"name": "7"}]}
    served(site, answers)
    source = rest_source(
        site,
        list={"path": "items", "items": "items"},
        principals=None,
        readers=[{"path": "readers/{id}", "field": "name"}],
    )
    answers["items/a"] = {"id": "a", "revision": 1, "body": "open"}
    served(site, answers)
    [listed] = source.list()
    asked = len(site.asked)
    assert source.fetch(listed).raw == b"open"
    assert site.paths[asked:] == ["/api/items/a"]
    # Restricted first, and only then written.
    answers |= {"items/a": {"id": "a", "revision": 2, "body": "SECRET"}, "readers/a": [{"name": "ada"}]}
    served(site, answers)
    fetched = source.fetch(listed)
    assert (fetched.raw, fetched.declared.allowed_principals) == (b"SECRET", ("ada",))
    assert site.paths[asked + 1 :] == ["/api/items/a", "/api/readers/a"]


def test_an_object_that_goes_between_the_list_and_its_parts_is_listed_anew(site: Site) -> None:
    names = ["a", "b"]

    def answer(path: str) -> Reply:
        if path == "/api/items":
            return as_json({"items": [{"id": name, "body": "x"} for name in names]})
        if path == "/api/parts/b":
            names[:] = ["a"]
            return as_json({}, 404)
        return as_json([])

    site.fallback = lambda asked: answer(asked.path)
    parts = [{"path": "parts/{id}", "template": "{text}"}]
    change: dict[str, Any] = {"list": {"path": "items", "items": "items"}, "parts": parts, "principals": None}
    source = rest_source(site, detail=None, revision=[], **change)
    assert [item.address for item in source.list()] == ["a"]


def test_a_server_that_breaks_at_the_readers_of_one_object_closes_that_one(site: Site) -> None:
    broken = as_json({}, 500)
    on_page = {"path": "readers/{id}", "field": "name"}
    answers: dict[str, Any] = {f"readers/{name}": [{"name": "ada"}] for name in "abcde"}
    open_to_ada: dict[str, tuple[str, ...] | None] = dict.fromkeys("abcde", ("ada",))
    one_after_the_other = answers | {"readers/a": broken, "readers/b": broken, "readers/d": broken, "readers/e": broken}
    assert allowed(served(site, one_after_the_other, on_page, names="abcde")) == open_to_ada | dict.fromkeys("abde", ())
    # Three in a row are the server's fault; so is what is not one object's.
    for down in ({"readers/b": broken, "readers/c": broken, "readers/d": broken}, {"space": broken}):
        with pytest.raises(SourceUnavailable, match=r"`readers.[01].path`: the server answers 500"):
            served(site, answers | down, on_page, names="abcde").list()


def test_a_server_that_breaks_at_a_group_or_a_page_above_closes_what_depends_on_it(site: Site) -> None:
    broken = as_json({}, 500)
    each = {"path": "readers/{each}", "field": "name", "each_of": {"path": "above/{id}", "field": "id"}}
    answers = {f"above/{name}": [{"id": "top"}] for name in "abcdef"} | {"readers/top": broken}
    answers |= {"above/f": [{"id": "other"}], "readers/other": [{"name": "7"}], "above/e": broken}
    expected: dict[str, tuple[str, ...] | None] = dict.fromkeys("abcde", ())
    assert allowed(served(site, answers, each, names="abcdef")) == expected | {"f": ("7",)}
    groups = {"at": "group", "path": "groups/{group}", "field": "name"}
    on_page = {
        "path": "readers/{id}",
        "field": "name",
        "empty": "everybody",
        "groups": groups,
        "person": {"kind": "one"},
    }
    told = [{"kind": "some", "group": "crew"}, {"kind": "one", "name": "7"}]
    answers = {f"readers/{name}": told[:1] for name in "abcd"} | {"readers/e": told, "groups/crew": broken}
    assert allowed(served(site, answers, on_page, names="abcde")) == dict.fromkeys("abcd", ()) | {"e": ("7",)}


def test_an_object_below_as_many_as_are_ever_given_is_closed(site: Site) -> None:
    above = {"path": "above/{id}", "field": "id", "most": 2}
    each = {"path": "readers/{each}", "field": "name", "each_of": above}
    answers = {"above/a": [{"id": "x"}], "above/b": [{"id": "x"}, {"id": "x"}], "readers/x": [{"name": "ada"}]}
    assert allowed(served(site, answers, each, names="ab")) == {"a": ("ada",), "b": ()}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"reader_groups": ["crew"]}, "reader_groups: want `groups`"),
        ({"groups": {"names": ["crew"]}}, "with names, want members"),
        ({"groups": {"names": ["crew"], "list": {"path": "groups"}, "member": "m"}}, "want one of file, list, names"),
    ],
)
def test_groups_of_all_objects_need_somebody_who_says_who_is_in_them(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RestSettings.model_validate(TICKETS | {"location": "https://x.example"} | given)


def test_a_group_of_all_objects_and_what_an_object_says_itself_must_both_let_somebody_in(site: Site) -> None:
    site.pages["/api/items"] = as_json({"items": [{"id": 1, "revision": 1, "readers": ["crew", "tickets:all"]}]})
    members = {"path": "members", "field": ""}
    groups = {"groups": {"names": ["all"], "members": members}, "reader_groups": ["all"]}
    [item] = rest_source(site, TICKETS | groups).list()
    assert item.declared is not None
    assert item.declared.allowed_principals == ("tickets:all",)
    [item] = rest_source(site, TICKETS | groups | {"reader_groups": []}).list()
    assert item.declared is not None
    assert item.declared.allowed_principals == ("crew", "tickets:all")


@pytest.mark.slow
@pytest.mark.parametrize("readers", [["boss"], ["public"]])
def test_settings_that_take_the_place_of_readers_count_at_once(tmp_path: Path, site: Site, readers: list[str]) -> None:
    entry = {"id": "1", "revision": 1, "body": "Text of it", "subject": "Lamp"}
    site.pages |= {"/api/items": as_json({"items": [entry], "next": None}), "/api/items/1": as_json(entry)}
    site.pages["/api/members"] = as_json(["ada"])
    project = Project.create(tmp_path)
    given = {name: value for name, value in TICKETS.items() if name != "principals"} | {"title": "subject"}
    given |= {"location": f"{site.url}/api", "networks": ["127.0.0.0/8"]}
    groups = {"groups": {"names": ["all"], "members": {"path": "members", "field": ""}}, "reader_groups": ["all"]}
    project.settings["sources"] = {"load": given | groups}
    project.refresh()
    assert [row["allowed_principals"] for row in project.published()] == [["load:all"]]
    asked = site.paths.count("/api/items/1")
    project.settings["sources"] = {"load": given | {"allowed_principals": readers}}
    project.refresh()
    assert site.paths.count("/api/items/1") == asked
    assert [row["allowed_principals"] for row in project.published()] == [readers]
    assert project.published() == project.rebuilt()
