"""What else is said of erased documents: vectors, signatures, remarks, results of questions, and words in logs.

Belongs here: taking it out of the tables.
Does not belong here: the documents and chunks themselves (`erase.py`).
"""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from rag_pipeline.contracts.erasures import Erasure
from rag_pipeline.contracts.evaluation import QUESTION_RESULTS
from rag_pipeline.contracts.feedback import FEEDBACK
from rag_pipeline.contracts.holds import DELETION_HOLDS
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.contracts.tables import (
    AUDITS,
    CHUNKS,
    DOCUMENTS,
    EMBEDDINGS,
    ENRICHMENTS,
    PUBLICATIONS,
    QUARANTINE,
    SIGNATURES,
    SIMILAR_PAIRS,
    UNUSED_EMBEDDINGS,
)
from rag_pipeline.refresh.contexts import chunk_keys
from rag_pipeline.refresh.erase_pieces import FREE_COLUMNS
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.byte_search import Needles
from rag_pipeline.stores.lake_files import tables_in
from rag_pipeline.stores.purge import delete_rows


def take_remains(workspace: Workspace, plan: Erasure, needles: Needles, *, is_made: bool) -> None:
    """Vectors, signatures and readings that no document uses now, and what is said of the documents in logs.

    Args:
        is_made: Silver is whole. Else only what is known to be of these documents goes, since the others' vectors are
            still used by what the next run makes.
    """
    lake = workspace.lake
    used = set(lake.read(CHUNKS, ["text_hash"])["text_hash"])
    for space in tables_in(lake, EMBEDDINGS.kind):
        contract = EMBEDDINGS.of(space)
        unused = (set(lake.read(contract, ["text_hash"])["text_hash"]) if is_made else set(plan.texts)) - used
        delete_rows(lake, contract, "text_hash", unused)
        delete_rows(lake, UNUSED_EMBEDDINGS, "text_hash", unused)
    known = set(lake.read(DOCUMENTS, ["content_hash"])["content_hash"])
    known |= set(chunk_keys(lake))
    pairs = ((SIMILAR_PAIRS, "left_hash"), (SIMILAR_PAIRS, "right_hash"))
    for contract, side in ((SIGNATURES, "content_hash"), (ENRICHMENTS, "input_hash"), *pairs):
        unused = (set(lake.read(contract, [side])[side]) if is_made else set(plan.wordings)) - known
        delete_rows(lake, contract, side, unused)
    remarks = lake.read(FEEDBACK)
    mine = [row["feedback_id"] for row in remarks.iter_rows(named=True) if _is_about(row, plan, needles)]
    mine += remarks.filter(pl.col("caller").is_in(list(plan.principals)))["feedback_id"].to_list()
    delete_rows(lake, FEEDBACK, "feedback_id", set(mine))
    results = lake.read(QUESTION_RESULTS)
    about = [row for row in results.iter_rows(named=True) if _is_about(row, plan, needles)]
    lake.replace_where(QUESTION_RESULTS, QUESTION_RESULTS.empty(), QUESTION_RESULTS.frame(about))
    for contract in (AUDITS, PUBLICATIONS, QUARANTINE, DELETION_HOLDS):
        _redact(workspace, contract, needles)


def _is_about(row: dict[str, Any], plan: Erasure, needles: Needles) -> bool:
    said = json.dumps(row, default=str, ensure_ascii=False)
    named = {row.get("uri"), *row.get("found", ())}
    is_named = bool(named.intersection(plan.uris)) or not set(plan.derived).isdisjoint(
        row.get("cited_document_ids") or ()
    )
    return is_named or bool(needles.of(said.encode("utf-8", "surrogatepass")))


def _redact(workspace: Workspace, contract: TableContract, needles: Needles) -> None:
    """Put a mark in the place of what was erased, where other rows than its own say it."""
    lake = workspace.lake
    # What a log does not say in words is how readers find their index and model.
    texts = [name for name in contract.schema if name in FREE_COLUMNS]
    rows = lake.read(contract, [*contract.key, *texts])
    changed = []
    for row in rows.iter_rows(named=True):
        after = {name: needles.redacted(row[name]) if row[name] else row[name] for name in texts}
        if any(after[name] != row[name] for name in texts):
            changed.append({**row, **after})
    if changed:
        lake.update(contract, pl.DataFrame(changed, schema=rows.schema))
