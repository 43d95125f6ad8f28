"""The pipeline as Dagster's users have it: `dg` finds the component, scaffolds it twice, checks it and runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml
from dagster.components import ScaffoldRequest

from rag_pipeline.component import RagPipelineScaffolder, ScaffoldParams
from rag_pipeline_tests.paths import REPOSITORY

DG = Path(sys.executable).parent / "dg"
GROUP = "dagster_dg_cli.registry_modules"
COMPONENT = "rag_pipeline.component.RagPipelineComponent"
MODEL = {"small": {"kind": "hashing", "model": "hashing", "dimension": 64}}
PROJECT = """\
[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "host"
code_location_name = "host"
"""
DEFINITIONS = """\
from pathlib import Path
from dagster import definitions, load_from_defs_folder

@definitions
def defs():
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
"""
# An asset, a job and a resource of names that ours have without a prefix.
THEIRS = """\
import dagster as dg

@dg.asset(key=["silver", "documents"], group_name="silver")
def silver_documents() -> None: ...

refresh = dg.define_asset_job("refresh", selection=dg.AssetSelection.assets(["silver", "documents"]))
"""


class Host:
    """A Dagster project of somebody else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        package = folder / "host"
        (package / "defs").mkdir(parents=True)
        (folder / "pyproject.toml").write_text(PROJECT)
        (package / "__init__.py").touch()
        (package / "definitions.py").write_text(DEFINITIONS)
        (package / "defs" / "theirs.py").write_text(THEIRS)
        (folder / "home").mkdir()

    def dg(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        paths = [str(REPOSITORY), str(self.folder), str(registered(self.folder / "site"))]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "DAGSTER_HOME": str(self.folder / "home")}
        return subprocess.run(
            [str(DG), *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600
        )

    def made(self, name: str) -> Path:
        return self.folder / "host" / "defs" / name


def registered(site: Path) -> Path:
    """A folder with the entry points of pyproject.toml, for an environment that was made before they were in it."""
    declared = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"][GROUP]
    site.mkdir(exist_ok=True)
    if not any(each.value in declared.values() for each in entry_points(group=GROUP)):
        info = site / "rag_pipeline_component-0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rag-pipeline-component\nVersion: 0\n")
        lines = [f"[{GROUP}]", *(f"{name} = {module}" for name, module in declared.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return site


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    host = Host(tmp_path_factory.mktemp("project"))
    for name in ("search", "team-support"):
        done = host.dg("scaffold", "defs", COMPONENT, name, "--location", f"documents/{name}", "--readers", "public")
        assert done.returncode == 0, done.stderr + done.stdout
        path = host.made(name) / "pipeline.yaml"
        settings = yaml.safe_load(path.read_text("utf-8"))
        path.write_text(yaml.safe_dump(settings | {"embedding_models": MODEL, "serve": "small", "worker_processes": 0}))
        (host.folder / "documents" / name / "a.md").write_text(f"# A\n\nThe lamp of {name}.\n")
    return host


def test_scaffolding_writes_what_both_need_outside_the_package(host: Host) -> None:
    declared = yaml.safe_load((host.made("team-support") / "defs.yaml").read_text("utf-8"))
    assert declared == {"type": COMPONENT, "attributes": {"config": "pipeline.yaml", "key_prefix": ["team_support"]}}
    settings = yaml.safe_load((host.made("team-support") / "pipeline.yaml").read_text("utf-8"))
    lake = (host.made("team-support") / settings["lake"]).resolve()
    assert lake == (host.folder / "data" / "team-support" / "lake").resolve()
    assert sorted(path.name for path in host.made("search").iterdir()) == ["defs.yaml", "pipeline.yaml"]


def test_folders_of_one_name_are_two_pipelines(tmp_path: Path) -> None:
    names: set[str] = set()
    lakes: set[Path] = set()
    for name in ("east/search", "west/search", "search", "北", "南"):
        folder = tmp_path / "src" / "host" / "defs" / name
        folder.mkdir(parents=True)
        request = ScaffoldRequest(COMPONENT, folder, "yaml", tmp_path, ScaffoldParams())
        RagPipelineScaffolder().scaffold(request)
        lakes.add((folder / yaml.safe_load((folder / "pipeline.yaml").read_text("utf-8"))["lake"]).resolve())
        names.add("_".join(yaml.safe_load((folder / "defs.yaml").read_text("utf-8"))["attributes"]["key_prefix"]))
    assert len(lakes) == 5
    assert {"east_search", "west_search", "search"} <= names
    assert not any(lake.is_relative_to(other) for lake in lakes for other in lakes - {lake})


def test_dg_checks_runs_and_shows_two_pipelines_beside_other_assets(host: Host) -> None:
    checked = host.dg("check", "defs")
    assert checked.returncode == 0, checked.stderr + checked.stdout
    launched = host.dg("launch", "--job", "search_refresh", "--partition", "small")
    assert launched.returncode == 0, launched.stderr + launched.stdout
    # Each has a lake of its own, and only one was asked to run.
    assert (host.folder / "data" / "search" / "lake" / "gold").is_dir()
    assert not (host.folder / "data" / "team-support").exists()


def test_dg_check_names_the_line_of_what_it_does_not_know(host: Host) -> None:
    path = host.made("search") / "defs.yaml"
    before = path.read_text("utf-8")
    path.write_text(before.replace("config:", "confg:"))
    try:
        checked = host.dg("check", "yaml")
    finally:
        path.write_text(before)
    assert checked.returncode != 0
    said = checked.stdout + checked.stderr
    assert "defs.yaml:4" in said
    assert "confg" in said
