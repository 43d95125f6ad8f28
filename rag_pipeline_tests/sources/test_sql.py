"""Rows of a database as documents, on SQLite, and what goes wrong with databases."""

from __future__ import annotations

import gc
import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import pytest

from rag_pipeline.contracts.groups import Membership, Memberships
from rag_pipeline.contracts.sources import KnowsGroups, PermissionRule, Source, SourceObject
from rag_pipeline.errors import DocumentTooLarge, DocumentUnreadable, DocumentVanished, SettingsError, SourceUnavailable
from rag_pipeline.refresh.known import KnownObjects
from rag_pipeline.settings.load import load_pipeline
from rag_pipeline.sources import open_source
from rag_pipeline.sources.rows import _canonical, principals_in
from rag_pipeline.sources.sql import SqlRows
from rag_pipeline.transforms.listing import KnownObject, plan_listing
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.sources.test_conformance import sql_spec

TABLE = "CREATE TABLE tickets (id INTEGER PRIMARY KEY, title TEXT, body, readers TEXT, status TEXT, changed TEXT)"
ROWS = [
    (1, "Lamp", "The lamp of berth 4 burns.", '["crew", "staff"]', "open", "2026-03-01T10:00:00+02:00"),
    (2, "Key", "The key lies under the mat.", None, None, "2026-03-02"),
    (3, None, "", "public", "closed", "yesterday"),
]


def ask(path: Path, statement: str, rows: Iterable[tuple[Any, ...]] = ((),)) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.executemany(statement, rows) if "?" in statement else connection.execute(statement)
    connection.close()


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    path = tmp_path / "tickets.db"
    ask(path, TABLE)
    ask(path, "INSERT INTO tickets VALUES (?, ?, ?, ?, ?, ?)", ROWS)
    return path


def source_of(path: Path | str, **fields: Any) -> Source:
    return open_source(sql_spec(path, **fields))


def test_a_row_is_a_document_with_its_title_readers_time_and_the_rest_as_metadata(tickets: Path) -> None:
    fields = {"title": "title", "principals": "readers", "modified": "changed", "url": "https://t.example/{id}"}
    source = source_of(tickets, **fields)
    lamp, key, nothing = source.list()
    assert (lamp.address, lamp.uri) == ("1", "https://t.example/1")
    assert lamp.modified_at == datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert key.modified_at == datetime(2026, 3, 2, tzinfo=UTC)
    assert nothing.modified_at is None
    fetched = source.fetch(lamp)
    assert fetched.raw == b"The lamp of berth 4 burns."
    assert (fetched.declared.title, fetched.declared.allowed_principals) == ("Lamp", ("crew", "staff"))
    assert fetched.declared.extra == {"status": "open"}
    # Nobody knows who may read a row of which nothing is said.
    assert source.fetch(key).declared.allowed_principals == ()
    assert source.fetch(nothing).declared.allowed_principals == ("public",)


def test_neither_a_listing_nor_a_plan_holds_an_object_for_each_row(tmp_path: Path) -> None:
    """A million rows would be most of a gigabyte; what is held of them is columns and places."""
    path = tmp_path / "many.db"
    ask(path, TABLE)
    ask(path, "INSERT INTO tickets (id, body) VALUES (?, ?)", ((n, f"ticket {n}") for n in range(3_000)))
    source = source_of(path)

    def alive() -> int:
        gc.collect()
        return sum(type(each) in (SourceObject, KnownObject) for each in gc.get_objects())

    before = alive()
    found = source.list()
    assert len(found) == 3_000
    assert alive() - before <= 1
    state = pl.DataFrame(
        [
            {
                "document_id": item.address, "revision": 0, "change": "added", "address": item.address,
                "uri": item.uri, "bytes_hash": "h", "bytes_batch": 0, "media_type": "text/plain", "size_bytes": 1,
                "declared": "{}", "metadata_hash": "m", "stamp": item.stamp if item.address != "7" else "other",
                "problem_code": None, "source_modified_at": None, "observed_at": datetime(2026, 1, 1, tzinfo=UTC),
                "allowed_principals": ["public"],
            }
            for item in found
        ],
        schema_overrides={"problem_code": pl.String, "source_modified_at": pl.Datetime("us", "UTC")},
    )  # fmt: skip
    plan = plan_listing(KnownObjects.of_state([state]), found)
    assert (len(plan.unchanged), len(plan.to_fetch), len(plan.vanished)) == (2_999, 1, 0)
    assert alive() - before <= 1
    assert sum(known.address == item.address for known, item in plan.unchanged) == 2_999


