"""Settings of a pipeline: what pipeline.yaml may hold (`sections.py`), and reading it (`load.py`)."""

from rag_pipeline.settings.load import Pipeline, find_config, json_schema, load_pipeline, user_cache_folder
from rag_pipeline.settings.sections import Settings

__all__ = ["Pipeline", "Settings", "find_config", "json_schema", "load_pipeline", "user_cache_folder"]
