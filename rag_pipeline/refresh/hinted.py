"""Look at the objects that hints name, instead of at their whole source.

Belongs here: when that is enough, and recording what they say.
Does not belong here: the whole look, which every doubt leads to (`bronze.py`); hints (`stores/hints.py`).

A few objects tell what they are and who may read them, and not what else became of the source. So whatever may be a
deletion, a move, a loss or a fault is left to the whole look, which begins at once. The record of polls stays as it
is: nobody knows more of the others than before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import polars as pl

from rag_pipeline.contracts.ids import bytes_hash
from rag_pipeline.contracts.sources import FetchedObject, ListsSome, SourceObject
from rag_pipeline.refresh.bronze import BronzeReport, SourceRefresh, let_go_elsewhere, poll_source
from rag_pipeline.refresh.costs import record_cost
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.holds import hold_of
from rag_pipeline.refresh.known import KnownObjects
from rag_pipeline.refresh.polls import hints_followed, unrecorded_sources
from rag_pipeline.refresh.steps import step
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.polls import read_polls
from rag_pipeline.transforms.freshness import content_age
from rag_pipeline.transforms.listing import changed_settings, unlisted_settings

log = logging.getLogger(__name__)


def poll_hinted(workspace: Workspace, name: str) -> BronzeReport:
    """Like `poll_source`, but where hints name objects, and these tell enough, nothing else is asked of the source."""
    with hints_followed(workspace, name) as addresses:
        if addresses:
            try:
                report = _looked_at(workspace, name, addresses)
            except FAULTS as error:
                # The whole look meets it too, and records it.
                log.info("what hints name of %s says too little: %s: %s", name, type(error).__name__, error)
                report = None
            if report is not None:
                return report
        return poll_source(workspace, name)


@step("bronze/")
def _looked_at(workspace: Workspace, name: str, addresses: Sequence[str]) -> BronzeReport | None:
    """Record what some objects say; None: they do not say enough, and what they did say is recorded."""
    began = time.monotonic()
    with workspace.lake.writing():
        source = workspace.source(name)
        poll = read_polls(workspace.lake).by_source.get(name)
        is_known = poll is not None and poll.polled_at is not None and name not in unrecorded_sources(workspace)
        if not is_known or not isinstance(source, ListsSome) or hold_of(workspace, name, "vanished") is not None:
            return None
        listed = source.list_some(addresses)
        if listed is None or not _is_answer(listed, addresses):
            return None
        refresh = SourceRefresh(workspace, name, source, listed, allow_loss=False, only=frozenset(addresses))
        if not _is_told(refresh, addresses):
            return None
        report = _report(workspace, refresh, len(set(addresses)), poll.idle if poll is not None else ())
        if report.commits:
            record_cost(workspace, "read", name, bytes=report.bytes_read, seconds=time.monotonic() - began)
            let_go_elsewhere(workspace, name)
        return report


def _is_answer(listed: Sequence[SourceObject], addresses: Sequence[str]) -> bool:
    """Whether objects have no problem, and are some of those that were asked for, each once.

    Any other would count as new beside what is known of its address.
    """
    named = [item.address for item in listed]
    return set(named) <= set(addresses) and len(set(named)) == len(named) and all(not item.problem for item in listed)


def _is_told(refresh: SourceRefresh, addresses: Sequence[str]) -> bool:
    """Record what the objects say, unless anything is the matter with them."""
    moves = refresh.find_moves()
    known = {item.address for item in refresh.plan.vanished}
    moved = {item.address for item in moves.values()}
    missing = set(addresses) - {item.address for item in refresh.listed}
    # What is not there, and never was, may be a sidecar, or another spelling of something.
    if known != moved or missing - known or _may_have_moved(refresh) or _is_linked(refresh, addresses):
        return False
    others = _others(refresh).read_by_others(refresh.spec)
    rows = [*unlisted_settings(others, refresh.spec), *changed_settings(refresh.plan.unchanged, refresh.spec)]
    refresh.commit(rows + refresh.moved_rows(moves))
    pending = [(before, item) for before, item in refresh.plan.to_fetch if item.address not in moves]
    unreadable = refresh.fetch_and_commit(pending)
    return not unreadable and not refresh.silent


def _others(refresh: SourceRefresh) -> KnownObjects:
    """What is known of the source beside the objects that were listed."""
    asked = {item.address for item in refresh.listed} | {item.address for item in refresh.plan.vanished}
    return refresh.known.without(asked)


def _is_linked(refresh: SourceRefresh, addresses: Sequence[str]) -> bool:
    """Whether a link leads to one of the objects: who may read that one bounds who may read the link."""
    return any(item.declared.link_target in addresses for item in _others(refresh).links)


def _may_have_moved(refresh: SourceRefresh) -> bool:
    """Whether a new object has the bytes of another one, which may be gone."""
    others = _others(refresh)
    sizes = others.values_of("size_bytes")
    alike = [item for item in refresh.plan.new if item.size_bytes in sizes]
    hashes = others.values_of("bytes_hash") if alike else set()
    found = False
    for item, fetched in refresh.fetching.fetched(alike):
        if isinstance(fetched, FetchedObject):
            refresh.fetching.keep(item, fetched)
            found = found or bytes_hash(fetched.raw) in hashes
    return found


def _report(workspace: Workspace, refresh: SourceRefresh, hinted: int, idle: Sequence[str]) -> BronzeReport:
    live = workspace.lake.bronze_state(refresh.name).filter(pl.col("change") != "deleted")
    count = refresh.counts.get
    return BronzeReport(
        source=refresh.name,
        listed=len(refresh.listed),
        live=live.height,
        added=count("added", 0),
        modified=count("modified", 0),
        moved=count("moved", 0),
        metadata_changed=count("metadata_changed", 0),
        deleted=0,
        problems=live.filter(pl.col("problem_code").is_not_null()).height,
        commits=refresh.commits,
        bytes_read=refresh.fetching.bytes_read,
        newest_modified_at=content_age(live["source_modified_at"], workspace.now()).newest,
        idle=tuple(idle),
        hinted=hinted,
    )
