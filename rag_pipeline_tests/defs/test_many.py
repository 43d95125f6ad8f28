"""Several pipelines in one code location: apart in all that they have, and one that is broken breaks no other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from rag_pipeline.defs import build_all
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline.defs.run_records import forget_runs, own_runs
from rag_pipeline.errors import SettingsError
from rag_pipeline.settings import load_pipeline
from rag_pipeline.settings.pipelines import read_pipelines, records_home
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.pipeline.project import Project

NAMES = ("search", "support")


@pytest.fixture
def projects(tmp_path: Path) -> dict[str, Project]:
    found = {}
    for name in NAMES:
        found[name] = Project.create(tmp_path / name)
        found[name].write("a.md", f"# A\n\nThe lamp of {name}.\n")
        found[name].pipeline()
    lines = [f"  {name}: {name}/pipeline.yaml" for name in NAMES]
    (tmp_path / "pipelines.yaml").write_text("pipelines:\n" + "\n".join(lines) + "\n")
    return found


def built(folder: Path) -> dg.Definitions:
    return build_all(read_pipelines(folder / "pipelines.yaml"))


def tops(definitions: dg.Definitions) -> dict[str, int]:
    """How many assets each pipeline has."""
    found: dict[str, int] = {}
    for spec in definitions.resolve_all_asset_specs():
        found[spec.key.path[0]] = found.get(spec.key.path[0], 0) + 1
    return found


def refreshed(definitions: dg.Definitions, name: str, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return definitions.resolve_job_def(f"{name}_refresh").execute_in_process(
        instance=instance, partition_key="small", raise_on_error=False
    )


@pytest.mark.parametrize("fault", ["yaml", "missing", "lake", "source"])
def test_one_that_is_broken_leaves_the_other_going(projects: dict[str, Project], tmp_path: Path, fault: str) -> None:
    broken = projects["search"].folder
    if fault == "yaml":
        (broken / "pipeline.yaml").write_text("lake: [")
    elif fault == "missing":
        (broken / "pipeline.yaml").unlink()
    elif fault == "lake":
        # Where a folder should be lies a file, as where a disk was not mounted.
        (broken / "lake").write_text("")
    else:
        shutil.rmtree(broken / "docs")
    definitions = built(tmp_path)
    is_loaded = fault in ("lake", "source")
    assert (tops(definitions)["search"] > 1) == is_loaded
    repository = definitions.get_repository_def()
    with dg.DagsterInstance.ephemeral() as instance:
        if is_loaded:
            refreshed(definitions, "search", instance)
        assert refreshed(definitions, "support", instance).success
    assert [row["embedded_text"].split()[-1] for row in projects["support"].published()] == ["support."]
    if is_loaded:
        return
    [spec] = [s for s in definitions.resolve_all_asset_specs() if s.key.path == ["search", "pipeline_yaml"]]
    assert "pipeline.yaml" in (spec.description or "")
    sensor = repository.get_sensor_def("search_pipeline_yaml_can_be_used")
    with dg.build_sensor_context(repository_def=repository) as context, pytest.raises(SettingsError):
        sensor.evaluate_tick(context)
    projects["search"].pipeline()
    (broken / "pipeline.yaml").write_text((tmp_path / "support" / "pipeline.yaml").read_text())
    with dg.build_sensor_context(repository_def=repository) as context:
        assert "Reload the code location" in str(sensor.evaluate_tick(context).skip_message)
    assert tops(built(tmp_path))["search"] > 1


def test_what_two_would_share_is_refused_and_the_first_counts(projects: dict[str, Project], tmp_path: Path) -> None:
    search, support = (projects[name] for name in NAMES)
    for shared in ("../search/lake", "../search/lake/inner"):
        support.settings["lake"] = shared
        support.pipeline()
        found = tops(built(tmp_path))
        assert (found["search"] > 1, found["support"]) == (True, 1)
    support.settings |= {"lake": "lake"}
    support.settings["sources"]["docs"]["location"] = str(search.folder / "lake" / "bronze")
    support.pipeline()
    assert tops(built(tmp_path))["support"] == 1


def test_a_name_that_would_make_the_same_jobs_is_refused(projects: dict[str, Project], tmp_path: Path) -> None:
    search = projects["search"]
    search.settings["sources"]["hourly"] = search.settings["sources"].pop("docs")
    search.pipeline()
    (tmp_path / "pipelines.yaml").write_text(
        "pipelines: {search: search/pipeline.yaml, search_refresh: support/pipeline.yaml}"
    )
    definitions = built(tmp_path)
    definitions.get_repository_def()
    assert tops(definitions)["search_refresh"] == 1
    [spec] = [s for s in definitions.resolve_all_asset_specs() if s.key.path[0] == "search_refresh"]
    assert "search_refresh_hourly" in (spec.description or "")


@pytest.mark.parametrize(
    "text",
    ["", "pipelines: {}", "pipelines: [a]", "pipelines: {a-b: x}", "pipelines: {a: 1}", "pipelines: {a: x, b: ./x}",
     "{pipelines: {a: x}, more: 1}", "pipelines: ["],
)  # fmt: skip
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pipelines.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"pipelines\.yaml"):
        read_pipelines(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_pipelines(tmp_path / "none.yaml")


def test_one_forgets_only_its_own_runs(projects: dict[str, Project], tmp_path: Path) -> None:
    @dg.asset
    def theirs() -> None: ...

    definitions = dg.Definitions.merge(built(tmp_path), dg.Definitions(assets=[theirs]))
    later = datetime.now(UTC) + timedelta(days=1)
    with dg.DagsterInstance.ephemeral() as instance:
        for name in NAMES:
            instance.create_run_for_job(
                definitions.resolve_job_def(f"{name}_refresh"), status=dg.DagsterRunStatus.FAILURE
            )
        everything = definitions.resolve_implicit_global_asset_job_def()
        for keys in ([theirs.key], [dg.AssetKey(["search", "gold", "embeddings"])]):
            instance.create_run_for_job(everything, status=dg.DagsterRunStatus.FAILURE, asset_selection=set(keys))
        pipeline = projects["search"].pipeline()
        assert forget_runs(instance, later, own_runs(pipeline, Prefix.of("search"))) == 2
        left = instance.get_runs()
        assert [run.job_name for run in left if run.asset_selection != {theirs.key}] == ["support_refresh"]
        assert len(left) == 2
        # What a command of a pipeline without a prefix has there is nobody else's either.
        assert forget_runs(instance, later, own_runs(pipeline, Prefix())) == 0


def test_records_of_commands_are_apart_where_the_home_is_of_several(tmp_path: Path) -> None:
    for name in NAMES:
        Project.create(tmp_path / name).pipeline()
    shared = {"DAGSTER_HOME": str(tmp_path / "home")}
    one, other = (load_pipeline(tmp_path / name / "pipeline.yaml", shared) for name in NAMES)
    assert records_home(one) == records_home(other) == tmp_path / "home"
    several = shared | {"RAG_PIPELINE_PIPELINES": str(tmp_path / "pipelines.yaml")}
    homes = {records_home(each, several) for each in (one, other)}
    assert len(homes) == 2
    # An erasure looks through the home of all.
    assert all(home.is_relative_to(one.dagster_home) for home in homes)
    assert records_home(one, {}) == one.folder / ".dagster"


def test_the_module_that_tools_load_has_all_of_them(projects: dict[str, Project], tmp_path: Path) -> None:
    assert projects
    code = "from rag_pipeline.definitions import defs; r = defs.get_repository_def(); print(*sorted(r.job_names))"
    environment = os.environ | {"RAG_PIPELINE_PIPELINES": "pipelines.yaml", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert {f"{name}_refresh" for name in NAMES} <= set(done.stdout.split())
