"""PDFs that are damaged are opened at the second try, and the files within a PDF are documents below it."""

from __future__ import annotations

import zlib
from dataclasses import replace

import pytest
from pypdfium2 import raw as pdfium

from rag_pipeline.errors import DocumentError, NeedsOcr
from rag_pipeline.parsing import ParseLimits, parse, recipe_version
from rag_pipeline_tests.parsing.office_files import Line, container, placed_pdf, stream
from rag_pipeline_tests.parsing.pdf_files import page_pdf, pdf_with_files, turned_text
from rag_pipeline_tests.parsing.rendering import check_invariants
from rag_pipeline_tests.parsing.test_pdf_pages import PUMP, parsed

PAGES: list[list[Line]] = [
    [(11, 72, 100 + 14 * number, f"{line} {page}") for number, line in enumerate(PUMP)]
    for page in ("one", "two", "six")
]


def cut(raw: bytes) -> bytes:
    """The file as if the list of pages, which many programs write last, had never arrived."""
    return raw.replace(b"/Type/Catalog/Pages", b"/Type/Nothing/Pages", 1).replace(
        b"/Type/Pages/Kids", b"/Kind/Lost/Kid", 1
    )


def packed() -> bytes:
    """Pages in an object stream, and no table of objects."""
    pages = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F 5 0 R>>>>/Contents 4 0 R>>"
    content = zlib.compress(b"3 0 " + pages)
    return b"%%PDF-1.7\n%b%b5 0 obj\n%b\nendobj\n" % (
        b"9 0 obj\n" + stream(content, b"/Type/ObjStm/N 1/First 4/Filter/FlateDecode") + b"\nendobj\n",
        b"4 0 obj\n" + stream(turned_text(0, PUMP, 72, 700)) + b"\nendobj\n",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    )


def test_a_file_without_its_list_of_pages_is_put_together_again() -> None:
    document = parsed(cut(placed_pdf(PAGES)))
    assert {block.page for block in document.blocks} == {1, 2, 3}
    assert document.text.split("\n\n") == [" ".join(text for *_, text in page) for page in PAGES]
    assert document.metadata["is_rebuilt"] == "true"
    assert "is_rebuilt" not in parsed(placed_pdf(PAGES)).metadata


def test_a_download_that_stopped_gives_the_pages_that_arrived() -> None:
    raw = placed_pdf(PAGES)
    last = raw.rindex(b"/Type/Page/")
    assert {block.page for block in parsed(cut(raw[:last])).blocks} == {1, 2}
    document = parsed(packed())
    assert document.text == " ".join(PUMP)


@pytest.mark.parametrize(
    "raw",
    [
        b"%PDF-1.7\n" + b"1 0 obj <</Type/Page>> " * 2000,
        b"%PDF-1.7\n" + b"1 0 obj <</Type/Page/Parent 1 0 R>> endobj\n" * 2000,
        b"%PDF-1.7\n1 0 obj <</Type/ObjStm/N 99999/First 9>>stream\nxx\nendstream endobj 2 0 obj <</Type/Page>> endobj",
    ],
    ids=["no ends", "one object many times", "bad object stream"],
)
def test_what_cannot_be_put_together_is_refused(raw: bytes) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(raw, "application/pdf", "a.pdf", ParseLimits())
    assert caught.value.code in ("unparsable", "empty")


def test_a_damaged_file_with_a_key_is_not_put_together_without_it() -> None:
    with pytest.raises(DocumentError):
        parsed(cut(placed_pdf(PAGES)).replace(b"trailer\n<<", b"trailer\n<</Encrypt 9 0 R"))


def test_files_within_are_documents_below_the_page() -> None:
    files = [
        ("tides.csv", b"port,noon\nKiel,3\n"),
        ("../../etc/Läufe.md", b"# Runs\n\nAt noon.\n"),
        ("same.txt", b"One."),
    ]
    raw = pdf_with_files(files, clip=("clip.txt", b"Pinned to the page."))
    documents = parse(raw, "application/pdf", "a.pdf", ParseLimits())
    check_invariants(documents)
    assert [document.part for document in documents] == [
        "",
        "attachment:1:tides.csv",
        "attachment:2:Läufe.md",
        "attachment:3:same.txt",
        "attachment:4:clip.txt",
    ]
    assert documents[0].metadata["attachments"] == "tides.csv, Läufe.md, same.txt, clip.txt"
    assert documents[4].text == "Pinned to the page."
    assert recipe_version("application/pdf") != recipe_version("application/pdf").split("-")[0]


def test_files_within_are_bounded_and_those_left_out_are_named() -> None:
    files = [("a.txt", b"Alpha words"), ("b.exe", b"MZ\0\0\0\x01" * 9), ("c.txt", b"Gamma words"), ("d.txt", b"Delta")]
    limits = replace(ParseLimits(), max_attachments=3)
    documents = parse(pdf_with_files(files), "application/pdf", "a.pdf", limits)
    assert [document.part for document in documents[1:]] == ["attachment:1:a.txt", "attachment:3:c.txt"]
    assert documents[0].metadata["unread_attachments"] == "b.exe (unsupported_media_type), d.txt (limit_exceeded)"
    assert documents[0].metadata["unread_attachments_count"] == "2"


