"""Bring silver/enrichments up to date with the texts that are indexed, and documents and chunks with what was read.

Belongs here: which texts are read by whom, committing batch by batch, writing the outcome onto documents and chunks.
Does not belong here: planning (`transforms/enrichments.py`), reading (`enrichment_readers.py`), models (`enrichment/`).

Nothing here holds up a run: a model that is not there or does not answer leaves texts without a reading. They are
indexed without, what was read before stays, and the next run goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import polars as pl

from rag_pipeline.contracts.enrichments import WRITTEN, Enrichment
from rag_pipeline.contracts.tables import CHUNKS, DOCUMENTS, ENRICHMENTS
from rag_pipeline.enrichment.recipes import enrichments_of
from rag_pipeline.errors import RagPipelineError, StoreError
from rag_pipeline.refresh.agreement import agreement_with_people
from rag_pipeline.refresh.contexts import (
    on_chunks,
    part_inputs,
    present_contexts,
    put_onto_chunks,
    wanted_lines,
    window_inputs,
)
from rag_pipeline.refresh.enrichment_readers import read_texts
from rag_pipeline.refresh.exposed import exposed_origins
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.history import record_history
from rag_pipeline.refresh.progress import progress
from rag_pipeline.refresh.steps import step
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.shown import shown
from rag_pipeline.transforms.agreement import Agreement
from rag_pipeline.transforms.documents import shown_hash, unvouched
from rag_pipeline.transforms.enrichments import (
    RETRY_AFTER,
    MovedShare,
    concerned_by,
    enriched_documents,
    failed_at,
    moved_shares,
    refused_texts,
    texts_due,
)

log = logging.getLogger(__name__)

# What was read since then is compared with what was read before.
_NEW = timedelta(days=1)
_INDEXED = ["document_id", "source", "media_type", "language", "content_hash", "enriched"]
_PARSED = ["origin_id", "origin_media_type", "recipe_fingerprint"]
_STATE = ["recipe", "input_hash", "value", "reason_code", "asked_as", "computed_at"]
_SHOWN = ["origin_metadata_hash", "uri", "title", "author", "metadata", "language", "rank_weight", "allowed_principals"]


@dataclass(frozen=True, slots=True)
class EnrichmentReport:
    """What became of one enrichment; counts are texts.

    Attributes:
        computed: Read by this run.
        refused_by_reason: Of documents that are there, without a valid reading.
        waiting: Not read yet.
        waiting_because: Why; empty if none is.
        labels: Documents by label, of kinds that give labels.
        agreement: With the labels that people gave; None where none are named.
    """

    name: str
    kind: str
    computed: int
    refused_by_reason: dict[str, int]
    waiting: int
    waiting_because: str = ""
    labels: dict[str, int] = field(default_factory=dict)
    agreement: Agreement | None = None


@dataclass(frozen=True, slots=True)
class EnrichmentsReport:
    """What one refresh of the enrichments did.

    Attributes:
        computed, refused, waiting: Of all enrichments together.
        documents_changed: That say other metadata now.
        chunks_changed: That have another sentence in their header now.
        moved: Labels that the texts read in the last day have more or less often than those before.
    """

    enrichments: list[EnrichmentReport]
    computed: int
    refused: int
    waiting: int
    documents_changed: int
    chunks_changed: int
    commits: int
    moved: list[MovedShare] = field(default_factory=list)


@step("silver/enrichments")
def refresh_enrichments(
    workspace: Workspace, *, ask: Literal["all", "no chat model", "nobody"] = "all"
) -> EnrichmentsReport:
    """Have every text read that has no reading, and put what was read onto its documents.

    Args:
        ask: Who is to read; what was read before is put onto documents in any case.
    """
    lake = workspace.lake
    with lake.writing():
        first_commit = lake.commits
        configured = enrichments_of(workspace.pipeline)
        every = lake.read(DOCUMENTS, [*_INDEXED, *_PARSED])
        documents = indexed_documents(workspace, every)
        inputs = inputs_of(workspace, configured.all, documents)
        done: dict[str, tuple[int, str]] = {}
        for enrichment in configured.all:
            if enrichment.name in configured.problems:
                done[enrichment.name] = 0, configured.problems[enrichment.name]
            elif ask == "all" or (ask == "no chat model" and not enrichment.uses_chat):
                done[enrichment.name] = _read(workspace, enrichment, inputs[enrichment.name])
        rows = readings(workspace, configured.all)
        # What a duplicate said before it was one is of no use to anybody.
        wanted: dict[str, str | None] = dict.fromkeys(every.drop_nulls("enriched")["document_id"])
        wanted |= enriched_documents(documents, configured.all, rows, hiding=workspace.hiding_sources)
        changed = _put_onto_documents(workspace, every, wanted)
        chunks_changed = _put_onto_chunks(workspace, configured.all, inputs, rows)
        record_history(workspace)
    now = workspace.now()
    reports = [
        _report(workspace, each, inputs[each.name], rows, now, *done.get(each.name, (0, "no model is asked now")))
        for each in configured.all
    ]
    return EnrichmentsReport(
        enrichments=reports,
        computed=sum(each.computed for each in reports),
        refused=sum(sum(each.refused_by_reason.values()) for each in reports),
        waiting=sum(each.waiting for each in reports),
        documents_changed=changed,
        chunks_changed=chunks_changed,
        commits=lake.commits - first_commit,
        moved=[moved for each in configured.all for moved in _moved(workspace, each, documents)],
    )


def _moved(workspace: Workspace, enrichment: Enrichment, documents: pl.DataFrame) -> list[MovedShare]:
    if not enrichment.gives_labels:
        return []
    columns = ["input_hash", "value", "computed_at"]
    is_mine = (pl.col("recipe") == enrichment.recipe) & pl.col("value").is_not_null()
    rows = workspace.lake.read(ENRICHMENTS, columns, where=is_mine)
    sources = documents.filter(concerned_by(enrichment)).select("source", input_hash="content_hash").unique()
    labels = rows.join(sources, on="input_hash").with_columns(label=_labels()).explode("label")
    return moved_shares(enrichment, labels, workspace.now() - _NEW)


def _labels() -> pl.Expr:
    return pl.col("value").str.json_decode(pl.List(pl.String))


def wanted_of_documents(workspace: Workspace) -> dict[str, str | None]:
    """By document_id, what a document should say as `enriched` by what was read up to now."""
    configured = enrichments_of(workspace.pipeline).all
    documents = indexed_documents(workspace, workspace.lake.read(DOCUMENTS, _INDEXED))
    rows = readings(workspace, configured)
    return enriched_documents(documents, configured, rows, hiding=workspace.hiding_sources)


def forget_enriched(workspace: Workspace, documents: pl.DataFrame) -> None:
    """Take from documents what enrichments read, where none is configured any more.

    Args:
        documents: document_id and enriched of silver/documents.
    """
    if not workspace.settings.enrichments:
        read = documents.drop_nulls("enriched")
        _put_onto_documents(workspace, read, dict.fromkeys(read["document_id"]))


def indexed_documents(workspace: Workspace, documents: pl.DataFrame) -> pl.DataFrame:
    """What enrichments read: those of some documents that have chunks, so that none is read for nothing."""
    return documents.join(workspace.lake.read(CHUNKS, ["document_id"]).unique(), on="document_id", how="semi")


def inputs_of(
    workspace: Workspace, enrichments: Sequence[Enrichment], documents: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """By enrichment, what it may read: rows of documents, or of their chunks, with the hash of what is read.

    Args:
        documents: document_id, source, media_type, language, content_hash and any more, of those that are indexed.
    """
    found = {}
    for each in enrichments:
        mine = documents.filter(concerned_by(each))
        if each.reads_windows:
            found[each.name] = window_inputs(workspace, mine)
        else:
            found[each.name] = part_inputs(workspace, mine) if each.reads_chunks else mine
    return found


def wanted_of_chunks(workspace: Workspace) -> dict[str, str]:
    """By chunk_id, the lines that a chunk's header should have by what was read up to now."""
    configured = enrichments_of(workspace.pipeline).all
    documents = indexed_documents(workspace, workspace.lake.read(DOCUMENTS, _INDEXED))
    inputs = inputs_of(workspace, [each for each in configured if each.writes_header], documents)
    return _lines(workspace, configured, inputs, readings(workspace, configured))


