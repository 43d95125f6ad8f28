"""Refresh when nothing has changed: what does it cost to find that out?

    python -m benchmarks.unchanged_run [--folder FOLDER] [--documents 1000] [--rounds 5] [--command] [--profile]

The bar is 0.4 s of the pipeline's own work per 1,000 documents, Dagster's start apart, 0 embeddings and 0 commits.
`--command` also times `rag-pipeline run` as a whole. The fastest round counts: other work on the machine only adds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import Refresh, make_pipeline, profiled, refresh
from benchmarks.documents import write_documents
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings import Pipeline


def one_round(pipeline: Pipeline) -> Refresh:
    with Workspace(pipeline, run_id="benchmark") as workspace:
        return refresh(workspace)


def command_seconds(pipeline: Pipeline) -> float:
    command = [sys.executable, "-m", "rag_pipeline.cli", "run", "--json", "--config", str(pipeline.path)]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description="Refresh when nothing has changed.")
    parser.add_argument("--folder", type=Path, help="documents; generated ones if not given")
    parser.add_argument("--documents", type=int, default=1_000, help="how many to generate")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--command", action="store_true", help="time `rag-pipeline run` too")
    parser.add_argument("--profile", action="store_true", help="profile an unchanged run instead of timing it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folder = options.folder
        if folder is None:
            folder = work / "docs"
            write_documents(folder, options.documents)
        pipeline = make_pipeline(work, folder.absolute())
        one_round(pipeline)
        if options.profile:
            profiled(lambda: one_round(pipeline))
            return
        rounds = [one_round(pipeline) for _ in range(options.rounds)]
        whole = command_seconds(pipeline) if options.command else None
    best = min(rounds, key=lambda done: done.times.total[0])
    wall, own, workers = best.times.total
    thousands = best.documents / 1_000
    print(best.times.table())  # noqa: T201
    print(  # noqa: T201
        f"\n{best.documents} documents, {best.chunks} chunks: {wall / thousands:.3f} s and "
        f"{(own + workers) / thousands:.3f} CPU-seconds per 1,000 documents; {max(r.embedded for r in rounds)} "
        f"embeddings, {max(r.commits for r in rounds)} commits in {len(rounds)} rounds"
    )
    if whole is not None:
        print(f"rag-pipeline run as a whole: {whole:.1f} s")  # noqa: T201


if __name__ == "__main__":
    main()
