"""Documents that were moved from one source into another: for the deletion guard they are no loss.

Belongs here: finding them by their bytes, and polling a source again once another one has what it lost.
Does not belong here: moves within a source (`transforms/listing.py`, `edited_moves.py`), the guard (`source_guard.py`).

A folder that is moved where fewer may read it has to leave the readers it had, however much it holds. A copy that lay
in the other source before is no move: what vanishes beside it may well be lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import polars as pl

from rag_pipeline.contracts.tables import BRONZE
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.holds import read_holds
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.polls import read_polls
from rag_pipeline.transforms.listing import KnownObject

log = logging.getLogger(__name__)


def moved_to_others(workspace: Workspace, source: str, vanished: Iterable[KnownObject]) -> set[str]:
    """document_ids whose bytes another source has had for the first time since this one was last polled.

    Raises:
        RagPipelineError: Bronze of another source cannot be read.
    """
    by_hash: dict[str, set[str]] = {}
    for item in vanished:
        if item.bytes_hash is not None:
            by_hash.setdefault(item.bytes_hash, set()).add(item.document_id)
    poll = read_polls(workspace.lake).by_source.get(source)
    since = poll.polled_at if poll is not None and poll.polled_at is not None else datetime.min.replace(tzinfo=UTC)
    wanted = pl.col("bytes_hash").is_in(pl.Series(sorted(by_hash), dtype=pl.String).implode())
    found: set[str] = set()
    for other in workspace.settings.sources if by_hash else ():
        if other == source or not workspace.lake.exists(BRONZE.of(other)):
            continue
        rows = workspace.lake.read(BRONZE.of(other), ["document_id", "change", "observed_at"], where=wanted)
        new = rows.filter((pl.col("change") == "added") & (pl.col("observed_at") > since))
        if new.is_empty():
            continue
        live = workspace.lake.bronze_state(other).filter(pl.col("change") != "deleted")
        for hashed in live.join(new, on="document_id", how="semi")["bytes_hash"]:
            found |= by_hash.get(hashed, set())
    return found


def poll_losers_again(
    workspace: Workspace,
    polled: str,
    known: Callable[[str], Iterable[KnownObject]],
    poll: Callable[[Workspace, str], object],
) -> None:
    """Poll each source again whose guard holds documents that have turned up in others; its faults are only said.

    Args:
        polled: The source that was polled just now.
        known: Last rows of bronze of a source.
        poll: Brings bronze of a source up to date.
    """
    try:
        for hold in read_holds(workspace):
            if hold.kind != "vanished" or hold.source == polled or hold.source not in workspace.settings.sources:
                continue
            held = [item for item in known(hold.source) if item.document_id in hold.held]
            if moved_to_others(workspace, hold.source, held):
                poll(workspace, hold.source)
    except FAULTS as error:
        log.error("what the deletion guard holds may have been moved into %s, and stays held: %s", polled, error)
