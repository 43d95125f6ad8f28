"""A day of simulated time under Dagster's own scheduler and sensors: from an empty lake, through a change of clocks.

The loops of the daemon run here one tick after another, with its records of ticks, run keys and cursors; only the clock
is ours, and runs are made at once in this process. Nobody starts anything by hand.
"""

from __future__ import annotations

import json
import logging
import os
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs

from rag_pipeline import Searcher
from rag_pipeline.contracts.tables import EMBEDDINGS
from rag_pipeline.errors import NothingPublished
from rag_pipeline_tests.pipeline.project import Project

# Ticks of an hour; a day of them where more examples are asked for.
TICKS = max(int(os.environ.get("RAG_PIPELINE_TEST_EXAMPLES", "0")), 3)
# In the second hour from here clocks in Berlin go on by one, or back.
SPRING = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
SETTINGS = """\
telemetry: {enabled: false}
run_launcher: {module: dagster._core.launcher.sync_in_memory_run_launcher, class: SyncInMemoryRunLauncher}
run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}
"""


class Reader:
    """Somebody who searches all the while, in a thread: each answer is all of what is published, of one moment.

    Attributes:
        seen: By the time of a publication, each answer that was given from it.
        faults: What went wrong.
    """

    def __init__(self, project: Project) -> None:
        self.seen: dict[datetime, set[frozenset[tuple[str, str]]]] = {}
        self.faults: list[str] = []
        self.answers = 0
        self._project = project
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _read(self) -> None:
        with Searcher.open(str(self._project.folder / "lake")) as searcher:
            # Two cores are shared with the run, and a version stays for a second at least.
            while not self._end.wait(0.1):
                try:
                    # More hits than there are rows, found by vectors: whatever is published is in the answer.
                    hits = searcher.search("page", principals=["board"], k=1_000, mode="vector")
                except NothingPublished:
                    continue
                except Exception as error:
                    self.faults.append(repr(error))
                    return
                self.answers += 1
                times = {hit.published_at for hit in hits}
                if len(times) > 1:
                    self.faults.append(f"an answer is made of several versions: {times}")
                for at in times:
                    self.seen.setdefault(at, set()).add(frozenset((hit.uri, hit.text) for hit in hits))


