"""The documentation says what is so: commands run, names exist, links lead somewhere, generated pages are current."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner

from rag_pipeline.cli.app import cli
from rag_pipeline.errors import DocumentError, RagPipelineError
from rag_pipeline_tests.paths import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```", re.M | re.S)
RUNNABLE = "run"
LARGEST_IMAGE_BYTES = 300_000
# The sample's own model takes seconds to load; a model of the same alias without weights makes the same commands run.
WITHOUT_WEIGHTS = {"KIND": "hashing", "MODEL": "hashing", "DIMENSION": "64"}


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def blocks(page: Path) -> Iterator[tuple[str, str, str]]:
    """Language, marker and text of each fenced block."""
    for language, marker, text in FENCE.findall(page.read_text("utf-8")):
        yield language, marker.strip(), text


def shell_lines(page: Path, marker: str | None = None) -> list[str]:
    """Commands of the page's shell blocks: every line of `bash`, the lines after a prompt of `console`."""
    lines = []
    for language, found, text in blocks(page):
        if marker is not None and found != marker:
            continue
        if language == "console":
            lines += [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
        elif language == "bash":
            lines += text.splitlines()
    return lines


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text("utf-8"))


def named_commands(page: Path) -> set[str]:
    """Every `rag-pipeline …` of the page, in shell blocks and in the text."""
    inline = re.findall(r"`([^`\n]*)`", prose(page))
    lines = [re.sub(r"^(\w+=\S+ )+", "", line.strip()) for line in [*shell_lines(page), *inline]]
    return {line for line in lines if line.startswith("rag-pipeline ")}


def command_of(line: str) -> tuple[click.Command, list[str]]:
    """The command that a line calls, and the words after its name."""
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.commands.get(words[0])
        assert found is not None, f"{line}: there is no command {words[0]}"
        command, words = found, words[1:]
    return command, words


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_options_that_are_named_exist(page: Path) -> None:
    for line in named_commands(page):
        command, words = command_of(line)
        known = {"--help", *(option for parameter in command.params for option in parameter.opts)}
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in known, f"{line}: {command.name} has no {word}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_targets_that_are_named_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.M))
    lines = [*shell_lines(page), *re.findall(r"`([^`\n]*)`", prose(page))]
    for line in lines:
        called = re.match(r"make ([a-z-]+)$", line.strip())
        assert called is None or called[1] in targets, f"{line}: there is no such target"


@pytest.mark.slow
def test_commands_that_are_marked_to_run_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(REPOSITORY / "data" / "sample", tmp_path / "data" / "sample")
    shutil.copy(REPOSITORY / "pipeline.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / ".dagster"))
    monkeypatch.delenv("RAG_PIPELINE_CONFIG", raising=False)
    for name, value in WITHOUT_WEIGHTS.items():
        monkeypatch.setenv(f"RAG_PIPELINE__EMBEDDING_MODELS__MINILM__{name}", value)
    marked = [line for page in PAGES for line in shell_lines(page, RUNNABLE)]
    assert marked
    for line in ["rag-pipeline run", *dict.fromkeys(marked)]:
        result = CliRunner().invoke(cli, shlex.split(line)[1:], catch_exceptions=False)
        assert result.exit_code == 0, f"{line}: {result.output}"


def test_generated_pages_are_what_the_code_gives() -> None:
    assert generator().outdated() == [], "run: make docs"


def generator() -> ModuleType:
    specification = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = prose(page)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_file(), f"{target} is not there"
        if anchor:
            assert anchor in anchors(there), f"{target}: no such heading"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose(page), re.M)
    named = set(re.findall(r'<a id="([^"]+)"></a>', page.read_text("utf-8")))
    return named | {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_modules_and_tests_that_are_named_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    for path in re.findall(r"`((?:\w+/)+\w+\.py)`", text):
        places = [REPOSITORY / path, REPOSITORY / "rag_pipeline" / path]
        assert any(place.is_file() for place in places), f"{path} is not there"
    for sentence, path in re.findall(r"\[([\w ]+)\]\((rag_pipeline_tests/[\w/]+\.py)\)", text):
        name = f"test_{sentence.replace(' ', '_')}"
        assert f"def {name}(" in (page.parent / path).read_text("utf-8"), f"{path} has no {name}"


def test_every_check_and_every_reason_is_in_the_operators_pages() -> None:
    from rag_pipeline.defs import build_definitions
    from rag_pipeline.settings import load_pipeline

    definitions = build_definitions(load_pipeline(REPOSITORY / "pipeline.yaml", {}))
    names = {key.name for checks in definitions.asset_checks or () for key in checks.check_keys}  # type: ignore[union-attr]
    runbook = (DOCS / "runbook.md").read_text("utf-8")
    assert {name for name in names if f"| `{name}` |" not in runbook} == set()
    reasons = (DOCS / "errors.md").read_text("utf-8")
    for kind in DocumentError.__subclasses__():
        assert f"`{kind.code}`" in reasons or kind.code == "vanished"


ENDS_STEPS = {"alerts", "base", "documents", "models", "publishing", "stores"}


def test_every_alert_links_to_an_entry_of_the_runbook() -> None:
    from rag_pipeline.defs.alerts import check_specs
    from rag_pipeline.defs.assets import build_assets
    from rag_pipeline.defs.checks import build_checks
    from rag_pipeline.settings import load_pipeline

    def leaves(kind: type[RagPipelineError]) -> Iterator[type[RagPipelineError]]:
        below = kind.__subclasses__()
        for each in below:
            yield from leaves(each)
        if not below:
            yield kind

    pipeline = load_pipeline(REPOSITORY / "pipeline.yaml", {})
    wanted = {spec.name for spec in check_specs([*build_assets(pipeline), *build_checks(pipeline)])}
    for kind in leaves(RagPipelineError):
        # What a server or another command says to its caller ends no step.
        if kind.__module__.rpartition(".")[2] in ENDS_STEPS and kind.code != "vanished":
            wanted.add(f"{'reason' if issubclass(kind, DocumentError) else 'error'}-{kind.code}")
    wanted |= {"alerts", "failed-run", "worse-answers", "error-interrupted", "error-unexpected"}
    there = re.findall(r'<a id="([^"]+)"></a>', (DOCS / "runbook.md").read_text("utf-8"))
    assert wanted - set(there) == set(), "give them a row in docs/runbook.md"
    assert len(set(there)) == len(there)


def test_every_command_is_in_the_readme_or_the_runbook() -> None:
    named = {line for page in (PAGES[0], DOCS / "runbook.md") for line in named_commands(page)}
    called = {command_of(line)[0] for line in named}
    for name, command in cli.commands.items():
        leaves = command.commands.values() if isinstance(command, click.Group) else [command]
        assert any(leaf in called for leaf in leaves), f"{name} is not mentioned"


def test_images_are_small() -> None:
    images = sorted((DOCS / "images").iterdir())
    assert images
    assert all(image.stat().st_size < LARGEST_IMAGE_BYTES for image in images)