def _put_onto_chunks(
    workspace: Workspace, enrichments: Sequence[Enrichment], inputs: dict[str, pl.DataFrame], rows: pl.DataFrame
) -> int:
    keys: dict[str, str] = {}
    for each in enrichments:
        if each.reads_windows:
            keys |= dict(inputs[each.name]["chunk_id", "content_hash"].iter_rows())
    return put_onto_chunks(workspace, _lines(workspace, enrichments, inputs, rows), keys)


def _lines(
    workspace: Workspace, enrichments: Sequence[Enrichment], inputs: dict[str, pl.DataFrame], rows: pl.DataFrame
) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    kept: dict[str, str] = {}
    hiding = workspace.hiding_sources
    order = list(WRITTEN)
    for each in sorted((each for each in enrichments if each.writes_header), key=lambda each: order.index(each.kind)):
        chunks = on_chunks(workspace, inputs[each.name])
        if each.recipe:
            mine = rows.filter(pl.col("recipe") == each.recipe)
            for name, lines in wanted_lines(chunks, mine, hiding=hiding).items():
                found.setdefault(name, []).extend(lines)
        else:
            # It cannot be used now, as with its prompt lost: without what it said all would be embedded again. Which
            # lines were its own is not known, so all stay.
            kept |= present_contexts(workspace, chunks, hiding=hiding)
    return {name: "\n".join(lines) for name, lines in found.items()} | kept


