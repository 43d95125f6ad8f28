"""What parsing, cleaning and cutting cost, file by file and format by format. Part of `parsing.py`.

Every file goes through the two functions that the refresh steps give to worker processes, in a worker process with
their limits, so that no file can end the measurement. First one worker a format, which pays for its imports and tells
its peak memory; then all files over and over in one worker, and of each file the cheapest round: what others do on a
machine only adds.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

from rag_pipeline.contracts.tokens import TokenCounter
from rag_pipeline.errors import DocumentError
from rag_pipeline.parallel.pool import IsolatedPool
from rag_pipeline.parsing import ParseLimits, media_type_of
from rag_pipeline.parsing.registry import FORMATS
from rag_pipeline.refresh.chunks import DocumentToCut, cut_document
from rag_pipeline.transforms.chunk import ChunkParams
from rag_pipeline.transforms.enrich import EnrichOptions
from rag_pipeline.transforms.worker_tasks import ParseRecipe, parse_object

MEGABYTE = 10**6
MIB = 2**20
MANIFEST = "manifest.csv"
"""What the zoo says of itself is none of its files."""
RECIPE = ParseRecipe(ParseLimits(), EnrichOptions())


@dataclass(frozen=True)
class Cost:
    """CPU-seconds of one file, what came of it, and the highest resident size of its process meanwhile."""

    parse_seconds: float = 0.0
    cut_seconds: float = 0.0
    documents: int = 0
    chunks: int = 0
    peak_bytes: int = 0

    @property
    def seconds(self) -> float:
        return self.parse_seconds + self.cut_seconds


@dataclass(frozen=True)
class MeasuredFile:
    """One file and the cheapest of its rounds, or why it was refused."""

    address: str
    format: str
    size_bytes: int
    cost: Cost | None
    reason_code: str
    peak_bytes: int


def format_of(address: str, raw: bytes) -> str:
    known = FORMATS.get(media_type_of(address, raw))
    return known.name if known else "no parser"


def cost_of(item: tuple[str, bytes], counter: TokenCounter, params: ChunkParams) -> tuple[float, float, int, int, int]:
    """Parse and cut one file in this process; raises DocumentError where the pipeline would quarantine it.

    Returns:
        The values of a `Cost`: what a worker sends back is plain data.
    """
    address, raw = item
    with suppress(OSError):
        # Linux: the peak begins anew.
        Path("/proc/self/clear_refs").write_text("5")
    # Workers compute in one thread; and under a limit of processor time the clock of the process moves in ticks.
    began = time.thread_time()
    media_type = media_type_of(address, raw)
    documents = parse_object((raw, media_type, address), RECIPE)
    parsed = time.thread_time()
    items: list[DocumentToCut] = [
        (d.text, d.title, d.language, [asdict(block) for block in d.blocks], params, []) for d in documents
    ]
    ready = time.thread_time()
    chunks = sum(len(cut_document(document, counter)) for document in items)
    cut = time.thread_time()
    return parsed - began, cut - ready, len(documents), chunks, peak_bytes()


def peak_bytes() -> int:
    """Highest resident size of this process since it was last reset; 0 where the system does not tell."""
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return int(found[1]) * 1024 if found else 0
    return 0


def measure(folder: Path, counter: TokenCounter, rounds: int) -> list[MeasuredFile]:
    """Every file below the folder: the cheapest of so many rounds, after one that is not counted."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST]
    files = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    formats = {address: format_of(address, raw) for address, raw in files.items()}
    task = partial(cost_of, counter=counter, params=ChunkParams(counter.max_tokens))
    first: dict[str, Cost | DocumentError] = {}
    for name in sorted(set(formats.values())):
        with IsolatedPool(1) as pool:
            first |= _round(pool, task, {at: raw for at, raw in files.items() if formats[at] == name})
    with IsolatedPool(1) as pool:
        _round(pool, task, files)
        found = [_round(pool, task, files) for _ in range(rounds)]
    measured = []
    for address, raw in files.items():
        costs = [cost for each in found if isinstance(cost := each[address], Cost)]
        refused, cold = found[0][address], first[address]
        measured.append(
            MeasuredFile(
                address,
                formats[address],
                len(raw),
                min(costs, key=lambda cost: cost.seconds) if costs else None,
                refused.code if isinstance(refused, DocumentError) else "",
                cold.peak_bytes if isinstance(cold, Cost) else 0,
            )
        )
    return measured


def _round(
    pool: IsolatedPool,
    task: Callable[[tuple[str, bytes]], tuple[float, float, int, int, int]],
    files: Mapping[str, bytes],
) -> dict[str, Cost | DocumentError]:
    addresses = list(files)
    results = pool.map(task, files.items(), weight=lambda item: len(item[1]))
    return {
        addresses[index]: result if isinstance(result, DocumentError) else Cost(*result) for index, result in results
    }


def table(files: Iterable[MeasuredFile]) -> str:
    """One row a format; refused files are counted and left out of everything else."""
    groups: dict[str, list[MeasuredFile]] = {}
    for file in files:
        groups.setdefault(file.format, []).append(file)
    lines = [
        "| format | files | refused | documents | chunks | MB | documents/s | MB/s | of it cutting | median file, ms "
        "| slowest file, ms | peak, MiB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(name, group) for name, group in sorted(groups.items())]
    return "\n".join(lines)


def _row(name: str, group: Sequence[MeasuredFile]) -> str:
    reasons = Counter(file.reason_code for file in group if file.cost is None)
    refused = ", ".join(f"{count} {code}" for code, count in sorted(reasons.items()))
    begin = f"| {name} | {len(group)} | {refused or 0} |"
    costs = [file.cost for file in group if file.cost]
    if not costs:
        return begin + " |" * 9
    size = sum(file.size_bytes for file in group if file.cost) / MEGABYTE
    seconds = sum(cost.seconds for cost in costs)
    middle, slowest = (1_000 * found(cost.seconds for cost in costs) for found in (median, max))
    documents, chunks = sum(cost.documents for cost in costs), sum(cost.chunks for cost in costs)
    cutting = sum(cost.cut_seconds for cost in costs) / seconds
    peak = max(file.peak_bytes for file in group) / MIB
    return (
        f"{begin} {documents:,} | {chunks:,} | {size:.3f} | {documents / seconds:,.0f} | {size / seconds:.2f} "
        f"| {cutting:.0%} | {middle:.1f} | {slowest:,.1f} | {peak:,.0f} |"
    )
