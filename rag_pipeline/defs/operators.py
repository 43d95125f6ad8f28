"""What all jobs that a person starts by hand have in common.

Belongs here: the one field of their run configurations, what stands where it is empty, and the job around an op.
Does not belong here: the ops (`operations.py`, `repairs.py`).
"""

import dagster as dg
from pydantic import Field

from rag_pipeline.defs.prefix import Prefix


class Operator(dg.Config):
    """Who asks for it."""

    by: str = Field("", description="Who you are; it stands in the history. Dagster itself does not know.")


def who(context: dg.OpExecutionContext, config: Operator) -> str:
    """The person that a run names in its configuration, else in the tag that hosted Dagster sets."""
    return config.by.strip() or context.run.tags.get("user", "an operator")


def operator_job(op: dg.OpDefinition, name: str, prefix: Prefix, description: str) -> dg.JobDefinition:
    """A job of one op, in one process like all jobs."""

    # A run that was killed may have done what was asked. The daemon would ask for it a second time: go back one
    # publication more, or write anew what an erasure took out of its own configuration.
    @dg.job(
        name=prefix.name(name),
        description=description,
        executor_def=dg.in_process_executor,
        tags={"dagster/max_retries": "0"},
    )
    def job() -> None:
        op()

    return job
