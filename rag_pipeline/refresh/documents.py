"""Bring silver/documents and silver/quarantine up to date with bronze, and silver/duplicates with them.

Belongs here: reading what is needed, parsing in worker processes, committing batch by batch.
Does not belong here: which documents need it (`transforms/documents.py`), how they are parsed (`transforms/parse`),
duplicates (`duplicates.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.contracts.tables import DOCUMENTS, QUARANTINE
from rag_pipeline.errors import DocumentError, EmptyDocument
from rag_pipeline.refresh.chunks import chunker_fingerprint
from rag_pipeline.refresh.duplicates import refresh_duplicates
from rag_pipeline.refresh.progress import progress
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.lake import DOCUMENTS_PATH, QUARANTINE_PATH
from rag_pipeline.transforms.documents import (
    METADATA_COLUMNS,
    DocumentPlan,
    ParseRecipe,
    document_rows,
    metadata_columns,
    origins_of,
    plan_documents,
    quarantine_row,
)
from rag_pipeline.transforms.enrich import check_quality, enrich
from rag_pipeline.transforms.parse import media_type_of, parse

# One commit holds about this much text: small enough to hold in memory and to lose, large enough to be rare.
COMMIT_CHARS = 16 * 2**20
COMMIT_DOCUMENTS = 4_000

NARROW = [name for name in DOCUMENTS.columns if name not in ("text", "blocks")]


@dataclass(frozen=True, slots=True)
class DocumentsReport:
    """What one refresh of the document layer did; counts are documents unless named otherwise."""

    origins: int
    documents: int
    parsed: int
    metadata_changed: int
    removed: int
    quarantined: int
    duplicates: int
    commits: int
    by_media_type: dict[str, int]
    by_source: dict[str, int]
    by_language: dict[str, int]
    by_reason: dict[str, int]
    quality_percents: list[int]


def read_origins(workspace: Workspace) -> pl.DataFrame:
    """Live objects of all configured sources, from bronze."""
    return origins_of({name: workspace.lake.bronze_state(name) for name in sorted(workspace.settings.sources)})


def refresh_documents(workspace: Workspace) -> DocumentsReport:
    """Parse what is new or changed, update metadata, remove what is gone, and name the duplicates."""
    lake = workspace.lake
    with lake.writing():
        first_commit = lake.commits
        origins = read_origins(workspace)
        quarantine = _with_present_chunker(workspace, lake.read(QUARANTINE_PATH, QUARANTINE))
        plan = plan_documents(
            origins,
            lake.read(DOCUMENTS_PATH, DOCUMENTS, NARROW),
            quarantine,
            recipes={name: workspace.parse_recipe(name) for name in workspace.settings.sources},
            now=workspace.now(),
            keep_last_good=workspace.settings.quarantined_documents == "keep_last_good",
        )
        _apply_metadata(workspace, plan)
        refused = _unreadable_rows(workspace, plan, quarantine)
        parsed = _parse_all(workspace, plan, quarantine, refused)
        lake.merge(QUARANTINE_PATH, QUARANTINE, QUARANTINE.frame(refused), plan.quarantine_gone)
        documents = lake.read(DOCUMENTS_PATH, DOCUMENTS, NARROW)
        duplicates = refresh_duplicates(workspace, documents).duplicates
        quarantined = lake.read(QUARANTINE_PATH, QUARANTINE, ["reason_code"])
    return DocumentsReport(
        origins=origins.height,
        documents=documents.height,
        parsed=parsed,
        metadata_changed=plan.to_refresh.height,
        removed=len(plan.gone),
        quarantined=quarantined.height,
        duplicates=duplicates,
        commits=lake.commits - first_commit,
        by_media_type=_counts(documents["media_type"]),
        by_source=_counts(documents["source"]),
        by_language=_counts(documents["language"].fill_null("unknown")),
        by_reason=_counts(quarantined["reason_code"]),
        quality_percents=(documents["quality_score"] * 100).cast(pl.Int64).to_list(),
    )


def _with_present_chunker(workspace: Workspace, quarantine: pl.DataFrame) -> pl.DataFrame:
    """Make what the chunker refused under other parameters look outdated, so that it is tried again."""
    refused = quarantine.filter(pl.col("stage") == "chunk")
    known = set(workspace.settings.sources)
    outdated = [
        row["document_id"]
        for row in refused.iter_rows(named=True)
        if row["source"] in known
        and row["chunker_fingerprint"] != chunker_fingerprint(workspace, row["source"], row["media_type"])
    ]
    if not outdated:
        return quarantine
    is_outdated = pl.col("document_id").is_in(outdated)
    recipe = pl.when(is_outdated).then(pl.lit("outdated")).otherwise("recipe_fingerprint")
    return quarantine.with_columns(recipe_fingerprint=recipe)


def _counts(values: pl.Series) -> dict[str, int]:
    counted = values.value_counts(sort=True)
    return dict(zip(counted[values.name].to_list(), counted["count"].to_list(), strict=True))


def _apply_metadata(workspace: Workspace, plan: DocumentPlan) -> None:
    """Metadata first: a permission that was withdrawn does not wait for the parsing of other documents."""
    rows = []
    for row in plan.to_refresh.iter_rows(named=True):
        origin = {name.removesuffix("_new"): value for name, value in row.items() if name.endswith("_new")}
        options = workspace.parse_recipe(row["source"]).options
        rows.append({"document_id": row["document_id"], **metadata_columns(origin, row, options)})
    columns = ["document_id", *METADATA_COLUMNS]
    schema = {name: DOCUMENTS.schema[name] for name in columns}
    workspace.lake.update(DOCUMENTS_PATH, DOCUMENTS, pl.DataFrame(rows, schema=schema, orient="row"))
    workspace.lake.merge(DOCUMENTS_PATH, DOCUMENTS, DOCUMENTS.empty(), plan.gone)


def _unreadable_rows(workspace: Workspace, plan: DocumentPlan, quarantine: pl.DataFrame) -> list[dict[str, Any]]:
    """Quarantine rows for what bronze could not read, where they differ from the ones there are."""
    before = {row["document_id"]: row for row in quarantine.iter_rows(named=True)}
    rows = []
    for origin in plan.unreadable.iter_rows(named=True):
        error = DocumentError(origin["problem_detail"])
        row = quarantine_row(
            origin,
            error,
            stage="fetch",
            media_type=None,
            recipe=workspace.parse_recipe(origin["source"]),
            before=before.get(origin["document_id"]),
            now=workspace.now(),
        )
        row["reason_code"] = origin["problem_code"]
        shown = ("stage", "reason_code", "detail", "uri")
        known = before.get(origin["document_id"])
        if known is None or any(known[name] != row[name] for name in shown):
            rows.append(row)
    return rows


@dataclass(frozen=True, slots=True)
class _Parsed:
    origin: Mapping[str, Any]
    media_type: str
    result: list[ParsedDocument] | DocumentError


def _parse_all(
    workspace: Workspace, plan: DocumentPlan, quarantine: pl.DataFrame, refused: list[dict[str, Any]]
) -> int:
    """Parse and commit batch by batch; refusals are added to `refused`. Returns how many were taken."""
    known = set(workspace.lake.read(DOCUMENTS_PATH, DOCUMENTS, ["origin_id"])["origin_id"])
    before = {row["document_id"]: row for row in quarantine.iter_rows(named=True)}
    rows: list[dict[str, Any]] = []
    replaced: set[str] = set()
    taken = size = 0
    for parsed in _parsed(workspace, plan.to_parse):
        origin_id = parsed.origin["document_id"]
        if isinstance(parsed.result, DocumentError):
            refused.append(
                quarantine_row(
                    parsed.origin,
                    parsed.result,
                    stage="parse",
                    media_type=parsed.media_type,
                    recipe=workspace.parse_recipe(parsed.origin["source"]),
                    before=before.get(origin_id),
                    now=workspace.now(),
                )
            )
            if workspace.settings.quarantined_documents == "hide" and origin_id in known:
                replaced.add(origin_id)
            continue
        taken += 1
        recipe = workspace.parse_recipe(parsed.origin["source"])
        rows += document_rows(parsed.origin, parsed.media_type, parsed.result, recipe)
        size += sum(len(document.text) for document in parsed.result)
        if origin_id in known:
            replaced.add(origin_id)
        if size >= COMMIT_CHARS or len(rows) >= COMMIT_DOCUMENTS:
            _commit(workspace, rows, replaced)
            rows, replaced, size = [], set(), 0
    _commit(workspace, rows, replaced)
    return taken


def _commit(workspace: Workspace, rows: list[dict[str, Any]], replaced: set[str]) -> None:
    frame = DOCUMENTS.frame(rows)
    if replaced:
        workspace.lake.merge(DOCUMENTS_PATH, DOCUMENTS, frame, replaced, delete_column="origin_id")
    elif rows:
        workspace.lake.append(DOCUMENTS_PATH, DOCUMENTS, frame)


def _parsed(workspace: Workspace, origins: pl.DataFrame) -> Iterator[_Parsed]:
    """Parse objects in worker processes, in the order in which bronze gives their bytes."""
    for source, group in origins.sort("source", "bytes_batch", "address").group_by("source", maintain_order=True):
        by_hash: dict[str, list[dict[str, Any]]] = {}
        for row in group.iter_rows(named=True):
            by_hash.setdefault(row["bytes_hash"], []).append(row)
        wanted = {row["bytes_hash"]: row["bytes_batch"] for row in group.iter_rows(named=True)}
        # The pool works ahead of us, so what belongs to a result is kept until the result is there.
        waiting: list[tuple[dict[str, Any], str]] = []

        def items(
            wanted: dict[str, int] = wanted,
            by_hash: dict[str, list[dict[str, Any]]] = by_hash,
            source: str = str(source[0]),
            waiting: list[tuple[dict[str, Any], str]] = waiting,
        ) -> Iterator[tuple[bytes, str, str]]:
            for bytes_hash, raw in workspace.lake.stream_bytes(source, wanted):
                for origin in by_hash[bytes_hash]:
                    media_type = media_type_of(origin["address"], raw)
                    waiting.append((origin, media_type))
                    yield raw, media_type, origin["address"]

        yield from _parsed_items(workspace, items(), waiting, group.height, str(source[0]))


def _parsed_items(
    workspace: Workspace,
    items: Iterable[tuple[bytes, str, str]],
    waiting: list[tuple[dict[str, Any], str]],
    total: int,
    source: str,
) -> Iterator[_Parsed]:
    task = partial(parse_object, recipe=workspace.parse_recipe(source))
    with progress(f"parse {source}", total) as bar:
        for index, result in workspace.pool.map(task, items, weight=lambda item: len(item[0])):
            origin, media_type = waiting[index]
            waiting[index] = ({}, "")
            bar.advance(1)
            if isinstance(result, list) and not any(document.text.strip() for document in result):
                result = EmptyDocument("the document holds no text, so there is nothing to search")
            yield _Parsed(origin, media_type, result)


def parse_object(item: tuple[bytes, str, str], recipe: ParseRecipe) -> list[ParsedDocument]:
    """Parse one object and enrich what it gives; runs in a worker process."""
    raw, media_type, address = item
    parsed = parse(raw, media_type, address, recipe.limits)
    documents = [enrich(document, media_type, recipe.options) for document in parsed if document.text.strip()]
    check_quality(documents, address, recipe.options)
    return documents
