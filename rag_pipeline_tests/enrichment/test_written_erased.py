"""What models wrote of an erased document is nowhere: by every kind, answers that were refused, and kept readings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.responses import Response

from rag_pipeline.contracts.tables import ENRICHMENTS
from rag_pipeline.refresh import erase as erasing
from rag_pipeline_tests.answering.scripted import Scripted, refuses, says
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.enrichment.conftest import asking_project
from rag_pipeline_tests.extras import needs
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.pipeline.test_erasure import holding

needs("openai", "needs the extra `answers`")

pytestmark = pytest.mark.slow

MODEL = {"model": "big", "concurrency": 2}
ENTRIES: dict[str, dict[str, Any]] = {
    "asked": {"kind": "questions", **MODEL},
    "german": {"kind": "translate", "language": "de", **MODEL},
    "short": {"kind": "summarise", "into": "header", **MODEL},
    "told": {"kind": "summarise", "into": "metadata", "most_answer_chars": 250, **MODEL},
    "where": {"kind": "context", **MODEL},
}
LAMP, PUMP = "the keeper Quillsby of the lanterns", "the keeper Ambleforth of the pumps"
NAMES = ("questions", "translation", "summary", "context")


def written(name: str, keeper: str) -> str:
    return f"{name.title()} about {keeper}"


def writes(asked: dict[str, Any]) -> Response:
    """Names the keeper of what it is shown, in other words for each kind."""
    keeper = LAMP if "dawn" in asked["messages"][1]["content"] else PUMP
    (name,) = asked["response_format"]["json_schema"]["schema"]["properties"]
    said = written(name, keeper)
    return says(json.dumps({name: [f"{said}?"] if name == "questions" else said}))(asked)


def misspells(asked: dict[str, Any]) -> Response:
    """Answers with the words it was shown, and by no schema."""
    return says(f"No JSON, but {LAMP} until dawn.")(asked) if "dawn" in str(asked["messages"]) else writes(asked)


@pytest.fixture
def project(tmp_path: Any, server: Scripted, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr(erasing, "POINTER_SECONDS", -erasing.MARGIN_SECONDS)
    project = asking_project(tmp_path, server, ENTRIES)
    project.write("lamp.md", "# The lamp\n\nIt burns until dawn.\n")
    project.write("pump.md", "# The pump\n\nIt stands in hall seven.\n")
    return project


def erase_lamp(project: Project) -> None:
    answer = ask_in(project.folder, "erase", "--address", "docs", "lamp.md", "--reason", "asked", "--yes")
    assert answer.code == 0, answer.err


def test_nothing_that_any_kind_wrote_of_an_erased_document_is_left(project: Project, server: Scripted) -> None:
    server.script(writes)
    project.refresh()
    for name in NAMES:
        assert holding(project.folder / "lake", written(name, LAMP)), name
    # Readings of an entry that is gone are kept for a while, and those of the document among them.
    project.settings["enrichments"] = {name: entry for name, entry in ENTRIES.items() if name != "german"}
    project.refresh()
    assert holding(project.folder / "lake", written("translation", LAMP))
    server.script(refuses(500))
    erase_lamp(project)
    assert holding(project.folder, LAMP, "burns until dawn") == set()
    for name in NAMES:
        assert holding(project.folder / "lake", written(name, PUMP)), name
    assert project.verify().findings == []


def test_answers_that_were_refused_leave_no_word_of_an_erased_document(project: Project, server: Scripted) -> None:
    server.script(misspells)
    project.refresh()
    with project.workspace() as workspace:
        before = workspace.lake.read(ENRICHMENTS, ["input_hash"])
    erase_lamp(project)
    assert holding(project.folder, LAMP, "burns until dawn") == set()
    with project.workspace() as workspace:
        after = workspace.lake.read(ENRICHMENTS, ["input_hash"])
    assert 0 < after.height < before.height
    assert project.verify().findings == []
