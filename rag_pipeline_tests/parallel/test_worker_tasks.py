"""A worker process starts for one document as fast as for a thousand."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = {"polars", "pyarrow", "numpy", "pydantic", "deltalake", "lancedb", "dagster", "fsspec", "duckdb"}


def test_what_workers_run_imports_no_library_of_frames_storage_or_settings() -> None:
    code = (
        "import json, sys, rag_pipeline.parallel.worker, rag_pipeline.refresh.timings, "
        "rag_pipeline.transforms.worker_tasks; print(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    imported = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert "rag_pipeline" in imported
    assert imported & HEAVY == set()
