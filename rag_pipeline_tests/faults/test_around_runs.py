"""What breaks around a run, before any step of it begins, keeps nothing from leaving readers, and is said."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.notices import said_by
from rag_pipeline.defs import launch, liveness, resources
from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline.errors import DagsterUnusable, StoreError
from rag_pipeline.refresh.revoke import revoke_now
from rag_pipeline.stores.lock import LOCK_NAME
from rag_pipeline_tests.pipeline.project import Project


def a_file_in_its_place(home: Path, _: pytest.MonkeyPatch) -> None:
    home.write_text("no folder")


def settings_broken(home: Path, _: pytest.MonkeyPatch) -> None:
    home.mkdir()
    (home / "dagster.yaml").write_text(":{[broken")


def records_damaged(home: Path, _: pytest.MonkeyPatch) -> None:
    (home / "history").mkdir(parents=True)
    (home / "history" / "runs.db").write_bytes(b"no database" * 1_000)


def raising(error: BaseException) -> Callable[..., Any]:
    def raise_it(*_: object, **__: object) -> Any:
        raise error

    return raise_it


def workspace_does_not_open(_: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(resources, "load_pipeline", raising(KeyError("k")))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"))
    for name in ("menu", "lamp", "salaries"):
        project.write(f"{name}.md", f"# {name}\n\nThe secret {name}.\n")
    project.refresh()
    (project.folder / "docs" / "menu.md").unlink()
    project.write("salaries.md.meta.yaml", "allowed_principals: [hr]\n")
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return built.copied(tmp_path / "project")


@pytest.mark.parametrize(
    "fault", [a_file_in_its_place, settings_broken, records_damaged, workspace_does_not_open], ids=lambda f: f.__name__
)
def test_what_is_gone_leaves_readers_although_no_run_could_be_made(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[Path, pytest.MonkeyPatch], None]
) -> None:
    fault(tmp_path / "dagster", monkeypatch)
    with pytest.raises(DagsterUnusable, match="rag-pipeline run"):
        launch_refresh(project.pipeline())
    assert {hit.uri.rpartition("/")[2] for hit in project.search("secret", "public", mode="text")} == {"lamp.md"}


def test_a_fault_of_the_program_before_the_run_takes_away_too(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "build_runs", raising(KeyError("k")))
    with pytest.raises(KeyError):
        launch_refresh(project.pipeline())
    assert {hit.uri.rpartition("/")[2] for hit in project.search("secret", "public", mode="text")} == {"lamp.md"}


@pytest.mark.slow
def test_house_keeping_of_runs_fails_no_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(liveness, "FOLDER", "history/runs.db/no folder")
    monkeypatch.setattr(resources, "end_killed_runs", raising(full))
    assert launch_refresh(project.pipeline()).errors == []
    assert {hit.uri.rpartition("/")[2] for hit in project.search("secret", "public", mode="text")} == {"lamp.md"}


def test_a_lock_that_cannot_be_taken_is_an_error_of_ours(project: Project) -> None:
    lock = project.folder / "lake" / LOCK_NAME
    lock.unlink()
    lock.mkdir()
    with project.workspace() as workspace, pytest.raises(StoreError, match=LOCK_NAME):
        revoke_now(workspace)
    lock.rmdir()
    with project.workspace() as workspace:
        revoke_now(workspace)


@pytest.mark.slow
def test_damage_that_no_size_tells_is_healed_by_the_run_that_meets_it_while_revoking(project: Project) -> None:
    for file in (project.folder / "lake" / "gold" / "index").glob("*.lance/data/*.lance"):
        file.write_bytes(b"\x07" * file.stat().st_size)
    summary = launch_refresh(project.pipeline())
    assert (summary.errors, summary.healed, len(summary.run_ids)) == ([], ["gold/index"], 1)
    assert {hit.uri.rpartition("/")[2] for hit in project.search("secret", "public", mode="text")} == {"lamp.md"}


def test_spans_that_cannot_be_sent_keep_nothing_from_leaving_readers_and_are_said_once(project: Project) -> None:
    project.settings["telemetry"] = {"endpoint": "http://127.0.0.1:9", "headers_from_env": "NO_SUCH_VARIABLE"}
    project.settings["embedding_models"]["beside"] = {"kind": "hashing", "model": "hashing", "dimension": 32}
    said: list[str] = []
    with said_by(said.append):
        summary = launch_refresh(project.pipeline(), alias="beside")
    assert (summary.errors, len(summary.run_ids)) == ([], 2)
    assert {hit.uri.rpartition("/")[2] for hit in project.search("secret", "public", mode="text")} == {"lamp.md"}
    assert [line for line in said if "not traced" in line] == [
        "this run is not traced: telemetry.headers_from_env: the variable NO_SUCH_VARIABLE is to hold headers like "
        "Authorization=Bearer TOKEN,Other=value, and is not set"
    ]
