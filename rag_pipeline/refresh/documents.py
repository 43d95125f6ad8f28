"""Bring silver/documents and silver/quarantine up to date with bronze, and duplicates and boilerplate with them.

Belongs here: reading what is needed, committing batch by batch, what the deletion guard holds.
Does not belong here: which documents need it (`transforms/documents.py`), parsing them (`parsing.py`), duplicates
(`duplicates.py`), boilerplate (`boilerplate.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from rag_pipeline.contracts.tables import DOCUMENT_FACTS, DOCUMENTS, DUPLICATES, QUARANTINE
from rag_pipeline.errors import DocumentError, MassDeletion, StoreError, UsageError
from rag_pipeline.refresh.boilerplate import refresh_boilerplate
from rag_pipeline.refresh.chunks import chunker_fingerprint
from rag_pipeline.refresh.costs import record_timings
from rag_pipeline.refresh.duplicates import refresh_duplicates
from rag_pipeline.refresh.enrichments import forget_enriched
from rag_pipeline.refresh.exposed import exposed_origins
from rag_pipeline.refresh.holds import deletion_guard, end_hold, read_holds, record_hold
from rag_pipeline.refresh.parsing import parsed_objects
from rag_pipeline.refresh.steps import step
from rag_pipeline.refresh.timings import Timings
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.transforms.deletion_guard import describe_hold
from rag_pipeline.transforms.documents import (
    HELD,
    METADATA_COLUMNS,
    DocumentPlan,
    document_rows,
    held_row,
    metadata_columns,
    origins_of,
    plan_documents,
    quarantine_row,
    unvouched,
    with_new_metadata,
)
from rag_pipeline.transforms.left_out import left_out_by_source
from rag_pipeline.transforms.overview import media_type_overview, source_overview

log = logging.getLogger(__name__)

# One commit holds about this much text: small enough to hold in memory and to lose, large enough to be rare.
COMMIT_CHARS = 16 * 2**20
COMMIT_DOCUMENTS = 4_000


@dataclass(frozen=True, slots=True)
class DocumentsReport:
    """What one refresh of the document layer did; counts are documents unless named otherwise.

    Attributes:
        boilerplate: Blocks of text that are left out of the index because they repeat across their source.
        by_media_type, by_source: Rows of `media_type_overview` and `source_overview`.
        pages_read: Pages and pictures that recognition read for this run.
        timings: What parsing took, sizes in bytes; what was not parsed by this run is not in it.
        left_out: By source, what parsing left out of its documents, by cause.
        held: Documents that were refused, but are kept as they last were since too many were at once.
        held_because: What to say about them, and how to let them go.
    """

    origins: int
    documents: int
    parsed: int
    metadata_changed: int
    removed: int
    quarantined: int
    duplicates: int
    boilerplate: int
    commits: int
    by_media_type: list[dict[str, Any]]
    by_source: list[dict[str, Any]]
    by_language: dict[str, int]
    by_reason: dict[str, int]
    quality_percents: list[int]
    timings: Timings
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    held: int = 0
    held_because: str = ""
    pages_read: int = 0


def read_origins(workspace: Workspace) -> pl.DataFrame:
    """Live objects of all configured sources, from bronze."""
    return origins_of({name: workspace.lake.bronze_state(name) for name in sorted(workspace.settings.sources)})


def refresh_documents(workspace: Workspace, *, allow_mass_deletion: Collection[str] = ()) -> DocumentsReport:
    """Parse what is new or changed, update metadata, remove what is gone, and name the duplicates.

    Args:
        allow_mass_deletion: Sources whose deletion guard lets everything go.

    Raises:
        MassDeletion: More of a source was refused at once than its deletion guard allows. Everything else is committed,
            and what was refused stays as it last was, with the permissions of now.
    """
    report = update_documents(workspace, allow_mass_deletion=allow_mass_deletion)
    if report.held:
        raise MassDeletion(report.held_because, lost=report.held)
    return report


@step("silver/documents")
def update_documents(
    workspace: Workspace, *, allow_mass_deletion: Collection[str] = (), parse_again: Collection[str] = ()
) -> DocumentsReport:
    """Like `refresh_documents`, but what the deletion guard holds is reported and not raised, so that a run can go on.

    It has to: permissions that were revoked reach readers only through the layers above.

    Args:
        parse_again: Media types whose documents are parsed although nothing changed.

    Raises:
        ExtraMissing: Pictures are to be read, and what reads them is not installed; nothing is parsed.
        UsageError: No document is of a media type that was named.
    """
    lake = workspace.lake
    with lake.writing():
        first_commit = lake.commits
        origins = read_origins(workspace)
        quarantine = _with_present_chunker(workspace, lake.read(QUARANTINE))
        known = lake.read(DOCUMENTS, DOCUMENT_FACTS)
        plan = plan_documents(
            origins,
            *_made_outdated(known, quarantine, parse_again),
            recipes=workspace.parse_recipes,
            now=workspace.now(),
            keep_last_good=workspace.settings.quarantined_documents == "keep_last_good",
        )
        _update_metadata(workspace, plan.to_refresh)
        gone = [*plan.gone, *_exposed_by_an_older_refusal(workspace, known, plan)]
        lake.merge(DOCUMENTS, DOCUMENTS.empty(), gone)
        # What is gone or closed has left by now, whatever is not installed.
        workspace.check_installed()
        refused = _unreadable_rows(workspace, plan, quarantine)
        outcome = _parse_all(workspace, plan, quarantine, allow_mass_deletion)
        refused += outcome.new_rows(quarantine)
        lake.merge(QUARANTINE, QUARANTINE.frame(refused), plan.quarantine_gone)
        for source in outcome.let_go:
            end_hold(workspace, "refused", source)
        documents = lake.read(DOCUMENTS, DOCUMENT_FACTS)
        forget_enriched(workspace, documents)
        refresh_duplicates(workspace, documents)
        boilerplate = refresh_boilerplate(workspace)
        quarantined = lake.read(QUARANTINE, ["source", "media_type", "reason_code"])
        left_out = lake.read(DUPLICATES, ["document_id"])
        record_timings(workspace, "parse", outcome.timings)
    return DocumentsReport(
        origins=origins.height,
        documents=documents.height,
        parsed=outcome.taken,
        metadata_changed=plan.to_refresh.height,
        removed=len(gone),
        quarantined=quarantined.height,
        duplicates=left_out.height,
        boilerplate=boilerplate,
        commits=lake.commits - first_commit,
        by_media_type=media_type_overview(documents, quarantined).to_dicts(),
        by_source=source_overview(
            documents, quarantined, left_out, low_score=workspace.settings.thresholds.low_quality_score
        ).to_dicts(),
        by_language=_counts(documents["language"].fill_null("unknown")),
        by_reason=_counts(quarantined["reason_code"]),
        quality_percents=(documents["quality_score"] * 100).cast(pl.Int64).to_list(),
        timings=outcome.timings,
        left_out=left_out_by_source(documents),
        held=sum(row["stage"] == HELD for row in outcome.refused),
        held_because=" ".join(outcome.held_because),
        pages_read=outcome.pages_read,
    )


def _exposed_by_an_older_refusal(workspace: Workspace, known: pl.DataFrame, plan: DocumentPlan) -> list[str]:
    """document_ids that stay as they last were, because they were refused, and show what their source wants hidden."""
    stale = unvouched(known, workspace.parse_recipes)
    kept = stale.join(plan.to_parse.select(origin_id="document_id"), on="origin_id", how="anti")
    exposed = exposed_origins(workspace, set(kept["origin_id"]))
    return [document for document, origin in kept.select("document_id", "origin_id").iter_rows() if origin in exposed]


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


def _made_outdated(
    known: pl.DataFrame, quarantine: pl.DataFrame, media_types: Collection[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of some media types look as if another parser had made them; the tables stay as they are."""
    if not media_types:
        return known, quarantine
    there = set(known["origin_media_type"]) | set(quarantine["media_type"].drop_nulls())
    unknown = sorted(set(media_types) - there)
    if unknown:
        raise UsageError(f"no document is {unknown[0]!r}; media types there are: {', '.join(sorted(there))}")

    def outdated(rows: pl.DataFrame, column: str) -> pl.DataFrame:
        is_meant = pl.col(column).is_in(list(media_types))
        recipe = pl.when(is_meant).then(pl.lit("outdated")).otherwise("recipe_fingerprint")
        return rows.with_columns(recipe_fingerprint=recipe)

    return outdated(known, "origin_media_type"), outdated(quarantine, "media_type")


