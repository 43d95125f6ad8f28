"""What the benchmarks share: a throw-away project, and the steps of a refresh with their times."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rag_pipeline.refresh.everything import refresh_everything
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings import Pipeline, load_pipeline

ALIAS = "stub"
STUB = {"kind": "hashing", "model": "hashing", "dimension": 384}


def make_pipeline(work: Path, documents: Path, **settings: Any) -> Pipeline:
    """A pipeline of one source, with its lake in `work`."""
    values = {
        "lake": "lake",
        "sources": {"docs": {"location": str(documents), "allowed_principals": ["public"]}},
        "embedding_models": {ALIAS: STUB},
        "serve": ALIAS,
        **settings,
    }
    path = work / "pipeline.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False), "utf-8")
    return load_pipeline(path, {})


@dataclass
class Times:
    """Wall seconds and CPU-seconds of this process and of its workers, by step."""

    steps: dict[str, tuple[float, float, float]] = field(default_factory=dict)

    after_step: Callable[[str], None] = lambda _: None

    @contextlib.contextmanager
    def of(self, step: str) -> Iterator[None]:
        before = (time.perf_counter(), time.process_time(), workers_cpu_seconds())
        yield
        after = (time.perf_counter(), time.process_time(), workers_cpu_seconds())
        wall, own, workers = (end - start for start, end in zip(before, after, strict=True))
        self.steps[step] = (wall, own, workers)
        self.after_step(step)

    @property
    def total(self) -> tuple[float, float, float]:
        columns = zip(*self.steps.values(), strict=True)
        wall, own, workers = (sum(column) for column in columns)
        return wall, own, workers

    def table(self) -> str:
        lines = ["| step | seconds | CPU, parent | CPU, workers |", "|---|---|---|---|"]
        for step, times in [*self.steps.items(), ("all", self.total)]:
            lines.append(f"| {step} | {times[0]:.2f} | {times[1]:.2f} | {times[2]:.2f} |")
        return "\n".join(lines)


@dataclass(frozen=True)
class Refresh:
    """What one refresh did."""

    times: Times
    documents: int
    chunks: int
    embedded: int
    commits: int


def refresh(workspace: Workspace, alias: str = ALIAS, *, after_step: Callable[[str], None] = lambda _: None) -> Refresh:
    """Everything from sources to publication, without Dagster, step by step."""
    times = Times(after_step=after_step)
    did = refresh_everything(
        workspace,
        alias,
        evaluate=False,
        strict=True,
        allow_mass_deletion=list(workspace.settings.sources),
        around=times.of,
    )
    return Refresh(times, did.documents.documents, did.chunks.chunks, did.embeddings.computed, did.commits)


def workers_cpu_seconds() -> float:
    """CPU-seconds of worker processes, those that ended included; Linux only, 0 elsewhere."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = ended.ru_utime + ended.ru_stime
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def profiled(action: Callable[[], Any], lines: int = 40) -> None:
    """Run once under cProfile and print the costliest functions, by their own time and with what they call."""
    import cProfile
    import pstats

    profile = cProfile.Profile()
    profile.runcall(action)
    for order in ("tottime", "cumulative"):
        pstats.Stats(profile).sort_stats(order).print_stats(lines)
