"""That a person let go in a run what the deletion guard held, told in the history of the asset.

Belongs here: what was held before a step and is not after it.
Does not belong here: holding (`refresh/holds.py`), releases by a command (`cli/records.py`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from rag_pipeline.contracts.holds import Hold, HoldKind
from rag_pipeline.defs.operator_events import release_event

if TYPE_CHECKING:
    from rag_pipeline.refresh.workspace import Workspace

RELEASE_JOB = "release_deletion_guard"


@contextmanager
def releases_told(
    context: dg.AssetExecutionContext, workspace: "Workspace", sources: Sequence[str], kind: HoldKind, by: str
) -> Iterator[None]:
    """Say who let go what the block no longer holds; nothing where nobody is named: a command tells it itself.

    Args:
        sources: Whose deletion guard is released.
    """
    held = _held(workspace, sources, kind) if by else {}
    yield
    left = _held(workspace, sources, kind) if held else {}
    for source in held.keys() - left.keys():
        event = release_event(held[source], by_whom=by, how=f"the job {RELEASE_JOB}")
        plain = event.asset_key.path
        # Under the prefix that this project gave us.
        key = next(key for key in context.assets_def.keys if key.path[-len(plain) :] == plain)
        context.log_event(event._replace(asset_key=key))


def _held(workspace: "Workspace", sources: Sequence[str], kind: HoldKind) -> dict[str, Hold]:
    from rag_pipeline.refresh.damage import unless_damaged
    from rag_pipeline.refresh.holds import read_holds

    # That the record is damaged is said by the step itself.
    holds: list[Hold] = unless_damaged(lambda: read_holds(workspace), [])
    return {hold.source: hold for hold in holds if hold.kind == kind and hold.source in sources}
