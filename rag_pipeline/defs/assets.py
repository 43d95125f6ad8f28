"""Every asset, layer by layer.

Belongs here: what an asset depends on, how it is shown, and the one call that refreshes it.
Does not belong here: how it is refreshed (`refresh/`) or what must be true of it (`checks.py`).
"""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from rag_pipeline.contracts.evaluation import EVALUATIONS
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.contracts.tables import BRONZE, CHUNKS, DOCUMENTS, DUPLICATES, EMBEDDINGS, PUBLICATIONS, QUARANTINE
from rag_pipeline.defs.describe import arrow_schema, column_lineage, column_schema, counts_table, histogram, storage
from rag_pipeline.defs.describe_evaluation import evaluation_metadata
from rag_pipeline.defs.resources import PipelineResource, as_dagster_failure
from rag_pipeline.settings import Pipeline
from rag_pipeline.stores.lake import EVALUATIONS_PATH, PUBLICATIONS_PATH

DOCUMENTS_KEY = dg.AssetKey(["silver", "documents"])
QUARANTINE_KEY = dg.AssetKey(["silver", "quarantine"])
DUPLICATES_KEY = dg.AssetKey(["silver", "duplicates"])
CHUNKS_KEY = dg.AssetKey(["silver", "chunks"])
EMBEDDINGS_KEY = dg.AssetKey(["gold", "embeddings"])
INDEX_KEY = dg.AssetKey(["gold", "index"])
EVALUATION_KEY = dg.AssetKey(["gold", "evaluation"])
PUBLICATION_KEY = dg.AssetKey(["gold", "publication"])
MAINTENANCE_KEY = dg.AssetKey(["gold", "maintenance"])
OWNERS = ["team:data-platform"]
# One writer at a time; runs of one instance queue for it instead of waiting on the lake's lock.
WRITER_POOL = "rag_lake_writer"
# Only what a retry can cure is retried: errors that are not retryable turn retries off.
RETRY = dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL)


class BronzeConfig(dg.Config):
    """What an operator may allow for one run of one source."""

    allow_mass_deletion: bool = False


class DocumentsConfig(dg.Config):
    """What an operator may allow for one run: sources of which many documents may be refused at once."""

    allow_mass_deletion: list[str] = []  # noqa: RUF012 - Dagster reads the default as pydantic does


class PublicationConfig(dg.Config):
    """Which model's index to publish by hand; empty: the one that is served.

    `override_gate` publishes although the evaluation says no; `note` has to say why.
    """

    alias: str = ""
    note: str = ""
    override_gate: bool = False


def bronze_key(source: str) -> dg.AssetKey:
    return dg.AssetKey(["bronze", source])


def model_partitions(pipeline: Pipeline) -> dg.StaticPartitionsDefinition:
    """One partition per embedding model, named by its alias in pipeline.yaml."""
    return dg.StaticPartitionsDefinition(list(pipeline.settings.embedding_models))


def stale_policy(pipeline: Pipeline) -> dg.FreshnessPolicy:
    """Derived layers are as fresh as the most demanding source asks."""
    window = min(source.stale_after for source in pipeline.settings.sources.values())
    return dg.FreshnessPolicy.time_window(fail_window=max(window, timedelta(minutes=1)))


def build_assets(pipeline: Pipeline) -> list[dg.AssetsDefinition]:
    """Assets of a pipeline, bronze to publication."""
    bronze = [_bronze_asset(pipeline, name) for name in pipeline.settings.sources]
    return [
        *bronze,
        _documents_asset(pipeline),
        _chunks_asset(pipeline),
        _embeddings_asset(pipeline),
        _index_asset(pipeline),
        _evaluation_asset(pipeline),
        _publication_asset(pipeline),
        _maintenance_asset(),
    ]


