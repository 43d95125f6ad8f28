"""The end of a run that did not go well: what readers still see, and nobody can say that they may.

Belongs here: which documents were edited or are to be redacted while the run did not get to them.
Does not belong here: what is gone or narrowed by bronze alone (`revoke.py`), wording of texts that were parsed anew
(`revocations.py`).

A text that was edited may have lost wording that readers still see. Once it is parsed, wording is compared with
wording, and only what has left is closed; where the run did not get that far, the whole document is, until the next run
has taken it in.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import UTC, datetime

import polars as pl

from rag_pipeline.contracts.sink import Sink
from rag_pipeline.contracts.tables import BRONZE, DOCUMENTS, QUARANTINE
from rag_pipeline.refresh.bronze import poll_source
from rag_pipeline.refresh.deliver import deliver_published
from rag_pipeline.refresh.documents import read_origins
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.generations import is_held
from rag_pipeline.refresh.memberships import poll_memberships
from rag_pipeline.refresh.revocations import revoked_chunks
from rag_pipeline.refresh.revoke import RevokeReport, on_any_disk, read_readers, revoke_now, take_from_published
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.kept import open_version
from rag_pipeline.transforms.documents import edited_documents
from rag_pipeline.transforms.revoke import SHOWN_COLUMNS, RevocationPlan, plan_closing

log = logging.getLogger(__name__)

REVISION_COLUMNS = ["document_id", "revision", "batch", "bytes_hash", "observed_at"]
DOCUMENT_COLUMNS = [
    "document_id",
    "origin_id",
    "source",
    "origin_media_type",
    "input_key",
    "recipe_fingerprint",
    "content_hash",
]


def finish_revocations(workspace: Workspace) -> str:
    """After a run that did not end well, take from readers what it did not get to.

    Returns:
        Why not all could be taken from them; empty if it was. That is said in the log, too.
    """
    reasons: list[str] = []
    for step in (poll_memberships, revoke_now, close_unsettled):
        try:
            step(workspace)
        except FAULTS as error:
            log.error("what was revoked could not all be taken from readers: %s", error)
            reasons.append(str(error))
    if workspace.delivery is not None and workspace.delivery.fault:
        reasons.append(workspace.delivery.fault)
    return " ".join(dict.fromkeys(reasons))


def revoke_alone(workspace: Workspace, allow_mass_deletion: Collection[str] = ()) -> str:
    """Poll the sources and take from readers what is gone, where no run could be begun.

    Args:
        allow_mass_deletion: Sources whose deletion guard lets everything go.

    Returns:
        As `finish_revocations`.
    """
    for name in workspace.settings.sources:
        try:
            poll_source(workspace, name, allow_mass_deletion=name in allow_mass_deletion)
        except FAULTS as error:
            log.error("source %s could not be polled: %s", name, error)
    return finish_revocations(workspace)


def close_unsettled(workspace: Workspace) -> RevokeReport:
    """Close published texts that were edited, or are to be redacted, and that nobody can say still stand."""
    report = RevokeReport()
    with workspace.lake.writing():
        last = workspace.lake.last_publication()
        if last is None or is_held(workspace):
            return report
        table = open_version(workspace.vectors, last)
        shown = table.read(["chunk_id", "document_id", "content_hash"])
        try:
            closing = _unsettled(workspace, table, shown)
        except FAULTS as error:
            log.error("silver cannot say what was taken in, so whatever was edited since is closed: %s", error)
            closing = _edited_since_publication(workspace)
        if closing:
            readers, _ = read_readers(workspace, report)

            def planned(now: Sink) -> RevocationPlan:
                return plan_closing(now.read(SHOWN_COLUMNS), closing, readers)

            on_any_disk(
                workspace, lambda is_full: take_from_published(workspace, last, planned, report, is_full=is_full)
            )
            deliver_published(workspace)
    return report


def _unsettled(workspace: Workspace, table: Sink, shown: pl.DataFrame) -> set[str]:
    """document_ids and chunk_ids to close, by what silver took in."""
    lake = workspace.lake
    documents = lake.read(DOCUMENTS, DOCUMENT_COLUMNS)
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
    for publication in lake.publications():
        if publication.is_whole:
            since = max(since, publication.published_at)
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
            # A clock was set back, so times tell nothing: whatever was edited ever counts.
            both = now.join(ordered, on="document_id", suffix="_then")
        found |= set(both.filter(pl.col("bytes_hash").ne_missing(pl.col("bytes_hash_then")))["document_id"])
    return found
