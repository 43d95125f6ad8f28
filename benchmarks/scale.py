"""What grows faster than the work: every kind of step at ten times the chunks, in time, memory and disk.

    python -m benchmarks.scale [--chunks 10000 100000] [--sections 20] [--detail]

Generated documents and a model that only hashes, so that what is measured is the pipeline. Each step runs in a process
of its own, whose peak memory is thus the step's. Work grows with the chunks where all of them are built, compared or
kept, and not at all where one document is edited or one question asked: the last column is how much more processor
time a step takes at the larger size, divided by how much more work it has.

The bar: 1 where the work is all of it, an unchanged run below 2 in any case; for one edit and one question a third of
the factor between the sizes, since an audit compares the hashes of all rows, and common words stand in all of them.

A million chunks: `--chunks 100000 1000000`, some 4 GB of disk in the folder for temporary files, an hour or two.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.common import make_pipeline, refresh, workers_cpu_seconds
from benchmarks.documents import write_documents
from benchmarks.edits import by_table, disk, edit
from benchmarks.memory import peak_bytes
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.refresh.maintenance import maintain
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.settings import Pipeline, load_pipeline

MIB = 2**20
# Enough for a mean that the first call after opening does not decide.
SEARCHES = 40


@dataclass(frozen=True)
class Cost:
    """What a step took; CPU-seconds with those of workers, memory of this process alone."""

    step: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    lake_bytes: int
    lake_files: int


class Costs:
    """Costs of steps on one lake, in the process that takes them."""

    def __init__(self, lake: Path) -> None:
        self._lake = lake
        self.found: list[Cost] = []

    def of(self, step: str, action: Callable[[], object], times: int = 1) -> None:
        began, used = time.perf_counter(), _cpu_seconds()
        for _ in range(times):
            action()
        wall, cpu = time.perf_counter() - began, _cpu_seconds() - used
        files, size = disk(self._lake)
        self.found.append(Cost(step, wall / times, cpu / times, peak_bytes(), size, files))


def _cpu_seconds() -> float:
    return time.process_time() + workers_cpu_seconds()


def run(pipeline: Pipeline) -> None:
    with Workspace(pipeline, run_id="benchmark") as workspace:
        refresh(workspace)


def build(pipeline: Pipeline, costs: Costs) -> None:
    costs.of("cold build", lambda: run(pipeline))


def find_nothing(pipeline: Pipeline, costs: Costs) -> None:
    costs.of("unchanged run", lambda: run(pipeline))


def edit_one(pipeline: Pipeline, costs: Costs) -> None:
    # The benchmark of edits tells them apart by their number; documents of this one are of the first thousand.
    edit(pipeline.folder / "docs", 7, 1_000)
    costs.of("one edit", lambda: run(pipeline))


def search(pipeline: Pipeline, costs: Costs) -> None:
    opened: list[Searcher] = []
    questions = (f"fact {number % 9} of document {number * 7}: harbour signal" for number in range(SEARCHES + 1))

    def ask() -> None:
        if not opened:
            opened.append(Searcher.open(pipeline))
        opened[0].search(next(questions), principals=[PUBLIC])

    costs.of("open, and the first search", ask)
    costs.of("a search", ask, SEARCHES)
    opened[0].close()


def maintenance(pipeline: Pipeline, costs: Costs) -> None:
    with Workspace(pipeline, run_id="benchmark") as workspace:
        costs.of("maintenance", lambda: maintain(workspace))


STEPS = {"build": build, "unchanged": find_nothing, "edit": edit_one, "search": search, "maintenance": maintenance}
# Their work is the same however much lies beside it.
OF_ONE = {"one edit", "open, and the first search", "a search"}


def measured(chunks: int, sections: int, *, detail: bool) -> list[Cost]:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        write_documents(work / "docs", chunks // sections, sections)
        make_pipeline(work, work / "docs")
        found = [cost for step in STEPS for cost in apart(step, work)]
        if detail:
            print(f"\n{chunks:,} chunks\n{by_table(work / 'lake')}")  # noqa: T201
        return found


def apart(step: str, work: Path) -> Iterator[Cost]:
    command = [sys.executable, "-m", "benchmarks.scale", "--step", step, "--folder", str(work)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    yield from (Cost(**each) for each in json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description="What grows faster than the work.")
    parser.add_argument("--chunks", type=int, nargs=2, default=(10_000, 100_000), help="the smaller size, the larger")
    parser.add_argument("--sections", type=int, default=20, help="chunks of a document")
    parser.add_argument("--detail", action="store_true", help="show files and bytes by table")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        costs = Costs(options.folder / "lake")
        STEPS[options.step](load_pipeline(options.folder / "pipeline.yaml", {}), costs)
        print(json.dumps([asdict(cost) for cost in costs.found]))  # noqa: T201
        return
    few, many = options.chunks
    both = [measured(chunks, options.sections, detail=options.detail) for chunks in (few, many)]
    print(f"| step | {few:,} chunks: seconds | CPU | MiB | {many:,} chunks: seconds | CPU | MiB | CPU, by work |")  # noqa: T201
    print("|---|---|---|---|---|---|---|---|")  # noqa: T201
    for small, large in zip(*both, strict=True):
        more = 1 if small.step in OF_ONE else many / few
        cells = (
            f"{cost.seconds:.2f} | {cost.cpu_seconds:.2f} | {cost.peak_bytes / MIB:,.0f}" for cost in (small, large)
        )
        print(f"| {small.step} | {' | '.join(cells)} | {large.cpu_seconds / small.cpu_seconds / more:.2f} |")  # noqa: T201
    for name, at in (("build", 0), ("edit", 2), ("maintenance", -1)):
        small, large = (costs[at] for costs in both)
        print(f"\nDisk after {name}: {_on_disk(small)}, {_on_disk(large)}")  # noqa: T201


def _on_disk(cost: Cost) -> str:
    return f"{cost.lake_bytes / 1e6:,.1f} MB in {cost.lake_files:,} files"


if __name__ == "__main__":
    main()
