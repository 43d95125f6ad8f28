"""A machine that writes to a lake: a process of its own, which does what it is told to a project."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from rag_pipeline_tests.paths import REPOSITORY

# A lease that lives so long is renewed four times a second, and taken over after two seconds.
TTL_SECONDS = 1.5


class Writer:
    """Such a process, as its test sees it; a context manager that ends it.

    Args:
        folder: Of the project; its pipeline.yaml is read at each refresh.
    """

    def __init__(self, folder: Path, name: str) -> None:
        command = [sys.executable, "-m", "rag_pipeline_tests.object_store.writer", str(folder), name]
        self._process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def begin(self, what: str = "refresh") -> None:
        """Do something; do not wait for its end."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()

    def end(self) -> str:
        """Wait for it; the code of the error that it ended with, or nothing."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the writer died"
        return str(json.loads(line))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)


def serve(folder: Path, name: str) -> None:
    """Do what each line that comes says, and say how it ended."""
    from rag_pipeline.errors import RagPipelineError
    from rag_pipeline.refresh.everything import refresh_everything
    from rag_pipeline.refresh.generations import retire
    from rag_pipeline.refresh.maintenance import maintain
    from rag_pipeline.refresh.publication import rollback
    from rag_pipeline.refresh.workspace import Workspace
    from rag_pipeline.settings import load_pipeline
    from rag_pipeline.stores import lease

    lease.TTL_SECONDS = TTL_SECONDS
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    actions: dict[str, Any] = {
        "refresh": lambda workspace: refresh_everything(
            workspace, workspace.settings.serve, evaluate=False, strict=True
        ),
        "maintain": maintain,
        "rollback": rollback,
        "retire": lambda workspace: retire(workspace, "other"),
    }
    for number, line in enumerate(sys.stdin):
        said: Any = ""
        try:
            with Workspace(load_pipeline(folder / "pipeline.yaml", {}), run_id=f"{name}-{number}") as workspace:
                actions[line.strip()](workspace)
        except RagPipelineError as error:
            said = error.code if error.retryable else f"{error.code}: {error.message}"
        answers.write(f"{json.dumps(said)}\n")
        answers.flush()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2])
