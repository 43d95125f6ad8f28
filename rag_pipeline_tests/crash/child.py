"""A refresh in a process of its own, to be killed: `python -m rag_pipeline_tests.crash.child CONFIG ALIAS LOG BATCH`.

It says `ready` on standard output once everything is imported, and logs what it computes before it computes it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.contracts.ids import text_hash
from rag_pipeline.embedding.open import open_model
from rag_pipeline.refresh import embeddings
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.chunks import refresh_chunks
from rag_pipeline.refresh.documents import refresh_documents
from rag_pipeline.refresh.embeddings import refresh_embeddings
from rag_pipeline.refresh.index import refresh_index
from rag_pipeline.refresh.maintenance import maintain
from rag_pipeline.refresh.publication import publish
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings import load_pipeline


def refresh(config: Path, alias: str, log: Path, batch_texts: int) -> None:
    """Everything from sources to publication, and maintenance, with one line per computed text in `log`."""
    embeddings.BATCH_TEXTS = batch_texts
    pipeline = load_pipeline(config, {})

    def logging(spec: EmbeddingModelSpec) -> Any:
        model: Any = open_model(spec, pipeline.cache_folder)
        compute = model.backend.compute

        def logged(prepared: list[str], rows: Any) -> Any:
            lines = "".join(f"{spec.alias} {text_hash(prepared[row])}\n" for row in rows)
            # One write in append mode is whole or absent, whatever kills the process.
            file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, lines.encode())
            os.close(file)
            return compute(prepared, rows)

        model.backend.compute = logged
        return model

    with Workspace(pipeline, run_id=f"child {os.getpid()}", open_model=logging) as workspace:
        for name in workspace.settings.sources:
            refresh_source(workspace, name, allow_mass_deletion=True)
        refresh_documents(workspace)
        refresh_chunks(workspace)
        refresh_embeddings(workspace, alias)
        refresh_index(workspace, alias)
        publish(workspace, alias)
        maintain(workspace)


def main() -> None:
    config, alias, log, batch_texts = sys.argv[1:]
    # What a step imports when it is first called would be most of what is killed otherwise.
    import rag_pipeline.embedding.hashing_backend
    import rag_pipeline.parallel.pool
    import rag_pipeline.stores.vectors  # noqa: F401

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    refresh(Path(config), alias, Path(log), int(batch_texts))


if __name__ == "__main__":
    main()
