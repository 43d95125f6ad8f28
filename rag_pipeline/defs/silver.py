"""The assets of the silver layer.

Belongs here: what each depends on, how it is shown, and the one call that refreshes it.
Does not belong here: how it is refreshed (`refresh/`) or what must be true of it (`checks.py`, `threshold_checks.py`).
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from rag_pipeline.contracts.tables import BOILERPLATE, BRONZE, CHUNKS, DOCUMENTS, DUPLICATES, QUARANTINE
from rag_pipeline.defs.describe import column_lineage, counts_table, figures_of, histogram, rows_table, timing_tables
from rag_pipeline.defs.releases import releases_told
from rag_pipeline.defs.resources import PipelineResource, as_dagster_failure
from rag_pipeline.defs.specs import (
    BOILERPLATE_KEY,
    CHUNKS_KEY,
    DOCUMENTS_KEY,
    DUPLICATES_KEY,
    QUARANTINE_KEY,
    RETRY,
    REVOCATIONS_KEY,
    WRITER_POOL,
    bronze_key,
    spec,
)
from rag_pipeline.defs.words import HAPPENED, counted, happened, quarantine_table
from rag_pipeline.settings import Pipeline

if TYPE_CHECKING:
    from rag_pipeline.refresh.documents import DocumentsReport

LEFT_OUT_COUNTS = "rag/left_out_counts"
HELD_CHECK = "no_source_is_refused_at_once"
SLOW_CHECK = "no_document_is_slow"


class DocumentsConfig(dg.Config):
    """What an operator may ask for in one run."""

    allow_mass_deletion: list[str] = Field(
        default_factory=list, description="Sources of which many documents may be refused at once."
    )
    parse_again: list[str] = Field(
        default_factory=list, description="Media types like application/pdf, parsed although nothing changed."
    )
    by: str = Field("", description="Who lets go what the deletion guard held; empty: it is not noted here.")


class ChunksConfig(dg.Config):
    """What an operator may ask for in one run."""

    cut_again: list[str] = Field(default_factory=list, description="Sources, cut although nothing changed.")


def documents_asset(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Parsed documents, and with them quarantine, duplicates and boilerplate."""
    sources = [bronze_key(name) for name in pipeline.settings.sources]
    tables = (
        # What is revoked waits for no parser.
        (DOCUMENTS_KEY, DOCUMENTS, [*sources, REVOCATIONS_KEY]),
        (QUARANTINE_KEY, QUARANTINE, sources),
        (DUPLICATES_KEY, DUPLICATES, [DOCUMENTS_KEY]),
        (BOILERPLATE_KEY, BOILERPLATE, [DOCUMENTS_KEY, DUPLICATES_KEY]),
    )
    specs = [
        spec(pipeline, key, contract, deps=deps, kinds={"deltalake", "python"}, description=contract.doc)
        for key, contract, deps in tables
    ]

    @dg.multi_asset(
        name="silver_documents", specs=specs, check_specs=_check_specs(), pool=WRITER_POOL, retry_policy=RETRY
    )
    def documents(  # type: ignore[no-untyped-def]
        context: dg.AssetExecutionContext, config: DocumentsConfig, pipeline: PipelineResource
    ):
        from rag_pipeline.refresh.boilerplate import most_repeated
        from rag_pipeline.refresh.data_versions import silver_version, version_or_unknown
        from rag_pipeline.refresh.documents import update_documents

        with as_dagster_failure() as work:
            with releases_told(context, pipeline.workspace, config.allow_mass_deletion, "refused", config.by):
                report = update_documents(
                    pipeline.workspace,
                    allow_mass_deletion=config.allow_mass_deletion,
                    parse_again=config.parse_again,
                )
            repeated = most_repeated(pipeline.workspace)
            refused = quarantine_table(pipeline.workspace.lake)
            versions = {
                key: dg.DataVersion(version_or_unknown(partial(silver_version, pipeline.workspace, table)))
                for key, table, *_ in tables
            }
        lineage = column_lineage(DOCUMENTS, [BRONZE] * len(sources), sources)
        yield dg.MaterializeResult(
            asset_key=DOCUMENTS_KEY,
            metadata=documents_metadata(report) | work | lineage,
            data_version=versions[DOCUMENTS_KEY],
        )
        yield dg.MaterializeResult(
            asset_key=QUARANTINE_KEY,
            data_version=versions[QUARANTINE_KEY],
            metadata={
                HAPPENED: f"Refused: {counted(report.quarantined, 'document')}.",
                "dagster/row_count": report.quarantined,
                **refused,
                "rag/by_reason": counts_table("reason", report.by_reason),
                "rag/by_source": rows_table(report.by_source, ("source", "documents", "quarantined")),
                "rag/by_media_type": rows_table(report.by_media_type, ("media_type", "documents", "quarantined")),
            },
        )
        yield dg.MaterializeResult(
            asset_key=DUPLICATES_KEY,
            data_version=versions[DUPLICATES_KEY],
            metadata={
                HAPPENED: f"Left out, since an equal one stands for each: {counted(report.duplicates, 'document')}.",
                "dagster/row_count": report.duplicates,
                "rag/by_source": rows_table(report.by_source, ("source", "documents", "duplicates")),
            },
        )
        yield dg.MaterializeResult(
            asset_key=BOILERPLATE_KEY,
            data_version=versions[BOILERPLATE_KEY],
            metadata={
                HAPPENED: f"Left out, since they repeat: {counted(report.boilerplate, 'block')}.",
                "dagster/row_count": report.boilerplate,
                "rag/most_repeated": rows_table(repeated),
            },
        )
        yield _held_result(report)
        yield _slow_result(report, pipeline.workspace.settings.thresholds.max_parse_seconds)

    return documents


