"""Bring silver/chunks up to date with silver/documents.

Belongs here: reading texts, cutting them in worker processes, committing batch by batch.
Does not belong here: which documents need it (`transforms/chunks.py`) or where they are cut (`transforms/chunk`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import polars as pl

from rag_pipeline.contracts.documents import Chunk
from rag_pipeline.contracts.ids import fingerprint
from rag_pipeline.contracts.tables import BOILERPLATE, CHUNKS, DOCUMENT_FACTS, DOCUMENTS, DUPLICATES, QUARANTINE
from rag_pipeline.errors import ContractViolation, DocumentError, UsageError
from rag_pipeline.refresh.boilerplate import refresh_boilerplate
from rag_pipeline.refresh.contexts import COMMIT_CHUNKS, forget_contexts
from rag_pipeline.refresh.costs import record_timings
from rag_pipeline.refresh.duplicates import refresh_duplicates
from rag_pipeline.refresh.history import record_history
from rag_pipeline.refresh.progress import progress
from rag_pipeline.refresh.steps import step
from rag_pipeline.refresh.timings import Timed, Timings
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.transforms.boilerplate import with_left_out
from rag_pipeline.transforms.chunks import ChunkPlan, chunk_rows, plan_chunks
from rag_pipeline.transforms.documents import quarantine_row
from rag_pipeline.transforms.overview import chunk_overview
from rag_pipeline.transforms.worker_tasks import DocumentToCut, cut_document


class _Waiting(NamedTuple):
    """A document that is being cut."""

    document_id: str
    content_hash: str
    text: str
    source: str
    uri: str
    media_type: str


@dataclass(frozen=True, slots=True)
class ChunksReport:
    """What one refresh of the chunk layer did.

    Attributes:
        by_source: Rows of `chunk_overview`.
        timings: What cutting took, sizes in characters; what was not cut by this run is not in it.
    """

    documents: int
    chunks: int
    documents_cut: int
    documents_removed: int
    hard_splits: int
    commits: int
    token_counts: list[int]
    by_source: list[dict[str, Any]]
    timings: Timings


def chunker_fingerprint(workspace: Workspace, source: str, media_type: str) -> str:
    """What of a recipe decides where a source's documents of a media type are cut."""
    params = workspace.chunk_params(source, media_type)
    return fingerprint("chunk", params.fingerprint, workspace.token_counter.fingerprint)


def _with_recipe(workspace: Workspace, documents: pl.DataFrame) -> pl.DataFrame:
    """Add chunker_fingerprint, left_out and left_out_hash: everything that decides where a document is cut now."""
    pairs = documents.select("source", "media_type").unique()
    recipes = [chunker_fingerprint(workspace, *pair) for pair in pairs.iter_rows()]
    known = pairs.with_columns(chunker_fingerprint=pl.Series(recipes, dtype=pl.String))
    return with_left_out(documents, workspace.lake.read(BOILERPLATE)).join(known, on=["source", "media_type"])


@step("silver/chunks")
def refresh_chunks(workspace: Workspace, *, cut_again: Collection[str] = ()) -> ChunksReport:
    """Cut the documents that are new or changed, and remove the chunks of those that are gone.

    Args:
        cut_again: Sources whose documents are cut although nothing changed.

    Raises:
        UsageError: There is no such source.
    """
    lake = workspace.lake
    unknown = next((name for name in cut_again if name not in workspace.settings.sources), None)
    if unknown is not None:
        raise UsageError(f"there is no source {unknown!r}; allowed: {', '.join(workspace.settings.sources)}")
    with lake.writing():
        first_commit = lake.commits
        cut = removed = 0
        timings = Timings()
        refused = True
        # What is refused may have stood for duplicates; another of them then stands, and has to be cut as well.
        while refused:
            plan, refused = _cut_once(workspace, timings, cut_again)
            cut_again = ()
            cut, removed = cut + len(plan.to_cut), removed + len(plan.gone)
        forget_contexts(workspace)
        after = lake.read(CHUNKS, ["document_id", "token_count", "is_hard_split"])
        sources = lake.read(DOCUMENTS, ["document_id", "source"])
        record_timings(workspace, "cut", timings)
        if not workspace.settings.enrichments:
            # Else headers may change yet.
            record_history(workspace)
    return ChunksReport(
        documents=after["document_id"].n_unique(),
        chunks=after.height,
        documents_cut=cut,
        documents_removed=removed,
        hard_splits=int(after["is_hard_split"].sum()),
        commits=lake.commits - first_commit,
        token_counts=after["token_count"].to_list(),
        by_source=chunk_overview(
            after.join(sources, on="document_id"), short_tokens=workspace.settings.thresholds.short_chunk_tokens
        ).to_dicts(),
        timings=timings,
    )