def _counts(values: pl.Series) -> dict[str, int]:
    counted = values.value_counts(sort=True)
    return dict(zip(counted[values.name].to_list(), counted["count"].to_list(), strict=True))


def _update_metadata(workspace: Workspace, to_refresh: pl.DataFrame) -> None:
    """Metadata first: a permission that was revoked does not wait for the parsing of other documents."""
    rows = []
    for row in to_refresh.iter_rows(named=True):
        origin = {name.removesuffix("_new"): value for name, value in row.items() if name.endswith("_new")}
        options = workspace.parse_recipe(row["source"]).options
        rows.append({"document_id": row["document_id"], **metadata_columns(origin, row, options)})
    columns = ["document_id", *METADATA_COLUMNS]
    schema = {name: DOCUMENTS.schema[name] for name in columns}
    workspace.lake.update(DOCUMENTS, pl.DataFrame(rows, schema=schema, orient="row"))


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


@dataclass(slots=True)
class _Outcome:
    """What parsing gave: how many were taken, quarantine rows of the others, and what the deletion guard has to say.

    Attributes:
        let_go: Sources of which nothing is held any longer.
    """

    taken: int = 0
    pages_read: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)
    held_because: list[str] = field(default_factory=list)
    let_go: list[str] = field(default_factory=list)
    timings: Timings = field(default_factory=Timings)

    def new_rows(self, quarantine: pl.DataFrame) -> list[dict[str, Any]]:
        """Rows of `refused` that are not in quarantine as they are: what is held and not tried again stays."""
        before = {row["document_id"]: row for row in quarantine.iter_rows(named=True)}
        return [row for row in self.refused if row != before.get(row["document_id"])]