def due_texts(workspace: Workspace, enrichments: Sequence[Enrichment]) -> dict[str, pl.DataFrame]:
    """By enrichment, (document_id, content_hash) of the texts that it has not read."""
    documents = indexed_documents(workspace, workspace.lake.read(DOCUMENTS, _INDEXED))
    rows = readings(workspace, enrichments)
    inputs = inputs_of(workspace, enrichments, documents)
    return {each.name: texts_due(inputs[each.name], each, rows, workspace.now()) for each in enrichments}


def failures_over_at(workspace: Workspace) -> list[datetime]:
    """When texts that a server failed at are to be asked about again."""
    rows = readings(workspace, enrichments_of(workspace.pipeline).all)
    return [at + RETRY_AFTER for at in failed_at(rows)]


def is_reading_left(workspace: Workspace) -> bool:
    """Whether a run would have anything read, or try to."""
    configured = enrichments_of(workspace.pipeline).all
    return bool(configured) and any(due.height for due in due_texts(workspace, configured).values())


def readings(workspace: Workspace, enrichments: Sequence[Enrichment]) -> pl.DataFrame:
    """What was read by present recipes: recipe, input_hash, value, reason_code, asked_as, computed_at."""
    recipes = [each.recipe for each in enrichments]
    return workspace.lake.read(ENRICHMENTS, _STATE, where=pl.col("recipe").is_in(recipes))


def _read(workspace: Workspace, enrichment: Enrichment, documents: pl.DataFrame) -> tuple[int, str]:
    """Have an enrichment read what it has not; how many texts it read, and why it stopped before the end."""
    due = texts_due(documents, enrichment, readings(workspace, [enrichment]), workspace.now())
    computed, because = 0, ""
    try:
        if enrichment.uses_chat:
            due, because = _without_exposed(workspace, documents, due)
        with progress(f"enrich with {enrichment.name}", due.height) as bar:
            for rows in read_texts(workspace, enrichment, due) if due.height else ():
                _commit(workspace, enrichment, rows)
                # Beside readings there may be what they were made of.
                read = sum("recipe" not in row for row in rows)
                computed += read
                bar.advance(read)
    except StoreError:
        # Of the lake itself: no other step could go on either.
        raise
    except RagPipelineError as error:
        log.warning("enrichment %s goes on with the next run: %s", enrichment.name, error.message)
        return computed, error.message
    except FAULTS as error:
        # Whatever a library of models does, no document waits for it.
        log.exception("enrichment %s failed", enrichment.name)
        return computed, shown(f"{type(error).__name__}: {error}")
    return computed, because


