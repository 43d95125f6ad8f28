"""A scripted chat model, and projects whose enrichments ask it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline_tests.answering.scripted import Scripted, scripted_server
from rag_pipeline_tests.pipeline.project import Project


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    pytest.importorskip("openai", reason="needs the extra `answers`")
    with scripted_server() as server:
        yield server


def asking_project(folder: Path, server: Scripted, enrichments: dict[str, Any], **settings: Any) -> Project:
    """A project whose chat model `big` is the server; what it reads costs a hundred-thousandth a token."""
    project = Project.create(folder, cache="cache", deduplication={"near": False}, **settings)
    project.settings["chat_models"] = {
        "big": {"model": "m", "base_url": server.url, "price_per_million_input_tokens": 10.0, "deadline_seconds": 5}
    }
    project.settings["enrichments"] = enrichments
    return project