def test_a_template_and_several_columns_make_the_text(tickets: Path) -> None:
    template = "# {title}\n\n{body} ({status}, {unknown)"
    [lamp, *_] = source_of(tickets, text=["title", "body"]).list()
    assert source_of(tickets, text=["title", "status", "body"]).fetch(lamp).raw.startswith(b"Lamp\n\nopen\n\nThe lamp")
    source = source_of(tickets, text=[], template=template, media_type="text/markdown")
    fetched = source.fetch(source.list()[0])
    assert fetched.raw == b"# Lamp\n\nThe lamp of berth 4 burns. (open, {unknown)"
    assert fetched.declared.media_type == "text/markdown"


def test_bytes_in_a_column_are_a_file(tickets: Path) -> None:
    ask(tickets, "UPDATE tickets SET body = ? WHERE id = ?", [(b"%PDF-1.4 \xff", 1), (None, 2)])
    source = source_of(tickets, text=[], content="body")
    pdf, empty, text = (source.fetch(item) for item in source.list())
    assert (pdf.raw, empty.raw, text.raw) == (b"%PDF-1.4 \xff", b"", b"")
    assert pdf.declared.media_type is None


def test_a_listing_with_a_revision_reads_no_bodies(tickets: Path) -> None:
    source = source_of(tickets, revision="changed")
    before = source.list()
    assert [item.size_bytes for item in before] == [None] * 3
    assert all(item.declared is not None and "body" not in item.declared.extra for item in before)
    ask(tickets, "UPDATE tickets SET body = 'unnoticed' WHERE id = 1")
    assert [item.stamp for item in source.list()] == [item.stamp for item in before]
    ask(tickets, "UPDATE tickets SET changed = 'today' WHERE id = 1")
    assert [item.stamp for item in source.list()] != [item.stamp for item in before]


def test_another_template_reads_every_row_again(tickets: Path) -> None:
    stamps = [
        {item.stamp for item in source_of(tickets, text=[], revision="changed", template=each).list()}
        for each in ("{body}", "{body}.")
    ]
    assert not stamps[0] & stamps[1]


def test_keys_of_several_columns_and_of_odd_values_are_addresses(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    ask(path, "CREATE TABLE notes (place TEXT, number INTEGER, body TEXT)")
    places = ["a/b", "..", ".", "%2F", "a\nb", "\u00fc", "'; DROP TABLE notes; --", "x"]
    ask(path, "INSERT INTO notes VALUES (?, ?, ?)", [(place, 7, f"in {place}") for place in places])
    key = ["place", "number"]
    source = source_of(path, key=key, query="SELECT * FROM notes -- all")
    listed = source.list()
    assert {item.address for item in listed} >= {"a%2Fb/7", "%2E%2E/7", "%2E/7", "%252F/7", "a%0Ab/7"}
    # Opened anew it has not listed, and knows no types of keys.
    again = source_of(path, key=key, query="SELECT * FROM notes;")
    assert {again.fetch(item).raw.decode() for item in listed} == {f"in {place}" for place in places}
    for address in ("x", "x/8", "x/seven", "x/7/7"):
        with pytest.raises(DocumentVanished):
            again.fetch(replace(listed[0], address=address))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT * FROM orders", "no such table: orders"),
        ("SELECT title AS id, body FROM tickets", "the key column id is empty"),
        ("SELECT 1 AS id, body FROM tickets", "the key 1 names more than one row"),
        ("SELECT id, title FROM tickets", "the query gives no column body, only id, title"),
        ("SELECT 1.5 AS id, body FROM tickets", "of the type float"),
        ("SELECT CASE id WHEN 1 THEN 'x' ELSE id END AS id, body FROM tickets", "of different types in two rows"),
        ("DELETE FROM tickets RETURNING id, body", "syntax error"),
        ("SELECT id, body FROM tickets) AS x; DELETE FROM tickets; --", "one statement"),
    ],
)
def test_a_query_that_is_no_list_of_rows_is_a_clear_error_and_changes_nothing(
    tickets: Path, query: str, says: str
) -> None:
    with pytest.raises(SourceUnavailable, match=says) as raised:
        source_of(tickets, query=query).list()
    assert "Nothing of the source was changed" in raised.value.message
    assert len(source_of(tickets).list()) == 3


