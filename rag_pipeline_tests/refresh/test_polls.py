"""When each source was last polled: recorded in the lake, said to everybody, and never a reason to fail."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rag_pipeline.contracts.polls import POLLS_FILE, Poll, bytes_of, polls_of
from rag_pipeline.errors import SourceUnavailable
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.polls import recorded_poll
from rag_pipeline.refresh.status import SourceStatus, read_status
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.polls import read_polls, write_polls
from rag_pipeline.transforms.freshness import is_overdue
from rag_pipeline_tests.pipeline.project import Project

NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"), sources=("docs", "people"))
    project.write("guide.md", "# Running the pump\n\nPull the lever.\n")
    project.write("names.md", "# Names\n\nThe lever is called Ada.\n", source="people")
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path, polled=True)


def status_of(project: Project, source: str = "docs") -> SourceStatus:
    with project.workspace() as workspace:
        return next(each for each in read_status(workspace).sources if each.source == source)


def set_back(project: Project, by: timedelta, source: str = "docs") -> None:
    """As if a source had last been polled so long ago."""
    lake = Lake(str(project.folder / "lake"))
    polls = dict(read_polls(lake).by_source)
    at = datetime.now(UTC) - by
    polls[source] = Poll(at, at, "", polls[source].stale_after)
    write_polls(lake, polls)


def test_a_run_records_when_every_source_was_polled_and_commits_nothing_for_it(project: Project) -> None:
    before = status_of(project)
    assert before.polled_at is not None
    assert before.is_overdue is False
    assert before.overdue_at == before.polled_at + timedelta(hours=3)
    assert project.refresh() == 0
    after = status_of(project)
    assert after.polled_at is not None
    assert after.polled_at > before.polled_at
    assert [path.name for path in (project.folder / "lake").glob(f"*{POLLS_FILE}*")] == [POLLS_FILE]


def test_a_source_that_does_not_answer_keeps_its_last_success_and_says_why(project: Project) -> None:
    before = status_of(project)
    shutil.rmtree(project.folder / "docs")
    with project.workspace() as workspace, pytest.raises(SourceUnavailable):
        refresh_source(workspace, "docs")
    after = status_of(project)
    assert after.polled_at == before.polled_at
    assert after.attempted_at is not None
    assert before.attempted_at is not None
    assert after.attempted_at > before.attempted_at
    assert "docs" in after.poll_error
    assert after.is_overdue is False
    assert status_of(project, "people").poll_error == ""
    (project.folder / "docs").mkdir()
    with project.workspace() as workspace:
        refresh_source(workspace, "docs", allow_mass_deletion=True)
    assert status_of(project).poll_error == ""


def test_a_source_that_never_answered_is_overdue(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    (tmp_path / "docs").rmdir()
    with project.workspace() as workspace, pytest.raises(SourceUnavailable):
        refresh_source(workspace, "docs")
    found = status_of(project)
    assert (found.polled_at, found.overdue_at, found.is_overdue) == (None, None, True)


def test_overdue_follows_the_settings_of_now(project: Project) -> None:
    set_back(project, 2 * HOUR)
    assert status_of(project).is_overdue is False
    project.settings["sources"]["docs"]["stale_after"] = "1h"
    assert status_of(project).is_overdue is True
    assert project.search("lever", "public")[0].source_overdue is not None
    assert {hit.source: hit.source_overdue for hit in project.search("lever", "public")} == {
        "docs": True,
        "people": False,
    }


def test_hits_tell_what_the_lake_says_where_only_its_address_is_known(project: Project) -> None:
    set_back(project, 4 * HOUR)
    hits = Searcher.open(str(project.folder / "lake")).search("lever", principals={"public"})
    told = {hit.source: (hit.source_overdue, hit.source_polled_at is not None) for hit in hits}
    assert told == {"docs": (True, True), "people": (False, True)}
    assert hits[0].record()["source_polled_at"] == hits[0].source_polled_at


def test_a_searcher_that_stays_open_sees_the_next_poll(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag_pipeline.retrieval.freshness._LOCAL_SECONDS", 0.0)
    searcher = Searcher.open(project.pipeline())
    set_back(project, 4 * HOUR)
    assert searcher.search("pump", principals={"public"}, k=1)[0].source_overdue is True
    project.refresh()
    assert searcher.search("pump", principals={"public"}, k=1)[0].source_overdue is False


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda _: None,
    "empty": lambda path: path.write_bytes(b""),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "cut short": lambda path: path.write_bytes(b'{"sources": {"docs": {"attempted_at"'),
    "a list": lambda path: path.write_text("[]"),
    "sources are a list": lambda path: path.write_text('{"sources": [1, 2]}'),
    "an entry is none": lambda path: path.write_text('{"sources": {"docs": null, "people": 3}}'),
    "deep": lambda path: path.write_text("[" * 200_000),
    "a folder": lambda path: path.mkdir(),
    "a pipe": a_pipe,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_lost_or_damaged_record_reads_as_unknown_is_said_and_fails_nothing(project: Project, damage: str) -> None:
    path = project.folder / "lake" / POLLS_FILE
    path.unlink()
    DAMAGES[damage](path)
    with project.workspace() as workspace:
        found = read_status(workspace)
    assert [(each.polled_at, each.is_overdue) for each in found.sources] == [(None, None), (None, None)]
    assert found.polls_problem
    assert [hit.source_overdue for hit in project.search("lever", "public")] == [None, None]
    assert project.refresh() == 0
    if damage == "a folder":
        path.rmdir()
        project.refresh()
    with project.workspace() as workspace:
        healed = read_status(workspace)
    assert [each.is_overdue for each in healed.sources] == [False, False]
    assert healed.polls_problem == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("polled_at", "yesterday"),
        ("polled_at", "2026-03-04T05:06:07"),
        ("polled_at", "9999-12-31T23:59:59+00:00"),
        ("attempted_at", None),
        ("attempted_at", 1_700_000_000),
        ("stale_after_seconds", "3h"),
        ("stale_after_seconds", -1),
        ("stale_after_seconds", 10**400),
        ("stale_after_seconds", float("nan")),
        ("stale_after_seconds", True),
        ("error", None),
    ],
)
def test_one_wrong_entry_is_unknown_and_the_others_stand(name: str, value: object) -> None:
    written = json.loads(bytes_of({each: Poll(NOW, NOW, "", HOUR) for each in ("docs", "people")}))
    written["sources"]["docs"][name] = value
    polls = polls_of(json.dumps(written).encode())
    assert set(polls.by_source) == {"people"}
    assert "docs" in polls.problem


def test_what_is_written_is_read_again() -> None:
    polls = {"docs": Poll(NOW, NOW - HOUR, "ünreadable \ud800", HOUR), "people": Poll(NOW, None, "gone", HOUR)}
    found = polls_of(bytes_of(polls))
    assert found.problem == ""
    assert found.by_source["people"] == polls["people"]
    assert found.by_source["docs"].polled_at == NOW - HOUR


@pytest.mark.parametrize(
    ("poll", "expected"),
    [
        (None, None),
        (Poll(NOW, NOW, "", HOUR), False),
        (Poll(NOW, NOW - HOUR, "", HOUR), False),
        (Poll(NOW, NOW - HOUR - timedelta(seconds=1), "", HOUR), True),
        (Poll(NOW, NOW - 2 * HOUR, "down", HOUR), True),
        (Poll(NOW, None, "down", HOUR), True),
        (Poll(NOW, None, "", HOUR), None),
        (Poll(NOW, NOW + 3 * HOUR, "", HOUR), None),
        (Poll(NOW, NOW + 3 * HOUR, "down", HOUR), True),
    ],
)
def test_overdue_is_known_only_from_times_that_can_be(poll: Poll | None, expected: bool | None) -> None:
    assert is_overdue(poll, NOW, HOUR) is expected


def test_errors_are_recorded_without_what_opens_the_source(project: Project) -> None:
    project.settings["sources"]["docs"]["storage_options"] = {"key": "sesame-7", "anon": "no"}
    faults: list[tuple[Exception, str]] = [
        (SourceUnavailable("no answer from s3://me:sesame-7@host/a?sig=x with sesame-7; no luck"), "sesame-7"),
        (RuntimeError("token sesame-7 was refused"), "sesame-7"),
        (PermissionError(13, "denied", "/home/sesame-7"), "sesame-7"),
    ]
    for fault, secret in faults:
        with project.workspace() as workspace:
            # Opening the source reads its options.
            workspace.pipeline.source_spec("docs")
            with pytest.raises(type(fault)), recorded_poll(workspace, "docs"):
                raise fault
        said = status_of(project).poll_error
        assert said
        assert secret not in said
        assert secret.encode() not in (project.folder / "lake" / POLLS_FILE).read_bytes()


def test_a_record_that_cannot_be_written_fails_no_run(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = (project.folder / "lake" / POLLS_FILE).read_bytes()
    monkeypatch.setattr("rag_pipeline.stores.small_files.os.fsync", full)
    with project.workspace() as workspace:
        assert refresh_source(workspace, "docs").listed == 1
    assert POLLS_FILE in caplog.text
    assert (project.folder / "lake" / POLLS_FILE).read_bytes() == before


def test_a_lake_with_an_address_keeps_the_record_too(tmp_path: Path) -> None:
    lake = Lake(f"file://{tmp_path}")
    assert not lake.is_local
    assert read_polls(lake).problem == "it is not there"
    for poll in (Poll(NOW, None, "x" * 500, HOUR), Poll(NOW, NOW, "", HOUR)):
        write_polls(lake, {"docs": poll})
        assert read_polls(lake).by_source == {"docs": poll}


def test_sources_that_are_gone_from_the_settings_are_forgotten(project: Project) -> None:
    del project.settings["sources"]["people"]
    project.refresh()
    assert set(read_polls(Lake(str(project.folder / "lake"))).by_source) == {"docs"}
