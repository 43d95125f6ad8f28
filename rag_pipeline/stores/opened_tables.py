"""Delta tables of an object store that were opened, so that a look whether there is anything newer is one request.

Belongs here: telling whether a table that was opened is still the newest.
Does not belong here: tables in a folder (`read_once.py`), those that a writer plans on (`delta_commits.py`).

To open a table takes a request for its last checkpoint, one or more to list its log, and one for each entry since.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from deltalake import DeltaTable

from rag_pipeline.stores.objects import Objects, Tag

_ENTRY = ".json"


@dataclass(frozen=True, slots=True)
class _Opened:
    """A table, and the state of the newest entry of its log: one that was made again has another."""

    table: DeltaTable
    version: int
    tag: Tag


@dataclass(slots=True)
class OpenedTables:
    """Tables at their newest versions, by path; many threads may ask."""

    _known: dict[str, _Opened] = field(default_factory=dict)
    # Of tables whose log was longer than one listing, where to list from.
    _reached: dict[str, int] = field(default_factory=dict)

    def newest(self, objects: Objects, path: str, open_table: Callable[[], DeltaTable | None]) -> DeltaTable | None:
        """The table at its newest version, opened again only if somebody has committed since.

        Raises:
            StoreError: The store did not answer; what was opened before is not handed out then.
        """
        known = self._known.get(path)
        # Looked at before it is opened: a table that is replaced meanwhile is never taken for the one that was opened.
        entries = _entries(objects, path, self._reached.get(path, 0) if known is None else known.version)
        # Whoever writes with it moves it on.
        if known is not None and known.table.version() == known.version and entries == {known.version: known.tag}:
            return known.table
        if known is None and not entries and path not in self._reached:
            return None
        table = open_table()
        self._known.pop(path, None)
        self._reached.pop(path, None)
        if table is not None:
            version = table.version()
            self._reached[path] = version
            tag = entries.get(version)
            if tag:
                self._known[path] = _Opened(table, version, tag)
        return table


def _entries(objects: Objects, path: str, version: int) -> dict[int, Tag]:
    """State of the entries of a log from a version on, by version."""
    found = objects.after(f"{path}/_delta_log", f"{version:020}")
    return {int(name[:20]): tag for name, tag in found.items() if name[:20].isdigit() and name.endswith(_ENTRY)}