def _cut_once(workspace: Workspace, timings: Timings, cut_again: Collection[str]) -> tuple[ChunkPlan, bool]:
    """Bring chunks up to date with the documents there are; say whether any of them was refused."""
    lake = workspace.lake
    columns = ["document_id", "content_hash", "source", "media_type", "block_hashes"]
    documents = _with_recipe(workspace, lake.read(DOCUMENTS, columns))
    duplicates = lake.read(DUPLICATES, ["document_id"])
    chunks = lake.read(CHUNKS, ["document_id", "content_hash", "chunker_fingerprint", "left_out_hash"])
    again = documents.filter(pl.col("source").is_in(list(cut_again)))
    plan = plan_chunks(documents, duplicates, chunks.join(again, on="document_id", how="anti"))
    lake.merge(CHUNKS, CHUNKS.empty(), plan.gone, delete_column="document_id")
    wanted = documents.join(
        pl.DataFrame({"document_id": plan.to_cut}, schema={"document_id": pl.String}), on="document_id"
    )
    return plan, _cut_all(workspace, wanted, set(chunks["document_id"]), timings)


def _cut_all(workspace: Workspace, wanted: pl.DataFrame, known: set[str], timings: Timings) -> bool:
    """Cut documents, given as by `_with_recipe`, and say whether any was refused."""
    recipes = {
        row[0]: row[1:] for row in wanted.select("document_id", "chunker_fingerprint", "left_out_hash").iter_rows()
    }
    rows: list[dict[str, Any]] = []
    replaced: set[str] = set()
    refused: dict[str, DocumentError] = {}
    for document, content_hash, text, cut in _cut(workspace, wanted, timings):
        if isinstance(cut, DocumentError):
            refused[document] = cut
            continue
        rows += chunk_rows(document, content_hash, text, cut, *recipes[document])
        if document in known:
            replaced.add(document)
        if len(rows) >= COMMIT_CHUNKS:
            _commit(workspace, rows, replaced)
            rows, replaced = [], set()
    _commit(workspace, rows, replaced)
    _refuse(workspace, refused)
    return bool(refused)


def _refuse(workspace: Workspace, refused: dict[str, DocumentError]) -> None:
    """Move documents that could not be cut from silver/documents to quarantine."""
    if not refused:
        return
    lake = workspace.lake
    columns = ["document_id", "origin_id", "source", "uri", "input_key", "origin_media_type", "allowed_principals"]
    documents = lake.read(DOCUMENTS, columns, where=pl.col("document_id").is_in(list(refused)))
    before = {row["document_id"]: row for row in lake.read(QUARANTINE).iter_rows(named=True)}
    rows = {}
    for row in documents.iter_rows(named=True):
        origin = row | {"document_id": row["origin_id"]}
        rows[row["origin_id"]] = quarantine_row(
            origin,
            refused[row["document_id"]],
            stage="chunk",
            media_type=row["origin_media_type"],
            recipe=workspace.parse_recipe(origin["source"]),
            before=before.get(row["origin_id"]),
            now=workspace.now(),
        ) | {"chunker_fingerprint": chunker_fingerprint(workspace, row["source"], row["origin_media_type"])}
    lake.merge(QUARANTINE, QUARANTINE.frame(list(rows.values())))
    lake.merge(DOCUMENTS, DOCUMENTS.empty(), rows, delete_column="origin_id")
    left = lake.read(DOCUMENTS, DOCUMENT_FACTS)
    parts = lake.read(CHUNKS, ["document_id"]).unique().join(left, on="document_id", how="anti")
    lake.merge(CHUNKS, CHUNKS.empty(), parts["document_id"].to_list(), delete_column="document_id")
    refresh_duplicates(workspace, left)
    refresh_boilerplate(workspace)


def _commit(workspace: Workspace, rows: list[dict[str, Any]], replaced: set[str]) -> None:
    frame = CHUNKS.frame(rows)
    if replaced:
        workspace.lake.merge(CHUNKS, frame, replaced, delete_column="document_id")
    elif rows:
        workspace.lake.append(CHUNKS, frame)


def _cut(
    workspace: Workspace, wanted: pl.DataFrame, timings: Timings
) -> Iterator[tuple[str, str, str, list[Chunk] | DocumentError]]:
    columns = ["document_id", "content_hash", "uri", "source", "media_type", "text"]
    columns += ["content_title", "language", "blocks"]
    chunk_params = cache(workspace.chunk_params)
    less = dict(wanted.drop_nulls("left_out").select("document_id", "left_out").iter_rows())
    waiting: list[_Waiting | None] = []

    def items() -> Iterator[DocumentToCut]:
        for frame in workspace.lake.stream_where(DOCUMENTS, columns, "document_id", wanted["document_id"]):
            for document, content_hash, uri, source, media_type, text, *rest in frame.select(columns).iter_rows():
                waiting.append(_Waiting(document, content_hash, text, source, uri, media_type))
                yield text, *rest, chunk_params(source, media_type), less.get(document, [])

    task = Timed(partial(cut_document, counter=workspace.token_counter))
    with progress("chunk", wanted.height) as bar:
        for index, answer in workspace.engine.map(task, items(), weight=lambda item: len(item[0])):
            found = waiting[index]
            assert found is not None
            waiting[index] = None
            bar.advance(1)
            result, seconds = (answer, 0.0) if isinstance(answer, DocumentError) else answer
            timings.add(found.source, found.uri, found.media_type, len(found.text), seconds)
            if not isinstance(result, DocumentError) and not result:
                raise ContractViolation(
                    f"document {found.document_id} has text but gave no chunk; nothing of this batch was written. This "
                    f"is a fault of the chunker; please report it with the document.",
                    document_id=found.document_id,
                )
            yield found.document_id, found.content_hash, found.text, result