def _spec(
    pipeline: Pipeline,
    key: dg.AssetKey,
    contract: TableContract | None,
    *,
    deps: list[dg.AssetKey],
    kinds: set[str],
    description: str,
    metadata: dict[str, Any] | None = None,
    **more: Any,
) -> dg.AssetSpec:
    # Assets are named for what they are, some tables for the rows they hold.
    path = {PUBLICATION_KEY: PUBLICATIONS_PATH, EVALUATION_KEY: EVALUATIONS_PATH}.get(key, "/".join(key.path))
    uri = f"{pipeline.lake_root}/{path}"
    shown: dict[str, Any] = dict(storage(uri, "deltalake" if contract is not None else "lancedb"))
    if contract is not None:
        shown["dagster/column_schema"] = column_schema(contract)
    return dg.AssetSpec(
        key,
        deps=deps,
        description=description,
        group_name=key.path[0],
        kinds={key.path[0], *kinds},
        metadata=shown | (metadata or {}),
        **{"owners": OWNERS, "freshness_policy": stale_policy(pipeline), **more},
    )


def _bronze_asset(pipeline: Pipeline, name: str) -> dg.AssetsDefinition:
    source = pipeline.settings.sources[name]
    spec = _spec(
        pipeline,
        bronze_key(name),
        BRONZE,
        deps=[],
        kinds={"deltalake", "file"},
        description=f"Documents of source `{name}` ({source.location}) as they came. {BRONZE.doc}",
        owners=list(source.owners) or OWNERS,
        freshness_policy=dg.FreshnessPolicy.time_window(
            fail_window=source.stale_after, warn_window=max(source.stale_after / 2, timedelta(minutes=1))
        )
        if source.stale_after > timedelta(minutes=2)
        else dg.FreshnessPolicy.time_window(fail_window=max(source.stale_after, timedelta(minutes=1))),
    )

    @dg.multi_asset(name=f"bronze_{name}", specs=[spec], pool=WRITER_POOL, retry_policy=RETRY)
    def bronze(config: BronzeConfig, pipeline: PipelineResource) -> dg.MaterializeResult[Any]:
        from rag_pipeline.refresh.bronze import refresh_source

        with as_dagster_failure() as work:
            report = refresh_source(pipeline.workspace, name, allow_mass_deletion=config.allow_mass_deletion)
        facts: dict[str, Any] = {f"rag/{k}": v for k, v in asdict(report).items() if isinstance(v, int)}
        newest = report.newest_modified_at
        if newest is not None:
            facts["rag/newest_modified_at"] = dg.MetadataValue.timestamp(newest)
            facts["rag/content_age_hours"] = (datetime.now(UTC) - newest).total_seconds() / 3600
        facts["rag/report"] = dg.MetadataValue.json(json.loads(json.dumps(asdict(report), default=str)))
        return dg.MaterializeResult(metadata={"dagster/row_count": report.live, **work, **facts})

    return bronze


def _documents_asset(pipeline: Pipeline) -> dg.AssetsDefinition:
    deps = [bronze_key(name) for name in pipeline.settings.sources]
    kinds = {"deltalake", "python"}
    tables = ((DOCUMENTS_KEY, DOCUMENTS), (QUARANTINE_KEY, QUARANTINE), (DUPLICATES_KEY, DUPLICATES))
    specs = [
        _spec(pipeline, key, contract, deps=deps, kinds=kinds, description=contract.doc) for key, contract in tables
    ]

    held = dg.AssetCheckSpec(
        "no_source_is_refused_at_once",
        asset=DOCUMENTS_KEY,
        description="No source lost more documents to refusals in one run than its brake allows. It does not block: "
        "what is held back stays as it was, and changed permissions go on to readers.",
    )

    @dg.multi_asset(name="silver_documents", specs=specs, check_specs=[held], pool=WRITER_POOL, retry_policy=RETRY)
    def documents(config: DocumentsConfig, pipeline: PipelineResource):  # type: ignore[no-untyped-def]
        from rag_pipeline.refresh.documents import update_documents

        with as_dagster_failure() as work:
            report = update_documents(pipeline.workspace, allow_mass_deletion=config.allow_mass_deletion)
        facts = {f"rag/{key}": value for key, value in asdict(report).items() if isinstance(value, int)}
        lineage = column_lineage("silver/documents", DOCUMENTS, [BRONZE] * len(deps), deps)
        yield dg.MaterializeResult(
            asset_key=DOCUMENTS_KEY,
            metadata={
                "dagster/row_count": report.documents,
                "rag/by_media_type": counts_table("media type", report.by_media_type),
                "rag/by_source": counts_table("source", report.by_source),
                "rag/by_language": counts_table("language", report.by_language),
                "rag/quality": histogram("Quality", report.quality_percents, unit="quality score, percent"),
                **work,
                **facts,
                **lineage,
            },
        )
        yield dg.MaterializeResult(
            asset_key=QUARANTINE_KEY,
            metadata={
                "dagster/row_count": report.quarantined,
                "rag/by_reason": counts_table("reason", report.by_reason),
            },
        )
        yield dg.MaterializeResult(asset_key=DUPLICATES_KEY, metadata={"dagster/row_count": report.duplicates})
        yield dg.AssetCheckResult(
            asset_key=DOCUMENTS_KEY,
            check_name=held.name,
            passed=not report.held,
            severity=dg.AssetCheckSeverity.ERROR,
            description=report.held_because or None,
            metadata={"rag/held_count": report.held, "rag/next_step": "rag-pipeline quarantine list"},
        )

    return documents