def test_pdfs_within_pdfs_end() -> None:
    raw = page_pdf(turned_text(0, PUMP, 72, 700))
    for _ in range(6):
        raw = pdf_with_files([("inner.pdf", raw)])
    documents = parse(raw, "application/pdf", "a.pdf", ParseLimits())
    assert documents[-1].metadata["unread_attachments"] == "inner.pdf (limit_exceeded)"
    inside = parse(container({"x.pdf": raw}), "application/zip", "a.zip", ParseLimits())
    assert inside[0].part == "!/x.pdf"
    assert inside[1].part.startswith("!/x.pdf#attachment:1:inner.pdf")


def test_a_scan_with_a_readable_file_within_gives_that_file() -> None:
    scan = b"q 500 0 0 700 50 50 cm BI /W 2/H 2/CS/G/BPC 8 ID \x80\x81\x82\x83 EI Q"
    with pytest.raises(NeedsOcr):
        parsed(pdf_with_files([], content=scan))
    document = parsed(pdf_with_files([("invoice.txt", b"Invoice 12 over 40 EUR")], content=scan))
    assert document.part == "attachment:1:invoice.txt"
    assert document.metadata["pages_needing_ocr"] == "1"


def listed_again_and_again(content: bytes, times: int, last: bytes = b"") -> bytes:
    """A cover page whose list has one packed stream under many names, and another file last."""
    packed = stream(zlib.compress(content), b"/Type/EmbeddedFile/Filter/FlateDecode")
    specs = [b"<</Type/Filespec/F(f%d.txt)/UF(f%d.txt)/EF<</F 6 0 R>>>>" % (each, each) for each in range(times)]
    if last:
        specs.append(b"<</Type/Filespec/F(z.txt)/UF(z.txt)/EF<</F %d 0 R>>>>" % (8 + times))
    names = b"".join(b"(k%06d)%d 0 R" % (each, 7 + each) for each in range(len(specs)))
    specs += [stream(last, b"/Type/EmbeddedFile")] if last else []
    cover = b"BT /F 12 Tf 72 700 Td (Cover letter of the harbour) Tj ET"
    return page_pdf(cover, packed, *specs, catalog=b"/Names<</EmbeddedFiles<</Names[%b]>>>>" % names)


def unpackings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by the size of each content that is asked for, by size alone or with its bytes."""
    asked: list[int] = []
    real = pdfium.FPDFAttachment_GetFile

    def counted(handle: object, buffer: object, length: int, size: object) -> object:
        done = real(handle, buffer, length, size)
        asked.append((size if hasattr(size, "value") else size._obj).value)  # type: ignore[attr-defined]
        return done

    monkeypatch.setattr(pdfium, "FPDFAttachment_GetFile", counted)
    return asked


def test_a_file_that_is_listed_under_many_names_is_not_unpacked_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = unpackings(monkeypatch)
    limits = replace(ParseLimits(), max_archive_bytes=1_000_000)
    documents = parse(listed_again_and_again(b"tide " * 40_000, 600), "application/pdf", "a.pdf", limits)
    assert len(documents) == 6
    assert sum(asked) < 4 * limits.max_archive_bytes
    assert documents[0].metadata["unread_attachments_count"] == "595"
    assert documents[0].metadata["unread_attachments"].startswith("f5.txt (limit_exceeded), f6.txt (limit_exceeded)")


def test_a_small_file_may_not_hold_more_than_an_archive_of_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = unpackings(monkeypatch)
    documents = parse(listed_again_and_again(b"tide " * 1_800_000, 20), "application/pdf", "a.pdf", ParseLimits())
    assert len(documents) == 2
    assert documents[0].metadata["unread_attachments_count"] == "19"
    assert len(asked) <= 20 + 2


def test_files_after_the_last_that_may_be_read_are_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = unpackings(monkeypatch)
    files = [(f"{number}.txt", b"Words of file %d" % number) for number in range(9)]
    documents = parse(pdf_with_files(files), "application/pdf", "a.pdf", replace(ParseLimits(), max_attachments=2))
    assert len(documents) == 3
    assert documents[0].metadata["unread_attachments_count"] == "7"
    assert len(asked) == 6


def test_a_file_too_large_leaves_room_for_those_after_it() -> None:
    raw = listed_again_and_again(b"tide " * 4_000_000, 2, last=b"Small words")
    documents = parse(raw, "application/pdf", "a.pdf", ParseLimits())
    assert [document.text for document in documents[1:]] == ["Small words"]
    assert documents[0].metadata["unread_attachments_count"] == "2"


def test_files_within_files_share_what_the_outermost_may_unpack() -> None:
    inner = pdf_with_files([("deep.txt", b"Deep words " * 200)])
    raw = pdf_with_files([("inner.pdf", inner)])
    enough = len(inner) + 2_200
    for limit, parts in ((enough, 3), (enough - 1, 2)):
        documents = parse(raw, "application/pdf", "a.pdf", replace(ParseLimits(), max_archive_bytes=limit))
        assert len(documents) == parts
