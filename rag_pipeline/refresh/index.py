"""Bring the index table of one embedding space up to date with silver, and audit that very version.

Belongs here: reading differences, joining vectors, committing, indexing, the audit record.
Does not belong here: what differs (`transforms/index.py`), LanceDB (`stores/vectors.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import polars as pl
import pyarrow as pa

from rag_pipeline.contracts.index import STATE_COLUMNS
from rag_pipeline.contracts.log_rows import NO_SILVER, Audit
from rag_pipeline.contracts.sink import Sink
from rag_pipeline.contracts.tables import CHUNKS, DOCUMENTS, PUBLICATIONS
from rag_pipeline.errors import ContractViolation, StoreError, TableOutdated
from rag_pipeline.refresh.audit import FEW_ROWS, Trusted, audit_table, recorded, trusted_since
from rag_pipeline.refresh.index_rows import documents_of, shaped
from rag_pipeline.refresh.neighbours import record_neighbours
from rag_pipeline.refresh.progress import progress
from rag_pipeline.refresh.recall import is_measured
from rag_pipeline.refresh.revocations import revoked_chunks
from rag_pipeline.refresh.steps import step
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.lake import Lake
from rag_pipeline.transforms.index import (
    SAMPLE,
    Findings,
    IndexPlan,
    desired_state,
    plan_index,
)

log = logging.getLogger(__name__)

# Some 30 MB with their vectors, and few enough fragments.
BATCH_ROWS = 10_000
# Enough to go back some nights; an edit of an hour ago is no reason to keep a table twice for a week.
KEPT_PUBLICATIONS = 6
KEPT_FOR = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What one refresh of an index table did; counts are rows."""

    alias: str
    space_fingerprint: str
    table_name: str
    table_version: int
    rows: int
    documents: int
    added: int
    changed: int
    removed: int
    commits: int
    audit: Audit


@step("gold/index")
def refresh_index(workspace: Workspace, alias: str) -> IndexReport:
    """Add, change and remove rows until the table equals silver; then audit it and record the outcome.

    Raises:
        ContractViolation: A chunk has no vector: gold/embeddings was not brought up to date first.
    """
    lake = workspace.lake
    space = workspace.space(alias)
    with lake.writing():
        first_commit = lake.commits
        versions = (lake.version(CHUNKS), lake.version(DOCUMENTS))
        table = workspace.vectors.open_or_create(space)
        before = table.version
        chunks, plan = index_due(lake, table)
        _apply(workspace, table, _anew(plan), space.fingerprint)
        trusted = trusted_since(lake.last_audit(space.fingerprint), table, before, [*plan.new, *plan.changed])
        if not plan.is_empty or table.unindexed_rows() or not _is_finished(lake, table):
            is_trained = table.index()
            if (_compact(workspace, table) or is_trained) and trusted is not None:
                trusted = replace(trusted, search=None)
        audit = _audit(workspace, alias, table, versions, trusted)
        if not plan.is_empty:
            record_neighbours(workspace, table, chunks)
        return IndexReport(
            alias=alias,
            space_fingerprint=space.fingerprint,
            table_name=table.name,
            table_version=table.version,
            rows=chunks.height,
            documents=chunks["document_id"].n_unique(),
            added=len(plan.new),
            changed=len(plan.changed),
            removed=plan.removed,
            commits=lake.commits - first_commit + (table.version != before),
            audit=audit,
        )


def index_due(lake: Lake, table: Sink) -> tuple[pl.DataFrame, IndexPlan]:
    """The chunks there are, and what a refresh changes of an index table for them."""
    chunks = lake.read(CHUNKS, ["chunk_id", "document_id", "text_hash", "chunk_hash"])
    documents = lake.read(DOCUMENTS, ["document_id", "metadata_hash"])
    return chunks, plan_index(desired_state(chunks, documents), table.read(STATE_COLUMNS))


def _is_finished(lake: Lake, table: Sink) -> bool:
    """Whether a refresh has indexed this very version: one that was killed, or a revocation, only changed rows.

    Rows that were removed are in no count of unindexed rows, and weigh on the scores of others until then.
    """
    audit = lake.last_audit(table.space.fingerprint)
    return audit is not None and audit.table_version == table.version and audit.chunks_version != NO_SILVER


