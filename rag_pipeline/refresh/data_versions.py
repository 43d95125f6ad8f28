"""Versions of what the tables hold, for whoever wants to know whether anything is different.

Belongs here: which columns say what a table holds, and reading them.
Does not belong here: the arithmetic (`transforms/versions.py`), showing them (`defs/`).

Times of a run, attempts and ids of runs are left out: a run that changes nothing must not look like a change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import polars as pl

from rag_pipeline.contracts.evaluation import EvaluationRow
from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.contracts.tables import (
    BOILERPLATE,
    BRONZE,
    CHUNKS,
    DOCUMENTS,
    DUPLICATES,
    ENRICHMENTS,
    QUARANTINE,
)
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.transforms.versions import frame_version

log = logging.getLogger(__name__)

# Hashes on the rows stand for everything else on them. Of other tables the key says all.
_TELLING: Mapping[str, list[str]] = {
    DOCUMENTS.path: ["document_id", "content_hash", "metadata_hash", "principals_key"],
    QUARANTINE.path: ["document_id", "stage", "reason_code", "detail", "input_key", "allowed_principals"],
    DUPLICATES.path: ["document_id", "duplicate_of", "reason"],
    BOILERPLATE.path: ["source", "block_hash", "documents", "kept_in"],
    CHUNKS.path: ["chunk_id", "text_hash", "chunk_hash"],
}
_OF_AN_INDEX_ROW = ["chunk_id", "chunk_hash", "metadata_hash"]


UNKNOWN = "unknown"


def version_or_unknown(version: Callable[[], str]) -> str:
    """A version for people to look at; what cannot be told is said, and is no reason for a step to fail."""
    try:
        return version()
    except FAULTS as error:
        log.warning("a data version is not known: %s", error)
        return UNKNOWN


def silver_version(workspace: Workspace, table: TableContract) -> str:
    """Version of one of the tables of silver."""
    return frame_version(workspace.lake.read(table, _TELLING.get(table.path, list(table.key))))


def enrichments_version(workspace: Workspace) -> str:
    """Version of what was read out of texts."""
    # Readings are lists or objects; a text of letters is a vector that was kept, and follows from the others.
    is_reading = pl.col("value").is_null() | ~pl.col("value").str.starts_with('"')
    columns = ["recipe", "input_hash", "value", "reason_code"]
    return frame_version(workspace.lake.read(ENRICHMENTS, columns, where=is_reading))


def bronze_version(workspace: Workspace, source: str) -> str:
    """Version of what is known of a source: the log of its changes grows with each of them, and with nothing else."""
    return frame_version(workspace.lake.read(BRONZE.of(source), ["document_id", "revision"]))


def all_sources_version(workspace: Workspace) -> str:
    """One version of all of bronze."""
    return digest(*(bronze_version(workspace, name) for name in sorted(workspace.settings.sources)))[:16]


def embeddings_version(workspace: Workspace, space_fingerprint: str) -> str:
    """Version of the vectors of an embedding space, each of which follows from its text."""
    return frame_version(workspace.lake.embedded_hashes(space_fingerprint).select("text_hash"))


def index_version(workspace: Workspace, table_name: str, space_fingerprint: str, table_version: int) -> str:
    """Version of the rows of an index, as of a version of its table."""
    table = workspace.vectors.open(table_name, space_fingerprint, version=table_version)
    return frame_version(table.read(_OF_AN_INDEX_ROW))


def evaluation_version(row: EvaluationRow | None) -> str:
    """Version of an evaluation's outcome; None: nothing is asked."""
    if row is None:
        return "none"
    return digest(row.evaluation_id)[:16]
