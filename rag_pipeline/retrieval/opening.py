"""What a Searcher is made of, for a pipeline or for a lake alone.

Belongs here: opening the parts. Does not belong here: searching with them (`search.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rag_pipeline.retrieval.at_source import SourceCheck, sources_of
from rag_pipeline.retrieval.plan import rules_of
from rag_pipeline.retrieval.served_from import FromPostgres
from rag_pipeline.retrieval.spaces import Spaces
from rag_pipeline.settings import Pipeline, load_pipeline, user_cache_folder
from rag_pipeline.settings.load import check_lake_root
from rag_pipeline.stores.lake import INDEX_PATH, Lake
from rag_pipeline.stores.vectors import VectorStore


def parts_of(target: str | Path | Pipeline, environment: Mapping[str, str] | None) -> dict[str, Any]:
    """Arguments of a Searcher, by name; raises what `Searcher.open` does."""
    if not isinstance(target, Pipeline):
        if str(target).endswith((".yaml", ".yml")):
            return parts_of(load_pipeline(target, environment), environment)
        check_lake_root(str(target))
        lake = Lake(str(target), {})
        return {
            "lake": lake,
            "vectors": VectorStore(lake.uri(INDEX_PATH), {}),
            "cache_folder": user_cache_folder(environment),
        }
    lake, settings = Lake(target.lake_root, target.lake_options), target.settings
    vectors = index_of(target, lake)
    parts: dict[str, Any] = {
        "lake": lake,
        "vectors": vectors,
        "cache_folder": target.cache_folder,
        "stale_after": {name: source.stale_after for name, source in settings.sources.items()},
        "rules": rules_of(settings),
        "check": SourceCheck(lake, sources_of(target)),
        "specs": {name: target.source_spec(name) for name in settings.sources},
        "served_from": delivered_of(target),
    }
    if vectors is not None:
        parts["spaces"] = Spaces(lake, vectors, settings.embedding_models, target.model_spec)
    return parts


def index_of(pipeline: Pipeline, lake: Lake) -> VectorStore | None:
    """The indexes of a pipeline's lake; None: it is served from elsewhere, and on this machine there is no lake."""
    if pipeline.settings.serve_from == "postgres" and lake.is_local and not Path(lake.root).is_dir():
        return None
    return VectorStore(lake.uri(INDEX_PATH), pipeline.lake_options)


def delivered_of(pipeline: Pipeline) -> FromPostgres | None:
    """What a pipeline is served from instead of its lake; None: nothing is."""
    return FromPostgres.of(pipeline) if pipeline.settings.serve_from == "postgres" else None
