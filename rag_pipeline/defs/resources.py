"""The one resource: a pipeline's workspace, opened once per run.

Belongs here: turning Dagster's run into a `Workspace`, and our errors into Dagster's failures.
Does not belong here: what a workspace does.
"""

import logging
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from pydantic import PrivateAttr

from rag_pipeline.contracts.notices import said_by
from rag_pipeline.defs.liveness import alive, end_killed_runs
from rag_pipeline.errors import LakeDamaged, RagPipelineError, SettingsChanged
from rag_pipeline.refresh.look import forget_settled
from rag_pipeline.refresh.progress import CURRENT, LogProgress, NoProgress
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings import load_pipeline
from rag_pipeline.shown import masked, shown
from rag_pipeline.telemetry.tracing import tracing

_log = logging.getLogger(__name__)

# What shells say of a process that Ctrl-C ended: 128 and the signal's number.
INTERRUPTED = 130


# Set when a step was interrupted, until another run begins in this process: what is left of the run is not begun.
_interrupted = threading.Event()


class PipelineResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the pipeline of a pipeline.yaml.

    Attributes:
        config_path: The file. It is read when a run starts, so an edit needs no restart to count.
    """

    config_path: str
    _workspace: Workspace | None = PrivateAttr(default=None)
    _is_unsettled: bool = PrivateAttr(default=False)
    _settings: bytes = PrivateAttr(default=b"")

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator["PipelineResource", None, None]:
        _interrupted.clear()
        self._is_unsettled = False
        if context.run is None or context.instance is None:
            with self._opened("direct", context.log):
                yield self
            return
        with alive(context.instance, context.run.run_id), self._opened(context.run.run_id, context.log):
            # Steps wait for the pool that a killed run may still hold; nothing else would ever free it.
            # Runs of the UI end without a note, and what the last one says of titles would stay for good.
            forget_settled(self.workspace.pipeline)
            try:
                end_killed_runs(context.instance)
            except Exception:
                # What has to be taken from readers waits for no house-keeping.
                _log.exception("runs that were killed could not be ended")
            try:
                yield self
            finally:
                if not _interrupted.is_set() and (
                    self._is_unsettled or _stopped_early(context.instance, context.run.run_id)
                ):
                    self._revoke()
                    self._note_damage(context.instance, context.run.run_id)

    def settle_at_end(self) -> None:
        """Readers do not get what this run made: what was revoked in it leaves them when everything else is done."""
        self._is_unsettled = True

    @contextmanager
    def _opened(self, run_id: str, log: dg.DagsterLogManager | None) -> Iterator[None]:
        self._settings = Path(self.config_path).read_bytes()
        self._workspace = Workspace(load_pipeline(self.config_path), run_id=run_id)
        # On the command line progress is drawn; everywhere else it is said in the run's log.
        is_shown = not isinstance(CURRENT.get(), NoProgress)
        if not is_shown and log is not None:
            CURRENT.set(LogProgress(log.info))
        try:
            told = self._workspace.settings.telemetry
            # Spans are worth no run: what has to be taken from readers is taken, seen by a collector or not.
            with said_by(log.warning if log is not None else _log.warning), tracing(told, is_needed=False):
                yield
        finally:
            if not is_shown:
                CURRENT.set(NoProgress())
            self._workspace.close()
            self._workspace = None

    def _revoke(self) -> None:
        """What was revoked leaves readers, whichever step did not get to it and why, by the settings of now."""
        from rag_pipeline.refresh.unsettled import finish_revocations

        assert self._workspace is not None
        if not self._is_edited():
            finish_revocations(self._workspace)
            return
        try:
            pipeline = load_pipeline(self.config_path)
        except RagPipelineError as error:
            _log.error("pipeline.yaml cannot be read any more, so what it said before decides: %s", error)
            pipeline = self._workspace.pipeline
        with Workspace(pipeline, run_id=self._workspace.run_id) as workspace:
            finish_revocations(workspace)

    def _is_edited(self) -> bool:
        """Whether pipeline.yaml is another one than this run began with."""
        if not self._settings:
            return False
        try:
            return Path(self.config_path).read_bytes() != self._settings
        except OSError:
            return True

    def _note_damage(self, instance: dg.DagsterInstance, run_id: str) -> None:
        """Have the next run look closely, when a step of this one met damage that its beginning did not see."""
        from rag_pipeline.refresh.heal import damage_was_met

        failures = instance.get_records_for_run(run_id, of_type={dg.DagsterEventType.STEP_FAILURE}).records
        if any(met_damage(record.event_log_entry.dagster_event) for record in failures):
            assert self._workspace is not None
            damage_was_met(self._workspace)

    @property
    def workspace(self) -> Workspace:
        """What a step works on; asked for when it begins, so that none works by settings that do not hold any more.

        Raises:
            Failure: pipeline.yaml was edited since the run began. Steps of two runs take turns, so one that goes on by
                the old file would open again what a newer run closed.
        """
        if self._is_edited():
            raise _failure(
                SettingsChanged(
                    f"{self.config_path} was edited while this run was under way, so it ends here; what it had "
                    f"committed is kept. Run it again: rag-pipeline run",
                    path=self.config_path,
                )
            )
        if self._workspace is None:
            self._workspace = Workspace(load_pipeline(self.config_path), run_id="direct")
        return self._workspace


def _stopped_early(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether a step of the run failed or was skipped; so it is assumed where the log of events cannot tell."""
    ended = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.STEP_SKIPPED}
    try:
        return bool(instance.get_records_for_run(run_id, of_type=ended, limit=1).records)
    except Exception:
        _log.exception("the events of run %s cannot be read", run_id)
        return True