def _chunks_asset(pipeline: Pipeline) -> dg.AssetsDefinition:
    spec = _spec(
        pipeline,
        CHUNKS_KEY,
        CHUNKS,
        deps=[DOCUMENTS_KEY, DUPLICATES_KEY],
        kinds={"deltalake", "python"},
        description=CHUNKS.doc,
    )

    @dg.multi_asset(name="silver_chunks", specs=[spec], pool=WRITER_POOL, retry_policy=RETRY)
    def chunks(pipeline: PipelineResource) -> dg.MaterializeResult[Any]:
        from rag_pipeline.refresh.chunks import refresh_chunks

        with as_dagster_failure() as work:
            report = refresh_chunks(pipeline.workspace)
        facts = {f"rag/{key}": value for key, value in asdict(report).items() if isinstance(value, int)}
        plot = histogram("Chunk length", report.token_counts, unit="tokens, header included")
        lineage = column_lineage("silver/chunks", CHUNKS, [DOCUMENTS], [DOCUMENTS_KEY])
        return dg.MaterializeResult(
            metadata={"dagster/row_count": report.chunks, "rag/chunk_length": plot, **work, **facts, **lineage}
        )

    return chunks


def _embeddings_asset(pipeline: Pipeline) -> dg.AssetsDefinition:
    spec = _spec(
        pipeline,
        EMBEDDINGS_KEY,
        EMBEDDINGS,
        deps=[CHUNKS_KEY],
        kinds={"deltalake", "huggingface"},
        description=f"{EMBEDDINGS.doc} One partition per embedding model.",
        partitions_def=model_partitions(pipeline),
    )

    @dg.multi_asset(name="gold_embeddings", specs=[spec], pool=WRITER_POOL, retry_policy=RETRY)
    def embeddings(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult[Any]:
        from rag_pipeline.refresh.embeddings import refresh_embeddings
        from rag_pipeline.refresh.publication import withdrawals_reach_readers

        with as_dagster_failure() as work, withdrawals_reach_readers(pipeline.workspace):
            report = refresh_embeddings(pipeline.workspace, context.partition_key)
        rate = report.computed / report.seconds if report.computed else 0.0
        return dg.MaterializeResult(
            metadata={
                "dagster/partition_row_count": report.texts,
                **work,
                "rag/embeddings_computed": report.computed,
                "rag/embeddings_kept": report.kept,
                "rag/commits": report.commits,
                "rag/texts_per_second": rate,
                "rag/space_fingerprint": report.space_fingerprint,
                **({} if report.estimated_price is None else {"rag/estimated_price": report.estimated_price}),
            }
        )

    return embeddings


def _index_asset(pipeline: Pipeline) -> dg.AssetsDefinition:
    from rag_pipeline.contracts.index import NULLABLE, ROW_COLUMNS

    spec = _spec(
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

    @dg.multi_asset(name="gold_index", specs=[spec], pool=WRITER_POOL, retry_policy=RETRY)
    def index(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult[Any]:
        from rag_pipeline.refresh.index import refresh_index

        with as_dagster_failure() as work:
            report = refresh_index(pipeline.workspace, context.partition_key)
        facts = {f"rag/{key}": value for key, value in asdict(report).items() if isinstance(value, int)}
        audit: dict[str, Any] = {
            f"rag/audit_{key}": report.audit[key] for key in ("ghosts", "missing", "mismatched", "passed")
        }
        return dg.MaterializeResult(
            metadata={
                "dagster/partition_row_count": report.rows,
                **work,
                "dagster/table_name": report.table_name,
                **facts,
                **audit,
            }
        )

    return index


def _evaluation_asset(pipeline: Pipeline) -> dg.AssetsDefinition:
    spec = _spec(
        pipeline,
        EVALUATION_KEY,
        EVALUATIONS,
        deps=[INDEX_KEY],
        kinds={"deltalake", "python"},
        description=f"{EVALUATIONS.doc} Search quality of the newest version on the questions that pipeline.yaml "
        "names, question by question in gold/question_results. One partition per embedding model.",
        partitions_def=model_partitions(pipeline),
    )

    @dg.multi_asset(name="gold_evaluation", specs=[spec], pool=WRITER_POOL, retry_policy=RETRY)
    def evaluation(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult[Any]:
        from rag_pipeline.refresh.evaluation import evaluation_history, refresh_evaluation
        from rag_pipeline.refresh.publication import withdrawals_reach_readers

        workspace = pipeline.workspace
        with as_dagster_failure() as work, withdrawals_reach_readers(workspace):
            report = refresh_evaluation(workspace, context.partition_key)
            history = evaluation_history(workspace, context.partition_key)
        figures = evaluation_metadata(report, history, workspace.settings.evaluation.mode)
        return dg.MaterializeResult(metadata=figures | work)

    return evaluation


def _publication_asset(pipeline: Pipeline) -> dg.AssetsDefinition:
    spec = _spec(
        pipeline,
        PUBLICATION_KEY,
        PUBLICATIONS,
        deps=[INDEX_KEY, EVALUATION_KEY],
        kinds={"deltalake"},
        description=f"{PUBLICATIONS.doc} It moves only to a version whose audit passed, and whose evaluation is not "
        "below that of what readers see.",
    )

    @dg.multi_asset(name="gold_publication", specs=[spec], pool=WRITER_POOL, retry_policy=RETRY)
    def publication(config: PublicationConfig, pipeline: PipelineResource) -> dg.MaterializeResult[Any]:
        from rag_pipeline.refresh.publication import publish

        workspace = pipeline.workspace
        with as_dagster_failure() as work:
            report = publish(
                workspace,
                config.alias or None,
                note=config.note,
                by_hand=bool(config.alias),
                override_gate=config.override_gate,
            )
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": report.sequence + 1,
                **work,
                **{f"rag/{key}": value for key, value in asdict(report).items()},
                "rag/commits": int(report.moved),
            }
        )

    return publication


def _maintenance_asset() -> dg.AssetsDefinition:
    spec = dg.AssetSpec(
        MAINTENANCE_KEY,
        deps=[PUBLICATION_KEY],
        group_name="gold",
        kinds={"gold", "deltalake", "lancedb"},
        owners=OWNERS,
        description="Small files compacted, and files removed that no version within retention needs. Never touches "
        "what is published.",
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(days=3)),
    )

    @dg.multi_asset(name="gold_maintenance", specs=[spec], pool=WRITER_POOL, retry_policy=RETRY)
    def maintenance(pipeline: PipelineResource) -> dg.MaterializeResult[Any]:
        from rag_pipeline.refresh.maintenance import maintain

        with as_dagster_failure() as work:
            report = maintain(pipeline.workspace)
        return dg.MaterializeResult(metadata={f"rag/{k}": v for k, v in asdict(report).items()} | work)

    return maintenance
