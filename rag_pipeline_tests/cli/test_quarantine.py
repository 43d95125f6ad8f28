"""`quarantine list`, `show` and `retry`."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_pipeline.contracts.tables import QUARANTINE
from rag_pipeline_tests.cli.conftest import Ask, ask_in, small_project
from rag_pipeline_tests.pipeline.project import Project


def test_what_was_refused_is_listed_with_every_column(ask: Ask) -> None:
    [record] = ask("quarantine", "list", "--json").records
    assert set(record) == set(QUARANTINE.columns)
    assert (record["source"], record["stage"], record["reason_code"]) == ("docs", "parse", "empty")
    assert record["uri"].endswith("nothing.txt")


def test_the_list_says_what_to_do_and_an_address_begins_no_line_of_its_own(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.write("a\n2. forged\x1b[31m.pdf", b"no PDF at all")
    project.write("b\nforged.md", "# A lamp\nIt is lit.\n")
    project.refresh()
    listed = " ".join(ask_in(tmp_path, "quarantine", "list", columns=200).out.split())
    assert "a·2. forged·[31m.pdf" in listed
    assert "save it again" in listed
    found = ask_in(tmp_path, "search", "lamp", "--as", "public").out
    assert "b·forged.md, line 1" in found


def test_the_list_is_narrowed_by_source_and_reason(ask: Ask) -> None:
    assert len(ask("quarantine", "list", "--source", "docs", "--reason", "empty", "--json").records) == 1
    assert ask("quarantine", "list", "--source", "people", "--json").records == []
    answer = ask("quarantine", "list", "--reason", "encrypted")
    assert (answer.code, answer.out) == (0, "")
    assert "1 document in quarantine, but none like that; reasons: empty." in answer.err
    unknown = ask("quarantine", "list", "--source", "peple")
    assert unknown.code == 2
    assert "docs, people" in unknown.err


def test_one_document_is_shown_by_the_beginning_of_its_id(ask: Ask) -> None:
    [record] = ask("quarantine", "list", "--json").records
    name = record["document_id"]
    assert name[:12] in ask("quarantine", "list", columns=80).out
    for wanted in (name, name[:12]):
        assert ask("quarantine", "show", wanted, "--json").records == [record]
    assert record["detail"][:20] in ask("quarantine", "show", name).out


@pytest.mark.parametrize("name", ["0" * 32, "", "abc"])
@pytest.mark.parametrize("command", ["show", "retry"])
def test_an_id_that_is_not_there_or_too_short_is_refused(ask: Ask, command: str, name: str) -> None:
    answer = ask("quarantine", command, name)
    assert answer.code == 2
    assert "quarantine list" in answer.err


@pytest.mark.parametrize("by_name", [True, False])
def test_a_retry_makes_the_next_run_try_again(own: Project, by_name: bool) -> None:
    [before] = ask_in(own.folder, "quarantine", "list", "--json").records
    names = [before["document_id"][:12]] if by_name else []
    answer = ask_in(own.folder, "quarantine", "retry", *names, "--json")
    assert answer.code == 0
    assert answer.records == [{"released": [before["document_id"]], "tried_by_every_run": 0}]
    own.refresh()
    [after] = ask_in(own.folder, "quarantine", "list", "--json").records
    assert (before["attempts"], after["attempts"]) == (1, 2)
    assert after["first_seen_at"] == before["first_seen_at"]


def test_what_could_not_be_fetched_needs_no_release(own: Project) -> None:
    (own.folder / "docs" / "away.txt").symlink_to("/etc/hostname")
    own.refresh()
    fetched = [r for r in ask_in(own.folder, "quarantine", "list", "--json").records if r["stage"] == "fetch"]
    assert [r["reason_code"] for r in fetched] == ["link_outside_source"]
    [told] = ask_in(own.folder, "quarantine", "retry", fetched[0]["document_id"], "--json").records
    assert told == {"released": [], "tried_by_every_run": 1}


def test_an_empty_quarantine_has_nothing_to_retry(tmp_path: Path) -> None:
    small_project(tmp_path).pipeline()
    assert ask_in(tmp_path, "quarantine", "retry", "--json").records == [{"released": [], "tried_by_every_run": 0}]


def test_a_retry_leaves_other_columns_alone(own: Project) -> None:
    with own.workspace() as workspace:
        before = workspace.lake.read(QUARANTINE).drop("next_attempt_at")
    ask_in(own.folder, "quarantine", "retry")
    with own.workspace() as workspace:
        assert workspace.lake.read(QUARANTINE).drop("next_attempt_at").equals(before)