def _check_specs() -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(
            HELD_CHECK,
            asset=DOCUMENTS_KEY,
            description="No source lost more documents to refusals in one run than its deletion guard allows. It does "
            "not block: what is held back stays as it was, and changed permissions go on to readers.",
        ),
        dg.AssetCheckSpec(
            SLOW_CHECK,
            asset=DOCUMENTS_KEY,
            description="No document that this run parsed took longer than thresholds.max_parse_seconds.",
        ),
    ]


def documents_metadata(report: "DocumentsReport") -> dict[str, Any]:
    """What the UI shows of a refresh of silver/documents."""
    facts = figures_of(report)
    changes = {
        "parsed": report.parsed,
        "with new metadata": report.metadata_changed,
        "removed": report.removed,
        "held back": report.held,
    }
    return {
        **happened(changes, f"now {counted(report.documents, 'document')}"),
        "dagster/row_count": report.documents,
        "rag/by_media_type": rows_table(report.by_media_type),
        "rag/by_source": rows_table(report.by_source),
        "rag/left_out": rows_table(_left_out_rows(report.left_out), ("source", "left_out", "count", "documents")),
        LEFT_OUT_COUNTS: dg.MetadataValue.json(report.left_out),
        "rag/by_language": counts_table("language", report.by_language),
        "rag/quality": histogram("Quality", report.quality_percents, bins=20, limit=100, unit="quality score, percent"),
        **timing_tables(report.timings, size_unit="bytes"),
        **facts,
    }


def _left_out_rows(left_out: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    return [
        {"source": source, "left_out": cause.replace("_", " "), "count": count, "documents": counts["documents"]}
        for source, counts in left_out.items()
        for cause, count in counts.items()
        if cause != "documents"
    ]


def _held_result(report: "DocumentsReport") -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=DOCUMENTS_KEY,
        check_name=HELD_CHECK,
        passed=not report.held,
        severity=dg.AssetCheckSeverity.ERROR,
        description=report.held_because or "nothing is held",
        metadata={"rag/held_count": report.held, "rag/next_step": "rag-pipeline quarantine list"},
    )


def _slow_result(report: "DocumentsReport", limit_seconds: float) -> dg.AssetCheckResult:
    slow = [document for document in report.timings.slowest if document.seconds > limit_seconds]
    return dg.AssetCheckResult(
        asset_key=DOCUMENTS_KEY,
        check_name=SLOW_CHECK,
        passed=not slow,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{slow[0].uri} took {slow[0].seconds:.0f} s to parse" if slow else "none was slow",
        metadata={"rag/slow_count": len(slow), "rag/limit_seconds": limit_seconds},
    )


def chunks_asset(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Documents cut into chunks."""
    declared = spec(
        pipeline,
        CHUNKS_KEY,
        CHUNKS,
        deps=[DOCUMENTS_KEY, DUPLICATES_KEY, BOILERPLATE_KEY],
        kinds={"deltalake", "python"},
        description=CHUNKS.doc,
    )

    @dg.multi_asset(name="silver_chunks", specs=[declared], pool=WRITER_POOL, retry_policy=RETRY)
    def chunks(config: ChunksConfig, pipeline: PipelineResource) -> dg.MaterializeResult[Any]:
        from rag_pipeline.refresh.chunks import refresh_chunks
        from rag_pipeline.refresh.data_versions import silver_version, version_or_unknown

        with as_dagster_failure() as work:
            report = refresh_chunks(pipeline.workspace, cut_again=config.cut_again)
            version = version_or_unknown(lambda: silver_version(pipeline.workspace, CHUNKS))
        facts = figures_of(report)
        changes = {"documents cut": report.documents_cut, "documents removed": report.documents_removed}
        lineage = column_lineage(CHUNKS, [DOCUMENTS], [DOCUMENTS_KEY])
        return dg.MaterializeResult(
            data_version=dg.DataVersion(version),
            metadata={
                **happened(changes, f"now {counted(report.chunks, 'chunk')}"),
                "dagster/row_count": report.chunks,
                "rag/chunk_length": histogram("Chunk length", report.token_counts, unit="tokens, header included"),
                "rag/by_source": rows_table(report.by_source),
                **timing_tables(report.timings, size_unit="characters"),
                **work,
                **facts,
                **lineage,
            },
        )

    return chunks
