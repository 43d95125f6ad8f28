"""From one chunk back to the bytes it came from, with every row, hash, version and run on the way.

Belongs here: following the keys from layer to layer, and checking each hash on the way.
Does not belong here: showing the way (`cli/`), or checking a whole lake (`verify.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from rag_pipeline.contracts.documents import embedded_text
from rag_pipeline.contracts.ids import bytes_hash, text_hash
from rag_pipeline.contracts.index import ROW_COLUMNS
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.contracts.tables import BRONZE, CHUNKS, DOCUMENT_FACTS, DOCUMENTS, DUPLICATES, EMBEDDINGS, QUARANTINE
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.kept import open_version
from rag_pipeline.stores.lake import (
    STATE_COLUMNS,
)
from rag_pipeline.stores.selection import rows_with

# One line of a table.
FIRST_LINE_CHARS = 120
# As many as lists of ids show.
LEAST_ID_CHARS = 8

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trace:
    """What each layer holds of one chunk; None where it holds nothing.

    Attributes:
        index: Row of the published index, with the publication it belongs to.
        chunk: Row of silver/chunks.
        embedding: Where its vector comes from, without the vector.
        document: Row of silver/documents without text and blocks.
        duplicates: Documents that this one stands for.
        revisions: All rows of bronze of the object, oldest first, without bytes.
        content: The object's newest bytes: hash, size, first line.
        quarantine: Row of silver/quarantine, when its newest revision was refused.
        checks: Every comparison that could be made on the way, and whether it holds.
    """

    chunk_id: str
    index: Row | None
    chunk: Row | None
    embedding: Row | None
    document: Row | None
    duplicates: list[Row]
    revisions: list[Row]
    content: Row | None
    quarantine: Row | None
    checks: dict[str, bool]

    @property
    def is_sound(self) -> bool:
        return all(self.checks.values())


def trace_chunk(workspace: Workspace, chunk_id: str) -> Trace | None:
    """Follow a chunk of the published index or of silver to its source; None if neither knows it.

    Args:
        chunk_id: The id, or a beginning of it that only one chunk has.
    """
    chunk_id = _whole_id(workspace, chunk_id)
    index = _index_row(workspace, chunk_id)
    chunk = _row(workspace, CHUNKS, "chunk_id", chunk_id)
    known = chunk or index
    if known is None:
        return None
    document = _row(workspace, DOCUMENTS, "document_id", known["document_id"])
    # A document that has left silver while readers still see it is found in bronze by its own id.
    origin = known["document_id"] if document is None else document["origin_id"]
    source = document["source"] if document is not None else (index or {}).get("source")
    revisions = _revisions(workspace, source, origin)
    raw = _newest_bytes(workspace, source, revisions)
    checks = _checks(index, chunk, document, raw)
    embedding = _embedding_row(workspace, index, known["text_hash"])
    if index is not None:
        checks["the_vector_is_stored"] = embedding is not None
    return Trace(
        chunk_id=chunk_id,
        index=index,
        chunk=chunk,
        embedding=embedding,
        document=None if document is None else {name: document[name] for name in DOCUMENT_FACTS},
        duplicates=_duplicates(workspace, known["document_id"]),
        revisions=revisions,
        content=None if raw is None else _content(*raw),
        quarantine=_row(workspace, QUARANTINE, "document_id", origin),
        checks=checks,
    )


def _whole_id(workspace: Workspace, beginning: str) -> str:
    """The one id of silver that begins so; what was given if there is none or more than one."""
    if len(beginning) < LEAST_ID_CHARS:
        return beginning
    begins_so = pl.col("chunk_id").str.starts_with(beginning)
    found = workspace.lake.read(CHUNKS, ["chunk_id"], where=begins_so)["chunk_id"]
    return str(found[0]) if len(found) == 1 else beginning


def _row(workspace: Workspace, table: TableContract, column: str, value: str) -> Row | None:
    rows = workspace.lake.read(table, where=pl.col(column) == value)
    return rows.row(0, named=True) if rows.height else None


def _index_row(workspace: Workspace, chunk_id: str) -> Row | None:
    publication = workspace.lake.last_publication()
    if publication is None:
        return None
    pointer = ("alias", "space_fingerprint", "table_name", "table_version", "sequence", "published_at", "run_id")
    table = open_version(workspace.vectors, publication)
    rows = rows_with(table, "chunk_id", [chunk_id], list(ROW_COLUMNS), limit=1)
    if not rows.height:
        return None
    return {name: getattr(publication, name) for name in pointer} | rows.row(0, named=True)


def _embedding_row(workspace: Workspace, index: Row | None, hashed: str) -> Row | None:
    if index is None:
        return None
    space = index["space_fingerprint"]
    rows = workspace.lake.read(EMBEDDINGS.of(space), where=pl.col("text_hash") == hashed)
    if not rows.height:
        return None
    row = rows.row(0, named=True)
    return {"space_fingerprint": space, "dimension": len(row.pop("vector"))} | row


def _duplicates(workspace: Workspace, document_id: str) -> list[Row]:
    rows = workspace.lake.read(DUPLICATES, where=pl.col("duplicate_of") == document_id)
    uris = workspace.lake.read(
        DOCUMENTS,
        ["document_id", "source", "uri"],
        where=pl.col("document_id").is_in(rows["document_id"].implode()),
    )
    return rows.select("document_id").join(uris, on="document_id", how="left").sort("source", "uri").to_dicts()


def _revisions(workspace: Workspace, source: str | None, origin: str) -> list[Row]:
    if source is None:
        return []
    rows = workspace.lake.read(BRONZE.of(source), STATE_COLUMNS, where=pl.col("document_id") == origin)
    return [{"source": source} | row for row in rows.sort("revision", "batch").to_dicts()]


def _newest_bytes(workspace: Workspace, source: str | None, revisions: list[Row]) -> tuple[str, bytes] | None:
    with_bytes = [row for row in revisions if row["bytes_hash"] is not None]
    if source is None or not with_bytes:
        return None
    newest = with_bytes[-1]
    wanted = {newest["bytes_hash"]: newest["bytes_batch"]}
    return next(iter(workspace.lake.stream_bytes(source, wanted)), None)


def _content(hashed: str, raw: bytes) -> Row:
    first = raw[: 4 * FIRST_LINE_CHARS].split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    return {"bytes_hash": hashed, "size_bytes": len(raw), "first_line": first[:FIRST_LINE_CHARS]}


def _checks(
    index: Row | None, chunk: Row | None, document: Mapping[str, Any] | None, raw: tuple[str, bytes] | None
) -> dict[str, bool]:
    checks: dict[str, bool] = {}
    if index is not None:
        checks["the_index_row_holds_the_text_it_names"] = text_hash(index["embedded_text"]) == index["text_hash"]
        checks["the_index_row_equals_silver"] = chunk is not None and all(
            index[name] == chunk[name] for name in ("text_hash", "chunk_hash", "document_id")
        )
        checks["permissions_equal_silver"] = document is not None and (
            sorted(index["allowed_principals"]) == sorted(document["allowed_principals"])
        )
    if chunk is not None:
        checks["the_chunk_holds_the_text_it_names"] = (
            text_hash(embedded_text(chunk["header"], chunk["text"])) == chunk["text_hash"]
        )
        checks["the_chunk_is_a_span_of_the_document"] = (
            document is not None and document["text"][chunk["start_char"] : chunk["end_char"]] == chunk["text"]
        )
    if raw is not None:
        checks["the_bytes_have_their_hash"] = bytes_hash(raw[1]) == raw[0]
        if document is not None:
            checks["the_document_comes_from_these_bytes"] = document["input_key"].startswith(f"{raw[0]}:")
    return checks
