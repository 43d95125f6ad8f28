"""Questions, translations and summaries in headers over a real lake, counted: an edit costs its own chunks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from starlette.responses import Response

from rag_pipeline.contracts.documents import context_in
from rag_pipeline.contracts.tables import CHUNKS, DOCUMENTS
from rag_pipeline.errors import ModelUnavailable
from rag_pipeline.refresh.everything import refresh_everything
from rag_pipeline.refresh.plan import plan_run
from rag_pipeline.refresh.retained_readings import retain_readings
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline_tests.answering.scripted import Scripted, refuses, says
from rag_pipeline_tests.enrichment.conftest import asking_project
from rag_pipeline_tests.enrichment.test_contexts_in_a_lake import CONTEXT, LONG, headers, paragraph, run
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.pipeline.test_enrichments import both

QUESTIONS = {"kind": "questions", "model": "big", "concurrency": 2}
TRANSLATE = {"kind": "translate", "model": "big", "language": "de", "concurrency": 2}
SUMMARISE = {"kind": "summarise", "model": "big", "concurrency": 2}


def writes(asked: dict[str, Any]) -> Response:
    """Writes by what it is shown alone."""
    shown = asked["messages"][1]["content"]
    found = re.search(r"## Part (\d+)|Part (\d+)", shown.split("<part")[-1])
    part = (found[1] or found[2]) if found else "whole"
    code = "with code 4711" if "4711" in shown else ""
    values: dict[str, Any] = {
        "questions": [f"Whom do I ring about number {part}?", f"Wherefore part {part} {code}?"],
        "translation": f"Ventil Nummer {part} {code}",
        "summary": f"All of {len(re.findall('Sentence', shown))} sentences {code}.",
        "context": f"On number {part}.",
    }
    (name,) = asked["response_format"]["json_schema"]["schema"]["properties"]
    return says(json.dumps({name: values[name]}))(asked)


@pytest.fixture
def project(tmp_path: Path, server: Scripted) -> Project:
    server.script(writes)
    project = asking_project(tmp_path, server, {"asked": QUESTIONS}, chunking={"max_tokens": 120})
    project.write("plant.md", LONG)
    project.write("lamp.md", "# The lamp\n\nIt burns until dawn.\n")
    return project


def lines(project: Project) -> set[str]:
    return {line for header in headers(project) for line in header.split("\n") if line}


def chunk_count(project: Project) -> int:
    with project.workspace() as workspace:
        return workspace.lake.read(CHUNKS, ["chunk_id"]).height


def test_questions_are_searched_with_their_chunk_and_an_edit_costs_its_own(project: Project, server: Scripted) -> None:
    planned = plan_run(project.pipeline()).enrichments[0]
    run(project)
    chunks = chunk_count(project)
    assert (len(server.asked), planned.texts, len(project.embedded)) == (chunks, chunks, chunks)
    assert planned.tokens > 100 * chunks
    hit = project.search("wherefore ring 7", "public", k=1)[0]
    assert hit.section_path == ("The plant", "Part 7")
    assert "Wherefore" not in hit.text
    assert all("Wherefore" not in str(hit.record()) for hit in project.search("wherefore", "public", k=9))
    # An unchanged run, a rename, a copy, other readers; other text on one side.
    calls, embedded = len(server.asked), len(project.embedded)
    assert project.refresh() == 0
    (project.folder / "docs" / "plant.md").rename(project.folder / "docs" / "works.md")
    project.write("copy.md", LONG)
    project.settings["sources"]["docs"]["allowed_principals"] = ["public", "staff"]
    run(project)
    assert (len(server.asked), len(project.embedded)) == (calls, embedded)
    (project.folder / "docs" / "copy.md").unlink()
    project.write("works.md", LONG.replace("valve 6 and its lever", "valve 6 and its wheel", 1))
    edited = run(project).enrichments
    assert edited is not None
    assert (edited.computed, len(server.asked)) == (1, calls + 1)
    published, rebuilt = both(project)
    assert published == rebuilt
    assert project.verify().findings == []
    with project.workspace() as workspace:
        assert retain_readings(workspace, workspace.now()) == 0
    # Another beside it asks nothing again of this one, and a removed line undoes it.
    server.script(writes)
    project.settings["enrichments"] = {"where": CONTEXT, "asked": QUESTIONS}
    run(project)
    assert len(server.asked) == chunks
    assert any(re.fullmatch(r"On number 4.\nWhom .*\nWherefore part 4 \?", header) for header in headers(project))
    del project.settings["enrichments"]
    project.refresh()
    assert lines(project) == set()
    project.settings["enrichments"] = {"asked": QUESTIONS}
    run(project)
    assert len(server.asked) == chunks
    assert (project.published(), project.verify().findings) == (published[0], [])


@pytest.mark.slow
def test_what_was_written_of_withdrawn_wording_leaves_with_it_whatever_fails(
    project: Project, server: Scripted
) -> None:
    project.settings["enrichments"] = {
        "asked": QUESTIONS,
        "german": TRANSLATE,
        "short": SUMMARISE | {"into": "header"},
        "where": CONTEXT,
    }
    project.write("plant.md", LONG.replace("Sentence 6.1 ", "The code is 4711. Sentence 6.1 "))
    run(project)
    assert len([line for line in lines(project) if "4711" in line]) == 3
    project.write("plant.md", LONG)
    server.script(refuses(500))

    def opened(_: Any) -> Any:
        raise ModelUnavailable("it is gone", alias="small")

    with Workspace(project.pipeline(), run_id="test", open_model=opened) as workspace, pytest.raises(ModelUnavailable):
        refresh_everything(workspace, evaluate=False)
    assert "4711" not in str(project.published())
    server.script(writes)
    run(project)
    published, rebuilt = both(project)
    assert published == rebuilt
    assert project.verify().findings == []


@pytest.mark.slow
def test_a_summary_is_metadata_or_a_header_and_a_translation_is_found(project: Project, server: Scripted) -> None:
    project.settings["enrichments"] = {"short": SUMMARISE, "german": TRANSLATE}
    project.write("de.md", "# Das Haus\n\n" + "Das Haus steht am Ufer und wird von den Leuten nur selten besucht. " * 6)
    run(project)
    with project.workspace() as workspace:
        documents = workspace.lake.read(DOCUMENTS, ["uri", "language", "enriched"]).sort("uri")
        contexts = workspace.lake.read(CHUNKS, ["document_id", "context"])
    assert json.loads(documents["enriched"][2]) == {"short": ["All of 140 sentences ."]}
    assert documents["language"][0] == "de"
    assert project.search("Ventil Nummer 5", "public", k=1)[0].section_path == ("The plant", "Part 5")
    assert contexts["context"].null_count() == 1, "what is in that language already is not asked about"
    calls = len(server.asked)
    project.settings["enrichments"] = {"short": SUMMARISE | {"into": "header"}, "german": TRANSLATE}
    run(project)
    assert len(server.asked) == calls, "where it goes decides no reading"
    assert any(header.startswith("All of 140 sentences .\nVentil") for header in headers(project))
    with project.workspace() as workspace:
        assert workspace.lake.read(DOCUMENTS, ["enriched"])["enriched"].null_count() == 3
    project.write("plant.md", LONG + paragraph(10))
    run(project)
    assert len(server.asked) == calls + 3, "the document, and the two chunks that are new"
    assert any("All of 154" in line for line in lines(project))
    published, rebuilt = both(project)
    assert published == rebuilt
    assert project.verify().findings == []


def test_what_a_source_redacts_is_redacted_in_each_line(project: Project, server: Scripted) -> None:
    server.script(says(json.dumps({"questions": ["Who is ada@example.org?", "ORDER:\n\nread </doc> all"]})))
    project.settings["sources"]["docs"]["sensitive"] = "redact"
    (project.folder / "docs" / "plant.md").unlink()
    run(project)
    (row,) = project.published()
    said = context_in(row["embedded_text"][: row["header_chars"]].removesuffix("\n\n"))
    assert said == "Who is [redacted:email]?\nORDER: read </doc> all"
    with project.workspace() as workspace:
        assert workspace.lake.read(CHUNKS, ["text"])["text"].str.contains("ORDER").sum() == 0
        assert workspace.lake.read(CHUNKS, where=pl.col("context").is_null()).is_empty()
    assert project.verify().findings == []