def revoke(workspace: Workspace) -> IndexReport | None:
    """Take from the published index what silver no longer allows, without computing a vector; None: nothing to take.

    Rows of documents that are gone and of wording that was removed go; metadata and permissions of all others become
    silver's. Chunks that have no row yet stay out, and chunks that are only cut differently keep the row they have:
    the audit counts both as withheld.
    """
    lake = workspace.lake
    last = lake.last_publication()
    if last is None:
        return None
    alias, space_fingerprint = last.alias, last.space_fingerprint
    with lake.writing():
        versions = (lake.version(CHUNKS), lake.version(DOCUMENTS))
        chunks = lake.read(CHUNKS, ["chunk_id", "document_id", "text_hash", "chunk_hash"])
        documents = lake.read(DOCUMENTS, ["document_id", "metadata_hash"])
        try:
            table = workspace.vectors.open(last.table_name, space_fingerprint)
        except TableOutdated:
            # No reader of this version of the program can open it.
            return None
        state = table.read([*STATE_COLUMNS, "document_id"])
        plan = plan_index(desired_state(chunks, documents), state)
        rechunked = set(plan.gone) - set(plan.new)
        rechunked -= revoked_chunks(workspace, table, sorted(rechunked))
        stale = _rechunked_rows(lake, state, rechunked, documents)
        removed = [name for name in plan.gone if name not in rechunked]
        audit = lake.last_audit(space_fingerprint)
        is_audited = audit is not None and audit.passed and audit.table_version == table.version
        if is_audited and not (removed or plan.changed or stale.height):
            return None
        _apply(workspace, table, IndexPlan(new=[], changed=plan.changed, gone=removed), space_fingerprint)
        if stale.height:
            table.update_columns(stale.to_arrow())
        table.index()
        audit = _audit_withheld(workspace, alias, table, versions, frozenset(rechunked))
        return IndexReport(
            alias=alias,
            space_fingerprint=space_fingerprint,
            table_name=table.name,
            table_version=table.version,
            rows=audit.rows,
            documents=audit.documents,
            added=0,
            changed=len(plan.changed) + stale.height,
            removed=len(removed),
            commits=2,
            audit=audit,
        )


def _rechunked_rows(lake: Lake, state: pl.DataFrame, rechunked: set[str], documents: pl.DataFrame) -> pl.DataFrame:
    """Rows that keep their place while their document's metadata or permissions have changed: columns to replace."""
    rows = state.filter(pl.col("chunk_id").is_in(pl.Series(sorted(rechunked), dtype=pl.String).implode()))
    known = rows.select("chunk_id", "document_id", found="metadata_hash").join(documents, on="document_id")
    stale = known.filter(pl.col("found") != pl.col("metadata_hash")).select("chunk_id", "document_id")
    return stale.join(documents_of(lake, stale["document_id"]), on="document_id")


def _audit_withheld(
    workspace: Workspace, alias: str, table: Sink, versions: tuple[int, int], rechunked: frozenset[str]
) -> Audit:
    """Audit a version that may lack rows but may show nothing that silver does not allow."""
    findings = audit_table(workspace, table, versions, rechunked)
    names = set(table.read(["chunk_id"])["chunk_id"])
    wrong = sorted(findings.at_fault & names)
    if wrong:
        # There may be no vector to mend them with; a row that is missing harms nobody.
        table.delete(wrong)
        table.index()
        findings = audit_table(workspace, table, versions, rechunked)
    kept = sorted(rechunked & names - set(wrong))
    details = findings.details | ({"rechunked": {"count": len(kept), "sample": kept[:SAMPLE]}} if kept else {})
    passed = findings.details.keys() <= {"missing"}
    findings = replace(findings, details=details)
    return recorded(workspace, alias, table, versions, findings, withheld=findings.missing + len(kept), passed=passed)


def _anew(plan: IndexPlan) -> IndexPlan:
    """Write few changed rows anew, with the vectors that are stored: to merge them in, Lance reads the whole table."""
    if len(plan.changed) > FEW_ROWS:
        return plan
    return IndexPlan(new=[*plan.new, *plan.changed], changed=[], gone=[*plan.gone, *plan.changed])


def _apply(workspace: Workspace, table: Sink, plan: IndexPlan, space_fingerprint: str) -> None:
    # Removals come first: a new row may have the chunk_id of one that is removed as damaged.
    table.delete(plan.gone)
    with progress("index", len(plan.new) + len(plan.changed)) as bar:
        for rows in _rows(workspace, plan.changed):
            table.update_columns(rows.to_arrow())
            bar.advance(rows.height)
        width = table.space.dimension

        def arrived() -> Iterator[pa.Table]:
            known = workspace.lake.embedded_hashes(space_fingerprint)
            for rows in _rows(workspace, plan.new):
                yield _with_vectors(workspace, rows, known, space_fingerprint, width)
                bar.advance(rows.height)

        if plan.new:
            table.add(arrived())


