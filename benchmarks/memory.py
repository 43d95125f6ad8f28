"""Peak memory of a cold build at two sizes: bounded by the batch, or growing with the corpus?

    python -m benchmarks.memory [--small 20000] [--large 100000]

Each size is built in a process of its own, with a stub embedder and generated documents of 20 chunks. What counts is
the peak of the parent; workers are bounded one by one. The bar: the large peak is at most 1.3 times the small one.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common import make_pipeline, refresh
from benchmarks.documents import write_documents
from rag_pipeline.refresh.workspace import Workspace

CHUNKS_PER_DOCUMENT = 20
MIB = 2**20


def build(chunks: int) -> None:
    """Build in this process and print its peaks as JSON."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        write_documents(work / "docs", chunks // CHUNKS_PER_DOCUMENT, CHUNKS_PER_DOCUMENT)
        pipeline = make_pipeline(work, work / "docs")
        start = peak_bytes()
        peaks: dict[str, int] = {}
        with Workspace(pipeline, run_id="benchmark") as workspace:
            done = refresh(workspace, after_step=lambda step: peaks.update({step: peak_bytes()}))
        print(json.dumps({"chunks": done.chunks, "start": start, "peak": peak_bytes(), "steps": peaks}))  # noqa: T201


def peak_bytes() -> int:
    """Highest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measured(chunks: int) -> dict[str, object]:
    command = [sys.executable, "-m", "benchmarks.memory", "--build", str(chunks)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, object] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory of a cold build at two sizes.")
    parser.add_argument("--small", type=int, default=20_000, help="chunks")
    parser.add_argument("--large", type=int, default=100_000, help="chunks")
    parser.add_argument("--build", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build:
        build(options.build)
        return
    small, large = measured(options.small), measured(options.large)
    print(f"| step | peak after it, MiB, {small['chunks']:,} chunks | {large['chunks']:,} chunks |")  # noqa: T201
    print("|---|---|---|")  # noqa: T201
    rows = [("imports", small["start"], large["start"])]
    rows += [(step, small["steps"][step], large["steps"][step]) for step in small["steps"]]  # type: ignore[index,attr-defined]
    for step, few, many in rows:
        print(f"| {step} | {few / MIB:,.0f} | {many / MIB:,.0f} |")  # noqa: T201  # type: ignore[operator]
    print(f"\nratio of the peaks: {large['peak'] / small['peak']:.2f}")  # noqa: T201  # type: ignore[operator]


if __name__ == "__main__":
    main()
