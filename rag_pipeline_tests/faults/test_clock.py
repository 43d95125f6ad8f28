"""The clock of the machine itself is a day ahead, right again, and a day behind: the whole program under libfaketime.

What the declared faults replace is the pipeline's own clock; here LanceDB, Delta, SQLite and Dagster are wrong, too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rag_pipeline.contracts.alerts import AlertState
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.stores.alerts import AlertFile
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.pipeline.project import Project

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
needs_it = pytest.mark.skipif(LIBRARY is None, reason="needs libfaketime (apt-get install faketime)")
PAST = "check:gold/publication:publication_is_past"


class Machine:
    """A project on a machine whose clock may be set."""

    def __init__(self, folder: Path) -> None:
        self.project = Project.create(folder, ["docs", "wiki"], alerts={"sinks": {"ops": {"kind": "log"}}})
        for number in range(6):
            self.project.write(f"d{number}.md", f"# Lamp {number}\n\nLamp {number} burns until the morning.\n")

    def run(self, clock: str = "+0d") -> str:
        """A run in a process of its own, and what it said."""
        faked = {"LD_PRELOAD": str(LIBRARY), "FAKETIME": clock, "DONT_FAKE_MONOTONIC": "1"} if clock != "+0d" else {}
        environment = os.environ | faked | {"PYTHONPATH": str(REPOSITORY)}
        command = [sys.executable, "-m", "rag_pipeline.cli", "run", "--config", str(self.project.pipeline().path)]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        said = f"{ended.stdout}\n{ended.stderr}"
        assert "Traceback" not in said, said
        return said

    def found(self, word: str) -> set[str]:
        with Searcher.open(self.project.pipeline()) as searcher:
            return {Path(hit.uri).name for hit in searcher.search(word, principals=["public"], mode="text", k=20)}

    @property
    def state(self) -> AlertState:
        pipeline = self.project.pipeline()
        return AlertFile(pipeline.lake_root, pipeline.dagster_home).read()


@needs_it
def test_a_clock_a_day_ahead_and_a_day_behind_harms_no_reader_and_nothing_waits_for_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    lamps = {f"d{number}.md" for number in range(6)}
    machine.run()
    machine.project.write("ferry.md", "# Ferry\n\nThe ferry came in at noon.\n", "wiki")
    machine.run("+1d")
    assert (machine.found("lamp"), machine.found("ferry")) == (lamps, {"ferry.md"})
    assert not machine.state.open
    # Right again: it is seen, a source that fails is told, and what changes is published and takes the alert back.
    machine.run()
    assert set(machine.state.open) == {PAST}
    (machine.project.folder / "wiki").rename(machine.project.folder / "away")
    machine.project.write("d6.md", "# Lamp 6\n\nLamp 6 burns until the morning.\n")
    machine.run()
    assert set(machine.state.open) == {"check:source/wiki:source_answers"}
    assert (machine.found("lamp"), machine.found("ferry")) == ({*lamps, "d6.md"}, {"ferry.md"})
    (machine.project.folder / "away").rename(machine.project.folder / "wiki")
    # Behind: the same, and what was taken away is gone.
    (machine.project.folder / "docs" / "d0.md").unlink()
    machine.run("-1d")
    assert machine.found("lamp") == {*lamps, "d6.md"} - {"d0.md"}
    machine.run()
    assert not machine.state.open
    assert machine.found("lamp") == {*lamps, "d6.md"} - {"d0.md"}
    assert machine.project.verify().findings == []
    assert machine.project.published() == machine.project.rebuilt()
