"""Dagster's records are kept for a time, and those that an asset's page needs for good."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from rag_pipeline.defs.instance import opened_instance
from rag_pipeline.defs.names import ANSWERS_CHECK, DATA_VERSION_TAG, POLLED_CHECK, source_key
from rag_pipeline.defs.run_records import forget_runs


@dg.asset
def stone() -> None:
    """An asset that is made by each run."""


@dg.asset
def lamp() -> None:
    """An asset that was made once."""


def anybodys(_: dg.DagsterRun) -> bool:
    return True


def made(instance: dg.DagsterInstance, *assets: dg.AssetsDefinition) -> str:
    return dg.materialize(list(assets), instance=instance).run_id


def test_old_runs_go_with_their_files_and_last_ones_stay(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n", "utf-8")
    with opened_instance(tmp_path) as instance:
        first = made(instance, stone, lamp)
        gone = [made(instance, stone) for _ in range(3)]
        last = made(instance, stone)
        assert forget_runs(instance, datetime.now(UTC) - timedelta(days=1), anybodys) == 0
        assert forget_runs(instance, datetime.now(UTC) + timedelta(days=1), anybodys) == 3
        assert {run.run_id for run in instance.get_runs()} == {first, last}
        files = {path.stem for path in tmp_path.rglob("history/runs/*.db")}
        assert first in files
        assert not files & set(gone)
        for asset in (stone, lamp):
            assert instance.get_latest_materialization_event(asset.key) is not None


def told_by_a_look(instance: dg.DagsterInstance, name: str) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(source_key(name), tags={DATA_VERSION_TAG: "1"}))
    for check in (ANSWERS_CHECK, POLLED_CHECK):
        instance.report_runless_asset_event(dg.AssetCheckEvaluation(source_key(name), check, True, metadata={}))


def rows(home: Path) -> int:
    """Of all tables of events that there are."""
    count = 0
    # The file of what was told outside of runs has no name but its ending.
    for path in (path for path in (home / "history" / "runs").iterdir() if path.name.endswith(".db")):
        with closing(sqlite3.connect(path)) as connection:
            for table in ("event_logs", "asset_check_executions", "asset_event_tags"):
                count += connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return count


def test_what_looks_told_goes_and_the_last_word_on_each_source_stays(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n", "utf-8")
    with opened_instance(tmp_path) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(stone.key, metadata={"by": "hand"}))
        instance.report_runless_asset_event(dg.AssetMaterialization(stone.key, metadata={"by": "hand again"}))
        for name in ("docs", "wiki"):
            told_by_a_look(instance, name)
        few = rows(tmp_path)
        for _ in range(20):
            told_by_a_look(instance, "docs")
        forget_runs(instance, datetime.now(UTC) - timedelta(days=1), anybodys)
        assert rows(tmp_path) > 4 * few
        forget_runs(instance, datetime.now(UTC) + timedelta(days=1), anybodys)
        assert rows(tmp_path) <= few
        assert len(instance.fetch_materializations(stone.key, limit=9).records) == 2
        for name in ("docs", "wiki"):
            key = source_key(name)
            last = instance.get_latest_materialization_event(key)
            assert last is not None
            assert last.asset_materialization is not None
            assert last.asset_materialization.tags[DATA_VERSION_TAG] == "1"
            checks = [dg.AssetCheckKey(key, check) for check in (ANSWERS_CHECK, POLLED_CHECK)]
            found = instance.event_log_storage.get_latest_asset_check_execution_by_key(checks)
            assert all(found[check].evaluation.passed for check in checks)  # type: ignore[union-attr]