def met_damage(event: dg.DagsterEvent | None) -> bool:
    """Whether a step failed because files of the lake are damaged."""
    if event is None or not event.is_step_failure:
        return False
    error = event.step_failure_data.error
    # Checks raise it as it is, steps as the cause of a failure: the text of both holds the name.
    return error is not None and LakeDamaged.__name__ in error.to_string()


@contextmanager
def as_dagster_failure() -> Iterator[dict[str, float]]:
    """Turn our errors into Dagster failures that are retried only when trying again can help.

    Dagster would retry a step that a person or the system interrupted, and go on with the next one: that is a failure
    too, of this step and of all that follow it in the run.

    Yields metadata that holds, after the block, how long the block took: our own work, without Dagster's.
    """
    work: dict[str, float] = {}
    started = time.perf_counter()
    if _interrupted.is_set():
        raise _interruption()
    try:
        yield work
        work["rag/work_seconds"] = round(time.perf_counter() - started, 3)
    except RagPipelineError as error:
        raise _failure(error) from _cause(error)
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError) as error:
        _interrupted.set()
        raise _interruption() from error
    except Exception as error:
        if _cause(error) is not None:
            raise
        raise RuntimeError(shown(f"{type(error).__name__}: {error}")) from None


def _failure(error: RagPipelineError) -> dg.Failure:
    facts = {f"rag/{name}": str(value) for name, value in error.facts.items()}
    return dg.Failure(
        description=error.message,
        metadata={"rag/error_code": error.code, "rag/exit_code": error.exit_code, **facts},
        allow_retries=error.retryable,
    )


def _cause(error: BaseException) -> BaseException | None:
    """The error, unless what led to it holds what opens a place: Dagster keeps the text of the whole chain."""
    found: BaseException | None = error
    while found is not None:
        if masked(str(found)) != str(found):
            return None
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return error


def _interruption() -> dg.Failure:
    return dg.Failure(
        description="the run was interrupted; what it had committed is kept, and the next run goes on from there",
        metadata={"rag/error_code": "interrupted", "rag/exit_code": INTERRUPTED},
        allow_retries=False,
    )