def _without_exposed(workspace: Workspace, documents: pl.DataFrame, due: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """Texts less those that no server is sent, and why these wait: they hold what their source wants hidden by now.

    A text that others have too may be one of a source that hides nothing, and still is not sent.
    """
    stale = unvouched(documents.join(due, on="content_hash", how="semi"), workspace.parse_recipes)
    exposed = exposed_origins(workspace, set(stale["origin_id"]))
    hashes = stale.filter(pl.col("origin_id").is_in(list(exposed)))["content_hash"]
    if hashes.is_empty():
        return due, ""
    because = "the text holds what its source wants hidden, and was not parsed like that yet"
    return due.filter(~pl.col("content_hash").is_in(hashes.implode())), because


def _commit(workspace: Workspace, enrichment: Enrichment, rows: list[dict[str, Any]]) -> None:
    known = {
        "recipe": enrichment.recipe,
        "enrichment": enrichment.name,
        "asked_as": enrichment.asked_as,
        "computed_at": workspace.now(),
        "run_id": workspace.run_id,
    }
    frame = ENRICHMENTS.frame([{"tokens": 0, "price": 0.0, **known, **row} for row in rows])
    workspace.lake.replace_where(ENRICHMENTS, frame, ENRICHMENTS.empty())


def _put_onto_documents(workspace: Workspace, documents: pl.DataFrame, wanted: dict[str, str | None]) -> int:
    """Bring `enriched` of documents up to date, and their metadata_hash with it; how many changed."""
    before = dict(documents["document_id", "enriched"].iter_rows())
    changed = [document for document, text in wanted.items() if before[document] != text]
    if not changed:
        return 0
    rows = workspace.lake.read(DOCUMENTS, ["document_id", *_SHOWN], where=pl.col("document_id").is_in(changed))
    after = []
    for row in rows.iter_rows(named=True):
        enriched = wanted[row["document_id"]]
        hashed = shown_hash(row | {"enriched": enriched})
        after.append({"document_id": row["document_id"], "enriched": enriched, "metadata_hash": hashed})
    schema = {name: DOCUMENTS.schema[name] for name in ("document_id", "enriched", "metadata_hash")}
    workspace.lake.update(DOCUMENTS, pl.DataFrame(after, schema=schema, orient="row"))
    return len(after)


def _report(
    workspace: Workspace,
    enrichment: Enrichment,
    documents: pl.DataFrame,
    rows: pl.DataFrame,
    now: datetime,
    computed: int,
    because: str,
) -> EnrichmentReport:
    waiting = texts_due(documents, enrichment, rows, now).height
    refused = refused_texts(documents, enrichment, rows)["reason_code"].value_counts(sort=True)
    return EnrichmentReport(
        name=enrichment.name,
        kind=enrichment.kind,
        computed=computed,
        refused_by_reason=dict(refused.iter_rows()),
        waiting=waiting,
        waiting_because=because if waiting else "",
        labels=label_counts(documents, enrichment, rows) if enrichment.gives_labels else {},
        agreement=agreement_with_people(workspace, enrichment, documents, rows),
    )


def label_counts(documents: pl.DataFrame, enrichment: Enrichment, rows: pl.DataFrame) -> dict[str, int]:
    """Documents by label, most first."""
    mine = rows.filter((pl.col("recipe") == enrichment.recipe) & pl.col("value").is_not_null())
    found = documents.filter(concerned_by(enrichment)).join(mine, left_on="content_hash", right_on="input_hash")
    labels = found.select(label=_labels()).explode("label")
    counted = labels.group_by("label").len().sort("len", "label", descending=[True, False])
    return dict(counted.iter_rows())
