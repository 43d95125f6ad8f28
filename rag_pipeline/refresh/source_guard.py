"""The deletion guard of one source at work: what of a loss is kept, and remembering it.

Belongs here: what readers have, what is measured, leaving out documents that were moved with edits.
Does not belong here: when the guard closes (`transforms/deletion_guard.py`), committing rows (`bronze.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence, Set
from functools import cached_property

import polars as pl

from rag_pipeline.contracts.holds import Hold
from rag_pipeline.contracts.tables import DOCUMENTS, QUARANTINE
from rag_pipeline.errors import StoreError
from rag_pipeline.refresh.edited_moves import edited_moves
from rag_pipeline.refresh.holds import deletion_guard, end_hold, hold_of, record_hold
from rag_pipeline.refresh.moves_between import moved_to_others
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.transforms.listing import KnownObject

log = logging.getLogger(__name__)


class SourceGuard:
    """What one refresh of a source may lose.

    Args:
        known: Last rows of bronze as the refresh found them.
        allow_loss: A person lets everything go, this once.
    """

    def __init__(self, workspace: Workspace, source: str, known: Iterable[KnownObject], *, allow_loss: bool) -> None:
        self._workspace = workspace
        self._source = source
        self._known = known
        self._allow_loss = allow_loss
        self._not_looked = ""
        self._is_recorded = False

    @cached_property
    def _readable(self) -> set[str]:
        return {item.document_id for item in self._known if item.is_live and item.problem_code is None}

    @cached_property
    def fine(self) -> set[str]:
        """Documents that readers have: live and readable in bronze, and shown in silver where that has any."""
        lake = self._workspace.lake
        mine = pl.col("source") == self._source
        try:
            shown = set(lake.read(DOCUMENTS, ["origin_id", "source"], where=mine)["origin_id"])
            if shown:
                return self._readable & shown
            refused = lake.read(QUARANTINE, ["document_id", "source"], where=mine)
        except StoreError as error:
            # A damaged table of silver must not keep what the source says from bronze.
            log.error("what readers have of %s is taken from bronze alone: %s", self._source, error)
            return self._readable
        return self._readable - set(refused["document_id"])

    @cached_property
    def before(self) -> Hold | None:
        """What was held when the refresh began."""
        try:
            return hold_of(self._workspace, self._source, "vanished")
        except StoreError as error:
            log.error("what the deletion guard held of %s is not known: %s", self._source, error)
            return None

    def close_early(self, vanished: Sequence[KnownObject], left_count: int) -> None:
        """Remember what readers have before anything is added: a run that is killed must not dilute what it lost."""
        if vanished and self.before is None and not self._allow_loss:
            self._judge(vanished, vanished, left_count)

    def held(
        self, vanished: Sequence[KnownObject], lost: Sequence[KnownObject], left_count: int, added: Set[str]
    ) -> tuple[list[KnownObject], Hold | None]:
        """What is kept although the source lost it, and how that is remembered; nothing and None if all may go.

        Args:
            vanished: Documents that are not listed any more.
            lost: These and the ones that cannot be read any more.
            left_count: Objects of the source that can be read.
            added: document_ids that this refresh committed for the first time.
        """
        if self._allow_loss or self._judge(vanished, lost, left_count) is None:
            return [], None
        try:
            moved = moved_to_others(self._workspace, self._source, vanished)
            moved |= edited_moves(self._workspace, self._source, self._addresses(vanished), added)
        except Exception as error:
            # A parser or a disk that fails here must not fail the run, which carries permissions: all stays held.
            self._not_looked = f" Whether they were moved could not be seen: {error}"
            moved = set()
        rest = [item for item in lost if item.document_id not in moved]
        hold = self._judge([item for item in vanished if item.document_id not in moved], rest, left_count)
        return (rest, hold) if hold is not None else ([], None)

    def _addresses(self, items: Iterable[KnownObject]) -> dict[str, str]:
        return {item.document_id: item.address for item in items if item.document_id in self.fine}

    def _judge(self, vanished: Sequence[KnownObject], lost: Sequence[KnownObject], left_count: int) -> Hold | None:
        """What the guard holds of what is lost, recorded, or None if it may go."""
        if not lost and self.before is None:
            # Of a million documents nobody need know the ids.
            return None
        guard = deletion_guard(self._workspace, self._source)
        addresses = self._addresses(lost)
        ids = frozenset(addresses)
        is_emptied = left_count == 0
        measured = guard.measure(ids, self.fine, is_emptied=is_emptied, before=self.before)
        if measured is None:
            return None
        why = "vanished" if len(vanished) == len(lost) else "vanished or became unreadable"
        reason = guard.describe_vanished(list(addresses.values()), len(measured), why=why, is_emptied=is_emptied)
        reason += self._not_looked
        try:
            hold = record_hold(self._workspace, "vanished", self._source, held=ids, measured=measured, reason=reason)
        except StoreError as error:
            # It is held all the same, and whoever may no longer read it is shut out.
            log.error("what the deletion guard holds of %s could not be recorded: %s", self._source, error)
            now, run = self._workspace.now(), self._workspace.run_id
            return Hold(
                self._source, "vanished", ids, measured, f"{reason} It could not be recorded: {error}", now, run
            )
        self._is_recorded = True
        return hold

    def end(self) -> None:
        """Forget what was held, if anything was."""
        if self.before is not None or self._is_recorded:
            end_hold(self._workspace, "vanished", self._source)