def test_a_listing_that_breaks_off_in_the_middle_lists_nothing(tickets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(tickets)
    whole = SqlRows._rows

    def broken(self: SqlRows, *arguments: Any) -> Iterator[dict[str, Any]]:
        yield next(whole(self, *arguments))
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(SqlRows, "_rows", broken)
        with pytest.raises(SourceUnavailable, match="disk I/O error"):
            source.list()
    assert len(source.list()) == 3


def test_a_database_that_goes_down_after_its_listing_is_asked_once_and_loses_nothing(tickets: Path) -> None:
    source = source_of(tickets)
    listed = source.list()
    tickets.rename(tickets.with_name("away"))
    with pytest.raises(DocumentUnreadable, match="does not answer"):
        source.fetch(listed[0])
    tickets.with_name("away").rename(tickets)
    with pytest.raises(DocumentUnreadable, match="does not answer"):
        source.fetch(listed[1])
    assert source.list() == listed
    assert source.fetch(listed[1]).raw == b"The key lies under the mat."


def test_colons_in_a_query_are_no_parameters(tickets: Path) -> None:
    query = "SELECT id, ':name 12:30 a::b' AS body FROM tickets"
    source = source_of(tickets, query=query)
    assert source.fetch(source.list()[0]).raw == b":name 12:30 a::b"


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("nothing.db", "unable to open"),
        ("carrier://pigeon", "no driver"),
        ("mysql+pymysql://reader:b0at-7@127.0.0.1/x", "not installed"),
        ("://", "not an address"),
    ],
)
def test_a_database_that_cannot_be_opened_is_a_clear_error(tmp_path: Path, location: str, says: str) -> None:
    place = location if "://" in location else str(tmp_path / location)
    with pytest.raises(SourceUnavailable, match=says) as raised:
        source_of(place).list()
    assert "b0at-7" not in raised.value.message
    assert list(tmp_path.iterdir()) == [], "no empty database is made"


def test_text_that_is_no_text_and_rows_that_are_too_large_stop_nobody_else(tickets: Path) -> None:
    ask(tickets, "UPDATE tickets SET body = CAST(x'ff41' AS TEXT) WHERE id = 1")
    ask(tickets, "UPDATE tickets SET body = 'longer than that' WHERE id = 2")
    source = source_of(tickets, max_document_bytes=10)
    broken, large, _ = source.list()
    assert source.fetch(broken).raw.decode() == "\ufffdA"
    assert isinstance(large.problem, DocumentTooLarge)
    with pytest.raises(DocumentTooLarge):
        source_of(tickets, max_document_bytes=10, revision="changed").fetch(large)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (None, ()),
        ("staff", ("staff",)),
        (' ["b", "a", "a"] ', ("a", "b")),
        ('["a", null, 7, " "]', ("a",)),
        ("[a, b", ()),
        ("", ()),
        (["b", None, "a"], ("a", "b")),
        ([], ()),
        (7, ()),
        ({"a": 1}, ()),
    ],
)
def test_what_is_no_list_of_names_is_nobody(value: object, names: tuple[str, ...]) -> None:
    assert principals_in(value) == names


