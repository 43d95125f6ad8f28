"""Connections that stay open change nothing of Dagster's records: what the UI opens is the same."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage

from rag_pipeline.defs.event_log import EventLog
from rag_pipeline.defs.instance import opened_instance
from rag_pipeline.defs.run_store import Runs


@dg.asset
def stone() -> None:
    """An asset."""


@dg.asset_check(asset=stone)
def is_hard() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


def made(instance: dg.DagsterInstance) -> str:
    return dg.materialize([stone, is_hard], instance=instance).run_id


def told(instance: dg.DagsterInstance) -> tuple[list[str], int, bool]:
    runs = [run.run_id for run in instance.get_runs()]
    key = dg.AssetCheckKey(stone.key, "is_hard")
    check = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert instance.get_latest_materialization_event(stone.key) is not None
    return runs, sum(len(instance.all_logs(run)) for run in runs), check.evaluation.passed  # type: ignore[union-attr]


def test_what_is_written_is_what_dagster_writes_and_reads(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n", "utf-8")
    with dg.DagsterInstance.from_config(str(tmp_path)) as plain:
        assert type(plain.event_log_storage) is SqliteEventLogStorage
        first = made(plain)
    with opened_instance(tmp_path) as quick:
        assert isinstance(quick.event_log_storage, EventLog)
        assert isinstance(quick.run_storage, Runs)
        second = made(quick)
        # Both are open at once, as they are beside a UI.
        with dg.DagsterInstance.from_config(str(tmp_path)) as plain:
            third = made(plain)
            assert told(plain) == told(quick)
            assert told(quick)[0] == [third, second, first]
            assert told(quick)[2]
    assert not list(tmp_path.rglob("*-wal"))


def test_the_file_is_looked_through_for_the_table_of_checks_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    has_table = SqliteEventLogStorage.has_table

    def counted(log: SqliteEventLogStorage, name: str) -> bool:
        asked.append(name)
        return has_table(log, name)

    monkeypatch.setattr(SqliteEventLogStorage, "has_table", counted)
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n", "utf-8")
    with opened_instance(tmp_path) as quick:
        for _ in range(3):
            made(quick)
        assert told(quick)[2]
    assert asked.count("asset_check_executions") == 1


@pytest.mark.parametrize("named", ["storage", "event_log_storage"])
def test_a_storage_that_is_named_is_left_alone(named: str, tmp_path: Path) -> None:
    of = {
        "storage": f"storage: {{sqlite: {{base_dir: {tmp_path}/own}}}}\n",
        "event_log_storage": "event_log_storage: {module: dagster._core.storage.event_log, class: "
        f"SqliteEventLogStorage, config: {{base_dir: {tmp_path}/own}}}}\n",
    }
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n" + of[named], "utf-8")
    with opened_instance(tmp_path) as instance:
        made(instance)
        assert not isinstance(instance.event_log_storage, EventLog)
    assert list((tmp_path / "own").rglob("*.db"))
