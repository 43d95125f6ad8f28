"""PDFs that are damaged are opened at the second try, and the files within a PDF are documents below it."""

from __future__ import annotations

import tracemalloc
import zlib
from dataclasses import replace

import pytest
from pypdfium2 import raw as pdfium

from rag_pipeline.errors import DocumentError, EncryptedDocument, NeedsOcr
from rag_pipeline.parsing import ParseLimits, parse, recipe_version
from rag_pipeline.parsing.pdf import attachments, rebuild
from rag_pipeline.parsing.pdf.dictionary import entries
from rag_pipeline.parsing.pdf.rebuild import rebuilt
from rag_pipeline.transforms.left_out import left_out
from rag_pipeline_tests.parsing.office_files import Line, container, pdf, placed_pdf, stream, text_pdf
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


def pinned(pages: int, on_each: int) -> bytes:
    """Pages with files pinned to them, none of which is in the document's list."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"", b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    objects.append(stream(b"BT /F 12 Tf 72 700 Td (Cover letter of the harbour) Tj ET"))
    kids = []
    for page in range(pages):
        clips = []
        for clip in range(on_each):
            number = len(objects) + 1
            name = b"%d-%d.txt" % (page, clip)
            objects += [
                stream(b"Note %d on page %d" % (clip, page), b"/Type/EmbeddedFile"),
                b"<</Type/Filespec/F(%b)/UF(%b)/EF<</F %d 0 R>>>>" % (name, name, number),
                b"<</Type/Annot/Subtype/FileAttachment/Rect[10 10 20 20]/FS %d 0 R>>" % (number + 1),
            ]
            clips.append(b"%d 0 R" % (number + 2))
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F 3 0 R>>>>"
            b"/Annots[%b]>>" % b" ".join(clips)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<</Type/Pages/Kids[%b]/Count %d>>" % (b" ".join(kids), pages)
    return pdf(objects)


@pytest.mark.parametrize(
    ("bounds", "read", "left_out"),
    [
        ({"MAX_ANNOTATIONS": 3}, 9, 6),
        ({"MAX_PAGES_WITH_CLIPS": 2}, 10, 5),
        ({"MAX_PAGES_WITH_CLIPS": 1, "MAX_ANNOTATIONS": 2}, 2, 13),
        ({"MAX_ANNOTATIONS": 5, "MAX_PAGES_WITH_CLIPS": 3}, 15, 0),
    ],
)
def test_files_beyond_a_bound_are_counted(
    bounds: dict[str, int], read: int, left_out: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, bound in bounds.items():
        monkeypatch.setattr(attachments, name, bound)
    documents = parse(pinned(3, 5), "application/pdf", "a.pdf", ParseLimits())
    assert len(documents) == 1 + read
    assert documents[0].metadata.get("unread_attachments_count", "0") == str(left_out)
    said = f"{left_out} more (limit_exceeded)" if left_out else None
    assert documents[0].metadata.get("unread_attachments") == said


def test_files_beyond_the_end_of_the_list_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MAX_LISTED", 2)
    files = [(f"{number}.txt", b"Words of file %d" % number) for number in range(6)]
    limits = replace(ParseLimits(), max_attachments=1)
    documents = parse(pdf_with_files(files), "application/pdf", "a.pdf", limits)
    assert documents[0].metadata["unread_attachments"] == "1.txt (limit_exceeded), 4 more (limit_exceeded)"
    assert documents[0].metadata["unread_attachments_count"] == "5"


def test_a_file_put_together_again_keeps_the_files_within() -> None:
    raw = pdf_with_files([("tides (noon).csv", b"port,noon\nKiel,3\n"), ("b.txt", b"Beta words")])
    document, *below = parse(
        raw.replace(b"/Catalog/Pages", b"/Catalog/Lost"), "application/pdf", "a.pdf", ParseLimits()
    )
    assert document.metadata["is_rebuilt"] == "true"
    assert [part.part for part in below] == ["attachment:1:tides (noon).csv", "attachment:2:b.txt"]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (
            b"1 0 R <</A 1/B/C/D(>>)/E<</F[<<>>]>>>> junk>>",
            {b"/A": b"1", b"/B": b"/C", b"/D": b"(>>)", b"/E": b"<</F[<<>>]>>"},
        ),
        (b"<</A<feff>>>", {b"/A": b"<feff>"}),
        (b"<</A(a\\)b(c)d)/B%>>\n[/C/D]/E 7 0 R>>", {b"/A": b"(a\\)b(c)d)", b"/B": b"%>>\n[/C/D]", b"/E": b"7 0 R"}),
        (b"<</A 1/B(never closed", {b"/A": b"1"}),
        (b"no dictionary /A 1>>", {}),
    ],
)
def test_entries_are_those_of_the_dictionary_itself(body: bytes, found: dict[bytes, bytes]) -> None:
    assert entries(body) == found


def test_what_a_file_within_and_its_blank_cover_lack_is_counted_together() -> None:
    unreadable = b"\0\1\2\3" * 20
    inner = pdf_with_files([("x.bin", unreadable)])
    files = [("in.pdf", inner), ("a.bin", unreadable), ("b.bin", unreadable * 2)]
    document, *below = parse(pdf_with_files(files, content=b""), "application/pdf", "a.pdf", ParseLimits())
    assert not below
    assert document.part == "attachment:1:in.pdf"
    assert document.metadata["unread_attachments_count"] == "3"
    assert document.metadata["attachments"] == "in.pdf, a.bin, b.bin"
    assert [each.split(" ")[0] for each in document.metadata["unread_attachments"].split(", ")] == [
        *("a.bin", "b.bin", "x.bin"),
    ]


@pytest.mark.parametrize("content", [b"", b"q 500 0 0 700 50 50 cm BI /W 2/H 2/CS/G/BPC 8 ID \x80\x81\x82\x83 EI Q"])
def test_a_cover_without_text_names_the_files_within_that_cannot_be_read(content: bytes) -> None:
    raw = pdf_with_files([("a.bin", b"\0\1\2\3" * 20), ("b.exe", b"MZ\0\0\0\x01" * 9)], content=content)
    with pytest.raises(DocumentError, match=r"a\.bin \(.*b\.exe \(unsupported_media_type\)") as caught:
        parse(raw, "application/pdf", "a.pdf", ParseLimits())
    assert caught.value.code == ("needs_ocr" if content else "empty")


def two_lists(first: bytes, second: bytes) -> bytes:
    """A page under each of two lists of pages that have fonts of the same name, and no list of these lists."""
    content = stream(b"BT /F 12 Tf 72 700 Td (ABBA words of the harbour) Tj ET")
    plain = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
    other = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding<</Type/Encoding/Differences[65/X/Y]>>>>"
    page = (
        b"<</Type/Page/Parent %d 0 R/Annots[<</Type/Annot/Subtype/Square/Rect[1 1 2 2]/Parent 3 0 R>>]/Contents 9 0 R>>"
    )
    return pdf(
        [
            b"<</Type/Catalog/Lost 2 0 R>>",
            b"<</Lost true>>",
            b"<</Type/Pages/Kids[5 0 R]/Count 1/Parent 10 0 R%b>>" % first,
            b"<</Type/Pages/Kids[6 0 R]/Count 1/Parent 10 0 R%b>>" % second,
            page % 3,
            page % 4,
            plain,
            other,
            content,
            b"<</Type/Pages/Kids[3 0 R 4 0 R]/Count 2/Rotate 0/MediaBox[0 0 612 792]/Resources<</Font<</F 8 0 R>>>>>>",
            b"<</Font<</F 7 0 R>>>>",
        ]
    )


def test_each_page_that_is_hung_up_again_keeps_the_fonts_of_its_own_list() -> None:
    plain, other = b"/Resources<</Font<</F 7 0 R>>>>", b"/Resources<</Font<</F 8 0 R>>>>"
    read = {b"": "XYYX", plain: "ABBA", other: "XYYX", b"/Resources 11 0 R": "ABBA"}
    for first, second in [(plain, other), (other, plain), (b"/Resources 11 0 R", other), (b"", plain), (plain, b"")]:
        document = parsed(two_lists(first, second))
        assert document.metadata["is_rebuilt"] == "true"
        assert {block.page: document.text[block.start_char : block.end_char] for block in document.blocks} == {
            1: f"{read[first]} words of the harbour",
            2: f"{read[second]} words of the harbour",
        }


def test_a_file_that_is_put_together_again_wants_no_password_because_the_one_before_it_did() -> None:
    locked = page_pdf(b"").replace(
        b"/Root", b"/Encrypt<</Filter/Standard/V 1/R 2/P 0/O<%b>/U<%b>>>/Root" % ((b"0" * 64,) * 2)
    )
    with pytest.raises(EncryptedDocument):
        parsed(locked)
    assert parsed(two_lists(b"", b"")).text.startswith("XYYX")


def test_lists_of_pages_that_hold_each_other_end() -> None:
    raw = two_lists(b"", b"").replace(b"/Count 2", b"/Count 2/Parent 3 0 R")
    assert parsed(raw).text.startswith("XYYX")


def test_what_many_pages_take_over_is_written_once() -> None:
    fonts = b"<</Font<</F 4 0 R>>/Kept(%b)>>" % (b"x" * 50_000)
    pages = [b"<</Type/Page/Parent 3 0 R/Contents 5 0 R>>"] * 200
    raw = pdf(
        [
            b"<</Type/Catalog/Lost 2 0 R>>",
            b"<</Lost true>>",
            b"<</Type/Pages/Resources%b>>" % fonts,
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
            stream(turned_text(0, PUMP, 72, 700)),
            *pages,
        ]
    )
    again = rebuilt(raw, 1_000)
    assert again is not None
    assert len(again.raw) < 3 * len(raw)


def test_a_stream_that_was_cut_off_is_counted() -> None:
    raw = placed_pdf(PAGES)
    last = raw.rindex(b"stream", 0, raw.rindex(b"endstream")) + 60
    document = parsed(cut(raw[:last]))
    assert document.metadata["lost_stream_count"] == "1"
    assert left_out(document.metadata) == {"lost_stream": 1}
    assert "lost_stream_count" not in parsed(cut(raw)).metadata


@pytest.mark.parametrize("content", [b"3 0 7 0 <<>>", b"3 5 7 0 <<>>", b"no numbers", b"3 0 7 5 8 5 <</A 1>>"])
def test_objects_that_overlap_or_have_no_place_are_lost_and_counted(content: bytes) -> None:
    first = max(4, content.find(b"<"))
    bad = stream(zlib.compress(content), b"/Type/ObjStm/N 3/First %d/Filter/FlateDecode" % first)
    page = b"<</Type/Page/Resources<</Font<</F 5 0 R>>>>/Contents 4 0 R>>"
    raw = b"%PDF-1.7\n" + b"".join(
        b"%d 0 obj\n%b\nendobj\n" % (number, body)
        for number, body in [
            (9, bad),
            (4, stream(turned_text(0, PUMP, 72, 700))),
            (5, b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"),
            (6, page),
        ]
    )
    document = parsed(raw)
    assert document.text == " ".join(PUMP)
    assert document.metadata["lost_stream_count"] == "1"


def test_objects_that_overlap_are_not_written_again_and_again() -> None:
    head = b" ".join(b"%d %d" % (1000 + number, number % 2 * 50_000) for number in range(100)) + b" "
    packs = stream(
        zlib.compress(head + b"<<" + b" " * 50_000), b"/Type/ObjStm/N 100/First %d/Filter/FlateDecode" % len(head)
    )
    again = rebuilt(b"%%PDF-1.5\n7 0 obj\n%b\nendobj\n5 0 obj\n<</Type/Page>>\nendobj\n" % packs, 10)
    assert again is not None
    assert len(again.raw) < 5_000


def test_marks_of_objects_are_not_gathered_beyond_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "MAX_OBJECTS", 10)
    raw = b"%PDF-1.5\n" + b"1 0 obj\n" * 50_000 + b"5 0 obj\n<</Type/Page>>\nendobj\n"
    tracemalloc.start()
    try:
        assert rebuilt(raw, 10) is None
        assert tracemalloc.get_traced_memory()[1] < 2 * len(raw)
    finally:
        tracemalloc.stop()


def test_a_content_that_is_cut_off_before_it_begins_is_counted() -> None:
    raw = text_pdf([[(12, 100, "First page words")], [(12, 100, "Second page words")]])
    cut = raw[: raw.rfind(b"stream", 0, raw.rfind(b"endstream")) + 2]
    [document] = parse(cut, "application/pdf", "a.pdf", ParseLimits())
    assert document.text == "First page words"
    assert document.metadata["lost_stream_count"] == "1"
