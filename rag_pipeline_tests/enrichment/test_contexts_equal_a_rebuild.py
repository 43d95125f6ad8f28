"""Whatever is edited, moved, copied, redacted or switched, and whatever fails: what is published equals a rebuild."""

from __future__ import annotations

import json
import random
import zlib
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from rag_pipeline.refresh.everything import refresh_everything
from rag_pipeline_tests.answering.scripted import Scripted, refuses, says
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.pipeline.test_enrichments import NEAREST, both

WORDS = ["lever", "pump", "valve", "lamp", "dawn", "hall", "keeper", "rope", "bell", "stair"]
MAIL = "ada@example.org"


def answers(asked: dict[str, Any]) -> Response:
    """Another sentence for each thing that may be shown, and for each prompt; now and then one that is too long."""
    system, user = (message["content"] for message in asked["messages"][:2])
    shown = "".join(line for line in user.splitlines() if not line.startswith(("<", "</")))
    number = zlib.crc32(f"{shown}{'Otherwise' in system}".encode())
    sentence = "x" * 400 if number % 11 == 0 else f"Thing {number} of {MAIL if number % 3 == 0 else 'many'}."
    return says(json.dumps({"context": sentence}))(asked)


def text_of(chance: random.Random) -> str:
    paragraphs = [
        f"## Part {at}\n\n" * (chance.random() < 0.4) + " ".join(chance.choices(WORDS, k=chance.randint(5, 60))) + "."
        for at in range(chance.randint(1, 7))
    ]
    if chance.random() < 0.3:
        paragraphs.append(f"Write to {MAIL} about it.")
    return f"# {chance.choice(WORDS)}\n\n" * (chance.random() < 0.7) + "\n\n".join(paragraphs) + "\n"


def edited(text: str, chance: random.Random) -> str:
    words = text.split(" ")
    at = chance.randrange(len(words))
    words[at : at + chance.randint(0, 3)] = chance.choices(WORDS, k=chance.randint(0, 4))
    return " ".join(words) or "word\n"


def change(project: Project, chance: random.Random) -> None:
    """One thing that a person does."""
    files = sorted((project.folder / "docs").glob("*.md"))
    file = chance.choice(files)
    kind = chance.choice(["new", "edit", "edit", "rename", "copy", "delete", "readers", "prompt", "context", "redact"])
    name = f"{chance.randrange(1000)}.md"
    if kind == "new":
        project.write(name, text_of(chance))
    elif kind == "edit":
        file.write_text(edited(file.read_text(), chance))
    elif kind == "rename":
        file.rename(file.with_name(name))
    elif kind == "copy":
        project.write(name, file.read_text())
    elif kind == "delete" and len(files) > 2:
        file.unlink()
    elif kind == "readers":
        rule = {"pattern": file.name, "allowed_principals": ["staff"]}
        project.settings["sources"]["docs"]["permission_rules"] = [rule]
    elif kind == "redact":
        source = project.settings["sources"]["docs"]
        source["sensitive"] = "redact" if source.get("sensitive", "off") == "off" else "off"
    elif "where" not in project.settings["enrichments"]:
        project.settings["enrichments"]["where"] = {"kind": "context", "model": "big", "concurrency": 1}
    elif kind == "context":
        del project.settings["enrichments"]["where"]
    else:
        project.settings["enrichments"]["where"]["prompt"] = chance.choice(["a.txt", "b.txt"])


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(6))
def test_what_is_published_equals_a_rebuild(tmp_path: Path, server: Scripted, seed: int) -> None:
    chance = random.Random(seed)
    project = Project.create(tmp_path, cache="cache", chunking={"max_tokens": 90, "header_max_tokens": 20})
    project.settings["chat_models"] = {"big": {"model": "m", "base_url": server.url, "deadline_seconds": 5}}
    project.settings["enrichments"] = {**NEAREST, "where": {"kind": "context", "model": "big", "concurrency": 1}}
    (tmp_path / "a.txt").write_text("Say it.")
    (tmp_path / "b.txt").write_text("Otherwise.")
    for at in range(4):
        project.write(f"{at}.md", text_of(chance))
    for _ in range(5):
        for _ in range(chance.randint(1, 3)):
            change(project, chance)
        if chance.random() < 0.3:
            server.script(refuses(429, retry_after="7200"))
            with project.workspace() as workspace:
                refresh_everything(workspace, evaluate=False)
        server.script(answers)
        project.refresh()
        asked = len(server.asked)
        project.refresh()
        assert len(server.asked) == asked, "an unchanged run asks nothing"
        published, rebuilt = both(project)
        assert published == rebuilt
        report = project.verify()
        assert report.findings == []
        if project.settings["sources"]["docs"].get("sensitive") == "redact":
            assert MAIL not in str(published)
