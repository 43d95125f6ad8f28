"""What `dg`, `dagster-webserver` and the daemon load: every asset, check, job and schedule of one pipeline.yaml.

Belongs here: nothing but the call. To embed the pipeline in another Dagster project, call `build_definitions` there.
"""

import os
from pathlib import Path

import dagster as dg

from rag_pipeline.defs import build_definitions
from rag_pipeline.settings import find_config, load_pipeline

_config = find_config(None, os.environ)
if not _config.exists():
    # Tools that load this module from another folder still find the project's own file.
    _config = Path(__file__).resolve().parent.parent / _config.name

# What is materialized by hand runs in one process too, as the jobs do.
defs = dg.Definitions.merge(build_definitions(load_pipeline(_config)), dg.Definitions(executor=dg.in_process_executor))
