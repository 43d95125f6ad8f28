"""The built wheel works outside the repository: from an empty folder, with nothing of the source tree beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

from rag_pipeline_tests.paths import REPOSITORY


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built offline from a copy of what is in the tree, so that building leaves nothing in it."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tree / name).write_bytes((REPOSITORY / name).read_bytes())
    (tree / "rag_pipeline").symlink_to(REPOSITORY / "rag_pipeline")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*build, "--wheel-dir", str(out), str(tree)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(out.glob("rag_pipeline-*.whl"))


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> dict[str, str]:
    """Environment in which only the wheel's files are found as `rag_pipeline`."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAG_PIPELINE")}
    model = {"KIND": "hashing", "MODEL": "hashing", "DIMENSION": "64"}
    kept |= {f"RAG_PIPELINE__EMBEDDING_MODELS__MINILM__{name}": value for name, value in model.items()}
    return kept | {"PYTHONPATH": str(tmp_path / "site"), "HOME": str(tmp_path / "home"), "PYTHONSAFEPATH": "1"}


def typed(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    """What a typed command prints; it has to succeed."""
    command = [sys.executable, "-m", "rag_pipeline.cli", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_folder_is_indexed_and_searched_by_what_was_installed(installed: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    typed(folder, installed, "init", "--readers", "public")
    (folder / "docs" / "ferry.md").write_text("# Ferry\n\nThe last ferry to the island leaves at half past nine.\n")
    where = "import rag_pipeline, sys; sys.stdout.write(rag_pipeline.__file__)"
    found = subprocess.run([sys.executable, "-c", where], cwd=folder, env=installed, capture_output=True, text=True)
    assert found.stdout.startswith(str(tmp_path / "site"))
    summary = json.loads(typed(folder, installed, "run", "--json").splitlines()[-1])
    assert summary["documents"] == 1
    hit = json.loads(typed(folder, installed, "search", "last ferry", "--as", "public", "--json").splitlines()[0])
    assert hit["uri"].endswith("docs/ferry.md")
    assert {path.name for path in folder.iterdir()} == {"docs", "pipeline.yaml", "lake", ".dagster"}


def test_the_wheel_says_what_it_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = HeaderParser().parsestr(
            archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
        )
        scripts = archive.read(next(name for name in names if name.endswith("/entry_points.txt"))).decode()
    assert "rag_pipeline/py.typed" in names
    assert not [name for name in names if name.startswith(("rag_pipeline_tests", "benchmarks", "tools"))]
    assert "rag-pipeline = rag_pipeline.cli:main" in scripts
    plain = [line for line in metadata.get_all("Requires-Dist") or [] if "extra ==" not in line]
    assert any(line.startswith("lancedb") for line in plain)
    assert not any(line.startswith(("torch", "sentence-transformers", "dagster-webserver")) for line in plain)
