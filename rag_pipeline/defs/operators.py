"""Who started a job by hand.

Belongs here: the one field of all run configurations that a person fills in, and what stands where it is empty.
Does not belong here: the jobs (`operations.py`, `repairs.py`).
"""

import dagster as dg
from pydantic import Field


class Operator(dg.Config):
    """Who asks for it."""

    by: str = Field("", description="Who you are; it stands in the history. Dagster itself does not know.")


def who(context: dg.OpExecutionContext, config: Operator) -> str:
    """The person that a run names in its configuration, else in the tag that hosted Dagster sets."""
    return config.by.strip() or context.run.tags.get("user", "an operator")
