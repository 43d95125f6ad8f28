"""What `dg`, `dagster-webserver` and the daemon load: every asset, check, job and schedule of one pipeline.yaml, or of
all that the file in RAG_PIPELINE_PIPELINES names.

Belongs here: nothing but the call. To embed the pipeline in another Dagster project, call `build_definitions` there.
"""

import os
from pathlib import Path

import dagster as dg

from rag_pipeline.defs import build_all, build_definitions
from rag_pipeline.settings import find_config, load_pipeline
from rag_pipeline.settings.pipelines import PIPELINES_VARIABLE, read_pipelines


def _loaded() -> dg.Definitions:
    pipelines = os.environ.get(PIPELINES_VARIABLE)
    if pipelines:
        return build_all(read_pipelines(Path(pipelines)))
    config = find_config(None, os.environ)
    if not config.exists():
        # Tools that load this module from another folder still find the project's own file.
        config = Path(__file__).resolve().parent.parent / config.name
    return build_definitions(load_pipeline(config))


# What is materialized by hand runs in one process too, as the jobs do.
defs = dg.Definitions.merge(_loaded(), dg.Definitions(executor=dg.in_process_executor))
