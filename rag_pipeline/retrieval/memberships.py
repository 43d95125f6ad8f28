"""What a caller has besides what they are: groups of sources, as `silver/principals` says them now.

Belongs here: when that table is looked at again, and keeping it in memory meanwhile.
Does not belong here: who has what (`transforms/memberships.py`), who the caller is (`serving/identity.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from threading import Lock

import polars as pl

from rag_pipeline.contracts.memberships import PRINCIPALS
from rag_pipeline.retrieval.arguments import checked_principals
from rag_pipeline.retrieval.published import POINTER_SECONDS
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.read_once import ReadOnce
from rag_pipeline.transforms.memberships import all_principals, groups_by_member


class CallersGroups:
    """Principals of callers with all their groups; many threads may ask.

    On a disk each question looks whether the table has changed, which is two looks at its log; in an object store at
    most once a second, as for what is published.

    Args:
        on_change: Called before other memberships count. Whoever is new in a group must not see what was published
            before the group lost it.
    """

    def __init__(self, lake: Lake, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._lake = Lake(lake.root, lake.storage_options, read_once=ReadOnce())
        self._log = Path(lake.root, PRINCIPALS.path, "_delta_log") if lake.is_local else None
        self._rows = PRINCIPALS.empty()
        self._groups: Mapping[str, tuple[str, ...]] = {}
        self._state = ("", -1)
        self._looked_at = float("-inf")
        self._lock = Lock()

    def of(self, principals: Iterable[str], at: datetime | None = None) -> frozenset[str]:
        """Who asks, with `public` and every group that they are in by some source.

        Args:
            at: Of these groups only those that they were in then, too, and without a break since.

        Raises:
            BadQuery: Nobody asks, or a name is none.
            StoreError: The table cannot be read; nobody is answered by what it said before.
        """
        own = checked_principals(principals)
        with self._lock:
            self._look()
            rows, groups = self._rows, self._groups
        if at is not None:
            groups = groups_by_member(rows.filter(pl.col("since_at") <= at))
        return all_principals(own, groups)

    def _look(self) -> None:
        now = time.monotonic()
        if self._log is None and now - self._looked_at < POINTER_SECONDS:
            return
        state = ("", -1) if self._log is not None and not self._log.is_dir() else self._lake.identity(PRINCIPALS)
        if state != self._state:
            # Whatever fails here, what was known before is not answered by again.
            self._rows, self._groups, self._state = PRINCIPALS.empty(), {}, ("", -1)
            rows = self._lake.read(PRINCIPALS, ["member_principal", "group_principal", "since_at"])
            # After reading: what was published before these memberships came to count is looked at after this.
            self._on_change()
            self._rows, self._groups, self._state = rows, groups_by_member(rows), state
        self._looked_at = now
