"""A day of simulated time under Dagster's own scheduler and sensors: from an empty lake, through a change of clocks.

The loops of the daemon run here one tick after another, with its records of ticks, run keys and cursors; only the clock
is ours, and runs are made at once in this process. Nobody starts anything by hand, but one who types `rag-pipeline run`
into a tick.
"""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import cycle
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
from rag_pipeline.contracts.tables import EMBEDDINGS, QUARANTINE
from rag_pipeline.defs.names import HINTS_TAG
from rag_pipeline.errors import NothingPublished
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.pipeline.project import Project

# Hours from midnight; the whole day, as many as it has, where more examples are asked for than it could have.
HOURS = max(int(os.environ.get("RAG_PIPELINE_TEST_EXAMPLES", "0")), 5)
# Half an hour after midnight in Berlin, on days on which clocks go on by one, or back; and how many hours these have.
SPRING = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 24, 22, 30, tzinfo=UTC)
LENGTHS = {SPRING: 23, AUTUMN: 25}
HOUR = timedelta(hours=1)
# What happens to the daemon in one hour after another.
HAPPENINGS = ("restarted", "skipped", "raced", "hinted", "undisturbed")
FOLDERS = ("open", "board")
READERS = {"open": ["public"], "board": ["board"]}
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


class People:
    """What people do to their documents, at random, and hints of it: true, false, late, twice or never."""

    def __init__(self, project: Project, seed: int) -> None:
        self.random = random.Random(seed)
        self.project = project
        self._docs = project.folder / "docs"
        self._number = 0
        self._late: list[str] = []

    def act(self) -> None:
        """Write, delete, move, open or close a document, or break one; perhaps with a hint."""
        self._number += 1
        there = sorted(self._docs.glob("*/*.md"))
        address = f"{self.random.choice(FOLDERS)}/page{self.random.randrange(6)}.md"
        act = self.random.choice([self._write, self._write, self._delete, self._move, self._permit, self._break])
        changed = act(self._docs / address if act == self._write or not there else self.random.choice(there))
        kind = self.random.choice(["true", "false", "late", "twice", "never"])
        for told in self._late:
            self.hint(told)
        self._late = [changed] if kind == "late" else []
        if kind in ("true", "twice"):
            self.hint(changed)
        if kind == "twice":
            self.hint(changed)
        if kind == "false":
            self.hint(f"open/nothing{self._number}.md")

    def hint(self, address: str) -> None:
        folder = self.project.folder / "hints"
        folder.mkdir(exist_ok=True)
        self._number += 1
        (folder / f"{self._number}.json").write_text(json.dumps({"source": "docs", "address": address}))

    def write(self) -> str:
        """An edit, for sure; its address."""
        self._number += 1
        return self._write(self._docs / "open" / "page0.md")

    def _write(self, path: Path) -> str:
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"# Page\n\nSentence {self._number} of the day.\n")
        return self._address(path)

    def _delete(self, path: Path) -> str:
        for each in (path, sidecar_of(path)):
            each.unlink(missing_ok=True)
        return self._address(path)

    def _move(self, path: Path) -> str:
        """To another name, and perhaps to other readers."""
        to = self._docs / self.random.choice(FOLDERS) / f"moved{self._number}.md"
        for old, new in ((path, to), (sidecar_of(path), sidecar_of(to))):
            if old.exists():
                old.rename(new)
        return self._address(to)

    def _permit(self, path: Path) -> str:
        """Say who may read it: other people, nobody, or what the settings say."""
        said = self.random.choice([["staff"], ["board", "staff"], [], None])
        if said is None:
            sidecar_of(path).unlink(missing_ok=True)
        else:
            sidecar_of(path).write_text(json.dumps({"allowed_principals": said}))
        return self._address(path)

    def _break(self, path: Path) -> str:
        """Put something beside it that no parser can read."""
        broken = path.with_name(f"broken{self._number}.pdf")
        broken.write_bytes(b"%PDF-1.7 and nothing that follows from it")
        return self._address(broken)

    def _address(self, path: Path) -> str:
        return path.relative_to(self._docs).as_posix()


def sidecar_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.meta.yaml")


