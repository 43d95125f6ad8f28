"""The assets of the gold layer.

Belongs here: what each depends on, how it is shown, and the one call that refreshes it.
Does not belong here: how it is refreshed (`refresh/`) or what must be true of it (`checks.py`).
"""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

import dagster as dg

from rag_pipeline.contracts.evaluation import EVALUATIONS
from rag_pipeline.contracts.ids import fingerprint
from rag_pipeline.contracts.index import NULLABLE, ROW_COLUMNS
from rag_pipeline.contracts.tables import CHUNKS, DOCUMENTS, EMBEDDINGS
from rag_pipeline.defs.describe import arrow_schema, column_lineage, figures_of, index_lineage
from rag_pipeline.defs.describe_evaluation import evaluation_metadata
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline.defs.resources import PipelineResource, as_dagster_failure
from rag_pipeline.defs.run_records import forget_runs, own_runs
from rag_pipeline.defs.specs import (
    CHUNKS_KEY,
    DOCUMENTS_KEY,
    EMBEDDINGS_KEY,
    ENRICHMENTS_KEY,
    EVALUATION_KEY,
    INDEX_KEY,
    MAINTENANCE_KEY,
    OWNERS,
    RETRY,
    WRITER_POOL,
    has_enrichments,
    model_partitions,
    spec,
)
from rag_pipeline.defs.versions import code_version
from rag_pipeline.defs.words import HAPPENED, counted, figure, figures, happened
from rag_pipeline.errors import AuditFailed
from rag_pipeline.settings import Pipeline


