"""Dagster's records are kept for a time, and those that an asset's page needs for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from rag_pipeline.defs.instance import opened_instance
from rag_pipeline.defs.run_records import forget_runs


@dg.asset
def stone() -> None:
    """An asset that is made by each run."""


@dg.asset
def lamp() -> None:
    """An asset that was made once."""


def made(instance: dg.DagsterInstance, *assets: dg.AssetsDefinition) -> str:
    return dg.materialize(list(assets), instance=instance).run_id


def test_old_runs_go_with_their_files_and_last_ones_stay(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n", "utf-8")
    with opened_instance(tmp_path) as instance:
        first = made(instance, stone, lamp)
        gone = [made(instance, stone) for _ in range(3)]
        last = made(instance, stone)
        assert forget_runs(instance, datetime.now(UTC) - timedelta(days=1)) == 0
        assert forget_runs(instance, datetime.now(UTC) + timedelta(days=1)) == 3
        assert {run.run_id for run in instance.get_runs()} == {first, last}
        files = {path.stem for path in tmp_path.rglob("history/runs/*.db")}
        assert first in files
        assert not files & set(gone)
        for asset in (stone, lamp):
            assert instance.get_latest_materialization_event(asset.key) is not None
