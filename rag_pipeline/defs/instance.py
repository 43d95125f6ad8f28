"""The Dagster instance of a pipeline: where runs are recorded.

Belongs here: its folder and settings, opening it, marking runs of a command that is stopped.
Does not belong here: running anything (`launch.py`), how long records are kept (`run_records.py`).
"""

import os
import uuid
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.instance.ref import InstanceRef

from rag_pipeline.defs import run_store
from rag_pipeline.settings import Pipeline
from rag_pipeline.settings.pipelines import records_home

LAUNCH_TAG = "rag/launch"
DAGSTER_YAML = """\
telemetry: {enabled: false}
nux: {enabled: false}
concurrency:
  pools: {default_limit: 1, granularity: op}
  runs:
    max_concurrent_runs: 3
    tag_concurrency_limits:
      - {key: dagster/backfill, limit: 1}
run_monitoring: {enabled: true, start_timeout_seconds: 180}
run_retries: {enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false}
retention:
  schedule: {purge_after_days: 30}
  sensor: {purge_after_days: {skipped: 3, failure: 30, success: -1}}
"""

# Settings of dagster.yaml that name a storage.
STORAGES = frozenset({"storage", "run_storage", "event_log_storage", "schedule_storage"})
NO_COMPUTE_LOGS = {
    "module": "dagster._core.storage.noop_compute_log_manager",
    "class": "NoOpComputeLogManager",
}


def dagster_home(pipeline: Pipeline) -> Path:
    """Where runs are recorded: DAGSTER_HOME, else `.dagster` beside pipeline.yaml, made ready for use."""
    home = records_home(pipeline, os.environ)
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        partial = home / f".dagster.yaml.{uuid.uuid4().hex}"
        partial.write_text(DAGSTER_YAML, "utf-8")
        partial.replace(settings)
    return home


def opened_instance(home: Path) -> dg.DagsterInstance:
    """The instance of a Dagster home, without logs of standard output, unless its dagster.yaml wants them.

    Our steps print nothing, and catching that nothing starts two processes a run. Dagster's default storage is opened
    with connections that stay open; another one that dagster.yaml names is left alone.
    """
    read = yaml.safe_load((home / "dagster.yaml").read_text("utf-8"))
    # What is no mapping Dagster refuses itself.
    configured = read if isinstance(read, dict) else {}
    overrides: dict[str, Any] = {} if "compute_logs" in configured else {"compute_logs": NO_COMPUTE_LOGS}
    if not configured.keys() & STORAGES:
        overrides |= run_store.overrides(str(home))
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=overrides))


def cancel_launch(pipeline: Pipeline, launch_id: str) -> None:
    """Mark the runs of a launch that is being stopped as cancelled, and give back the pools that they hold."""
    with opened_instance(dagster_home(pipeline)) as instance:
        for run in instance.get_runs(filters=dg.RunsFilter(tags={LAUNCH_TAG: launch_id})):
            if not run.is_finished:
                instance.report_run_canceled(run, "The command was stopped.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
