"""A refresh in a process of its own, to be killed, which logs what it computes before it computes it; or the command.

Processes are forked from one that has imported this module, since importing costs several times as much as the
refresh of a small corpus.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

# What a step imports when it is first called would be most of what is killed otherwise.
import rag_pipeline.cli.app
import rag_pipeline.defs.launch
import rag_pipeline.embedding.hashing_backend
import rag_pipeline.parallel.pool
import rag_pipeline.stores.vectors  # noqa: F401
from rag_pipeline.cli import main
from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.contracts.ids import text_hash
from rag_pipeline.embedding.canary import CANARY_TEXTS
from rag_pipeline.embedding.open import open_model
from rag_pipeline.refresh import embeddings
from rag_pipeline.refresh.maintenance import maintain
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline_tests.paths import REPOSITORY
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


def refresh_and_be_killed(
    project: LoggedProject, alias: str, batch_texts: int, scratch: Path, variables: dict[str, str], ready: Connection
) -> None:
    """What the process does: lead a group of its own, say that it is about to begin, and refresh."""
    _settle_in(scratch, variables)
    embeddings.COMMIT_TEXTS = batch_texts // 2
    ready.send(None)
    project.refresh_and_maintain(alias)


def type_and_be_killed(arguments: list[str], scratch: Path, variables: dict[str, str]) -> None:
    """What the process of a command does: the same as one that is typed, whose modules were imported before."""
    _settle_in(scratch, variables)
    os.chdir(REPOSITORY)
    sys.argv[1:] = arguments
    main()


def _settle_in(scratch: Path, variables: dict[str, str]) -> None:
    os.setsid()
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silent, stream)
    os.environ.clear()
    os.environ.update(variables)
    tempfile.tempdir = str(scratch)


def start(
    project: LoggedProject, alias: str, *, batch_texts: int, scratch: Path, variables: dict[str, str]
) -> ForkServerProcess:
    """Start a refresh with these environment variables; returns once it is about to begin."""
    context = _context()
    waiting, ready = context.Pipe(duplex=False)
    child = context.Process(
        target=refresh_and_be_killed, args=(project, alias, batch_texts, scratch, variables, ready), daemon=False
    )
    child.start()
    # Only the process itself holds the other end now, so that its death is noticed too.
    ready.close()
    with waiting:
        waiting.recv()
    return child


def start_command(arguments: list[str], *, scratch: Path, variables: dict[str, str]) -> ForkServerProcess:
    """Start `rag-pipeline` with these arguments and environment variables."""
    child = _context().Process(target=type_and_be_killed, args=(arguments, scratch, variables), daemon=False)
    child.start()
    return child


def _context() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rag_pipeline_tests.crash.server"])
    return context
