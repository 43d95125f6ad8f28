"""Pictures of documents for a caller: who may see them, out of which revision, and that an erased one is nowhere."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from rag_pipeline.errors import BadQuery, NotThere
from rag_pipeline.parsing.picture_heads import head_of
from rag_pipeline.refresh import erase as erasing
from rag_pipeline.refresh.erase import begin_erasure, finish_erasure
from rag_pipeline.refresh.erase_plan import Wanted
from rag_pipeline.retrieval.pictures import Pictures
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.extras import needs
from rag_pipeline_tests.parsing.office_files import container, paragraph
from rag_pipeline_tests.parsing.pictured_files import SAID, docx_of, pdf_of, png
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.pipeline.test_erasure import holding

PLAN, OTHER = png(seed=2), png(seed=3)
LETTER = "docs/letter.docx!/pictures/1"


def put(project: Project, name: str, raw: bytes, readers: str = "public") -> None:
    path = project.folder / "docs" / name
    path.write_bytes(raw)
    path.with_name(f"{name}.meta.yaml").write_text(f"allowed_principals: [{readers}]\n")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("pictured"), deduplication={"near": False})
    put(project, "letter.docx", docx_of([PLAN]))
    put(project, "sheet.pdf", pdf_of([PLAN]), "staff")
    drawing = '<w:p><w:r><w:drawing><a:blip r:embed="p0"/></w:drawing></w:r></w:p>'
    put(project, "both.zip", container({"inner/letter.docx": docx_of([OTHER], paragraph("Two cranes.") + drawing)}))
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path, polled=True)


def content(project: Project, address: str, *principals: str) -> bytes:
    with Pictures(project.pipeline()) as pictures:
        return pictures.content(address, principals=principals or ["public"])[1]


def test_a_picture_is_described_and_given_to_who_may_read_its_document(built: Project) -> None:
    with Pictures(built.pipeline()) as pictures:
        [found] = pictures.of("docs/letter.docx", principals=["public"])
        assert (found.address, found.number, found.caption, found.page) == (LETTER, 1, SAID, None)
        assert (found.width, found.size_bytes, found.media_type) == (200, len(PLAN), "image/png")
        assert found.content_hash == hashlib.sha256(PLAN).hexdigest()
        assert pictures.content(LETTER, principals=["public"]) == (found, PLAN)
        assert pictures.of(found.document_id, principals=["public"]) == [found]
        [of_a_member] = pictures.of("docs/both.zip!/inner/letter.docx", principals=["public"])
        assert pictures.content(of_a_member.address, principals=["public"])[1] == OTHER
        [on_a_page] = pictures.of("docs/sheet.pdf", principals=["staff"])
        assert on_a_page.page == 1
        drawn = pictures.content(on_a_page.address, principals=["staff"])[1]
        assert head_of(drawn) == ("image/png", 200, 80)
        absent, closed = "docs/none.pdf!/pictures/1", on_a_page.address
        messages = set()
        for address in (absent, closed):
            with pytest.raises(NotThere) as told:
                pictures.content(address, principals=["public"])
            messages.add(told.value.message)
        assert len(messages) == 1
        with pytest.raises(NotThere):
            pictures.content(LETTER.replace("/1", "/2"), principals=["public"])
        for wrong in ("docs/letter.docx", "docs/letter.docx!/pictures/0", 7):
            with pytest.raises(BadQuery):
                pictures.content(wrong, principals=["public"])  # type: ignore[arg-type]
        with pytest.raises(BadQuery):
            pictures.of(" ", principals=["public"])
        with pytest.raises(BadQuery):
            pictures.of("docs/letter.docx", principals=[])


def test_a_withdrawal_counts_before_it_has_reached_the_index(project: Project) -> None:
    assert content(project, LETTER) == PLAN
    put(project, "letter.docx", docx_of([PLAN]), "staff")
    with project.workspace() as workspace:
        from rag_pipeline.refresh.bronze import update_source

        update_source(workspace, "docs")
    with pytest.raises(NotThere):
        content(project, LETTER)


def test_a_picture_of_a_revision_that_is_not_parsed_yet_is_not_given(project: Project) -> None:
    put(project, "letter.docx", docx_of([OTHER]))
    with project.workspace() as workspace:
        from rag_pipeline.refresh.bronze import update_source

        update_source(workspace, "docs")
    with pytest.raises(NotThere):
        content(project, LETTER)
    project.refresh()
    assert content(project, LETTER) == OTHER


@pytest.mark.parametrize("sensitive", ["redact", "quarantine"])
def test_a_source_that_hides_what_is_sensitive_gives_no_pictures(project: Project, sensitive: str) -> None:
    project.settings["sources"]["docs"]["sensitive"] = sensitive
    with pytest.raises(NotThere):
        content(project, LETTER)


def test_a_picture_of_an_erased_document_is_nowhere(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "POINTER_SECONDS", -erasing.MARGIN_SECONDS)
    digest = hashlib.sha256(PLAN).hexdigest()
    (project.folder / "docs" / "sheet.pdf").unlink()
    assert holding(project.folder / "lake", digest)
    with project.workspace() as workspace:
        begin_erasure(workspace, Wanted(place=("docs", "letter.docx")), reason="asked", erased_by="dpo")
        finish_erasure(workspace)
    with pytest.raises(NotThere):
        content(project, LETTER)
    assert holding(project.folder / "lake", digest) == set()


def test_the_command_lists_and_writes(built: Project, tmp_path: Path) -> None:
    listed = ask_in(built.folder, "pictures", "docs/letter.docx", "--as", "public")
    assert listed.code == 0, listed.err
    assert LETTER in listed.out.replace("\n", "")
    out = tmp_path / "plan.png"
    written = ask_in(built.folder, "pictures", LETTER, "--as", "public", "--out", str(out), "--json")
    assert written.code == 0, written.err
    assert out.read_bytes() == PLAN
    assert hashlib.sha256(PLAN).hexdigest() in written.out
    assert ask_in(built.folder, "pictures", "docs/letter.docx", "--as", "public", "--out", str(out)).code == 2
    assert ask_in(built.folder, "pictures", "docs/sheet.pdf", "--as", "public").code == 1


@pytest.mark.exhaustive
def test_a_file_that_is_a_picture_is_its_own_first_one(tmp_path: Path) -> None:
    needs("rapidocr", "the extra `ocr` is not installed")
    from rag_pipeline_tests.parsing.scans import drawn, encoded

    raw = encoded(drawn(["Berth seven is free again."], (600, 120)))
    project = Project.create(tmp_path, ocr="missing")
    put(project, "berth.png", raw)
    project.refresh()
    with Pictures(project.pipeline()) as pictures:
        [found] = pictures.of("docs/berth.png", principals=["public"])
        assert (found.read_text, found.page, found.width) == ("Berth seven is free again.", 1, 600)
        assert pictures.content(found.address, principals=["public"]) == (found, raw)
