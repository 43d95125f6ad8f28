"""What each source listed in a run, kept until its end: the note that nothing is left says what was listed then.

Belongs here: which listings are kept, and whether bronze is as the run left it that took one in.
Does not belong here: listing (`known.py`), or making the note (`settle.py`).

A note of what the run itself took in says as much as one of a second listing, which costs as much as the first.
Whatever came into the source since is seen by the look that compares its own listing with the note.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from rag_pipeline.contracts.sources import RemembersListings, SourceObject
from rag_pipeline.contracts.tables import BRONZE
from rag_pipeline.refresh.look import idle_state
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.sources import Source

# Some 20 MB for as long as the run goes on; what lists more is listed once more at its end.
MOST_KEPT_OBJECTS = 30_000


@dataclass(frozen=True, slots=True)
class KeptListing:
    """A listing that a run took in.

    Attributes:
        source: As it was opened for it.
        idle: Digest of what matched nothing in it.
        bronze: Which table the run left, and its version.
    """

    source: Source
    objects: Sequence[SourceObject]
    idle: str
    bronze: tuple[str, int]

    def is_of_now(self, workspace: Workspace) -> bool:
        """Whether nobody has written into the source's bronze since."""
        return _bronze_of(workspace, self.source.name) == self.bronze


# By source; None: nobody asks for them at the end.
KEPT: ContextVar[dict[str, KeptListing] | None] = ContextVar("kept_listings", default=None)


def keep_listing(workspace: Workspace, source: Source, objects: Sequence[SourceObject]) -> None:
    """Keep what was listed and is recorded in bronze now; the caller holds the lake's lock.

    What is listed by what the lake remembers looks otherwise than a listing of one that remembers nothing, so that is
    not kept.
    """
    kept = KEPT.get()
    if kept is None or isinstance(source, RemembersListings) or source.capabilities.asks_for_each:
        return
    kept.pop(source.name, None)
    if len(objects) <= MOST_KEPT_OBJECTS:
        kept[source.name] = KeptListing(source, objects, idle_state(source), _bronze_of(workspace, source.name))


def _bronze_of(workspace: Workspace, name: str) -> tuple[str, int]:
    return workspace.lake.identity(BRONZE.of(name))
