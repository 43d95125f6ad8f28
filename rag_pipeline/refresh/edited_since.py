"""Which published documents were edited, or lost wording, and cannot be said to stand as readers see them.

Belongs here: comparing what readers see with what silver and bronze hold.
Does not belong here: closing them (`unsettled.py`, `withdraw.py`).
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import polars as pl

from rag_pipeline.contracts.sink import Readable
from rag_pipeline.contracts.tables import BRONZE, DOCUMENTS, QUARANTINE
from rag_pipeline.refresh.documents import read_origins
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.revocations import revoked_chunks
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.transforms.documents import edited_documents

log = logging.getLogger(__name__)

_DOCUMENT_COLUMNS = [
    "document_id",
    "origin_id",
    "source",
    "origin_media_type",
    "input_key",
    "recipe_fingerprint",
    "content_hash",
]


def ids_to_close(workspace: Workspace, table: Readable) -> set[str]:
    """document_ids and chunk_ids of a table that were edited, or lost wording, and were not taken in yet.

    Raises:
        RagPipelineError: The table cannot be read, or bronze cannot.
    """
    shown = table.read(["chunk_id", "document_id", "content_hash"])
    try:
        return _unsettled(workspace, table, shown)
    except FAULTS as error:
        log.error("silver cannot say what was taken in, so whatever was edited since is closed: %s", error)
        return _edited_since_publication(workspace)


def _unsettled(workspace: Workspace, table: Readable, shown: pl.DataFrame) -> set[str]:
    """document_ids and chunk_ids to close, by what silver took in."""
    lake = workspace.lake
    documents = lake.read(DOCUMENTS, _DOCUMENT_COLUMNS)
    quarantine = lake.read(QUARANTINE, ["document_id", "input_key"])
    found = _edited(workspace, documents, quarantine, shown)
    both = shown.join(documents.select("document_id", now="content_hash"), on="document_id")
    parsed = both.filter(pl.col("content_hash") != pl.col("now"))["chunk_id"].to_list()
    try:
        return found | revoked_chunks(workspace, table, parsed)
    except FAULTS as error:
        log.error("wording cannot be compared, so every text that was parsed anew is closed: %s", error)
        return found | set(parsed)


def _edited(workspace: Workspace, documents: pl.DataFrame, quarantine: pl.DataFrame, shown: pl.DataFrame) -> set[str]:
    """document_ids whose object has other bytes than silver took in."""
    try:
        origins = read_origins(workspace)
    except FAULTS as error:
        log.error(
            "bronze of some source cannot be read, so whatever of the others was edited since is closed: %s", error
        )
        return _edited_since_publication(workspace)
    found = edited_documents(documents, origins, quarantine)
    known = set(documents["document_id"]) | set(quarantine["document_id"])
    if set(shown["document_id"]) & set(origins["document_id"]) - known:
        log.error("silver has lost documents that readers see; of these, whatever was edited since is closed")
        found |= _edited_since_publication(workspace) - known
    return found


def _edited_since_publication(workspace: Workspace) -> set[str]:
    """Objects whose bytes changed since readers were last pointed to a whole index, by bronze alone."""
    lake = workspace.lake
    since = datetime.min.replace(tzinfo=UTC)
    try:
        times = [each.published_at for each in lake.publications() if each.is_whole]
        since = max(times, default=since)
    except FAULTS as error:
        log.error("when readers were pointed to an index cannot be read, so whatever was edited ever counts: %s", error)
        since = datetime.max.replace(tzinfo=UTC)
    found: set[str] = set()
    for name in workspace.settings.sources:
        try:
            rows = lake.read(BRONZE.of(name), ["document_id", "revision", "batch", "bytes_hash", "observed_at"])
        except FAULTS as error:
            log.error("bronze of source %s cannot be read, so nothing of it was closed: %s", name, error)
            continue
        ordered = rows.sort("document_id", "revision", "batch")
        now = ordered.unique("document_id", keep="last")
        then = ordered.filter(pl.col("observed_at") <= since).unique("document_id", keep="last")
        both = now.join(then, on="document_id", suffix="_then")
        if since > workspace.now():
            # A clock was set back, or no time is known: whatever was edited ever counts.
            both = now.join(ordered, on="document_id", suffix="_then")
        found |= set(both.filter(pl.col("bytes_hash").ne_missing(pl.col("bytes_hash_then")))["document_id"])
    return found
