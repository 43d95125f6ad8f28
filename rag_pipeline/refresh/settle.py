"""After a run: note that nothing is left to do, so that the next one may look before it begins.

Belongs here: making sure that nothing is left, and when time alone will give a run something to do.
Does not belong here: what is compared at the next look (`look.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rag_pipeline.contracts.sources import SourceObject
from rag_pipeline.contracts.tables import QUARANTINE
from rag_pipeline.errors import RagPipelineError
from rag_pipeline.refresh.damage import damaged_tables
from rag_pipeline.refresh.data_versions import bronze_version
from rag_pipeline.refresh.deliver import is_delivered_elsewhere
from rag_pipeline.refresh.enrichments import failures_over_at, is_reading_left
from rag_pipeline.refresh.generations import aliases_behind
from rag_pipeline.refresh.heal import SEEN_FILE
from rag_pipeline.refresh.holds import read_holds
from rag_pipeline.refresh.kept_listings import KeptListing
from rag_pipeline.refresh.known import KnownObjects, known_of, planned
from rag_pipeline.refresh.look import (
    Listed,
    Settled,
    declared_state,
    forget_settled,
    idle_state,
    inputs_of,
    lake_state,
    listing_state,
    reads_the_same,
    write_settled,
)
from rag_pipeline.refresh.maintenance import maintenance_due_at
from rag_pipeline.refresh.memberships import settled_groups
from rag_pipeline.refresh.status import example_search, is_behind
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.lock import HOLDER_NAME, WriteLock
from rag_pipeline.transforms.freshness import CLOCK_TOLERANCE, content_age
from rag_pipeline.transforms.listing import RACY_WINDOW, KnownObject, changed_settings

log = logging.getLogger(__name__)

# What was written within moments of being read by the run is compared once more when that is over: from then on its
# stamp proves it. More of it than this is left to the next run.
MOST_COMPARED_BYTES = 256 * 2**20
# A look reads again what was written within moments of that, too; more of it than this is for a run to read.
MOST_RACY = 64
MOST_RACY_BYTES = 16 * 2**20
# The lock was free a moment ago.
_LOCK_SECONDS = 1.0


def settle(
    workspace: Workspace,
    run_id: str,
    summary: Mapping[str, Any],
    made_with: str | None,
    kept: Mapping[str, KeptListing] | None = None,
) -> bool:
    """Note that a run left nothing to do, if so it is; say whether it was noted.

    What cannot be looked at is no fault of the run that ended, and no note is made.

    Args:
        run_id: The run in Dagster that was the last of those that ended now.
        summary: What is told of a run that finds nothing to do.
        made_with: `inputs_of` the pipeline before the run began: what was edited meanwhile was not read by every step.
            None: it could not be told.
        kept: What sources listed in the run, by name; the others are listed now.
    """
    pipeline = workspace.pipeline
    if not workspace.lake.is_local:
        return False
    try:
        # Whoever is writing now changes something, and a run that has ended waits for nobody.
        if made_with is None or (Path(workspace.lake.root) / HOLDER_NAME).exists():
            return False
        with WriteLock(workspace.lake.root, run_id, _LOCK_SECONDS).held():
            settled = _settled(workspace, run_id, summary, made_with, kept or {})
            if settled is None:
                forget_settled(pipeline)
            else:
                write_settled(pipeline, settled)
            return settled is not None
    except (RagPipelineError, OSError) as error:
        # The next run does not look first, which costs time and nothing else.
        log.info("nothing was noted for the next run to look at: %s: %s", type(error).__name__, error)
        return False


def _settled(
    workspace: Workspace, run_id: str, summary: Mapping[str, Any], made_with: str, kept: Mapping[str, KeptListing]
) -> Settled | None:
    pipeline, root = workspace.pipeline, Path(workspace.lake.root)
    inputs, since = inputs_of(pipeline), workspace.now()
    # Another process may have written since the run ended.
    if (
        inputs != made_with
        or (root / SEEN_FILE).exists()
        or read_holds(workspace)
        or is_behind(workspace)
        or aliases_behind(workspace)
        # A file may be lost that the run had read before, and that nothing above reads.
        or damaged_tables(workspace, thorough=False)
        # A model may answer next time.
        or is_reading_left(workspace)
        # Whether that place still holds it, a run asks.
        or is_delivered_elsewhere(workspace)
    ):
        return None
    last, told = workspace.lake.last_publication(), summary["published"]
    if last is None or any(getattr(last, name) != told[name] for name in ("alias", "table_name", "table_version")):
        return None
    # Weights may have been put in the place of others since.
    if last.space_fingerprint != workspace.space(last.alias).fingerprint:
        return None
    groups = settled_groups(workspace)
    if groups is None:
        return None
    sources: dict[str, Listed] = {}
    until = [since + min(source.stale_after for source in workspace.settings.sources.values()) / 2]
    until += [] if (due_at := maintenance_due_at(workspace)) is None else [due_at]
    until += workspace.lake.read(QUARANTINE, ["next_attempt_at"]).drop_nulls().to_series().to_list()
    until += failures_over_at(workspace)
    # A check says so until then.
    until += [last.published_at] if last.published_at > since else []
    for name in workspace.settings.sources:
        known = known_of(workspace, name)
        listed = _listed(workspace, name, known, kept.get(name))
        if listed is None:
            return None
        sources[name] = listed
        until += _content_changes(workspace, name, known)
    return Settled(
        run_id, since, min(until), inputs, lake_state(root), sources, dict(summary), example_search(workspace), groups
    )


def _listed(workspace: Workspace, name: str, known: KnownObjects, kept: KeptListing | None) -> Listed | None:
    """What a source lists, or None if bronze does not hold it just so, or listing it costs as much as a run."""
    spec, began = workspace.pipeline.source_spec(name), workspace.now()
    if kept is None:
        source = workspace.source(name)
        if source.capabilities.asks_for_each:
            return None
        items, idle = source.list(), None
    else:
        source, items, idle = kept.source, kept.objects, kept.idle
    plan = planned(known, items, spec)
    if plan.vanished or _size_bytes(plan.to_fetch) > MOST_COMPARED_BYTES:
        return None
    # Where nobody has written since, the run compared them, by settings that are still the same.
    if not (kept is not None and kept.is_of_now(workspace)) and changed_settings(plan.unchanged, spec):
        return None
    racy: list[tuple[KnownObject | None, SourceObject]] = []
    for before, item in plan.to_fetch:
        told = _racy(before, item)
        if told is None:
            return None
        if item.modified_at is None or began - item.modified_at < RACY_WINDOW:
            racy.append((before, item))
        elif not reads_the_same(source, item, *told[1:]):
            return None
    if len(racy) > MOST_RACY or _size_bytes(racy) > MOST_RACY_BYTES:
        return None
    found = [each for each in (_racy(*pair) for pair in racy) if each is not None]
    version = bronze_version(workspace, name)
    return Listed(listing_state(items), idle or idle_state(source), tuple(found), len(items), version)


def _size_bytes(pairs: Sequence[tuple[KnownObject | None, SourceObject]]) -> int:
    return sum(item.size_bytes or 0 for _, item in pairs)


def _racy(before: KnownObject | None, item: SourceObject) -> tuple[str, str, str] | None:
    """What is known of an object whose stamp is equal and proves nothing; None: it is another matter."""
    if before is None or item.problem is not None or before.problem_code is not None or before.bytes_hash is None:
        return None
    if before.stamp != item.stamp:
        return None
    return item.address, before.bytes_hash, declared_state(before.declared)


def _content_changes(workspace: Workspace, name: str, known: KnownObjects) -> Iterator[datetime]:
    """When a source's content comes to count as too old, or times in the future to count at all."""
    limit = workspace.settings.sources[name].content_stale_after
    now = workspace.now()
    found = content_age(known.modified_at, now)
    if limit is not None and found.newest is not None and found.newest + limit > now:
        yield found.newest + limit
    yield from (moment - CLOCK_TOLERANCE for moment in known.modified_at if moment - CLOCK_TOLERANCE > now)