def _parse_all(
    workspace: Workspace, plan: DocumentPlan, quarantine: pl.DataFrame, allowed: Collection[str]
) -> _Outcome:
    """Parse and commit batch by batch; what is refused leaves last, unless the deletion guard holds it."""
    shown = workspace.lake.read(DOCUMENTS, ["origin_id", "source"]).unique()
    known = set(shown["origin_id"])
    before = {row["document_id"]: row for row in quarantine.iter_rows(named=True)}
    outcome = _Outcome()
    rows: list[dict[str, Any]] = []
    replaced: set[str] = set()
    size = 0
    for parsed in parsed_objects(workspace, plan.to_parse):
        origin_id = parsed.origin["document_id"]
        outcome.timings.add(
            parsed.origin["source"], parsed.origin["uri"], parsed.media_type, parsed.size_bytes, parsed.seconds
        )
        recipe = workspace.parse_recipe(parsed.origin["source"])
        if isinstance(parsed.result, DocumentError):
            about = {"document": origin_id, "source": parsed.origin["source"]}
            log.info("refused document=%s reason=%s", origin_id, parsed.result.code, extra=about)
            outcome.refused.append(
                quarantine_row(
                    parsed.origin,
                    parsed.result,
                    stage="parse",
                    media_type=parsed.media_type,
                    recipe=recipe,
                    before=before.get(origin_id),
                    now=workspace.now(),
                )
            )
            continue
        outcome.taken += 1
        read = ("ocr_pages_count", "ocr_pictures_count")
        outcome.pages_read += sum(int(each.metadata.get(name, 0)) for each in parsed.result for name in read)
        rows += document_rows(parsed.origin, parsed.media_type, parsed.result, recipe)
        size += sum(len(document.text) for document in parsed.result)
        if origin_id in known:
            replaced.add(origin_id)
        if size >= COMMIT_CHARS or len(rows) >= COMMIT_DOCUMENTS:
            _commit(workspace, rows, replaced)
            rows, replaced, size = [], set(), 0
    outcome.refused += [{**row, "stage": "parse"} for row in plan.held.iter_rows(named=True)]
    kept = _keep_refused(workspace, shown, outcome, allowed)
    _commit(workspace, rows, replaced | {row["document_id"] for row in outcome.refused} & known - kept)
    if kept:
        documents = workspace.lake.read(DOCUMENTS, DOCUMENT_FACTS)
        origins = plan.to_parse.filter(pl.col("document_id").is_in(kept))
        _update_metadata(workspace, with_new_metadata(documents, origins))
    return outcome


