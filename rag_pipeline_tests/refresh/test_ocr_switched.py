"""Reading pictures is switched on and off: what that parses again, and that the index is that of a rebuild."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import polars as pl
import pytest

from rag_pipeline.contracts.tables import QUARANTINE
from rag_pipeline.errors import ExtraMissing
from rag_pipeline.parsing.ocr import options
from rag_pipeline.parsing.ocr.options import HAS_PICTURES, LACKS_TEXT
from rag_pipeline.refresh.documents import update_documents
from rag_pipeline.refresh.plan import plan_run
from rag_pipeline_tests.extras import needs
from rag_pipeline_tests.pipeline.project import Project

needs("rapidocr", "the extra `ocr` is not installed")

from rag_pipeline_tests.parsing.office_files import text_pdf  # noqa: E402
from rag_pipeline_tests.parsing.pictured_files import docx_of  # noqa: E402
from rag_pipeline_tests.parsing.scans import drawn, encoded, scanned_pdf  # noqa: E402

SMALL = (600, 120)
TYPED = b"BT /F 20 Tf 60 700 Td (This page was typed and has text of its own to read.) Tj ET"


def refused(project: Project) -> dict[str, str]:
    with project.workspace() as workspace:
        rows = workspace.lake.read(QUARANTINE, ["uri", "reason_code"])
    return {Path(uri).name: code for uri, code in rows.sort("uri").iter_rows()}


def parsed(project: Project) -> tuple[int, int]:
    with project.workspace() as workspace:
        report = update_documents(workspace)
    return report.parsed, report.pages_read


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.create(tmp_path)
    project.write("berth.png", encoded(drawn(["Berth seven is free again."], SMALL)))
    project.write("mixed.pdf", scanned_pdf([TYPED, drawn(["Dues are 48.50 for each boat."], SMALL)]))
    project.write("typed.pdf", text_pdf([[(12, 80, "A page that was typed, about lights and beacons at night.")]]))
    project.write("locked.pdf", b"%PDF-1.7\nno PDF at all")
    project.write("note.md", "# Note\n\nThe harbour office opens at nine.\n")
    return project


@pytest.mark.exhaustive
def test_switching_parses_what_it_concerns_and_back_gives_what_was(project: Project) -> None:
    project.refresh()
    without = project.published()
    assert refused(project) == {"berth.png": "needs_ocr", "locked.pdf": "unparsable"}

    project.settings["ocr"] = "missing"
    assert plan_run(project.pipeline()).pages_read == 2
    assert parsed(project) == (2, 2)
    assert parsed(project) == (0, 0)
    project.refresh()
    assert refused(project) == {"locked.pdf": "unparsable"}
    assert any("Dues are 48.50" in row["embedded_text"] for row in project.published())
    assert project.published() == project.rebuilt()

    embedded = len(project.embedded)
    project.settings["ocr"] = "off"
    project.refresh()
    assert project.published() == without
    assert refused(project) == {"berth.png": "needs_ocr", "locked.pdf": "unparsable"}
    assert len(project.embedded) == embedded
    assert parsed(project) == (0, 0)


@pytest.mark.exhaustive
def test_pictures_beside_text_are_read_where_all_are_and_switching_back_gives_what_was(project: Project) -> None:
    project.write("letter.docx", docx_of([encoded(drawn(["The lock opens at noon."], SMALL))]))
    project.settings["ocr"] = "missing"
    project.refresh()
    without, read_before = project.published(), parsed(project)
    assert read_before == (0, 0)
    assert not any("opens at noon" in row["embedded_text"] for row in without)

    project.settings["ocr"] = "always"
    # The letter, and the PDF with the scanned page, which is a picture, too.
    assert parsed(project) == (2, 2)
    project.refresh()
    assert any("opens at noon" in row["embedded_text"] for row in project.published())
    assert project.published() == project.rebuilt()

    embedded = len(project.embedded)
    project.settings["ocr"] = "missing"
    project.refresh()
    assert project.published() == without
    assert len(project.embedded) == embedded
    assert parsed(project) == (0, 0)


def test_a_source_may_say_otherwise_than_the_pipeline(tmp_path: Path) -> None:
    project = Project.create(tmp_path, ("docs", "plain"), ocr="missing")
    project.settings["sources"]["plain"]["ocr"] = "off"
    with project.workspace() as workspace:
        assert workspace.parse_recipe("docs").ocr is not None
        assert workspace.parse_recipe("plain").ocr is None
        assert workspace.parse_recipe("plain").fingerprint("application/pdf", concern=LACKS_TEXT) == (
            workspace.parse_recipe("docs").fingerprint("application/pdf")
        )


@pytest.mark.parametrize("installed", ["", "3.9.1", "other models"])
def test_without_what_reads_nothing_is_parsed_and_what_is_withdrawn_leaves_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: str
) -> None:
    project = Project.create(tmp_path / "project")
    project.write("note.md", "# Note\n\nThe harbour office opens at nine.\n")
    project.write("gone.md", "# Gone\n\nThe key lies below the mat.\n")
    project.write("narrowed.md", "# Crew\n\nThe crew meets on Monday.\n")
    project.refresh()

    def version(_: str) -> str:
        if not installed:
            raise PackageNotFoundError
        return installed

    if installed == "other models":
        monkeypatch.setattr(options, "models_folder", lambda: tmp_path)
    else:
        monkeypatch.setattr(options, "version", version)
    project.settings["ocr"] = "missing"
    (project.folder / "docs" / "gone.md").unlink()
    project.write("narrowed.md", "---\nallowed_principals: [crew]\n---\n# Crew\n\nThe crew meets on Monday.\n")
    project.write("note.md", "# Note\n\nThe harbour office opens at ten.\n")
    with pytest.raises(ExtraMissing, match="pip install"):
        project.refresh()
    shown = " ".join(row["embedded_text"] for row in project.published() if "public" in row["allowed_principals"])
    assert "opens at nine" in shown
    assert "below the mat" not in shown
    assert "meets on Monday" not in shown
    project.settings["ocr"] = "off"
    project.refresh()
    assert project.published() == project.rebuilt()


@pytest.mark.exhaustive
def test_rows_of_one_object_decide_together(tmp_path: Path) -> None:
    from rag_pipeline.transforms.documents import _one_of_each

    project = Project.create(tmp_path, ocr="missing")
    rows = pl.DataFrame(
        {
            "origin_id": ["a", "a", "b", "c"],
            "metadata": ["{}", '{"unread_members": "x.png (needs_ocr)"}', "{}", '{"pictures_count": "1"}'],
        }
    )
    with project.workspace() as workspace:
        found = _one_of_each(rows, workspace.parse_recipes)
    assert dict(found.select("origin_id", "concern").iter_rows()) == {"a": LACKS_TEXT, "b": 0, "c": HAS_PICTURES}
