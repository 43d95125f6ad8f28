"""Bring the bronze table of one source up to date with the source.

Belongs here: the order of listing, fetching, asking the deletion guard and committing.
Does not belong here: what a difference means (`transforms/listing.py`) or how a source is read (`sources/`).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

import polars as pl

from rag_pipeline.contracts.holds import Hold
from rag_pipeline.contracts.ids import bytes_hash, digest
from rag_pipeline.contracts.listings import modification_times
from rag_pipeline.contracts.order import in_order
from rag_pipeline.contracts.sources import FetchedObject, SourceObject, SourceSpec
from rag_pipeline.contracts.tables import BRONZE
from rag_pipeline.errors import (
    DocumentError,
    DocumentUnavailable,
    DocumentVanished,
    InvalidMetadata,
    MassDeletion,
    SourceUnavailable,
)
from rag_pipeline.parsing import media_type_of
from rag_pipeline.refresh.bronze_report import BronzeReport as BronzeReport
from rag_pipeline.refresh.costs import record_cost
from rag_pipeline.refresh.fetching import Batch, Fetching
from rag_pipeline.refresh.holds import held_figures, hold_of
from rag_pipeline.refresh.kept_listings import keep_listing
from rag_pipeline.refresh.known import EarlyListing, known_of, list_again, list_early, planned
from rag_pipeline.refresh.moves_between import poll_losers_again
from rag_pipeline.refresh.polls import recorded_poll
from rag_pipeline.refresh.progress import progress
from rag_pipeline.refresh.source_guard import SourceGuard
from rag_pipeline.refresh.steps import step
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.sources import Source
from rag_pipeline.sources.erased import left_out_of
from rag_pipeline.transforms.freshness import content_age
from rag_pipeline.transforms.listing import (
    KnownObject,
    ListingPlan,
    changed_settings,
    free_document_id,
    held_permissions,
    match_moves,
    metadata_of,
    move_candidates,
    plan_listing,
    row_of,
    said_of_silent,
    tombstone_of,
    unknown_metadata_of,
    unlisted_settings,
)


def refresh_source(workspace: Workspace, name: str, *, allow_mass_deletion: bool = False) -> BronzeReport:
    """Record every change of a source since the last refresh in its bronze table.

    Raises:
        SourceUnavailable: The source cannot be listed; nothing was written but who may read what is known of it
            under the settings of now.
        MassDeletion: More was lost at once than the source's deletion guard allows. What is held was not deleted;
            what else changed was committed before, permissions above all.
    """
    report = update_source(workspace, name, allow_mass_deletion=allow_mass_deletion)
    if report.held:
        raise MassDeletion(report.held_because, source=name, lost=report.held, live=report.held_of)
    return report


@step("bronze/")
def update_source(workspace: Workspace, name: str, *, allow_mass_deletion: bool = False) -> BronzeReport:
    """Like `refresh_source`, but what the deletion guard holds is reported and not raised, so that a run can go on.

    It raises `SourceUnavailable` like that one.
    """
    early = list_early(workspace, name)
    with workspace.lake.writing():
        report = _updated(workspace, name, allow_mass_deletion=allow_mass_deletion, early=early)
        let_go_elsewhere(workspace, name)
    return report


def let_go_elsewhere(workspace: Workspace, name: str) -> None:
    """Have what other sources lost and this one has now leave its old readers; the caller holds the lake's lock."""
    poll_losers_again(workspace, name, lambda each: known_of(workspace, each), _updated)