def test_equal_values_are_equal_texts() -> None:
    assert _canonical(Decimal("1.500000")) == _canonical(Decimal("1.5")) == "1.5"
    assert _canonical(datetime.fromisoformat("2026-03-01T10:00:00+02:00")) == "2026-03-01T08:00:00+00:00"
    assert _canonical({"b": Decimal("2.0"), "a": [None, True]}) == '{"a": [null, true], "b": "2"}'
    assert _canonical(UUID(int=7)).endswith("0007")
    assert _canonical(b"\x00\xff") == "00ff"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "want one of text, template and content, got none"),
        ({"text": ["body"], "content": "body"}, "got text and content"),
        ({"text": ["body"], "url": "https://t.example/"}, r"\{id\} is missing"),
        ({"text": ["body"], "include": ["x"]}, r"sources\.docs\.include: unknown key; allowed: .*template"),
        ({"text": ["body"], "key": []}, r"sources\.docs\.key: "),
    ],
)
def test_settings_that_do_not_fit_are_named(tmp_path: Path, fields: dict[str, Any], says: str) -> None:
    project = Project.create(tmp_path)
    project.settings["sources"]["docs"] = {
        "kind": "sql",
        "location": "t.db",
        "query": "SELECT 1",
        "key": ["id"],
    } | fields
    (tmp_path / "pipeline.yaml").write_text(json.dumps(project.settings), "utf-8")
    with pytest.raises(SettingsError, match=says):
        load_pipeline(tmp_path / "pipeline.yaml", {})


def test_a_database_may_stand_in_a_variable(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    fields = {"kind": "sql", "location": "$TICKETS", "query": "SELECT 1", "key": ["id"], "text": ["body"]}
    project.settings["sources"]["docs"] = fields
    (tmp_path / "pipeline.yaml").write_text(json.dumps(project.settings), "utf-8")
    pipeline = load_pipeline(tmp_path / "pipeline.yaml", {"TICKETS": "postgresql://reader:b0at@host/t"})
    assert pipeline.source_spec("docs").location == "postgresql://reader:b0at@host/t"
    # It is looked up when the source is opened: whoever searches needs no password of it.
    with pytest.raises(SettingsError, match="TICKETS, which is not set"):
        load_pipeline(tmp_path / "pipeline.yaml", {}).source_spec("docs")


def test_changes_of_a_table_night_by_night_equal_a_rebuild(tmp_path: Path, tickets: Path) -> None:
    project = Project.create(tmp_path)
    project.settings["sources"]["docs"] = {
        "kind": "sql",
        "location": "tickets.db",
        "query": "SELECT * FROM tickets",
        "key": ["id"],
        "title": "title",
        "text": ["body"],
        "principals": "readers",
        "max_deleted_floor": 100,
    }
    nights = (
        "INSERT INTO tickets VALUES (4, 'Rope', 'The rope hangs on the wall.', 'crew', 'open', NULL)",
        "UPDATE tickets SET readers = '[]' WHERE id = 1",
        "UPDATE tickets SET body = 'The key is gone.' WHERE id = 2",
        "DELETE FROM tickets WHERE id = 1",
        "UPDATE tickets SET id = 9 WHERE id = 4",
    )
    for night in nights:
        ask(tickets, night)
        project.refresh()
        assert project.published() == project.rebuilt()
    shown = {row["uri"]: row["allowed_principals"] for row in project.published()}
    assert shown == {"docs:2": [], "docs:9": ["crew"]}
    before = len(project.embedded)
    ask(tickets, "UPDATE tickets SET readers = 'public' WHERE id = 2")
    project.refresh()
    assert len(project.embedded) == before, "a permission embeds nothing"


MEMBERS = "SELECT team, who, is_team FROM members"
GROUPS = {"query": f"{MEMBERS};\n", "group": "team", "member": "who", "is_group": "is_team"}


def members_of(path: Path, **groups: Any) -> Memberships:
    source = source_of(path, groups=GROUPS | groups)
    assert isinstance(source, KnowsGroups)
    return source.memberships()


def test_a_query_tells_who_is_in_which_group_of_the_database(tickets: Path) -> None:
    ask(tickets, "CREATE TABLE members (team, who, is_team)")
    rows = [("crew", "ada", 0), ("crew", 7, None), ("crew", "deck", 1), ("empty", None, None), (9, "bob", False)]
    ask(tickets, "INSERT INTO members VALUES (?, ?, ?)", rows)
    crew = [Membership("crew", "ada"), Membership("crew", "7"), Membership("crew", "deck", True)]
    assert members_of(tickets).memberships == (*crew, Membership("9", "bob"))
    # Without the column all are persons.
    assert not any(one.is_group for one in members_of(tickets, is_group=None).memberships)
    ask(tickets, "DELETE FROM members")
    assert members_of(tickets).memberships == ()


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ((None, "ada", 0), r"groups\.group"),
        (("crew", b"ada", 0), r"groups\.member"),
        (("crew", 1.5, 0), r"groups\.member"),
        (("crew", "ada", "yes"), r"groups\.is_group"),
    ],
)
def test_a_row_that_names_nobody_makes_the_groups_unavailable(tickets: Path, row: tuple[Any, ...], told: str) -> None:
    ask(tickets, "CREATE TABLE members (team, who, is_team)")
    ask(tickets, "INSERT INTO members VALUES (?, ?, ?)", [("crew", "eve", 0), row])
    with pytest.raises(SourceUnavailable, match=told):
        members_of(tickets)