class Day:
    """One pipeline, its Dagster instance, and a clock."""

    def __init__(self, project: Project, instance: dg.DagsterInstance, began: datetime, seed: int) -> None:
        self.project, self.instance, self.now = project, instance, began
        self.random = random.Random(seed)
        self.texts = 0
        self.reader = Reader(project)
        self.times: dict[str, object] = {}
        project.pipeline()
        module = project.folder / "day.py"
        module.write_text(
            "from pathlib import Path\n"
            "from rag_pipeline.defs import build_definitions\n"
            "from rag_pipeline.settings import load_pipeline\n"
            "defs = build_definitions(load_pipeline(Path(__file__).with_name('pipeline.yaml'), {}))\n"
        )
        origin = LoadableTargetOrigin(python_file=str(module), working_directory=str(project.folder))
        self.target = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(origin, location_name="day"))

    def tick(self) -> None:
        """What the daemon does at this time: due schedules, then every sensor."""
        with (
            freeze_time(self.now),
            create_test_daemon_workspace_context(self.target, self.instance) as workspace,
        ):
            logger = logging.getLogger("day")
            list(launch_scheduled_runs(workspace, logger, self.now, self.times))  # type: ignore[arg-type]
            list(execute_sensor_iteration(workspace, logger, None, None))

    def pass_hours(self, hours: int = 1) -> None:
        self.now += hours * HOUR

    def edit(self) -> None:
        """Something that people do to their documents, and perhaps a hint of it, true or not."""
        self.texts += 1
        address = f"{self.random.choice(('open', 'board'))}/page{self.random.randrange(6)}.md"
        path = self.project.folder / "docs" / address
        if path.exists() and self.random.random() < 0.3:
            path.unlink()
        else:
            self.project.write(address, f"# Page\n\nSentence {self.texts} of the day.\n")
        if self.random.random() < 0.5:
            folder = self.project.folder / "hints"
            folder.mkdir(exist_ok=True)
            (folder / f"{self.texts}.json").write_text(json.dumps({"source": "docs", "address": address}))

    def runs(self) -> list[dg.DagsterRun]:
        return list(self.instance.get_runs())

    def ticks(self, schedule: str) -> int:
        """At how many times the scheduler asked for a run of a schedule."""
        [state] = [each for each in self.instance.all_instigator_state() if each.instigator_name == schedule]
        asked = self.instance.get_ticks(state.instigator_origin_id, state.selector_id)
        return len({tick.timestamp for tick in asked if tick.run_ids})

    def read_whole_versions(self) -> None:
        """P3 on what was read while runs went on."""
        reader = self.reader
        assert not reader.faults, reader.faults
        # It goes on reading.
        seen = dict(reader.seen)
        halves = {at: answers for at, answers in seen.items() if len(answers) > 1}
        assert not halves, "each answer from a publication is all of it"
        with self.project.workspace() as workspace:
            known = {row.published_at for row in workspace.lake.publications()}
        assert seen.keys() <= known, "nothing is read that was not published"

    def hold_the_promises(self) -> None:
        """P1 to P6 on what the schedules made."""
        project = self.project
        self.read_whole_versions()
        files = {path.relative_to(project.folder / "docs").as_posix() for path in project.folder.glob("docs/**/*.md")}
        shown = project.published()
        assert {row["uri"].removeprefix("docs/") for row in shown} == files, "what is searched is what is there"
        assert shown == project.rebuilt(), "the index is what a build from nothing gives"
        assert project.verify().findings == []
        for row in shown:
            is_open = row["uri"].startswith("docs/open/")
            assert row["allowed_principals"] == (["public"] if is_open else ["board"]), row["uri"]
        with project.workspace() as workspace:
            space = workspace.space("small").fingerprint
            hashes = workspace.lake.read(EMBEDDINGS.of(space), ["text_hash"])["text_hash"]
        assert hashes.n_unique() == hashes.len(), "no text is embedded twice"
        assert {run.status for run in self.runs()} == {dg.DagsterRunStatus.SUCCESS}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.create(tmp_path / "project", ["docs"], hints={"folder": "hints"})
    # Maintenance looks at the real clock, by which all of this is long ago.
    project.settings |= {"automation": True, "timezone": "Europe/Berlin", "run_records_retention": "3650d"}
    project.settings["sources"]["docs"] |= {
        "allowed_principals": [],
        "permission_rules": [
            {"pattern": "open/**", "allowed_principals": ["public"]},
            {"pattern": "board/**", "allowed_principals": ["board"]},
        ],
    }
    project.write("open/page0.md", "# Page\n\nThe first sentence of the day.\n")
    project.write("board/page1.md", "# Page\n\nThe second is for the board.\n")
    return project


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(SETTINGS)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.get() as instance:
        yield instance


# Dagster reads a property of its own that it has deprecated wherever it describes a schedule.
@pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition.environment_vars`:DeprecationWarning")
@pytest.mark.parametrize("began", [SPRING, AUTUMN], ids=["spring", "autumn"])
def test_schedules_and_sensors_alone_publish_and_keep_every_promise(
    project: Project, instance: dg.DagsterInstance, began: datetime
) -> None:
    day = Day(project, instance, began, seed=began.month)
    with day.reader as reader:
        pass_a_day(day)
    # Somebody read while it went on, and from more than what was there at the end.
    assert reader.answers > TICKS
    assert len(reader.seen) > 1


def pass_a_day(day: Day) -> None:
    """From an empty lake through hours of edits and hints, a night without a daemon, and a source that is away."""
    project = day.project
    # The first look of the daemon notes the time from which on schedules are due.
    day.tick()
    day.pass_hours()
    day.tick()
    day.hold_the_promises()
    for _ in range(TICKS):
        before = len(day.runs())
        for _ in range(day.random.randrange(3)):
            day.edit()
        day.pass_hours()
        day.tick()
        assert len(day.runs()) > before, f"nothing ran at {day.now}"
        day.hold_the_promises()
    hourly = [run for run in day.runs() if run.job_name == "hourly"]
    # Neither an hour that clocks skip nor one that they show twice is lost or doubled.
    assert len(hourly) == 1 + TICKS
    assert day.ticks("hourly_schedule") == len(hourly)
    # A night without a daemon: the next tick makes up for it, and a source that is away empties nothing.
    day.edit()
    day.pass_hours(9)
    day.tick()
    day.hold_the_promises()
    shown = project.published()
    (project.folder / "docs").rename(project.folder / "away")
    day.pass_hours()
    day.tick()
    assert project.published() == shown
    (project.folder / "away").rename(project.folder / "docs")
    day.pass_hours()
    day.tick()
    day.hold_the_promises()
