"""Whether what is published is dated in the future, as a check.

Belongs here: what to say of it.
Does not belong here: times of sources (`source_checks.py`). What each step does under a wrong clock is its own matter.
"""

from typing import TYPE_CHECKING

import dagster as dg

from rag_pipeline.defs.specs import PUBLICATION_KEY
from rag_pipeline.transforms.freshness import CLOCK_TOLERANCE

if TYPE_CHECKING:
    from rag_pipeline.refresh.workspace import Workspace

PAST_CHECK = "publication_is_past"
PAST_SPEC = dg.AssetCheckSpec(
    PAST_CHECK,
    asset=PUBLICATION_KEY,
    description="What readers see was published in the past. If not, the clock of a machine was ahead when it was "
    "published, or is behind now; nothing that readers find hangs on it, ages and delays that are shown do.",
)


def past_result(workspace: "Workspace") -> dg.AssetCheckResult:
    """Whether the last publication is dated before now."""
    last, now = workspace.lake.last_publication(), workspace.now()
    is_past = last is None or last.published_at <= now + CLOCK_TOLERANCE
    said = "nothing is dated in the future"
    if last is not None and not is_past:
        said = (
            f"publication {last.sequence} is dated {last.published_at:%Y-%m-%d %H:%M} UTC, and it is "
            f"{now:%Y-%m-%d %H:%M} UTC by the clock of this machine"
        )
    return dg.AssetCheckResult(
        asset_key=PUBLICATION_KEY,
        check_name=PAST_CHECK,
        passed=is_past,
        severity=dg.AssetCheckSeverity.WARN,
        description=said,
        metadata={"rag/next_step": "look at the clocks of the machines that run the pipeline (timedatectl)"},
    )
