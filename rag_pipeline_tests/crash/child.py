"""A refresh in a process of its own, to be killed: `python -m rag_pipeline_tests.crash.child FOLDER ALIAS LOG BATCH`.

It says `ready` on standard output once everything is imported, and logs what it computes before it computes it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# What a step imports when it is first called would be most of what is killed otherwise.
import rag_pipeline.embedding.hashing_backend
import rag_pipeline.parallel.pool
import rag_pipeline.stores.vectors  # noqa: F401
from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.contracts.ids import text_hash
from rag_pipeline.embedding.canary import CANARY_TEXTS
from rag_pipeline.embedding.open import open_model
from rag_pipeline.refresh import embeddings
from rag_pipeline.refresh.maintenance import maintain
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline_tests.pipeline.project import Project

CANARIES = {text_hash(text) for text in CANARY_TEXTS}


@dataclass
class LoggedProject(Project):
    """A project whose models write the hash of every text to a file before they compute its vector."""

    log: Path = Path("embedded.log")

    def workspace(self, run_id: str = "logged") -> Workspace:
        pipeline = self.pipeline()

        def logging(spec: EmbeddingModelSpec) -> Any:
            model: Any = open_model(spec, pipeline.cache_folder)
            compute = model.backend.compute

            def logged(prepared: list[str], rows: Any) -> Any:
                lines = "".join(f"{spec.alias} {text_hash(prepared[row])}\n" for row in rows)
                # One write in append mode is whole or absent, whatever kills the process.
                file = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
                os.write(file, lines.encode())
                os.close(file)
                return compute(prepared, rows)

            model.backend.compute = logged
            return model

        return Workspace(pipeline, run_id=run_id, open_model=logging)

    def computed(self) -> list[str]:
        """Model and text hash of everything computed so far, by any process, the canary texts of maintenance apart."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.split()[1] not in CANARIES]

    def refresh_and_maintain(self, alias: str) -> None:
        """Everything from sources to publication, and housekeeping."""
        self.refresh(alias=alias)
        with self.workspace() as workspace:
            maintain(workspace)


def main() -> None:
    folder, alias, log, batch_texts = sys.argv[1:]
    embeddings.COMMIT_TEXTS = int(batch_texts) // 2
    settings = yaml.safe_load((Path(folder) / "pipeline.yaml").read_text("utf-8"))
    project = LoggedProject(Path(folder), settings, log=Path(log))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    project.refresh_and_maintain(alias)


if __name__ == "__main__":
    main()
