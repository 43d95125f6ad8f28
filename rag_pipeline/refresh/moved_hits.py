"""Whether the configured questions find other documents than at the last evaluation without a cause.

Belongs here: which two evaluations are compared, and which documents changed between them.
Does not belong here: comparing (`transforms/moved_hits.py`), evaluating (`evaluation.py`).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import polars as pl

from rag_pipeline.contracts.evaluation import EvaluationRow
from rag_pipeline.contracts.tables import CHUNKS, DOCUMENTS, EMBEDDINGS
from rag_pipeline.refresh.evaluation import evaluation_history, read_evaluation
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.transforms.moved_hits import MovedHits, moved_without_cause


def hits_moved_without_cause(workspace: Workspace, alias: str) -> tuple[list[MovedHits], int]:
    """Questions that moved between a model's last two evaluations that compare, and how many were compared."""
    history = evaluation_history(workspace, alias)
    pair = _last_two(history)
    if pair is None:
        return [], 0
    now, before = (_found(workspace, row) for row in pair)
    since = pair[1].evaluated_at
    moved = moved_without_cause(before, now, lambda uris: _changed(workspace, pair[0].space_fingerprint, uris, since))
    return moved, len(before.keys() & now.keys())


def _last_two(history: list[EvaluationRow]) -> tuple[EvaluationRow, EvaluationRow] | None:
    """The newest evaluation, and the last of another version on the same questions, asked in the same way."""
    if not history:
        return None
    newest = history[0]
    same = (newest.questions_hash, newest.evaluator_fingerprint, newest.space_fingerprint)
    for row in history[1:]:
        if row.audit_id != newest.audit_id and same == (
            row.questions_hash,
            row.evaluator_fingerprint,
            row.space_fingerprint,
        ):
            return newest, row
    return None


def _found(workspace: Workspace, row: EvaluationRow) -> dict[str, tuple[str, ...]]:
    evaluation = read_evaluation(workspace, row.evaluation_id)
    mode = workspace.settings.evaluation.mode
    results = () if evaluation is None else evaluation.results
    return {result.question_id: result.found for result in results if result.mode == mode}


def _changed(workspace: Workspace, space: str, uris: Collection[str], since: datetime) -> set[str]:
    """Those of some addresses that are gone, were observed to change since, or have texts that were embedded since."""
    lake = workspace.lake
    wanted = pl.Series(sorted(uris), dtype=pl.String)
    documents = lake.read(
        DOCUMENTS, ["document_id", "origin_id", "source", "uri"], where=pl.col("uri").is_in(wanted.implode())
    )
    changed = set(uris) - set(documents["uri"])
    for name in documents["source"].unique():
        observed = lake.bronze_state(name).filter(pl.col("observed_at") > since).select(origin_id="document_id")
        changed |= set(documents.join(observed, on="origin_id", how="semi")["uri"])
    ids = documents["document_id"]
    chunks = lake.read(CHUNKS, ["document_id", "text_hash"], where=pl.col("document_id").is_in(ids.implode()))
    hashes = chunks["text_hash"].unique()
    embedded = lake.read(
        EMBEDDINGS.of(space),
        ["text_hash"],
        where=pl.col("text_hash").is_in(hashes.implode()) & (pl.col("embedded_at") > since),
    )
    new = chunks.join(embedded, on="text_hash", how="semi")
    return changed | set(documents.join(new, on="document_id", how="semi")["uri"])