def test_groups_that_cannot_be_asked_for_say_which_setting_it_is(tickets: Path) -> None:
    for groups in ({}, {"group": "nothing"}, {"query": "SELECT"}):
        with pytest.raises(SourceUnavailable, match="query"):
            members_of(tickets, **groups)


def test_groups_of_a_database_let_their_members_read(tmp_path: Path, tickets: Path) -> None:
    ask(tickets, "CREATE TABLE members (team, who, is_team)")
    ask(tickets, "INSERT INTO members VALUES (?, ?, ?)", [("crew", "ada", 0)])
    project = Project.create(tmp_path, [])
    common = {"kind": "sql", "location": "tickets.db", "query": "SELECT id, body, 'tickets:crew' AS r FROM tickets"}
    columns = {"key": ["id"], "text": ["body"], "principals": "r"}
    project.settings["sources"] = {"tickets": common | columns | {"groups": GROUPS}}
    project.refresh()
    assert len(project.search("lamp key", "ada")) == 2
    assert project.search("lamp key", "eve") == []
    ask(tickets, "UPDATE members SET who = 'eve'")
    # Each of the two tables is written once, and nothing else.
    assert project.refresh() == 3
    assert (len(project.search("lamp key", "eve")), project.search("lamp key", "ada")) == (2, [])
    project.settings["sources"]["tickets"]["groups"] = GROUPS | {"members": "who"}
    with pytest.raises(
        SettingsError,
        match=r"groups\.members: unknown key; did you mean member\? allowed: file, group, is_group, member,",
    ):
        project.pipeline()


def test_a_rule_that_matches_no_row_is_said(tickets: Path) -> None:
    rules = (PermissionRule("1", ("crew",)), PermissionRule("seven", ("staff",)))
    source = open_source(replace(sql_spec(tickets), permission_rules=rules))
    source.list()
    assert [(each.field, each.name) for each in source.idle()] == [("permission_rules", "seven")]
