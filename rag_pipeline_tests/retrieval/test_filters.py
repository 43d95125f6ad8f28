"""Filters hold in every mode and before ranking, never show what the caller may not read, and name what there is."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_pipeline.contracts.filters import Condition, Filter, parse_condition, parse_moment
from rag_pipeline.errors import BadQuery
from rag_pipeline.retrieval.search import MODES, Searcher
from rag_pipeline_tests.pipeline.project import Project

NOTES: dict[str, dict[str, Any]] = {
    "hr/leave.md": {"status": "Final", "year": 2024, "tags": "[policy, leave]", "readers": "[public]"},
    "hr/old/leave.md": {"status": "Draft", "year": 2019, "review": "2026-03-01", "readers": "[public]"},
    "hr/pay.md": {"status": "Final", "year": 2026, "secret_project": "heron", "readers": "[board]"},
    "it/hr.md": {"status": "final", "year": 2025, "review": "2026-08-01", "readers": "[staff]"},
    "it/a'b.md": {"version": "1.10", "readers": "[staff, board]"},
    "plain.md": {"readers": "[public]"},
}
YEARS = {"hr/leave.md": 2024, "hr/old/leave.md": 2019, "hr/pay.md": 2026, "it/hr.md": 2025}
EVERYBODY = ("public", "staff", "board")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project.create(tmp_path_factory.mktemp("filters"), ("docs", "notices"), deduplication={"near": False})
    for at, (name, facts) in enumerate(NOTES.items()):
        fields = "".join(f"{key}: {value}\n" for key, value in facts.items() if key != "readers")
        head = f"---\nallowed_principals: {facts['readers']}\n{fields}---\n"
        path = made.write(name, f"{head}# Note {at}\n\nThe pump of hall {at} stands beside the red lever.\n")
        moment = datetime(2020 + at, 5, 1, tzinfo=UTC).timestamp()
        os.utime(path, (moment, moment))
    made.write(
        "deutsch.md",
        "# Pumpe\n\nDie Pumpe pump der Halle steht neben dem roten Hebel und wird jeden Morgen von der Werkstatt "
        "gepr\u00fcft, bevor die Schicht beginnt.\n",
        source="notices",
    )
    made.refresh()
    return made


@pytest.fixture(scope="module")
def searcher(project: Project) -> Searcher:
    return Searcher.open(project.pipeline())


def found(searcher: Searcher, *principals: str, mode: Any = "text", **limits: Any) -> set[str]:
    hits = searcher.search("pump", principals=principals, k=50, mode=mode, limits=Filter(frozenset(), **limits))
    return {hit.uri.split("/", 1)[1] for hit in hits}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("status=Final", {"hr/leave.md", "hr/pay.md", "it/hr.md"}),
        ("Status = final", {"hr/leave.md", "hr/pay.md", "it/hr.md"}),
        ("status in Draft,Final", {"hr/leave.md", "hr/old/leave.md", "hr/pay.md", "it/hr.md"}),
        ("status", {"hr/leave.md", "hr/old/leave.md", "hr/pay.md", "it/hr.md"}),
        ("year>=2024", {"hr/leave.md", "hr/pay.md", "it/hr.md"}),
        ("year<2024", {"hr/old/leave.md"}),
        ("review>2026-04-15", {"it/hr.md"}),
        ("tags=leave", {"hr/leave.md"}),
        ("year>z", set()),
    ],
)
def test_metadata_is_compared_by_its_type(searcher: Searcher, mode: Any, condition: str, expected: set[str]) -> None:
    assert found(searcher, *EVERYBODY, mode=mode, conditions=(parse_condition(condition),)) == expected


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"paths": ("hr/**",)}, {"hr/leave.md", "hr/old/leave.md", "hr/pay.md"}),
        ({"paths": ("hr/*.md",)}, {"hr/leave.md", "hr/pay.md"}),
        ({"paths": ("**/leave.md", "plain.??")}, {"hr/leave.md", "hr/old/leave.md", "plain.md"}),
        ({"paths": ("it/a'b.md",)}, {"it/a'b.md"}),
        ({"paths": ()}, set()),
        ({"sources": ("notices",)}, {"deutsch.md"}),
        ({"languages": ("de",)}, {"deutsch.md"}),
        ({"media_types": ("text/html",)}, set()),
        ({"modified_after": datetime(2024, 1, 1, tzinfo=UTC), "sources": ("docs",)}, {"it/a'b.md", "plain.md"}),
        ({"modified_before": datetime(2021, 1, 1, tzinfo=UTC)}, {"hr/leave.md"}),
        ({"least_quality": 1.5}, set()),
        ({"document_ids": ("nothing",)}, set()),
        ({"conditions": (Condition("status", "!=", ("final",)),), "paths": ("hr/**",)}, {"hr/old/leave.md"}),
    ],
)
def test_every_limit_holds_in_every_mode(searcher: Searcher, limits: dict[str, Any], expected: set[str]) -> None:
    for mode in MODES:
        assert found(searcher, *EVERYBODY, mode=mode, **limits) - {"x"} == expected, mode


def test_an_unknown_field_or_source_names_what_the_caller_may_see(searcher: Searcher) -> None:
    with pytest.raises(BadQuery, match=r"no field 'sttaus'.*fields there are: .*secret_project.*status") as everything:
        found(searcher, *EVERYBODY, conditions=(parse_condition("sttaus=Final"),))
    assert "heron" not in everything.value.message
    with pytest.raises(BadQuery, match="no field 'secret_project'") as closed:
        found(searcher, "public", conditions=(parse_condition("secret_project=heron"),))
    assert "secret_project" not in closed.value.message.partition("fields there are")[2]
    with pytest.raises(BadQuery, match=r"no source 'docz'.*docs, notices"):
        searcher.search("pump", principals=["public"], sources=["docz"])


def test_the_filters_own_principals_open_nothing(searcher: Searcher) -> None:
    hits = searcher.search("pump", principals=["public"], k=50, limits=Filter(frozenset({"board"})))
    assert all("public" in hit.allowed_principals for hit in hits)


CONDITIONS = st.builds(
    Condition,
    st.sampled_from(["status", "year", "tags"]),
    st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "exists"]),
    st.sampled_from([("final",), ("2024",), ("leave",), ("') OR true --",)]),
)
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "sources": st.sampled_from([(), ("docs",), ("docs", "notices")]),
        "paths": st.lists(st.sampled_from(["**", "hr/**", "*.md", "') OR true OR ('", "a'b*"]), max_size=2).map(tuple),
        "languages": st.sampled_from([("en",), ("de", "en"), ("') OR ('1'='1",)]),
        "media_types": st.sampled_from([("text/markdown",), ("x' OR 'a'='a",)]),
        "modified_after": st.sampled_from([datetime(2021, 1, 1, tzinfo=UTC)]),
        "modified_before": st.sampled_from([datetime(2025, 1, 1, tzinfo=UTC)]),
        "least_quality": st.sampled_from([0.0, 0.5]),
        "conditions": st.lists(CONDITIONS, max_size=2).map(tuple),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits=LIMITS, asker=st.sampled_from(["public", "staff", "board"]), mode=st.sampled_from(MODES))
def test_no_filter_shows_what_the_caller_may_not_read(
    searcher: Searcher, limits: dict[str, Any], asker: str, mode: Any
) -> None:
    refused = ""
    free = {hit.chunk_id for hit in searcher.search("pump", principals=[asker], k=50, mode=mode)}
    try:
        hits = searcher.search("pump", principals=[asker], k=50, mode=mode, limits=Filter(frozenset(), **limits))
    except BadQuery as error:
        hits, refused = [], error.message
    assert "heron" not in refused
    assert asker == "board" or "secret_project" not in refused
    assert {hit.chunk_id for hit in hits} <= free
    assert all({asker, "public"} & set(hit.allowed_principals) for hit in hits)


@pytest.mark.parametrize("text", ["", "=x", "status=", "status in", "a b"])
def test_what_is_no_condition_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="write one like"):
        parse_condition(text)


def test_times_are_days_or_how_long_ago() -> None:
    now = datetime(2026, 3, 31, 12, tzinfo=UTC)
    assert parse_moment("30d", now) == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert parse_moment("2026-03-01", now) == datetime(2026, 3, 1, tzinfo=UTC)
    assert parse_moment("2026-03-01T12:00+02:00", now) == datetime(2026, 3, 1, 10, tzinfo=UTC)
    with pytest.raises(ValueError, match="30d"):
        parse_moment("lately", now)
    with pytest.raises(ValueError, match="30d"):
        parse_moment("99999y", now)


def test_only_the_store_speaks_sql() -> None:
    """Rows are asked for by values, so that every way of asking has the same condition."""
    package = Path(__file__).parents[2] / "rag_pipeline"
    above = [path for path in package.rglob("*.py") if path.parent.name != "stores"]
    speaks = re.compile(r"sql_string|stores\.filters|array_has|[\"']\w+ (?:=|IN|>=|<) [\w'({]")
    rooms = [
        path
        for path in above
        if path.parent.name in ("retrieval", "refresh") or "sql_string" in path.read_text("utf-8")
    ]
    assert rooms
    assert {path.name: found for path in rooms if (found := speaks.findall(path.read_text("utf-8")))} == {}
