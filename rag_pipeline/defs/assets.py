"""Every asset of a pipeline, layer by layer."""

import dagster as dg

from rag_pipeline.defs.bronze import bronze_asset
from rag_pipeline.defs.enrichments import enrichments_asset
from rag_pipeline.defs.gold import (
    embeddings_asset,
    evaluation_asset,
    index_asset,
    maintenance_asset,
)
from rag_pipeline.defs.principals import principals_assets
from rag_pipeline.defs.publication import publication_asset
from rag_pipeline.defs.revocations import revocations_asset
from rag_pipeline.defs.silver import chunks_asset, documents_asset
from rag_pipeline.defs.specs import has_enrichments
from rag_pipeline.settings import Pipeline


def build_assets(pipeline: Pipeline) -> list[dg.AssetsDefinition]:
    """Assets of a pipeline, bronze to publication."""
    bronze = [bronze_asset(pipeline, name) for name in pipeline.settings.sources]
    return [
        *bronze,
        *principals_assets(pipeline),
        revocations_asset(pipeline),
        documents_asset(pipeline),
        chunks_asset(pipeline),
        *([enrichments_asset(pipeline)] if has_enrichments(pipeline) else []),
        embeddings_asset(pipeline),
        index_asset(pipeline),
        evaluation_asset(pipeline),
        publication_asset(pipeline),
        maintenance_asset(),
    ]