def _updated(
    workspace: Workspace, name: str, *, allow_mass_deletion: bool = False, early: EarlyListing | None = None
) -> BronzeReport:
    began = time.monotonic()
    # Listed while holding the lock: a listing made before another run's would undo what that run recorded.
    early = early if early is not None and early.is_of_now(workspace) else None
    with recorded_poll(workspace, name, was_looked=early is not None) as polled:
        source = workspace.source(name) if early is None else early.source
        try:
            listed = list_again(workspace, source) if early is None else early.listed()
        except Exception:
            # Closing a source in pipeline.yaml does not wait until the source answers.
            SourceRefresh(workspace, name, source, (), allow_loss=False).record_settings()
            raise
        polled.erased = left_out_of(source)
        # It answered: whatever breaks from here on, its going away too, leaves something that it said unrecorded.
        workspace.unrecorded.add(name)
        report = SourceRefresh(workspace, name, source, listed, allow_mass_deletion).run()
        keep_listing(workspace, source, listed)
        polled.idle = report.idle
        # What was read only to see that it is as before leaves the lake as it is.
        if report.commits:
            record_cost(workspace, "read", name, bytes=report.bytes_read, seconds=time.monotonic() - began)
        return report


def poll_source(workspace: Workspace, name: str, *, allow_mass_deletion: bool = False) -> BronzeReport:
    """Like `update_source`, but a source that cannot be listed is reported too: what bronze holds of it stands.

    Everything that is made of it can go on with that, and so can the other sources.
    """
    first_commit = workspace.lake.commits
    try:
        return update_source(workspace, name, allow_mass_deletion=allow_mass_deletion)
    except SourceUnavailable as error:
        live = workspace.lake.bronze_state(name).filter(pl.col("change") != "deleted")
        hold = hold_of(workspace, name, "vanished")
        return BronzeReport(
            source=name,
            listed=0,
            live=live.height,
            added=0,
            modified=0,
            moved=0,
            metadata_changed=0,
            deleted=0,
            problems=live.filter(pl.col("problem_code").is_not_null()).height,
            commits=workspace.lake.commits - first_commit,
            bytes_read=0,
            newest_modified_at=content_age(live["source_modified_at"], workspace.now()).newest,
            **held_figures(hold),
            unavailable_because=error.message,
        )


