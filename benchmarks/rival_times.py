"""What a typed command costs, here and with CocoIndex: cold, unchanged, one edit, taken in turns on one machine.

    python -m benchmarks.rival_times --python /path/to/python [--documents 1000] [--rounds 5]

The other interpreter has `cocoindex` and `lancedb` installed. Each command is a process of its own, from start to end;
processor time is that of the process and of those it started. On a shared machine look at processor time and at ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import make_pipeline
from benchmarks.documents import write_documents
from benchmarks.edits import edit

STEPS = ("cold", "unchanged", "one edit")
_COCOINDEX = "import sys; from benchmarks.rivals import CocoIndex; from pathlib import Path; "
_COCOINDEX += "CocoIndex(Path(sys.argv[1]), Path(sys.argv[2])).refresh('first', ['public'])"


def timed(command: Sequence[str]) -> tuple[float, float]:
    """Wall and CPU-seconds of a process."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    # Where modules may not be kept compiled, each command would compile anew whatever is not installed as a package.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    child = os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, quiet, 1), (os.POSIX_SPAWN_DUP2, quiet, 2)],
    )
    _, status, usage = os.wait4(child, 0)
    os.close(quiet)
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description="What a typed command costs, here and with CocoIndex.")
    parser.add_argument("--python", required=True, help="interpreter with cocoindex and lancedb")
    parser.add_argument("--documents", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folders = [work / each for each in ("ours", "theirs")]
        for folder in folders:
            write_documents(folder / "docs", options.documents)
        make_pipeline(folders[0], folders[0] / "docs")
        ours = [sys.executable, "-m", "rag_pipeline.cli", "run", "--config", str(folders[0] / "pipeline.yaml")]
        theirs = [options.python, "-c", _COCOINDEX, str(folders[1]), str(folders[1] / "docs")]
        costs: dict[str, list[list[tuple[float, float]]]] = {step: [] for step in STEPS}
        costs["cold"].append([timed(ours), timed(theirs)])
        for number in range(options.rounds):
            costs["unchanged"].append([timed(ours), timed(theirs)])
            for folder in folders:
                edit(folder / "docs", number, options.documents)
            costs["one edit"].append([timed(ours), timed(theirs)])
    print(f"{options.documents:,} documents, medians of {options.rounds}: wall seconds (CPU-seconds)")  # noqa: T201
    print("| step | rag_pipeline | CocoIndex | ratio of CPU |\n|---|---|---|---|")  # noqa: T201
    for step, pairs in costs.items():
        (wall, own), (their_wall, their_own) = (
            [statistics.median(pair[side][kind] for pair in pairs) for kind in (0, 1)] for side in (0, 1)
        )
        ratio = statistics.median(mine[1] / other[1] for mine, other in pairs)
        print(f"| {step} | {wall:.1f} ({own:.1f}) | {their_wall:.1f} ({their_own:.1f}) | {ratio:.2f} |")  # noqa: T201


if __name__ == "__main__":
    main()
