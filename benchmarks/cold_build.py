"""Build everything from nothing with a stub embedder, and say how long each step takes.

    python -m benchmarks.cold_build [--folder FOLDER] [--documents 1000] [--profile]

The stub computes vectors by feature hashing, so what is left is the pipeline itself: listing, reading, hashing,
parsing, chunking, committing, indexing, auditing. The bar is 1,100 chunks/s on two cores, everything included.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.common import make_pipeline, profiled, refresh
from benchmarks.documents import write_documents
from rag_pipeline.refresh.workspace import Workspace


def main() -> None:
    parser = argparse.ArgumentParser(description="Build everything from nothing with a stub embedder.")
    parser.add_argument("--folder", type=Path, help="documents; generated ones if not given")
    parser.add_argument("--documents", type=int, default=1_000, help="how many to generate")
    parser.add_argument("--workers", type=int, help="worker processes; one per core if not given")
    parser.add_argument("--profile", action="store_true", help="profile the parent process instead of timing it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folder = options.folder
        if folder is None:
            folder = work / "docs"
            write_documents(folder, options.documents)
        pipeline = make_pipeline(work, folder.absolute(), worker_processes=options.workers)
        with Workspace(pipeline, run_id="benchmark") as workspace:
            if options.profile:
                profiled(lambda: refresh(workspace))
                return
            done = refresh(workspace)
    wall, own, workers = done.times.total
    print(done.times.table())  # noqa: T201
    print(  # noqa: T201
        f"\n{done.documents} documents, {done.chunks} chunks, {done.commits} commits: {done.chunks / wall:,.0f} "
        f"chunks/s, {done.chunks / (own + workers):,.0f} chunks per CPU-second"
    )


if __name__ == "__main__":
    main()
