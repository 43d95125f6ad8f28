"""The sensor that takes change hints in, and asks for a look at the sources that they name.

Belongs here: when it asks, and for what.
Does not belong here: hints themselves (`stores/hints.py`); the look, which uses a hint up (`refresh/polls.py`).
"""

import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import dagster as dg

from rag_pipeline.defs.automation import ACTIVE, Job, published_selection, served_partition
from rag_pipeline.defs.names import HINTS_TAG, REFRESH_JOB
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline.defs.resources import PipelineResource
from rag_pipeline.settings import Pipeline

# Dagster's own loop comes round about as often.
SENSOR_SECONDS = 5
# Hints that a run left behind are asked for again after so long, then after twice that, and so on to an hour.
FIRST_WAIT_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 3_600.0


class Asked(NamedTuple):
    """What the sensor remembers of its last request: its time, and how long the same hints then wait."""

    at: float = 0.0
    wait_seconds: float = 0.0

    @classmethod
    def of(cls, cursor: str | None) -> "Asked":
        try:
            return cls(*map(float, json.loads(cursor or "[]")))
        except (ValueError, TypeError):
            return cls()

    def again(self, newest: float, now: float) -> "Asked | None":
        """The next request, or None: it is too soon.

        Args:
            newest: When the newest of the hints came.
        """
        if newest > self.at or self.at > now:
            return Asked(now, FIRST_WAIT_SECONDS)
        if now - self.at < self.wait_seconds:
            return None
        return Asked(now, min(2 * self.wait_seconds, LONGEST_WAIT_SECONDS))


def build_hint_sensors(pipeline: Pipeline, jobs: dict[str, Job], prefix: Prefix) -> Sequence[dg.SensorDefinition]:
    """The sensor on the folder of hints, where pipeline.yaml names one."""
    if pipeline.settings.hints is None:
        return []
    is_on = pipeline.settings.automation
    loaded = frozenset(pipeline.settings.sources)

    @dg.sensor(
        job=jobs[REFRESH_JOB],
        name=prefix.name("hints_wait"),
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING if is_on else dg.DefaultSensorStatus.STOPPED,
        description="Requests a look at the sources that change hints name, and what is made from them. A hint says "
        "where to look and nothing else; the schedules look at everything whether hints come or not.",
    )
    @prefix.bound
    def hints_wait(context: dg.SensorEvaluationContext, pipeline: PipelineResource) -> dg.RunRequest | dg.SkipReason:
        from rag_pipeline.refresh.hints_taken import hint_folder, take_in

        workspace = pipeline.workspace
        settings = workspace.settings
        hints = hint_folder(workspace.pipeline)
        if hints is None:
            return dg.SkipReason("pipeline.yaml names no folder of hints any more")
        problem = take_in(workspace.pipeline, hints)
        also = f"; {problem}" if problem else ""
        hinted = hints.waiting()
        # The job has no asset for a source that pipeline.yaml came to name since it was made.
        waiting = [name for name in hinted if name in loaded]
        if not waiting:
            new = ", ".join(hinted)
            late = f"hints for {new} wait until the code location is loaded anew"
            return dg.SkipReason((late if hinted else "no hint waits") + also)
        # A look that is under way may have begun before the hint came, so it is asked for again when that has ended.
        own = [dg.RunsFilter(job_name=job.name, statuses=ACTIVE) for job in jobs.values()]
        if any(context.instance.get_runs_count(runs) for runs in own):
            return dg.SkipReason(f"hints for {', '.join(waiting)} wait for the run that is under way{also}")
        asked = Asked.of(context.cursor).again(max(map(hints.hinted_at, waiting)), time.time())
        if asked is None:
            return dg.SkipReason(
                f"hints for {', '.join(waiting)} were left behind by a run; they are tried again later{also}"
            )
        context.update_cursor(json.dumps(asked))
        keys = published_selection(workspace.pipeline, left_out=set(settings.sources) - set(waiting))
        tags: dict[str, Any] = {HINTS_TAG: ",".join(waiting)}
        # No run key: the same source may be hinted at again and again.
        return dg.RunRequest(
            partition_key=served_partition(workspace), asset_selection=[prefix.key(key) for key in keys], tags=tags
        )

    return [hints_wait]
