"""The first batches of a fresh process may come from several threads at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.embedding.open import open_model
from rag_pipeline.settings import user_cache_folder
spec = EmbeddingModelSpec(alias="m", model="sentence-transformers/all-MiniLM-L6-v2")
model = open_model(spec, user_cache_folder())
backend = model.backend
prepared = backend.prepare(["one", "two words", "three words here", "and four words here"] * 8)
with ThreadPoolExecutor(8) as threads:
    print(sum(len(v) for v in threads.map(lambda rows: backend.compute(prepared, rows), backend.plan(prepared))))
"""


@pytest.mark.model
@pytest.mark.slow
def test_threads_that_compute_first_at_once_do_not_wait_for_each_other_for_ever() -> None:
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=300)
        assert done.stdout.strip() == "32"
