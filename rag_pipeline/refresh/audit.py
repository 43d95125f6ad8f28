"""The audit of one version of an index: what is compared with silver, and the record of it.

Belongs here: which rows an audit looks at, its findings, its record.
Does not belong here: mending what is found (`index.py`), what differs (`transforms/index.py`).

A run compares which rows there are, their hashes and permissions, all of them; it reads texts and vectors of the rows
that it changed, and measures the approximate index when that was trained or compacted. Everything is looked at when the
table is not the one that an audit passed, by maintenance, and by `verify`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from rag_pipeline.contracts.ids import digest, text_hash
from rag_pipeline.contracts.index import STATE_COLUMNS
from rag_pipeline.contracts.log_rows import Audit
from rag_pipeline.contracts.sink import Sink
from rag_pipeline.contracts.tables import AUDITS, CHUNKS, DOCUMENTS
from rag_pipeline.refresh.generations import is_complete
from rag_pipeline.refresh.recall import depth_of_search
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.selection import rows_with
from rag_pipeline.transforms.index import SAMPLE, Findings, audit_rows, desired_state, invalid_vectors

log = logging.getLogger(__name__)

# Above this many rows all are read in a stream: to pick so many by name takes as long.
FEW_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class Trusted:
    """What need not be looked at again, since an audit passed on the version that a refresh began from.

    Attributes:
        changed: chunk_ids of the rows that were added or changed since.
        search: How deep the table has to be searched, as an audit says it; None: that has to be measured.
    """

    changed: Sequence[str]
    search: Mapping[str, Any] | None


def trusted_since(last: Audit | None, table: Sink, version: int, changed: Sequence[str]) -> Trusted | None:
    """What the last audit of a table lets a refresh trust that began at a version of it; None: nothing.

    A version that nobody audited was made by somebody else, or by a refresh that was killed. One that a revocation made
    is as good as the one that it began from.
    """
    if last is None or not last.is_sound or last.place != (table.name, version):
        return None
    return Trusted(changed, {"search": last.search} if last.search else None)


def search_depth(findings: Mapping[str, Any]) -> Any:
    """The refine factor that an audit's findings name; None without an approximate index."""
    return findings.get("search", {}).get("refine_factor")


def recorded(
    workspace: Workspace,
    alias: str,
    table: Sink,
    versions: tuple[int, int],
    findings: Findings,
    *,
    passed: bool,
    repaired: int = 0,
    withheld: int = 0,
    trusted: Trusted | None = None,
) -> Audit:
    """Record an audit, with how deep the table has to be searched; return it."""
    search = depth_of_search(table) if trusted is None or trusted.search is None else dict(trusted.search)
    state = table.read(["document_id"])
    audited_at = workspace.now()
    before = workspace.lake.read(AUDITS, ["sequence"])["sequence"]
    sequence = 0 if before.is_empty() else int(before.max()) + 1  # type: ignore[arg-type]
    named = (table.name, str(table.version), str(sequence), audited_at.isoformat(), workspace.run_id)
    audit = Audit(
        audit_id=digest("audit", *named)[:32],
        sequence=sequence,
        alias=alias,
        space_fingerprint=table.space.fingerprint,
        table_name=table.name,
        table_version=table.version,
        chunks_version=versions[0],
        documents_version=versions[1],
        rows=state.height,
        documents=state["document_id"].n_unique(),
        repaired=repaired,
        ghosts=findings.ghosts,
        missing=findings.missing,
        mismatched=findings.mismatched,
        withheld=withheld,
        findings=findings.details | search,
        passed=passed,
        audited_at=audited_at,
        run_id=workspace.run_id,
    )
    workspace.lake.append_audit(audit)
    return audit


def audit_table(
    workspace: Workspace,
    table: Sink,
    versions: tuple[int, int],
    rechunked: frozenset[str] = frozenset(),
    *,
    trusted: Trusted | None = None,
) -> Findings:
    """Compare a table with the versions of silver it was made from, and check its vectors and indexes.

    Hashes, permissions and which rows there are, are compared for all rows every time.

    Args:
        versions: Of silver/chunks and silver/documents.
        rechunked: chunk_ids of rows that may stand although silver cuts their document differently now; their metadata
            and permissions have to be silver's all the same.
        trusted: Texts and vectors of other rows than these were looked at before; None: of all rows.
    """
    lake = workspace.lake
    columns = ["chunk_id", "document_id", "text_hash", "chunk_hash"]
    chunks = lake.read(CHUNKS, columns, version=versions[0])
    documents = lake.read(DOCUMENTS, ["document_id", "metadata_hash", "allowed_principals"], version=versions[1])
    actual = table.read([*STATE_COLUMNS, "document_id", "allowed_principals"])
    kept = actual.filter(pl.col("chunk_id").is_in(pl.Series(sorted(rechunked), dtype=pl.String).implode()))
    desired = desired_state(pl.concat([chunks, kept.select(columns)]), documents).join(
        documents.select("document_id", "allowed_principals"), on="document_id"
    )
    findings = audit_rows(desired, actual.drop("document_id"))
    details = dict(findings.details)
    unsound = _unsound_rows(table, None if trusted is None else trusted.changed)
    if unsound:
        details["content"] = {"count": len(unsound), "sample": sorted(unsound)[:SAMPLE]}
    unindexed = table.unindexed_rows()
    details |= {"unindexed": unindexed} if unindexed else {}
    mismatched = findings.mismatched + len(unsound)
    return Findings(findings.ghosts, findings.missing, mismatched, details, findings.at_fault | set(unsound))


def _unsound_rows(table: Sink, chosen: Sequence[str] | None) -> list[str]:
    """Rows, of those chosen or of all, whose vector is unsound or whose text is not the one that its hash names."""
    width = table.space.dimension
    columns = ["chunk_id", "text_hash", "embedded_text", "vector"]
    if chosen is None or len(chosen) > FEW_ROWS:
        batches: Iterable[pa.RecordBatch] = table.stream(columns)
    else:
        batches = rows_with(table, "chunk_id", chosen, columns).to_arrow().to_batches()
    bad: list[str] = []
    for batch in batches:
        names = batch.column("chunk_id").to_pylist()
        vectors = batch.column("vector").flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        bad += invalid_vectors(names, vectors)
        hashes, texts = batch.column("text_hash").to_pylist(), batch.column("embedded_text").to_pylist()
        bad += [name for name, h, text in zip(names, hashes, texts, strict=True) if text_hash(text) != h]
    return bad


def audit_whole(workspace: Workspace, alias: str) -> bool:
    """Look again at all of a version that was audited, texts, vectors and recall; say whether it still passes.

    If it does not, that is recorded, and the next refresh of the index makes the rows at fault anew.
    """
    lake = workspace.lake
    space = workspace.space(alias)
    versions = (lake.version(CHUNKS), lake.version(DOCUMENTS))
    last = lake.last_audit(space.fingerprint)
    if last is None or not is_complete(last, versions):
        # The next run looks at it anyway.
        return True
    table = workspace.vectors.open(last.table_name, space.fingerprint, version=last.table_version)
    findings = audit_table(workspace, table, versions)
    search = depth_of_search(table)
    if not findings.passed or search_depth(search) != search_depth(last.findings):
        log.warning("audited again table=%s findings=%s search=%s", table.name, findings.details, search)
        recorded(workspace, alias, table, versions, findings, passed=findings.passed)
    return findings.passed
