"""`models list`, `publish` and `rollback`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rag_pipeline.stores.index_schema import table_name
from rag_pipeline_tests.cli.conftest import Ask, ask_in
from rag_pipeline_tests.pipeline.project import Project

KEYS = {
    "alias", "space_fingerprint", "texts", "rows", "audited_at", "audit_passed", "is_current", "is_published", "model",
    "index_problem",
    "kind", "configured_fingerprint", "is_served", "is_held", "problem",
}  # fmt: skip


def test_every_configured_model_is_listed_with_stable_keys(ask: Ask) -> None:
    small, wide = ask("models", "list", "--json").records
    assert set(small) == set(wide) == KEYS
    assert (small["alias"], small["is_published"], small["is_current"]) == ("small", True, True)
    assert small["space_fingerprint"] == small["configured_fingerprint"]
    assert (wide["alias"], wide["is_published"], wide["audited_at"]) == ("wide-2", False, None)
    assert wide["configured_fingerprint"] not in (None, small["configured_fingerprint"])


def test_the_list_is_readable_at_any_width(ask: Ask) -> None:
    for columns in (80, 120):
        out = ask("models", "list", columns=columns).out
        assert "none yet" in out
        assert "current" in out
        assert max(len(line) for line in out.splitlines()) <= columns


def test_a_model_without_an_audited_index_is_not_published(ask: Ask) -> None:
    answer = ask("models", "publish", "wide-2")
    assert answer.code == 1
    assert "has not been audited" in answer.err


def test_an_unknown_model_is_refused_with_what_is_allowed(ask: Ask) -> None:
    answer = ask("models", "publish", "huge")
    assert answer.code == 2
    assert "small, wide-2" in answer.err


def test_publishing_what_is_published_changes_nothing(ask: Ask) -> None:
    [report] = ask("models", "publish", "small", "--json").records
    assert report["moved"] is False
    assert "Nothing changed" in ask("models", "publish", "small").err


def test_there_is_nothing_to_roll_back_to_after_the_first_publication(ask: Ask) -> None:
    answer = ask("models", "rollback")
    assert answer.code == 3
    assert "no earlier publication" in answer.err


def test_readers_are_switched_to_another_model_and_back(own: Project) -> None:
    own.refresh(alias="wide-2")
    [back] = ask_in(own.folder, "models", "rollback", "--note", "worse", "--json").records
    assert (back["alias"], back["moved"]) == ("small", True)
    assert "Readers now see the index of wide-2" in ask_in(own.folder, "models", "publish", "wide-2").err
    notes = ask_in(own.folder, "sql", "SELECT action, alias, note FROM gold.publications ORDER BY sequence", "--json")
    assert [tuple(record.values()) for record in notes.records] == [
        ("publish", "small", ""),
        ("publish", "wide-2", ""),
        ("rollback", "small", "worse"),
        ("publish", "wide-2", ""),
    ]


def test_the_list_says_that_readers_are_held_on_an_older_version(own: Project) -> None:
    own.write("more.md", "# More\n\nThe second version has one page more.\n")
    own.refresh()
    assert not any(record["is_held"] for record in ask_in(own.folder, "models", "list", "--json").records)
    ask_in(own.folder, "models", "rollback", "--note", "worse")
    held = {record["alias"]: record["is_held"] for record in ask_in(own.folder, "models", "list", "--json").records}
    assert held == {"small": True, "wide-2": False}
    assert "held by a rollback" in " ".join(ask_in(own.folder, "models", "list", columns=200).out.split())


def test_a_model_that_is_no_longer_what_it_was_is_pointed_out(own: Project) -> None:
    own.settings["embedding_models"]["small"]["dimension"] = 32
    own.pipeline()
    answer = ask_in(own.folder, "models", "list")
    assert answer.code == 0
    assert "new alias" in answer.err


def test_a_model_that_has_left_the_settings_is_still_listed(own: Project) -> None:
    own.settings["embedding_models"]["tiny"] = {"kind": "hashing", "model": "hashing", "dimension": 16}
    del own.settings["embedding_models"]["small"]
    own.settings["serve"] = "tiny"
    own.pipeline()
    records = {record["alias"]: record for record in ask_in(own.folder, "models", "list", "--json").records}
    assert records["small"]["model"] is None
    assert records["small"]["is_published"] is True
    assert "no longer in pipeline.yaml" in records["small"]["problem"]


def test_a_retired_model_is_listed_as_not_there_and_not_published(own: Project) -> None:
    own.refresh(alias="wide-2")
    ask_in(own.folder, "models", "publish", "small")
    assert ask_in(own.folder, "models", "retire", "wide-2").code == 0
    answer = ask_in(own.folder, "models", "list")
    assert "not there" in answer.out
    assert "rag-pipeline run --model wide-2" in answer.err.replace("\n", " ")
    refused = ask_in(own.folder, "models", "publish", "wide-2")
    assert refused.code != 0
    assert "was audited but cannot be searched any more" in refused.err.replace("\n", " ")
    assert ask_in(own.folder, "status").code == 0


def cut_data(table: Path) -> None:
    for file in (table / "data").iterdir():
        file.write_bytes(file.read_bytes()[:50])


def lose_indexes(table: Path) -> None:
    shutil.rmtree(table / "_indices")


@pytest.mark.parametrize("harm", [cut_data, lose_indexes, shutil.rmtree])
def test_readers_are_not_sent_to_a_damaged_index_and_it_is_said(own: Project, harm: Callable[[Path], None]) -> None:
    own.refresh(alias="wide-2")
    assert ask_in(own.folder, "models", "rollback").code == 0
    with own.workspace() as workspace:
        table = Path(workspace.vectors.place(table_name(workspace.space("wide-2").fingerprint)))
    harm(table)
    for command in (("publish", "wide-2"), ("rollback", "--to", "wide-2")):
        refused = ask_in(own.folder, "models", *command)
        assert refused.code == 3
        assert "rag-pipeline r" in refused.err
    listed = {record["alias"]: record for record in ask_in(own.folder, "models", "list", "--json").records}
    assert "rag-pipeline r" in listed["wide-2"]["problem"]
    assert listed["small"]["problem"] == ""
    status = ask_in(own.folder, "status", "--json")
    # An index that is gone as a whole may have been retired, which is nothing to mend.
    assert status.code == int(harm is not shutil.rmtree)
    found = {(damaged["table"], damaged["next_step"]) for damaged in status.records[0]["damaged"]}
    assert found == ({("gold/index", "rag-pipeline rebuild gold.index")} if status.code else set())
    assert own.search("pump", "public")
    if status.code:
        assert ask_in(own.folder, "rebuild").code == 0
        assert ask_in(own.folder, "models", "publish", "wide-2").code == 0
        assert own.search("pump", "public")


def test_status_of_a_lake_whose_published_index_is_lost_is_a_finding(own: Project) -> None:
    with own.workspace() as workspace:
        last = workspace.lake.last_publication()
        assert last is not None
        workspace.vectors.drop(last.table_name)
    answer = ask_in(own.folder, "status")
    assert answer.code == 1
    assert "nothing: there is no index table" in " ".join(answer.out.split())