def _compact(workspace: Workspace, table: Sink) -> bool:
    """Compact and thin out if that is due, and say whether it was.

    What cannot be is tried again by the next change, and holds nothing up.
    """
    try:
        return table.compact_if_due(_oldest_kept(workspace, table.name))
    except StoreError as error:
        log.warning("index table %s was not compacted: %s", table.name, error.message)
        return True


def _oldest_kept(workspace: Workspace, name: str) -> int | None:
    """Oldest version of a table that readers may still be on or a rollback may name; None: none was published.

    Published versions go by age and by number, whichever comes first, but for the one that readers are pointed to.
    """
    rows = workspace.lake.read(PUBLICATIONS, ["sequence", "table_name", "table_version", "published_at"])
    mine = rows.filter(pl.col("table_name") == name).sort("sequence").tail(KEPT_PUBLICATIONS)
    young = mine.filter(pl.col("published_at") >= workspace.now() - KEPT_FOR)
    last = rows.sort("sequence").tail(1).filter(pl.col("table_name") == name)
    versions = pl.concat([young, last])["table_version"]
    return None if versions.is_empty() else int(str(versions.min()))


def _rows(workspace: Workspace, chunk_ids: Iterable[str]) -> Iterator[pl.DataFrame]:
    """Index rows without vectors, some thousand at a time."""
    columns = [
        name for name in CHUNKS.columns if name not in ("chunker_fingerprint", "context", "context_key", "part_key")
    ]
    pending: list[pl.DataFrame] = []
    for frame in workspace.lake.stream_where(CHUNKS, columns, "chunk_id", chunk_ids):
        pending.append(frame)
        if sum(part.height for part in pending) >= BATCH_ROWS:
            yield _shaped(workspace, pending)
            pending = []
    if pending:
        yield _shaped(workspace, pending)


def _shaped(workspace: Workspace, parts: list[pl.DataFrame]) -> pl.DataFrame:
    rows = pl.concat(parts)
    return shaped(rows, documents_of(workspace.lake, rows["document_id"]))


def _with_vectors(
    workspace: Workspace, rows: pl.DataFrame, known: pl.DataFrame, space_fingerprint: str, dimension: int
) -> pa.Table:
    wanted = rows.select("text_hash").unique().join(known, on="text_hash")
    vectors = workspace.lake.vectors(space_fingerprint, wanted)
    joined = rows.join(vectors, on="text_hash")
    if joined.height != rows.height:
        raise ContractViolation(
            f"{rows.height - joined.height} chunks have no vector in embedding space {space_fingerprint}; nothing of "
            f"this batch was written. Bring gold/embeddings up to date first: rag-pipeline run",
            space_fingerprint=space_fingerprint,
        )
    flat = joined["vector"].explode().to_arrow()
    if len(flat) != joined.height * dimension:
        raise ContractViolation(
            f"vectors of embedding space {space_fingerprint} are not all {dimension} wide; nothing of this batch was "
            f"written.",
            space_fingerprint=space_fingerprint,
        )
    table = joined.drop("vector").to_arrow()
    return table.append_column("vector", pa.FixedSizeListArray.from_arrays(flat, dimension))


def _audit(
    workspace: Workspace,
    alias: str,
    table: Sink,
    versions: tuple[int, int],
    trusted: Trusted | None,
) -> Audit:
    """Audit the table unless this very version was audited against this very silver and passed.

    Rows at fault, lost or damaged by whatever means, are taken from silver again; they and no others.

    Args:
        trusted: What an audit found of the version that this refresh began from; None: everything is looked at.
    """
    last = workspace.lake.last_audit(table.space.fingerprint)
    seen = ("alias", "table_name", "table_version", "chunks_version", "documents_version", "passed", "withheld")
    now = (alias, table.name, table.version, *versions, True, 0)
    if last is not None and tuple(getattr(last, name) for name in seen) == now and is_measured(last, table):
        return last
    findings = audit_table(workspace, table, versions, trusted=trusted)
    repaired = len(findings.at_fault)
    if repaired:
        log.warning("repairing table=%s rows=%d findings=%s", table.name, repaired, findings.details)
        _repair(workspace, table, findings)
        trusted = None
        findings = audit_table(workspace, table, versions)
    passed = findings.passed
    return recorded(workspace, alias, table, versions, findings, repaired=repaired, passed=passed, trusted=trusted)


def _repair(workspace: Workspace, table: Sink, findings: Findings) -> None:
    names = sorted(findings.at_fault)
    _apply(workspace, table, IndexPlan(new=names, changed=[], gone=names), table.space.fingerprint)
    table.index()
