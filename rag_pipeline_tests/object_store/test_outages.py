"""A run whose store fails, or loses an answer, at any one of its requests: readers stay where they were or move on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag_pipeline.errors import StoreError
from rag_pipeline_tests.object_store.lakes import copied
from rag_pipeline_tests.object_store.server import S3Server
from rag_pipeline_tests.pipeline.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]

# What changes something, and what only looks, are gone through apart: a look that is tried again does nothing twice.
WRITES, READS = "(PUT|POST|DELETE) ", "(GET|HEAD) "
# Of the reads, which are some hundreds, each so manieth is enough to meet every kind.
STRIDES = {WRITES: 1, READS: int(os.environ.get("RAG_PIPELINE_TEST_STRIDE", "17"))}
# A client that tries again by itself would hide the failure of one request; those of the tables are told not to.
AT_ONCE = {"max_retries": "0"}
MODES = {"an outage": {}, "a lost answer": {"most": 1, "does": True}, "one failure": {"most": 1}}


@pytest.fixture(autouse=True)
def well_behaved(server: S3Server) -> Iterator[None]:
    yield
    server.behave()


def edited(published: Project, server: S3Server, folder: Path) -> Project:
    """A copy of the published lake, with an edit, a new document and one that was taken away still to be taken in."""
    project = copied(published, server, folder)
    project.settings["lake_options"] = {**server.options, **AT_ONCE}
    project.write("lamps.md", "# Lamps\n\nA blue lamp hangs above the door since the green one broke last winter.\n")
    project.write("doors.md", "# Doors\n\nThe door of the hall opens inwards, and sticks when it rains for long.\n")
    (project.folder / "docs" / "pumps.md").unlink()
    return project


@pytest.mark.parametrize("requests", STRIDES, ids=["writes", "reads"])
@pytest.mark.parametrize("mode", MODES)
def test_at_any_one_request(server: S3Server, published: Project, tmp_path: Path, mode: str, requests: str) -> None:
    whole = edited(published, server, tmp_path / "whole")
    server.behave(fails="nothing")
    server.asked()
    whole.refresh()
    count = sum(method in requests for method, _ in server.asked())
    before, after = published.published(), whole.published()
    wrong = []
    for number in range(0, count, STRIDES[requests]):
        project = edited(published, server, tmp_path / f"{number}")
        server.asked()
        server.behave(fails=requests, after=number, status=503, **MODES[mode])
        said = ""
        try:
            project.refresh()
        except StoreError as error:
            said = error.code if error.retryable else f"NOT RETRYABLE {error.code}: {error.message}"
        server.behave()
        seen = project.published()
        texts = {row["uri"].rsplit("/", 1)[-1]: row["embedded_text"] for row in seen}
        is_whole = seen in (before, after) or not texts.keys() - {"lamps.md", "keys.md"}
        if not is_whole or said.startswith("NOT"):
            wrong.append((number, said, sorted(texts)))
        project.refresh()
        report = project.verify()
        if report.findings or report.damaged or project.published() != after:
            wrong.append((number, said, report.findings, "after the next run"))
    assert not wrong, f"{len(wrong)} of {count}: {wrong}"
