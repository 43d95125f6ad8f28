"""Commands on a lake in an object store do what they do on one in a folder, whatever breaks beside them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.errors import StoreError
from rag_pipeline.refresh.plan import plan_run
from rag_pipeline.stores.objects import Objects
from rag_pipeline_tests.object_store.lakes import built, copied
from rag_pipeline_tests.object_store.server import S3Server
from rag_pipeline_tests.pipeline.project import Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def published(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return built(server, tmp_path_factory.mktemp("published"))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_plan_says_what_the_run_then_does_and_leaves_nothing_anywhere(
    server: S3Server, published: Project, tmp_path: Path, temporary: Path
) -> None:
    project = copied(published, server, tmp_path / "project")
    project.write("lamps.md", "# Lamps\n\nA blue lamp hangs above the door since the green one broke last winter.\n")
    (project.folder / "docs" / "pumps.md").unlink()
    objects = Objects(project.settings["lake"], server.options)
    before = objects.entries()
    server.asked()
    plan = plan_run(project.pipeline(), allow_mass_deletion=["docs"])
    assert {method for method, _ in server.asked()} <= {"GET", "HEAD"}
    assert objects.entries() == before
    assert list(temporary.iterdir()) == []
    (source,) = plan.sources
    assert (source.modified, source.deleted, plan.parsed, plan.models[0].texts) == (1, 1, 1, 1)
    assert [each.uri.rsplit("/", 1)[-1] for each in plan.closes] == ["pumps.md"]
    project.embedded.clear()
    project.refresh()
    assert len(project.embedded) == plan.models[0].texts


def test_a_store_that_fails_in_the_middle_of_a_plan_leaves_no_copy_behind(
    server: S3Server, published: Project, temporary: Path
) -> None:
    server.behave(fails=r"GET .*/silver/chunks/.*\.parquet")
    try:
        with pytest.raises(StoreError) as refused:
            plan_run(published.pipeline())
    finally:
        server.behave()
    assert refused.value.retryable
    assert list(temporary.iterdir()) == []


def test_a_lake_that_does_not_fit_is_refused_before_it_is_copied_for_a_plan(
    published: Project, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage: Any = shutil._ntuple_diskusage(2**30, 2**30 - 1000, 1000)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StoreError, match="1,000 bytes left"):
        plan_run(published.pipeline())
    assert list(temporary.iterdir()) == []