class SourceRefresh:
    """State of one refresh of one source.

    Args:
        only: The only addresses that were asked for; None: all were.
    """

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        source: Source,
        listed: Sequence[SourceObject],
        allow_loss: bool,
        only: Collection[str] | None = None,
    ) -> None:
        self.workspace = workspace
        self.name = name
        self.spec: SourceSpec = workspace.pipeline.source_spec(name)
        self.source = source
        self.fetching = Fetching(source)
        self.known = known_of(workspace, name)
        self.listed = in_order(listed)
        if only is None:
            self.plan: ListingPlan = planned(self.known, self.listed, self.spec)
        else:
            self.plan = plan_listing(self.known.of(only), self.listed)
        self.guard = SourceGuard(workspace, name, self.known, allow_loss=allow_loss)
        self.added: set[str] = set()
        self.batch = workspace.lake.last_batch(name) + 1
        self.observed_at = workspace.now()
        self.counts: dict[str, int] = {}
        # Listed, and not given now, each with the reason.
        self.silent: list[tuple[KnownObject, str]] = []
        self.read_count = 0
        self.first_commit = workspace.lake.commits

    @property
    def commits(self) -> int:
        """So many since it began."""
        return self.workspace.lake.commits - self.first_commit

    def record_settings(self) -> None:
        """Record who may read what is known of the source, under the settings of now."""
        self.commit(unlisted_settings(self.known.read_by_others(self.spec), self.spec))

    def run(self) -> BronzeReport:
        try:
            return self._brought_up_to_date()
        except Exception:
            # It listed and then went away: whom it shuts out, it has told already.
            self._record_told()
            raise

    def _record_told(self) -> None:
        """Record who may read what is known by the listing, whatever of it could not be read."""
        known = known_of(self.workspace, self.name)
        plan = plan_listing((item for item in known if item.problem_code is None), self.listed)
        unread = [*plan.vanished, *(before for before, _ in plan.to_fetch if before is not None)]
        self.commit(changed_settings(plan.unchanged, self.spec) + self._held_permissions(unread))

    def _held_permissions(self, held: Sequence[KnownObject]) -> list[dict[str, Any]]:
        addresses = {item.address for item in held}
        listed = {item.address: item for item in self.listed if item.address in addresses} if addresses else {}
        return held_permissions(held, self.spec, listed)

    @cached_property
    def dead(self) -> dict[str, KnownObject]:
        """What is gone, by document_id; looked up once something is new."""
        return {item.document_id: item for item in self.known.dead}

    @cached_property
    def taken(self) -> set[str]:
        """Ids of live documents; looked up once something is new."""
        return self.known.live_ids

    def _brought_up_to_date(self) -> BronzeReport:
        # What an incomplete listing does not name may be there all the same, so it neither moved nor was deleted.
        is_complete = self.source.capabilities.is_complete
        moves = self.find_moves() if is_complete else {}
        moved_ids = {item.document_id for item in moves.values()}
        unlisted = [item for item in self.plan.vanished if item.document_id not in moved_ids]
        vanished = unlisted if is_complete else []
        rows = changed_settings(self.plan.unchanged, self.spec)
        pending: Sequence[tuple[KnownObject | None, SourceObject]] = self.plan.to_fetch
        if moves:
            pending = [(before, item) for before, item in pending if item.address not in moves]
        rows += self.moved_rows(moves)
        self.commit(rows)
        if vanished:
            self.guard.close_early(vanished, sum(item.problem is None for item in self.listed))
        unreadable = self.fetch_and_commit(pending)
        silent = [before for before, _ in self.silent]
        left = self.plan.unchanged_readable_count + len(moves) + self.read_count
        left += len(silent)
        lost = [*vanished, *(before for before, _ in unreadable)]
        held, hold = self.guard.held(vanished, lost, left, self.added)
        # Whoever may no longer read what is kept is shut out all the same.
        kept_rows = [*silent, *held] if is_complete else [*silent, *unlisted, *held]
        self.commit(self._held_permissions(kept_rows))
        kept = {item.document_id for item in held}
        gone = [item for item in vanished if item.document_id not in kept]
        deleted = digest("metadata", "deleted")
        rows = [row for before, row in unreadable if before.document_id not in kept]
        self.commit(rows + [tombstone_of(item, deleted) for item in gone])
        if hold is None:
            # Last, so that a run which is killed while it deletes what is allowed leaves the rest held.
            self.guard.end()
        return self._report(len(gone), hold)

    def _report(self, deleted: int, hold: Hold | None) -> BronzeReport:
        count = self.counts.get
        newest = content_age(modification_times(self.listed), self.observed_at).newest
        return BronzeReport(
            source=self.name,
            listed=len(self.listed),
            live=len(self.listed),
            added=count("added", 0),
            modified=count("modified", 0),
            moved=count("moved", 0),
            metadata_changed=count("metadata_changed", 0),
            deleted=deleted,
            problems=count("problem", 0) + self.plan.unreadable_count,
            commits=self.commits,
            bytes_read=self.fetching.bytes_read,
            newest_modified_at=newest,
            kept=len(self.silent),
            **held_figures(hold),
            idle=(*(each.text for each in self.source.idle()), *said_of_silent(self.silent)),
        )

    def find_moves(self) -> dict[str, KnownObject]:
        """Documents that vanished, by the new address that has their bytes."""
        candidates = move_candidates(self.plan)
        hashes = {}
        for item, fetched in self.fetching.fetched(candidates):
            if isinstance(fetched, FetchedObject):
                hashes[item.address] = bytes_hash(fetched.raw)
                self.fetching.keep(item, fetched)
        return match_moves(self.plan.vanished, hashes)

    def moved_rows(self, moves: dict[str, KnownObject]) -> list[dict[str, Any]]:
        """Rows of what was found to have moved."""
        rows = []
        items = [item for _, item in self.plan.to_fetch if item.address in moves] if moves else []
        for item, fetched in self.fetching.fetched(items):
            before = moves[item.address]
            if not isinstance(fetched, FetchedObject) or bytes_hash(fetched.raw) != before.bytes_hash:
                # It changed between two readings a moment apart; the next run sees it settled.
                self.taken.discard(before.document_id)
                continue
            metadata = metadata_of(item, fetched.declared, self.spec)
            row = row_of(item, before, document=before.document_id, change="moved", metadata=metadata)
            row["media_type"] = fetched.declared.media_type or media_type_of(item.address, fetched.raw)
            rows.append(row)
        return rows

    def fetch_and_commit(
        self, pending: Sequence[tuple[KnownObject | None, SourceObject]]
    ) -> list[tuple[KnownObject, dict[str, Any]]]:
        """Commit what was found; return, uncommitted, the rows of what could be read before and no longer can."""
        unreadable: list[tuple[KnownObject, dict[str, Any]]] = []
        batch = Batch(self.commit)
        with progress(f"read {self.name}", len(pending)) as bar:
            answers = self.fetching.fetched(item for _, item in pending)
            for (before, _), (item, fetched) in zip(pending, answers, strict=True):
                bar.advance(1)
                if isinstance(fetched, DocumentVanished):
                    continue
                if isinstance(fetched, DocumentUnavailable) and before is not None and before.problem_code is None:
                    self.silent.append((before, str(fetched.facts.get("reason", fetched.code))))
                    continue
                if isinstance(fetched, DocumentError):
                    row = self._refused_row(item, before, fetched)
                    if row is None:
                        continue
                    # Unknown permissions are no loss to hold: whoever might have to be shut out is.
                    if before is None or before.problem_code is not None or isinstance(fetched, InvalidMetadata):
                        batch.add(row)
                    else:
                        unreadable.append((before, row))
                    continue
                self.read_count += 1
                row = self._taken_row(item, before, fetched)
                if row is not None:
                    batch.add(row, len(fetched.raw))
        batch.end()
        return unreadable

    def _identify(self, item: SourceObject, before: KnownObject | None) -> tuple[str, KnownObject | None]:
        """The document a listed object is, and its last row, which may be a tombstone."""
        if before is not None:
            return before.document_id, before
        document = free_document_id(self.name, item.address, self.taken)
        self.taken.add(document)
        self.added.add(document)
        return document, self.dead.get(document)

    def _taken_row(
        self, item: SourceObject, before: KnownObject | None, fetched: FetchedObject
    ) -> dict[str, Any] | None:
        document, last = self._identify(item, before)
        hashed = bytes_hash(fetched.raw)
        metadata = metadata_of(item, fetched.declared, self.spec)
        same_bytes = last is not None and last.bytes_hash == hashed
        if before is None:
            change = "added"
        elif not same_bytes:
            change = "modified"
        elif before.metadata_hash != metadata["metadata_hash"] or before.stamp != item.stamp:
            change = "metadata_changed"
        else:
            return None
        row = row_of(item, last, document=document, change=change, metadata=metadata)
        if not same_bytes:
            row |= {"raw": fetched.raw, "bytes_hash": hashed, "bytes_batch": None}
        row["media_type"] = fetched.declared.media_type or media_type_of(item.address, fetched.raw)
        return row

    def _refused_row(
        self, item: SourceObject, before: KnownObject | None, error: DocumentError
    ) -> dict[str, Any] | None:
        if before is not None and before.problem_code == error.code and before.stamp == item.stamp:
            return None
        document, last = self._identify(item, before)
        metadata = unknown_metadata_of(item)
        change = "added" if before is None else "modified"
        row = row_of(item, last, document=document, change=change, metadata=metadata)
        return row | {
            "bytes_hash": None,
            "bytes_batch": None,
            "problem_code": error.code,
            "problem_detail": error.message,
        }

    def commit(self, rows: list[dict[str, Any]]) -> None:
        """Append rows to bronze, in one commit; none: nothing."""
        if not rows:
            return
        for row in rows:
            row |= {"batch": self.batch, "observed_at": self.observed_at, "run_id": self.workspace.run_id}
            if row.get("raw") is not None:
                row["bytes_batch"] = self.batch
            kind = "problem" if row.get("problem_code") else row["change"]
            self.counts[kind] = self.counts.get(kind, 0) + 1
        self.workspace.lake.append(BRONZE.of(self.name), BRONZE.frame(rows))
        self.batch += 1
