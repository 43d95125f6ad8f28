"""One cause has one reason code under every name and in every container, and hidden parts count alike everywhere."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from email.message import EmailMessage

import openpyxl
import pytest

from rag_pipeline.errors import DocumentError
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline_tests.parsing.compound_files import compound
from rag_pipeline_tests.parsing.office_files import WORD, container, docx, paragraph, pdf, relations, stream
from rag_pipeline_tests.parsing.pdf_files import CATALOG, PAGES, pdf_with_files
from rag_pipeline_tests.parsing.test_seen_alike import open_text, shape, slide_show

LOCKED_PDF = pdf(
    [
        CATALOG % b"",
        PAGES,
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R>>",
        stream(b""),
        b"<</Filter/Standard/V 1/R 2/P -4/O<" + b"41" * 32 + b">/U<" + b"42" * 32 + b">>>",
    ],
    b"/Encrypt 5 0 R/ID[<00><00>]",
)
LOCKED_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le")
CAUSES = {
    "locked.pdf": (LOCKED_PDF, "encrypted"),
    "locked.docx": (LOCKED_OFFICE, "encrypted"),
    "locked.xlsx": (LOCKED_OFFICE, "encrypted"),
    "note.txt": (b"-----BEGIN PGP MESSAGE-----\n\nhQEMA\n-----END PGP MESSAGE-----\n", "encrypted"),
    "note.md.gpg": (b"\x85\x01\x0c\x03abc" * 20, "encrypted"),
    "smime.p7m": (b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03" * 9, "encrypted"),
    "vault.yml": (b"$ANSIBLE_VAULT;1.1;AES256\n6161\n", "encrypted"),
    "words.txt.Z": (b"\x1f\x9d\x90abc", "unsupported_media_type"),
    "program.exe": (b"MZ\0\0\0\x01" * 50, "unsupported_media_type"),
    "nul.txt": (b"words" + bytes(5_000), "unsupported_media_type"),
    "late.txt": (b"Words and more words.\n" * 400 + b"a\0b\n", "unsupported_media_type"),
    "wide.txt": (b"MZ\x90\0" + "This program".encode("utf-16-le") * 40, "unsupported_media_type"),
    "blank.md": (b" \n\t\n", "empty"),
    "broken.json": (b'[{"a": 1}, {"a"', "unparsable"),
    "bomb.docx": (
        container({"word/document.xml": f'<w:document xmlns:w="{WORD}">' + "a" * 60_000_000}),
        "limit_exceeded",
    ),
    "scan.png": (b"\x89PNG\r\n\x1a\n123", "needs_ocr"),
    "torn.docx": (docx("")[:200], "unparsable"),
    "torn.pdf": (b"%PDF-1.7\n" + b"junk " * 100, "unparsable"),
}
CONTAINERS = (
    "plain",
    "zip",
    "zip in zip",
    "tar",
    "tar.gz",
    "mail",
    "pdf",
    "docx",
    "pptx",
    "xlsx",
    "ole object",
    "epub",
    "odt",
    "odt ole",
)


def in_tar(name: str, data: bytes, mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def wrapped(kind: str, name: str, data: bytes) -> tuple[str, bytes]:
    """Name and content of a file of `kind` that holds the other one."""
    if kind == "plain":
        return name, data
    if kind == "zip":
        return "a.zip", container({name: data})
    if kind == "zip in zip":
        return "a.zip", container({"b.zip": container({name: data}), "seen.txt": "Words"})
    if kind in ("docx", "pptx", "xlsx", "ole object"):
        return embedding(kind, name, data)
    if kind == "epub":
        return "a.epub", book(
            f'<item id="f" href="{name}" media-type="application/octet-stream"/>', {name: data}, "<p>Words</p>"
        )
    if kind.startswith("odt"):
        # A file as it is, by its name, or as an object by number.
        held = data if kind == "odt" else native(name, data)
        inner = name if kind == "odt" else "Object 1"
        return "a.odt", open_text(
            f'<text:p>Words</text:p><draw:frame><draw:object-ole x:href="./{inner}" xmlns:x="urn:x"/></draw:frame>',
            more={inner: held},
        )
    if kind == "mail":
        message = EmailMessage()
        message["From"], message["Subject"] = "ada@harbour.example", "Papers"
        message.set_content("Here they are.")
        message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
        return "a.eml", message.as_bytes()
    if kind == "pdf":
        return "a.pdf", pdf_with_files([(name, data)])
    return f"a.{kind}", in_tar(name, data, "w:gz" if kind == "tar.gz" else "w:")


def native(name: str, data: bytes) -> bytes:
    """An OLE object of a file, as Windows packs it."""
    label, path = name.encode() + b"\0", b"C:\\" + name.encode() + b"\0"
    body = b"\2\0" + label + path + b"\0\0\3\0" + struct.pack("<I", len(path)) + path + struct.pack("<I", len(data))
    return compound({"\x01Ole10Native": struct.pack("<I", len(body) + len(data)) + body + data})


def embedding(kind: str, name: str, data: bytes) -> tuple[str, bytes]:
    """An office file that embeds another."""
    relation, inner = ("package", name) if kind != "ole object" else ("oleObject", "o.bin")
    held = data if kind != "ole object" else native(name, data)
    if kind in ("docx", "ole object"):
        members: dict[str, str | bytes] = {
            "_rels/.rels": relations(("r1", "officeDocument", "word/document.xml")),
            "word/document.xml": f'<w:document xmlns:w="{WORD}"><w:body>{paragraph("Words")}</w:body></w:document>',
            "word/_rels/document.xml.rels": relations(("e", relation, f"embeddings/{inner}")),
            f"word/embeddings/{inner}": held,
        }
        return "a.docx", container(members)
    if kind == "pptx":
        text = slide_show(shape(("Words", "")))
        place, rels = "ppt/", "ppt/_rels/s.xml.rels"
    else:
        book = openpyxl.Workbook()
        book.active.append(["Words", 1])
        buffer = io.BytesIO()
        book.save(buffer)
        text, place, rels = buffer.getvalue(), "xl/worksheets/", "xl/worksheets/_rels/sheet1.xml.rels"
    with zipfile.ZipFile(io.BytesIO(text)) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    return f"a.{kind}", container(
        members | {rels: relations(("e", relation, f"embeddings/{inner}")), f"{place}embeddings/{inner}": held}
    )


def reason(name: str, raw: bytes) -> str:
    """The code that says why the file, or the one it holds, is not read."""
    try:
        documents = parse(raw, media_type_of(name, raw), name, ParseLimits())
    except DocumentError as error:
        return error.code
    said = documents[0].metadata
    return (said.get("unread_attachments") or said.get("unread_members") or "").rpartition("(")[2].rstrip(")")


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("name", CAUSES)
def test_a_cause_has_one_code_in_every_container(name: str, kind: str) -> None:
    data, code = CAUSES[name]
    assert reason(*wrapped(kind, name, data)) == code


@pytest.mark.parametrize("kind", CONTAINERS[1:])
def test_what_a_container_holds_is_a_document_below_it(kind: str) -> None:
    name, raw = wrapped(kind, "inner.md", b"# Inner\n\nWords of the inner file.")
    documents = parse(raw, media_type_of(name, raw), name, ParseLimits())
    (inner,) = [document for document in documents if "inner.md" in document.part]
    assert "Words of the inner file." in inner.text
    assert inner.title == "Inner"


def test_a_container_that_holds_office_files_as_they_are_is_not_taken_for_one() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("plan.docx", docx(paragraph("Plan words")))
        archive.writestr("note.txt", "Note words")
    documents = parse(buffer.getvalue(), media_type_of("a.zip", buffer.getvalue()), "a.zip", ParseLimits())
    assert [document.text for document in documents] == ["Plan words", "Note words"]


def test_no_more_files_are_read_out_of_an_office_file_than_allowed() -> None:
    name, raw = wrapped("docx", "inner.md", b"# Inner")
    (document,) = parse(raw, media_type_of(name, raw), name, ParseLimits(max_attachments=0))
    assert document.metadata["unread_attachments"] == "inner.md (limit_exceeded)"


@pytest.mark.parametrize("name", ["locked.pdf", "locked.docx", "program.exe", "scan.png"])
def test_a_cause_has_one_code_under_every_name(name: str) -> None:
    data, code = CAUSES[name]
    for other in ("a.bin", "noending", "a.dat"):
        assert reason(other, data) == code


PROGRAM = b"MZ\x90\0\3\0\0\0" + "This program cannot be run".encode("utf-16-le") * 9
LATE = b"Plain words and more of them.\n" * 300 + b"x\0y\n"


@pytest.mark.parametrize("raw", [PROGRAM, LATE, b"Words\0and zeros\n" * 9], ids=["program", "late zero", "zeros"])
@pytest.mark.parametrize(
    "name",
    ["a", "a.txt", "a.md", "a.html", "a.csv", "a.json", "a.yaml", "a.xml", "a.vtt", "a.srt", "a.py", "a.eml", "a.tex"],
)
def test_programs_and_texts_with_zeros_have_one_code_under_every_name(name: str, raw: bytes) -> None:
    assert reason(name, raw) == "unsupported_media_type"


@pytest.mark.parametrize("name", ["a.gz", "a.bz2", "a.xz", "a.7z", "a.p7m"])
def test_programs_under_the_name_of_what_has_a_signature_have_that_code_and_texts_are_damaged(name: str) -> None:
    assert reason(name, PROGRAM) == "unsupported_media_type"
    if name != "a.p7m":
        assert reason(name, b"Plain words.\n" * 9) == "unparsable"


@pytest.mark.parametrize("raw", [PROGRAM, LATE], ids=["program", "late zero"])
def test_the_body_of_a_mail_that_is_no_text_is_named(raw: bytes) -> None:
    head = b"From: a@example.com\nSubject: Crane\nMIME-Version: 1.0\nContent-Type: text/plain\n\n"
    assert reason("a.eml", head + raw) == "unsupported_media_type"


STYLE = "<style>.pre{display:none} #far{position:absolute;left:-9999px} .menu{display:none} .menu.open{display:block}"
BODY = (
    '<p class="pre">Preheader words</p><p id="far">Far away words</p><p class="menu">Menu words</p>'
    '<p style="font-size:0">Tiny words</p><p>The harbour opens at six and closes at ten in the evening.</p>'
)
PRINT = "@media print {.menu{display:none}}</style>"
PAGE = f"<html><head><title>T</title>{STYLE} {PRINT}</head><body>{BODY}</body></html>"


def book(listed: str = "", more: dict[str, bytes] | None = None, page: str = PAGE) -> bytes:
    package = (
        f'<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="c" href="c.xhtml" '
        f'media-type="application/xhtml+xml"/>{listed}</manifest><spine><itemref idref="c"/></spine></package>'
    )
    members: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="p.opf"/></rootfiles></container>',
        "p.opf": package,
        "c.xhtml": page,
        **(more or {}),
    }
    return container(members, stored_first=True)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a.html", PAGE.encode()),
        ("a.eml", b"From: a@b.c\nSubject: s\nMIME-Version: 1.0\nContent-Type: text/html\n\n" + PAGE.encode()),
        ("a.epub", book()),
    ],
)
def test_what_a_style_sheet_hides_is_left_out_and_counted_in_every_container(name: str, raw: bytes) -> None:
    document = parse(raw, media_type_of(name, raw), name, ParseLimits())[0]
    assert "closes at ten" in document.text
    assert "Menu words" in document.text
    for words in ("Preheader", "Far away", "Tiny"):
        assert words not in document.text
    assert document.metadata["hidden_style_count"] == "3"


@pytest.mark.parametrize("folder", ["word", "xl", "ppt"])
def test_a_folder_with_the_name_of_an_office_part_makes_no_office_file(folder: str) -> None:
    raw = container({f"{folder}/notes.md": "# Notes\n\nAt noon.", f"{folder}/b.txt": "Second"})
    documents = parse(raw, media_type_of("a.zip", raw), "a.zip", ParseLimits())
    assert [document.part for document in documents] == [f"!/{folder}/notes.md", f"!/{folder}/b.txt"]
    assert media_type_of("a.zip", docx("")).endswith("wordprocessingml.document")


def test_dates_of_the_storage_format_are_words() -> None:
    link = '<ac:link><ri:page ri:content-title="Quay"/></ac:link>'
    page = f'<h1>Plan</h1><p>Due <time datetime="2026-05-01"/> at {link}.</p>'
    assert "Due 2026-05-01 at Quay" in parse(page.encode(), "text/html", "a.html", ParseLimits())[0].text
