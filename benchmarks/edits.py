"""Many small edits, one run each: do disk and time follow what changed?

    python -m benchmarks.edits [--documents 150] [--edits 60] [--sections 9] [--detail]

The bar: the lake stays under four times its first size and under 1,000 files, and the last edits cost what the first
did. Files and bytes count whatever the machine does; CPU-seconds are the pipeline's own, Dagster's start apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.common import make_pipeline, refresh
from benchmarks.documents import LAST_MODIFIED, write_documents
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings import Pipeline


def one_run(pipeline: Pipeline) -> tuple[float, float]:
    """Wall and CPU-seconds of one refresh."""
    started, own = time.perf_counter(), time.process_time()
    with Workspace(pipeline, run_id="benchmark") as workspace:
        refresh(workspace)
    return time.perf_counter() - started, time.process_time() - own


def edit(folder: Path, number: int, documents: int) -> None:
    """Change one line of one document, as a person does a minute after the last run."""
    path = folder / f"{number % documents // 100:03}" / f"{number % documents:05}.md"
    text = path.read_text("utf-8")
    path.write_text(text.replace("Fact 1 of", f"Edit {number}: fact 1 of", 1), "utf-8")
    os.utime(path, (LAST_MODIFIED + number, LAST_MODIFIED + number))


def disk(lake: Path) -> tuple[int, int]:
    """Files and bytes of a lake."""
    sizes = [path.stat().st_size for path in lake.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def by_table(lake: Path) -> str:
    """Files and KB by table, the largest first."""
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for path in lake.rglob("*"):
        if path.is_file():
            parts = path.relative_to(lake).parts
            table = "/".join(parts[:2]) + ("/_delta_log" if "_delta_log" in parts else "")
            files[table] += 1
            sizes[table] += path.stat().st_size
    return "\n".join(f"  {name:40} {files[name]:6} files {size / 1e3:12,.0f} KB" for name, size in sizes.most_common())


def main() -> None:
    parser = argparse.ArgumentParser(description="Many small edits, one run each.")
    parser.add_argument("--documents", type=int, default=150)
    parser.add_argument("--sections", type=int, default=9)
    parser.add_argument("--edits", type=int, default=60)
    parser.add_argument("--detail", action="store_true", help="show files and bytes by table at the end")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        write_documents(work / "docs", options.documents, options.sections)
        pipeline = make_pipeline(work, work / "docs")
        one_run(pipeline)
        lake = work / "lake"
        first = disk(lake)
        costs = []
        peak = first
        for number in range(options.edits):
            edit(work / "docs", number, options.documents)
            costs.append(one_run(pipeline))
            files, size = disk(lake)
            peak = (max(peak[0], files), max(peak[1], size))
        last = disk(lake)
        detail = by_table(lake)
    few = max(1, options.edits // 6)
    begin, end = (statistics.median(cost[1] for cost in part) for part in (costs[:few], costs[-few:]))
    print(f"{options.documents} documents, {options.edits} edits of one line, one run each")  # noqa: T201
    print("| | files | MB | times the first |\n|---|---|---|---|")  # noqa: T201
    for label, (files, size) in (("first build", first), ("at most", peak), ("at the end", last)):
        print(f"| {label} | {files:,} | {size / 1e6:.1f} | {size / first[1]:.2f} |")  # noqa: T201
    print(f"\nCPU-seconds of an edit: {begin:.2f} at first, {end:.2f} at last")  # noqa: T201
    if options.detail:
        print(detail)  # noqa: T201


if __name__ == "__main__":
    main()
