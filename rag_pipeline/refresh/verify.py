"""Hold the real tables against the promises.

Belongs here: reading the tables that each promise is about.
Does not belong here: the promises (`transforms/verify.py`, `transforms/index.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from rag_pipeline.contracts.sink import Sink
from rag_pipeline.contracts.tables import BOILERPLATE, CHUNKS, DOCUMENTS, DUPLICATES, QUARANTINE
from rag_pipeline.errors import LakeDamaged, TableMissing, TableOutdated
from rag_pipeline.refresh.audit import audit_table
from rag_pipeline.refresh.boilerplate import desired_boilerplate
from rag_pipeline.refresh.damage import DamagedTable, damaged_tables, unless_damaged
from rag_pipeline.refresh.deliver import compare_delivered
from rag_pipeline.refresh.documents import read_origins
from rag_pipeline.refresh.enrichments import wanted_of_chunks, wanted_of_documents
from rag_pipeline.refresh.generations import index_problem, is_held
from rag_pipeline.refresh.holds import read_holds
from rag_pipeline.refresh.memberships import uncounted_memberships
from rag_pipeline.refresh.recall import LEAST_RECALL, recall_of_index
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.failures import cure_command
from rag_pipeline.stores.kept import open_version
from rag_pipeline.stores.retrievers import EXACT
from rag_pipeline.transforms.boilerplate import with_left_out
from rag_pipeline.transforms.deletion_guard import release_command
from rag_pipeline.transforms.verify import (
    SAMPLE,
    Finding,
    boilerplate_is_current,
    chunks_cover_documents,
    documents_account_for_origins,
    finding,
    wrong_spans,
)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was compared and what was found; `ghosts`, `missing` and `mismatched` are exact counts of rows.

    Attributes:
        damaged: Tables that cannot be read whole; nothing that needs them could be compared.
    """

    ghosts: int
    missing: int
    mismatched: int
    findings: list[dict[str, Any]]
    documents: int
    chunks: int
    checked: dict[str, int]
    damaged: list[dict[str, Any]] = field(default_factory=list)


def verify(workspace: Workspace) -> VerifyReport:
    """Compare every layer with the one before it, and what readers see with silver."""
    damaged = damaged_tables(workspace, thorough=True)
    findings = [
        Finding("table_is_damaged", "damaged", 1, (f"{found.table}: {found.reason}",), found.next_step)
        for found in damaged
    ]
    silver = (document_findings, boilerplate_findings, chunk_findings, span_findings, enrichment_findings)
    for compare in (membership_findings, *silver):
        findings += _compared(workspace, compare, damaged)
    served: list[int] = []
    findings += _compared(workspace, lambda opened: _served(opened, served), damaged)
    findings += _compared(workspace, compare_delivered, damaged)
    findings += _compared(workspace, hold_findings, damaged)
    lake = workspace.lake
    return VerifyReport(
        ghosts=sum(f.count for f in findings if f.kind == "ghost"),
        missing=sum(f.count for f in findings if f.kind == "missing"),
        mismatched=sum(f.count for f in findings if f.kind == "mismatched"),
        findings=[asdict(f) for f in findings],
        documents=unless_damaged(lambda: lake.read(DOCUMENTS, ["document_id"]).height, 0),
        chunks=unless_damaged(lambda: lake.read(CHUNKS, ["chunk_id"]).height, 0),
        checked={"objects": unless_damaged(lambda: read_origins(workspace).height, 0), "published_rows": sum(served)},
        damaged=[asdict(found) for found in damaged],
    )


def _compared(
    workspace: Workspace, compare: Callable[[Workspace], list[Finding]], damaged: list[DamagedTable]
) -> list[Finding]:
    """What a comparison finds; one that meets a table which cannot be read finds that, unless it is known."""
    try:
        return compare(workspace)
    except (LakeDamaged, TableMissing, TableOutdated) as error:
        table = str(error.facts.get("table", ""))
        if isinstance(error, LakeDamaged) and any(found.table == table for found in damaged):
            return []
        if isinstance(error, LakeDamaged):
            return [Finding("table_is_damaged", "damaged", 1, (error.message,), cure_command(table))]
        return [Finding("table_cannot_be_opened", "missing", 1, (error.message,))]


def _served(workspace: Workspace, rows: list[int]) -> list[Finding]:
    findings, count = published_findings(workspace)
    rows.append(count)
    return findings


def membership_findings(workspace: Workspace) -> list[Finding]:
    """silver/memberships against silver/principals, at which searches look."""
    lacking, beyond = uncounted_memberships(workspace)
    code = "searches_count_memberships"
    return [
        *finding(code, "missing", lacking["member_principal"]),
        *finding(code, "ghost", beyond["member_principal"]),
    ]


def document_findings(workspace: Workspace) -> list[Finding]:
    """Bronze against silver/documents and silver/quarantine."""
    columns = ["document_id", "origin_id", "input_key", "origin_metadata_hash", "allowed_principals"]
    origins = read_origins(workspace).select("document_id", "input_key", "metadata_hash", "allowed_principals")
    return documents_account_for_origins(
        origins,
        workspace.lake.read(DOCUMENTS, columns),
        workspace.lake.read(QUARANTINE, ["document_id", "stage"]),
        keep_last_good=workspace.settings.quarantined_documents == "keep_last_good",
    )


