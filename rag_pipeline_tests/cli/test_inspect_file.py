"""`inspect FILE`: what a file becomes, without a lake."""

from __future__ import annotations

import io
import os
from pathlib import Path

import openpyxl
import pytest

from rag_pipeline.contracts.documents import embedded_text
from rag_pipeline.transforms.left_out import added_up, left_out
from rag_pipeline_tests.cli.conftest import ask_in, small_project

NOTE = "# Pumps\n\nStart the pump.\n\n%% nobody sees this %%\n\n## Stopping\n\nPull the lever.\n"


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def sheet() -> bytes:
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    for row in range(4):
        page.append([f"a{row}", f"b{row}"])
    page.row_dimensions[2].hidden = True
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_a_file_is_shown_with_blocks_chunks_and_what_was_left_out(tmp_path: Path) -> None:
    small_project(tmp_path).pipeline()
    file = written(tmp_path, "note.md", NOTE.encode())
    answer = ask_in(tmp_path, "inspect", str(file), "--json")
    assert answer.code == 0
    [found] = answer.records
    assert found["media_type"] == "text/markdown"
    assert found["left_out"] == {"hidden_comment": 1}
    assert [(block["kind"], block["line"], block["text"]) for block in found["blocks"]][:2] == [
        ("heading", 1, "# Pumps"),
        ("paragraph", 3, "Start the pump."),
    ]
    assert [chunk["section_path"] for chunk in found["chunks"]] == [["Pumps"], ["Pumps", "Stopping"]]
    for chunk in found["chunks"]:
        assert chunk["token_count"] >= len(embedded_text(chunk["header"], chunk["text"]).split())
    assert not (tmp_path / "lake").exists()


def test_a_person_sees_the_same(tmp_path: Path) -> None:
    small_project(tmp_path).pipeline()
    answer = ask_in(tmp_path, "inspect", str(written(tmp_path, "dues.xlsx", sheet())))
    assert answer.code == 0
    for word in ("Sheet", "sheet 1, row 1", "Chunks", "Tokens", "Left out", "hidden row"):
        assert word in answer.out
    assert "1 document, 1 chunk" in answer.err


def test_it_works_without_a_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    from click.testing import CliRunner

    from rag_pipeline.cli.app import cli

    variables = {**dict.fromkeys(os.environ), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    file = written(tmp_path, "note.md", NOTE.encode())
    result = CliRunner().invoke(cli, ["inspect", str(file), "--json"], env=variables)
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir()] == ["note.md"]


def test_a_refused_file_says_why_and_ends_with_one(tmp_path: Path) -> None:
    small_project(tmp_path).pipeline()
    answer = ask_in(tmp_path, "inspect", str(written(tmp_path, "empty.md", b"  \n")), "--json")
    assert answer.code == 1
    assert answer.records[0]["refused"]["reason_code"] == "empty"
    assert "empty" in ask_in(tmp_path, "inspect", str(tmp_path / "empty.md")).err


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    small_project(tmp_path).pipeline()
    answer = ask_in(tmp_path, "inspect", str(written(tmp_path, "a.md", b"# A\n\nb\n")), "--source", "nowhere")
    assert answer.code == 2
    assert "docs, people" in answer.err


def test_what_was_left_out_is_counted_by_cause() -> None:
    facts = {
        "pages": "9",
        "pages_needing_ocr": "2,5",
        "hidden_row_count": "3",
        "bad_cue_count": "0",
        "row_count": "7",
        "unread_attachments": "a.zip (unsupported_media_type), b.doc (damaged)",
    }
    assert left_out(facts) == {"hidden_row": 3, "pages_without_text": 2, "unread_attachments": 2}
    assert left_out(facts | {"pages_needing_ocr_count": "80"})["pages_without_text"] == 80
    assert added_up([facts, {"hidden_row_count": "1"}, {}])["hidden_row"] == 4
