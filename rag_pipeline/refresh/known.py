"""What bronze knows of a source, as values, and a listing of the source that may rely on it.

Belongs here: reading the last row of each object.
Does not belong here: what a listing means against it (`transforms/listing.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from rag_pipeline.contracts.sources import DeclaredMetadata, RemembersListings, SourceObject
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.sources import Source
from rag_pipeline.transforms.listing import KnownObject, remembered


def known_objects(state: pl.DataFrame) -> list[KnownObject]:
    """The last row of each object of a source, from its bronze state."""
    rows = state.select(list(KnownObject.__dataclass_fields__)).iter_rows(named=True)
    return [KnownObject(**row | {"declared": DeclaredMetadata.from_json(row["declared"])}) for row in rows]


def list_again(workspace: Workspace, source: Source) -> Sequence[SourceObject]:
    """A listing of a source that is told, if it asks, what bronze holds of it; raises what `Source.list` does."""
    if isinstance(source, RemembersListings):
        source.remember(remembered(known_objects(workspace.lake.bronze_state(source.name))))
    return source.list()
