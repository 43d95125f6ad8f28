"""Build everything from nothing with each engine, in turns: what does Ray cost beside the processes of this machine?

    python -m benchmarks.engines [--folder FOLDER] [--documents 1000] [--pairs 3]

Both work on this machine with one worker per core and a stub embedder; what is counted is processor time of all
processes, those of Ray included. Starting is told apart: it is what a build of a few of the documents takes, in which
everything starts as well. The bar: at most 15 % more than the local engine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import make_pipeline, refresh
from benchmarks.documents import write_documents
from rag_pipeline.refresh.workspace import Workspace

ENGINES = {"local": {"kind": "local"}, "ray": {"kind": "ray", "address": "local", "timeout": "10min"}}
# So many that each worker gets some, and so few that their work is nothing beside starting.
FEW = 24


class Processors:
    """Processor time of this process and all that came of it, as last seen of each."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    def look(self) -> None:
        """Look at who lives; who has ended since then has its time in its parent's, or in what was seen."""
        parents: dict[str, str] = {}
        times: dict[str, float] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                parents[stat.parent.name] = fields[1]
                times[stat.parent.name] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        for process, seconds in times.items():
            above: str | None = process
            while above is not None and above != str(os.getpid()):
                above = parents.get(above)
            if above is not None:
                self._seen[process] = seconds

    @property
    def seconds(self) -> float:
        return sum(self._seen.values())


def build(engine: str, folder: Path) -> None:
    """Build in this process and print what that took as JSON."""
    with tempfile.TemporaryDirectory() as name:
        pipeline = make_pipeline(Path(name), folder.absolute(), engine=ENGINES[engine])
        processors = Processors()
        steps = {}
        began = time.perf_counter()

        def after(step: str) -> None:
            before = processors.seconds
            processors.look()
            steps[step] = processors.seconds - before

        processors.look()
        with Workspace(pipeline, run_id="benchmark") as workspace:
            done = refresh(workspace, after_step=after)
            processors.look()
    took = {"seconds": time.perf_counter() - began, "cpu": sum(steps.values()), "steps": steps, "chunks": done.chunks}
    print(json.dumps(took))  # noqa: T201


def built(engine: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.engines", "--build", engine, "--folder", str(folder)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Build everything from nothing with each engine, in turns.")
    parser.add_argument("--folder", type=Path, help="documents; generated ones if not given")
    parser.add_argument("--documents", type=int, default=1_000, help="how many to generate")
    parser.add_argument("--pairs", type=int, default=3, help="how often each is built")
    parser.add_argument("--build", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build:
        build(options.build, options.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder
        if folder is None:
            folder = Path(name, "docs")
            write_documents(folder, options.documents)
        few = Path(name, "few")
        few.mkdir()
        for document in sorted(path for path in folder.rglob("*") if path.is_file())[:FEW]:
            shutil.copy(document, few)
        compare(folder, few, options.pairs)


def compare(folder: Path, few: Path, pairs: int) -> None:
    ratios = []
    for number in range(pairs):
        # In turns, and each first in half of them.
        order = list(ENGINES) if number % 2 == 0 else list(reversed(ENGINES))
        work = {}
        for engine in order:
            start, whole = built(engine, few), built(engine, folder)
            work[engine] = whole["cpu"] - start["cpu"]
            print(  # noqa: T201
                f"{engine}: {whole['chunks']} chunks, {work[engine]:.1f} CPU-seconds and {start['cpu']:.1f} to start, "
                f"{whole['seconds']:.1f} s; {_by_step(whole, start)}",
                flush=True,
            )
        ratios.append(work["ray"] / work["local"])
    print(f"ray to local, start-up apart: {statistics.median(ratios):.2f}, of {[f'{each:.2f}' for each in ratios]}")  # noqa: T201


def _by_step(whole: dict[str, Any], start: dict[str, Any]) -> str:
    steps, starts = whole["steps"], start["steps"]
    return ", ".join(f"{step} {seconds - starts.get(step, 0):.1f}" for step, seconds in steps.items() if seconds > 1)


if __name__ == "__main__":
    main()