class Day:
    """One pipeline, its Dagster instance, and a clock."""

    def __init__(self, project: Project, instance: dg.DagsterInstance, began: datetime, seed: int) -> None:
        self.project, self.now = project, began
        self.people = People(project, seed)
        self.reader = Reader(project)
        project.pipeline()
        self._module = project.folder / "day.py"
        self._module.write_text(
            "from pathlib import Path\n"
            "from rag_pipeline.defs import build_definitions\n"
            "from rag_pipeline.settings import load_pipeline\n"
            "defs = build_definitions(load_pipeline(Path(__file__).with_name('pipeline.yaml'), {}))\n"
        )
        self._begin(instance)

    def _begin(self, instance: dg.DagsterInstance) -> None:
        origin = LoadableTargetOrigin(python_file=str(self._module), working_directory=str(self.project.folder))
        self.target = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(origin, location_name="day"))
        self.times: dict[str, object] = {}
        self.instance = instance

    @contextmanager
    def restarted(self) -> Iterator[None]:
        """The daemon that was there is gone with all that it had in memory; another one begins, with its files."""
        before = self.instance
        with dg.DagsterInstance.from_ref(before.get_ref()) as instance:
            self._begin(instance)
            yield
        self._begin(before)

    def tick(self) -> None:
        """What the daemon does at this time: due schedules, then every sensor."""
        with (
            freeze_time(self.now),
            create_test_daemon_workspace_context(self.target, self.instance) as workspace,
        ):
            logger = logging.getLogger("day")
            list(launch_scheduled_runs(workspace, logger, self.now, self.times))  # type: ignore[arg-type]
            list(execute_sensor_iteration(workspace, logger, None, None))

    def tick_beside_a_command(self) -> None:
        """A tick, while somebody runs the same pipeline from a shell: two runs at once."""
        command = [sys.executable, "-m", "rag_pipeline.cli", "run", "--config", "pipeline.yaml"]
        with subprocess.Popen(
            command,
            cwd=self.project.folder,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            self.tick()
            said, _ = process.communicate()
        assert process.returncode == 0, said

    def tick_by_a_hint(self) -> None:
        """A tick at which no schedule is due: what was hinted at is looked at, and nothing else asks for a run."""
        before = {run.run_id for run in self.runs()}
        self.people.hint(self.people.write())
        self.now += HOUR / 6
        self.tick()
        made = [run for run in self.runs() if run.run_id not in before]
        assert [run.tags.get(HINTS_TAG) for run in made] == ["docs"]
        self.hold_the_promises()
        self.now -= HOUR / 6

    def pass_hours(self, hours: int = 1) -> None:
        self.now += hours * HOUR

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
        docs = project.folder / "docs"
        readers = {f"docs/{path.relative_to(docs).as_posix()}": readers_of(path) for path in docs.glob("*/*.md")}
        broken = {f"docs/{path.relative_to(docs).as_posix()}" for path in docs.glob("*/*.pdf")}
        shown = project.published()
        assert {row["uri"] for row in shown} == readers.keys(), "what is searched is what is there"
        assert shown == project.rebuilt(), "the index is what a build from nothing gives"
        assert project.verify().findings == []
        for row in shown:
            assert row["allowed_principals"] == readers[row["uri"]], row["uri"]
        for who in ("public", "board", "staff"):
            hits = project.search("sentence of a page", who, k=1_000, mode="vector")
            assert {hit.uri for hit in hits} == {uri for uri, may in readers.items() if {who, "public"} & {*may}}
        with project.workspace() as workspace:
            space = workspace.space("small").fingerprint
            hashes = workspace.lake.read(EMBEDDINGS.of(space), ["text_hash"])["text_hash"]
            refused = workspace.lake.read(QUARANTINE, ["uri", "reason_code"])
        assert hashes.n_unique() == hashes.len(), "no text is embedded twice"
        assert {*refused["uri"]} == broken, "what cannot be read is named with a reason"
        assert all(refused["reason_code"])
        assert {run.status for run in self.runs()} == {dg.DagsterRunStatus.SUCCESS}


def readers_of(path: Path) -> list[str]:
    """Who may read a document: as its sidecar says, else by its folder."""
    said = sidecar_of(path)
    if not said.exists():
        return READERS[path.parent.name]
    readers: list[str] = json.loads(said.read_text())["allowed_principals"]
    return readers


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
    assert reader.answers > HOURS
    assert len(reader.seen) > 1


def pass_a_day(day: Day) -> None:
    """From an empty lake through hours of what people do, a night without a daemon, and a source that is away."""
    project, began = day.project, day.now
    # The first look of the daemon notes the time from which on schedules are due.
    day.now -= HOUR
    day.tick()
    day.pass_hours()
    day.tick()
    day.hold_the_promises()
    asked = 1
    for happening in cycle(HAPPENINGS):
        pass_an_hour(day, happening)
        asked += 1
        if day.now >= began + min(HOURS, LENGTHS[began]) * HOUR:
            break
    hourly = [run for run in day.runs() if run.job_name == "hourly"]
    # Neither an hour that clocks skip nor one that they show twice is lost or doubled; one run makes up for hours
    # without a daemon.
    assert len(hourly) == asked
    assert day.ticks("hourly_schedule") == len(hourly)
    # A night without a daemon: the next tick makes up for it, and a source that is away empties nothing.
    day.people.act()
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


def pass_an_hour(day: Day, happening: str) -> None:
    """What people do in an hour, what happens to the daemon, and what holds afterwards."""
    if happening == "hinted":
        day.tick_by_a_hint()
    before = len(day.runs())
    for _ in range(day.people.random.randrange(4)):
        day.people.act()
    # Nobody is there to notice an hour that is skipped; the tick of the next one makes up for it.
    day.pass_hours(2 if happening == "skipped" else 1)
    if happening == "raced":
        day.tick_beside_a_command()
    elif happening == "restarted":
        with day.restarted():
            day.tick()
    else:
        day.tick()
    assert len(day.runs()) > before, f"nothing ran at {day.now}"
    day.hold_the_promises()
