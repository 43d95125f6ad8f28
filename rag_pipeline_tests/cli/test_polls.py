"""What `status` and `search` say of a source that was not polled for too long."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest

from rag_pipeline.contracts.polls import POLLS_FILE
from rag_pipeline_tests.cli.conftest import Ask, ask_in
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.refresh.test_polls import set_back


def test_status_says_when_sources_were_polled(ask: Ask) -> None:
    [status] = ask("status", "--json").records
    for source in status["sources"]:
        assert source["polled_at"] is not None
        assert source["is_overdue"] is False
    assert "Polled" in ask("status").out


def test_an_overdue_source_is_said_by_status_with_exit_code_one(own: Project) -> None:
    set_back(own, timedelta(days=2))
    answer = ask_in(own.folder, "status")
    assert answer.code == 1
    assert "Source docs is overdue since" in answer.err
    assert "people" not in answer.err
    [status] = ask_in(own.folder, "status", "--json").records
    assert {s["source"]: s["is_overdue"] for s in status["sources"]} == {"docs": True, "people": False}


def test_an_overdue_source_is_said_where_nothing_else_of_the_lake_can_be_read(own: Project) -> None:
    set_back(own, timedelta(days=2))
    for file in (own.folder / "lake" / "silver" / "quarantine").rglob("*.parquet"):
        file.write_bytes(b"")
    [status] = ask_in(own.folder, "status", "--json").records
    assert {s["source"]: s["is_overdue"] for s in status["sources"]} == {"docs": True, "people": False}


def test_a_lost_record_is_said_and_no_finding(own: Project) -> None:
    (own.folder / "lake" / POLLS_FILE).unlink()
    answer = ask_in(own.folder, "status")
    assert answer.code == 0
    assert POLLS_FILE in answer.err
    assert "unknown" in answer.out


@pytest.mark.parametrize("principal", ["public", "hr"])
def test_a_search_says_that_the_source_of_a_hit_is_overdue(own: Project, principal: str) -> None:
    """And nothing of sources that gave the caller no hit."""
    set_back(own, timedelta(days=2), source="people")
    answer = ask_in(own.folder, "search", "gold coins", "--as", principal)
    assert ("Source people is overdue" in answer.err) is (principal == "hr")
    assert ("people" in answer.err) is (principal == "hr")
    for hit in ask_in(own.folder, "search", "gold coins", "--as", principal, "--json").records:
        assert hit["source_overdue"] is (hit["source"] == "people")
        assert hit["source_polled_at"] is not None


def test_a_source_that_is_down_but_not_overdue_is_said_without_a_finding(own: Project) -> None:
    shutil.rmtree(own.folder / "docs")
    assert ask_in(own.folder, "run").code == 4
    answer = ask_in(own.folder, "status")
    assert answer.code == 0
    assert "Source docs did not answer when last polled" in answer.err
