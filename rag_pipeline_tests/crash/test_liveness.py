"""A run whose process was killed is marked failed and gives back its pool; one that is under way is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from rag_pipeline.defs.liveness import FOLDER, alive, end_killed_runs

POOL = "writer"


@dg.job
def nothing() -> None:
    return


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n", "utf-8")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def started(instance: dg.DagsterInstance) -> str:
    """A run that is under way and holds the only slot of the pool."""
    run = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
    storage = instance.event_log_storage
    storage.set_concurrency_slots(POOL, 1)
    assert storage.claim_concurrency_slot(POOL, run.run_id, "step").is_claimed
    return run.run_id


def is_free(instance: dg.DagsterInstance) -> bool:
    return not instance.event_log_storage.get_concurrency_info(POOL).active_run_ids


def test_a_killed_run_is_ended_and_what_it_held_is_free(instance: dg.DagsterInstance) -> None:
    run_id = started(instance)
    # A kill leaves the file of the lock behind, and nobody who holds it.
    folder = Path(instance.storage_directory()) / FOLDER
    folder.mkdir(parents=True)
    (folder / f"{run_id}.lock").touch()
    assert end_killed_runs(instance) == [run_id]
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.FAILURE
    assert is_free(instance)
    assert end_killed_runs(instance) == []


def test_a_run_under_way_is_left_alone_and_leaves_nothing_behind(instance: dg.DagsterInstance) -> None:
    run_id = started(instance)
    with alive(instance, run_id):
        assert end_killed_runs(instance) == []
        assert not is_free(instance)
    assert list((Path(instance.storage_directory()) / FOLDER).iterdir()) == []
