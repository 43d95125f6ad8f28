"""Keys of all assets, and what every asset's specification has in common.

Belongs here: keys, partitions, freshness, the pool and the retry policy.
Does not belong here: any one asset (`bronze.py`, `silver.py`, `gold.py`).
"""

from datetime import timedelta
from typing import Any

import dagster as dg

from rag_pipeline.contracts.table import TableContract
from rag_pipeline.defs.describe import column_schema, columns_list, storage
from rag_pipeline.defs.names import source_key as source_key
from rag_pipeline.defs.versions import code_version
from rag_pipeline.settings import Pipeline
from rag_pipeline.shown import without_secrets

REVOCATIONS_KEY = dg.AssetKey(["silver", "revocations"])
MEMBERSHIPS_KEY = dg.AssetKey(["silver", "memberships"])
PRINCIPALS_KEY = dg.AssetKey(["silver", "principals"])
DOCUMENTS_KEY = dg.AssetKey(["silver", "documents"])
QUARANTINE_KEY = dg.AssetKey(["silver", "quarantine"])
DUPLICATES_KEY = dg.AssetKey(["silver", "duplicates"])
BOILERPLATE_KEY = dg.AssetKey(["silver", "boilerplate"])
CHUNKS_KEY = dg.AssetKey(["silver", "chunks"])
ENRICHMENTS_KEY = dg.AssetKey(["silver", "enrichments"])
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


def bronze_key(source: str) -> dg.AssetKey:
    return dg.AssetKey(["bronze", source])


def has_enrichments(pipeline: Pipeline) -> bool:
    """Whether there is an asset of what models and rules read out of documents."""
    return bool(pipeline.settings.enrichments)


def model_partitions(pipeline: Pipeline) -> dg.StaticPartitionsDefinition:
    """One partition per embedding model, named by its alias in pipeline.yaml."""
    return dg.StaticPartitionsDefinition(list(pipeline.settings.embedding_models))


def stale_policy(pipeline: Pipeline) -> dg.FreshnessPolicy:
    """Derived layers are as fresh as the most demanding source asks."""
    window = min(source.stale_after for source in pipeline.settings.sources.values())
    return dg.FreshnessPolicy.time_window(fail_window=max(window, timedelta(minutes=1)))


def spec(
    pipeline: Pipeline,
    key: dg.AssetKey,
    contract: TableContract | None,
    *,
    deps: list[dg.AssetKey],
    kinds: set[str],
    description: str,
    metadata: dict[str, Any] | None = None,
    is_log: bool = False,
    **more: Any,
) -> dg.AssetSpec:
    """The specification of one asset; `contract` is None for what LanceDB stores.

    Args:
        is_log: People look at its page for the last row. Dagster draws columns above all figures, so they come after.
    """
    # Assets are named for what they are, some tables for the rows they hold.
    path = "/".join(key.path) if contract is None or contract.each else contract.path
    uri = f"{without_secrets(pipeline.lake_root)}/{path}"
    shown: dict[str, Any] = dict(storage(uri, "deltalake" if contract is not None else "lancedb"))
    if contract is not None:
        schema = (
            {"rag/columns": columns_list(contract)} if is_log else {"dagster/column_schema": column_schema(contract)}
        )
        shown |= schema
    return dg.AssetSpec(
        key,
        deps=deps,
        description=description,
        group_name=key.path[0],
        kinds={key.path[0], *kinds},
        metadata=shown | (metadata or {}),
        code_version=code_version(key, contract),
        **{"owners": OWNERS, "freshness_policy": stale_policy(pipeline), **more},
    )