def embeddings_asset(pipeline: Pipeline) -> dg.AssetsDefinition:
    """One vector per text and embedding model."""
    declared = spec(
        pipeline,
        EMBEDDINGS_KEY,
        EMBEDDINGS,
        # They wait for no model of an enrichment: one that does not answer leaves its texts for the next run.
        deps=[CHUNKS_KEY, *([ENRICHMENTS_KEY] if has_enrichments(pipeline) else [])],
        kinds={"deltalake", "huggingface"},
        description=f"{EMBEDDINGS.doc} One partition per embedding model.",
        partitions_def=model_partitions(pipeline),
    )

    @dg.multi_asset(name="gold_embeddings", specs=[declared], pool=WRITER_POOL, retry_policy=RETRY)
    def embeddings(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult[Any]:
        from rag_pipeline.refresh.data_versions import embeddings_version, version_or_unknown
        from rag_pipeline.refresh.embeddings import refresh_embeddings
        from rag_pipeline.refresh.publication import revocations_reach_readers

        with as_dagster_failure() as work, revocations_reach_readers(pipeline.workspace):
            report = refresh_embeddings(pipeline.workspace, context.partition_key)
            version = version_or_unknown(lambda: embeddings_version(pipeline.workspace, report.space_fingerprint))
        lineage = column_lineage(EMBEDDINGS, [CHUNKS], [CHUNKS_KEY])
        rate = report.computed / report.seconds if report.computed else 0.0
        return dg.MaterializeResult(
            data_version=dg.DataVersion(version),
            metadata={
                **happened({"embedded": report.computed}, f"{counted(report.kept, 'text')} had a vector already"),
                "dagster/partition_row_count": report.texts,
                **work,
                "rag/embeddings_computed": report.computed,
                "rag/embeddings_kept": report.kept,
                "rag/commits": report.commits,
                "rag/texts_per_second": figure(rate),
                "rag/space_fingerprint": report.space_fingerprint,
                **({} if report.estimated_price is None else {"rag/estimated_price": figure(report.estimated_price)}),
                **lineage,
            },
        )

    return embeddings


def index_asset(pipeline: Pipeline) -> dg.AssetsDefinition:
    """The table that readers search, one per embedding model, audited."""
    declared = spec(
        pipeline,
        INDEX_KEY,
        None,
        deps=[CHUNKS_KEY, DOCUMENTS_KEY, EMBEDDINGS_KEY],
        kinds={"lancedb"},
        description="One row per chunk with its metadata, permissions and vector, with full-text, vector and scalar "
        "indexes. One partition per embedding model; every version is audited before it may be published.",
        partitions_def=model_partitions(pipeline),
        metadata={"dagster/column_schema": arrow_schema(ROW_COLUMNS, set(NULLABLE))},
    )

    @dg.multi_asset(name="gold_index", specs=[declared], pool=WRITER_POOL, retry_policy=RETRY)
    def index(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult[Any]:
        from rag_pipeline.refresh.data_versions import index_version, version_or_unknown
        from rag_pipeline.refresh.heal import remember_index
        from rag_pipeline.refresh.index import refresh_index

        with as_dagster_failure() as work:
            report = refresh_index(pipeline.workspace, context.partition_key)
            shown = (report.table_name, report.space_fingerprint, report.table_version)
            version = version_or_unknown(lambda: index_version(pipeline.workspace, *shown))
            remember_index(pipeline.workspace)
        facts = figures_of(report)
        changes = {"added": report.added, "changed": report.changed, "removed": report.removed}
        audit: dict[str, Any] = {
            f"rag/audit_{key}": getattr(report.audit, key) for key in ("ghosts", "missing", "mismatched", "passed")
        }
        return dg.MaterializeResult(
            data_version=dg.DataVersion(version),
            metadata={
                **happened(changes, f"now {counted(report.rows, 'chunk')} of {counted(report.documents, 'document')}"),
                "dagster/partition_row_count": report.rows,
                **work,
                "dagster/table_name": report.table_name,
                **facts,
                **audit,
                **index_lineage(
                    INDEX_KEY, [(CHUNKS_KEY, CHUNKS), (DOCUMENTS_KEY, DOCUMENTS), (EMBEDDINGS_KEY, EMBEDDINGS)]
                ),
            },
        )

    return index


def evaluation_asset(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Search quality of the newest version on the configured questions."""
    declared = spec(
        pipeline,
        EVALUATION_KEY,
        EVALUATIONS,
        deps=[INDEX_KEY],
        kinds={"deltalake", "python"},
        description=f"{EVALUATIONS.doc} Search quality of the newest version on the questions that pipeline.yaml "
        "names, question by question in gold/question_results. One partition per embedding model.",
        partitions_def=model_partitions(pipeline),
        is_log=True,
    )

    @dg.multi_asset(name="gold_evaluation", specs=[declared], pool=WRITER_POOL, retry_policy=RETRY)
    def evaluation(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult[Any]:
        from rag_pipeline.refresh.data_versions import evaluation_version
        from rag_pipeline.refresh.evaluation import evaluation_history, refresh_evaluation
        from rag_pipeline.refresh.publication import revocations_reach_readers

        workspace = pipeline.workspace
        with as_dagster_failure() as work, revocations_reach_readers(workspace):
            try:
                report = refresh_evaluation(workspace, context.partition_key)
            except AuditFailed as error:
                # Red at the index already; publication refuses that version, and says so at its own asset.
                pipeline.settle_at_end()
                return dg.MaterializeResult(
                    metadata={HAPPENED: f"Not evaluated: {error.message}"},
                    data_version=dg.DataVersion("not-evaluated"),
                )
            history = evaluation_history(workspace, context.partition_key)
        shown = evaluation_metadata(report, history, workspace.settings.evaluation.mode)
        version = evaluation_version(None if report.evaluation is None else report.evaluation.row)
        return dg.MaterializeResult(metadata=figures(shown | work), data_version=dg.DataVersion(version))

    return evaluation


def maintenance_asset() -> dg.AssetsDefinition:
    """Compacting and removing of files that nothing needs."""
    declared = dg.AssetSpec(
        MAINTENANCE_KEY,
        # Not on the publication: that is left out of a run which refuses it, and what depends on it would be skipped.
        deps=[INDEX_KEY],
        group_name="gold",
        kinds={"gold", "deltalake", "lancedb"},
        owners=OWNERS,
        code_version=code_version(MAINTENANCE_KEY),
        description="Small files compacted, and files removed that no version within retention needs. Never touches "
        "what is published.",
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(days=3)),
    )

    @dg.multi_asset(
        name="gold_maintenance",
        specs=[declared],
        pool=WRITER_POOL,
        retry_policy=RETRY,
        # Last of what can run: a table that is compacted between audit and publication would count as changed.
        op_tags={"dagster/priority": "-10"},
    )
    def maintenance(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult[Any]:
        from rag_pipeline.refresh.heal import remember_index
        from rag_pipeline.refresh.maintenance import kept_as_of, maintain

        with as_dagster_failure() as work:
            as_of = kept_as_of(pipeline.workspace)
            report = maintain(pipeline.workspace)
            remember_index(pipeline.workspace)
        before = as_of - pipeline.workspace.settings.run_records_retention
        # Under a prefix the key says it; this body is one for all.
        prefix = Prefix(tuple(context.asset_key.path[: -len(MAINTENANCE_KEY.path)]))
        is_own = own_runs(pipeline.workspace.pipeline, prefix)
        facts = asdict(report) | {"runs_forgotten": forget_runs(context.instance, before, is_own)}
        return dg.MaterializeResult(
            metadata={
                **happened(
                    {"tables compacted": report.compacted, "vectors removed": report.vectors_removed}, "all done"
                ),
                **{f"rag/{k}": v for k, v in facts.items()},
                **work,
            },
            data_version=dg.DataVersion(fingerprint("maintenance", *(f"{k}={v}" for k, v in facts.items()))),
        )

    return maintenance
