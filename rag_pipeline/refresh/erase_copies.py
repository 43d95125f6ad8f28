"""What sources keep in the cache folder, which an erasure removes and searches.

Belongs here: which files those are.
Does not belong here: what a kind keeps there (its own module in `sources/`), kept answers (`answering/erasing.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from rag_pipeline.contracts.erasures import Erasure
from rag_pipeline.contracts.sources import KeepsCopies
from rag_pipeline.errors import RagPipelineError
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.byte_search import Needles, found_in_file

log = logging.getLogger(__name__)

# Notes of listings, and what killed writers of them left. A mirror of git is packed, and is known by ids of its own.
_NOTES = ("git/*.json*", "web/*/*", "archive/*.json*")


def copies(workspace: Workspace) -> Iterator[Path]:
    """Files of the cache folder that name documents of any source."""
    folder = workspace.pipeline.cache_folder
    yield from sorted({path for pattern in _NOTES for path in folder.glob(pattern) if path.is_file()})


def forget_copies(workspace: Workspace, plan: Erasure) -> list[str]:
    """Remove what the sources of an erasure keep, and whatever else there names it; what a person should know.

    All of it can be had again.
    """
    notes = []
    for name in plan.documents:
        if name not in workspace.pipeline.settings.sources:
            # What it kept is found by what it says.
            continue
        try:
            source = workspace.source(name)
            if isinstance(source, KeepsCopies):
                source.forget_copies()
        except RagPipelineError as error:
            log.warning("what source %s keeps could not be removed: %s", name, error)
            notes.append(f"What source {name} keeps in the cache folder was not removed ({error.code}).")
    # The library of git takes its time to load.
    from rag_pipeline.sources.git.mirror import forget_mirrors

    count = forget_mirrors(workspace.pipeline.cache_folder / "git", plan.blobs)
    if count:
        notes.append(f"{count} mirrors of git held its bytes, and were removed; what still has them is fetched again.")
    needles = Needles(plan.needles)
    for path in copies(workspace):
        if found_in_file(path, needles):
            path.unlink(missing_ok=True)
    return notes