def boilerplate_findings(workspace: Workspace) -> list[Finding]:
    """silver/documents against silver/boilerplate."""
    actual = workspace.lake.read(BOILERPLATE)
    return boilerplate_is_current(desired_boilerplate(workspace), actual)


def chunk_findings(workspace: Workspace) -> list[Finding]:
    """silver/documents and silver/boilerplate against silver/chunks."""
    columns = ["document_id", "source", "content_hash", "block_hashes"]
    documents = workspace.lake.read(DOCUMENTS, columns)
    return chunks_cover_documents(
        with_left_out(documents, workspace.lake.read(BOILERPLATE)),
        workspace.lake.read(DUPLICATES, ["document_id", "duplicate_of"]),
        workspace.lake.read(CHUNKS, ["chunk_id", "document_id", "content_hash", "left_out_hash"]),
    )


def enrichment_findings(workspace: Workspace) -> list[Finding]:
    """silver/enrichments against what documents and chunks say that was read out of them."""
    documents = workspace.lake.read(DOCUMENTS, ["document_id", "enriched"])
    wanted = wanted_of_documents(workspace)
    wrong = [name for name, said in documents.iter_rows() if said != wanted.get(name)]
    sentences = wanted_of_chunks(workspace)
    chunks = workspace.lake.read(CHUNKS, ["chunk_id", "context"])
    other = [name for name, said in chunks.iter_rows() if said != sentences.get(name)]
    return [
        *finding("enriched_is_not_what_was_read", "mismatched", pl.Series("document_id", wrong, dtype=pl.String)),
        *finding("context_is_not_what_was_read", "mismatched", pl.Series("chunk_id", other, dtype=pl.String)),
    ]


def hold_findings(workspace: Workspace) -> list[Finding]:
    """What readers see only because the deletion guard holds it: no fault of a table, but a person has to decide."""
    return [
        Finding(
            f"held_because_{hold.kind}",
            "held",
            len(hold.held),
            tuple(sorted(hold.held)[:SAMPLE]),
            f"{release_command([hold.source])}  # {len(hold.held)} of {len(hold.measured)} documents of {hold.source}, "
            f"held since {hold.since_at:%Y-%m-%d %H:%M} UTC",
        )
        for hold in read_holds(workspace)
    ]


def vector_findings(workspace: Workspace, alias: str) -> list[Finding]:
    """silver/chunks against gold/embeddings of one model."""
    texts = workspace.lake.read(CHUNKS, ["text_hash"]).unique()
    known = workspace.lake.embedded_hashes(workspace.space(alias).fingerprint)
    return finding("text_without_vector", "missing", texts.join(known, on="text_hash", how="anti")["text_hash"])


def span_findings(workspace: Workspace) -> list[Finding]:
    """The text of every chunk is the document's text at its span."""
    columns = ["chunk_id", "document_id", "start_char", "end_char", "text"]
    chunks = workspace.lake.read(CHUNKS, columns)
    wrong = [pl.Series("chunk_id", [], dtype=pl.String)]
    for texts in workspace.lake.stream(DOCUMENTS, ["document_id", "text"]):
        wrong.append(wrong_spans(texts, chunks))
    return finding("span_is_not_text", "mismatched", pl.concat(wrong))


def recall_findings(table: Sink) -> list[Finding]:
    """What readers would miss in the approximate index, searched as deep as they do; versions of old audits, mostly."""
    if table.refine_factor == EXACT or not table.has_vector_index:
        return []
    recall = recall_of_index(table, table.refine_factor)
    said = json.dumps({"recall": round(recall, 4), "least": LEAST_RECALL})
    return [Finding("published_recall", "mismatched", 1, (said,))] if recall < LEAST_RECALL else []


def published_findings(workspace: Workspace) -> tuple[list[Finding], int]:
    """What readers see against silver as it is now, and how many rows they see."""
    lake = workspace.lake
    publication = lake.last_publication()
    versions = (lake.version(CHUNKS), lake.version(DOCUMENTS))
    if publication is None:
        chunks = lake.read(CHUNKS, ["chunk_id"])["chunk_id"]
        return finding("chunk_not_published", "missing", chunks), 0
    problem = index_problem(workspace, publication)
    if problem:
        return [Finding("published_index_not_there", "missing", publication.rows, (problem,))], 0
    table = open_version(workspace.vectors, publication)
    found = audit_table(workspace, table, versions)
    findings: list[Finding] = recall_findings(table)
    cure = f"rag-pipeline models publish {publication.alias}" if is_held(workspace) else "rag-pipeline run"
    kinds = {"ghosts": "ghost", "missing": "missing"}
    for code, detail in found.details.items():
        if isinstance(detail, dict) and "count" in detail:
            kind: Any = kinds.get(code, "mismatched")
            findings.append(Finding(f"published_{code}", kind, detail["count"], tuple(detail["sample"]), cure))
        else:
            findings.append(Finding(f"published_{code}", "mismatched", 1, (json.dumps(detail),), cure))
    return findings, table.count()
