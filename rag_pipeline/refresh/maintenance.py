"""Housekeeping of the lake.

Belongs here: compaction, and removal of what nothing needs any more.
Does not belong here: anything a reader could notice.
"""

from __future__ import annotations

from dataclasses import dataclass

from rag_pipeline.refresh.workspace import Workspace


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """What one round of housekeeping did."""

    tables: int
    compacted: int


def maintain(workspace: Workspace) -> MaintenanceReport:
    """Compact tables of many small files; remove files that no version within retention needs."""
    lake = workspace.lake
    spaces = [workspace.space(alias).fingerprint for alias in workspace.settings.embedding_models]
    with lake.writing():
        paths = lake.all_paths(workspace.settings.sources, spaces)
        compacted = sum(lake.maintain(path) for path in paths)
    return MaintenanceReport(tables=len(paths), compacted=compacted)