def _keep_refused(workspace: Workspace, shown: pl.DataFrame, outcome: _Outcome, allowed: Collection[str]) -> set[str]:
    """Objects that were refused but stay shown as they last were; what the guard holds is marked in `outcome`."""
    known = set(shown["origin_id"])
    # What readers may not see is kept for no reason.
    known -= exposed_origins(workspace, known & {row["document_id"] for row in outcome.refused})
    try:
        holds = {hold.source: hold for hold in read_holds(workspace) if hold.kind == "refused"}
    except StoreError as error:
        return _keep_all_refused(known, outcome, allowed, error)
    if workspace.settings.quarantined_documents == "keep_last_good":
        outcome.let_go = list(holds)
        return known & {row["document_id"] for row in outcome.refused}
    leaving: dict[str, dict[str, str]] = {}
    for row in outcome.refused:
        if row["document_id"] in known:
            leaving.setdefault(row["source"], {})[row["document_id"]] = row["reason_code"]
    held: set[str] = set()
    for source, reasons in sorted(leaving.items()):
        guard, lost = deletion_guard(workspace, source), frozenset(reasons)
        fine = set(shown.filter(pl.col("source") == source)["origin_id"])
        measured = guard.measure(lost, fine, is_emptied=False, before=holds.get(source))
        if source in allowed or measured is None:
            continue
        held |= lost
        reason = guard.describe_refused(reasons.values(), len(measured))
        hold = record_hold(workspace, "refused", source, held=lost, measured=measured, reason=reason)
        outcome.held_because.append(describe_hold(hold))
        holds.pop(source, None)
    outcome.let_go = list(holds)
    outcome.refused = [held_row(row) if row["document_id"] in held else row for row in outcome.refused]
    return held


def _keep_all_refused(known: set[str], outcome: _Outcome, allowed: Collection[str], error: StoreError) -> set[str]:
    """Where nobody can say what was held before, however little was refused stays as it was."""
    held = {row["document_id"] for row in outcome.refused if row["source"] not in allowed} & known
    if held:
        outcome.held_because.append(
            f"{len(held)} documents were refused, and readers keep their last good texts, with the permissions of "
            f"today, since what the deletion guard held before cannot be read. {error}"
        )
    outcome.refused = [held_row(row) if row["document_id"] in held else row for row in outcome.refused]
    return held


def _commit(workspace: Workspace, rows: list[dict[str, Any]], replaced: set[str]) -> None:
    frame = DOCUMENTS.frame(rows)
    if replaced:
        workspace.lake.merge(DOCUMENTS, frame, replaced, delete_column="origin_id")
    elif rows:
        workspace.lake.append(DOCUMENTS, frame)
