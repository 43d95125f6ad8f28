"""How long readings are kept that no document uses.

Belongs here: noting since when, and removing what has been unused for the retention time.
Does not belong here: reading (`enrichments.py`), the rest of housekeeping (`maintenance.py`).
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from rag_pipeline.contracts.tables import DOCUMENTS, ENRICHMENTS
from rag_pipeline.enrichment.recipes import enrichments_of
from rag_pipeline.refresh.contexts import chunk_keys
from rag_pipeline.refresh.workspace import Workspace


def retain_readings(workspace: Workspace, as_of: datetime) -> int:
    """Note which readings are unused, and remove those that have been for `embeddings_retention`; how many went.

    One is used while a document has its text, or a chunk is shown like that, and an enrichment of pipeline.yaml its
    recipe.

    Args:
        as_of: The time by which that is judged.
    """
    lake = workspace.lake
    rows = lake.read(ENRICHMENTS, ["recipe", "input_hash", "unused_since"])
    if rows.is_empty():
        return 0
    configured = enrichments_of(workspace.pipeline)
    if configured.problems:
        # By what recipe an enrichment reads that cannot be used now is not known.
        return 0
    keys = chunk_keys(lake)
    texts = pl.concat([lake.read(DOCUMENTS, ["content_hash"])["content_hash"], keys.alias("content_hash")]).unique()
    is_used = pl.col("recipe").is_in([recipe for each in configured.all for recipe in (each.recipe, each.beginnings)])
    is_used &= pl.col("input_hash").is_in(texts.implode())
    now = workspace.now()
    moment = pl.lit(now).cast(ENRICHMENTS.schema["unused_since"])
    after = rows.with_columns(
        pl.when(is_used).then(None).otherwise(pl.coalesce("unused_since", moment)).alias("unused_since")
    )
    is_over = pl.col("unused_since") <= as_of - workspace.settings.embeddings_retention
    expired = after.filter(is_over)
    lake.replace_where(ENRICHMENTS, ENRICHMENTS.empty(), expired)
    kept = after.join(expired, on=list(ENRICHMENTS.key), how="anti")
    changed = kept.join(rows, on=list(ENRICHMENTS.key), suffix="_before").filter(
        pl.col("unused_since").is_null() != pl.col("unused_since_before").is_null()
    )
    lake.update(ENRICHMENTS, changed.select("recipe", "input_hash", "unused_since"))
    return expired.height
