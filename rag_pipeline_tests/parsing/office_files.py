"""Small binary documents made in code: PDF, ZIP containers and OLE is left to real files."""

from __future__ import annotations

import io
import zipfile
import zlib

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def container(members: dict[str, str | bytes], stored_first: bool = False) -> bytes:
    """A ZIP container; the first member uncompressed if wanted, as e-books ask for."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for position, (name, content) in enumerate(members.items()):
            method = zipfile.ZIP_STORED if stored_first and position == 0 else zipfile.ZIP_DEFLATED
            file.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return buffer.getvalue()


def relations(*items: tuple[str, str, str]) -> str:
    """An Office relations part of (id, kind, target)."""
    rows = "".join(
        f'<Relationship Id="{name}" Type="{OFFICE}/{kind}" Target="{target}"/>' for name, kind, target in items
    )
    return f'<Relationships xmlns="{PACKAGE}">{rows}</Relationships>'


def docx(body: str, styles: str = "", numbering: str = "", footnotes: str = "", core: str = "") -> bytes:
    """A Word document of raw WordprocessingML."""

    def part(root: str, inner: str) -> str:
        return f'<w:{root} xmlns:w="{WORD}">{inner}</w:{root}>'

    return container(
        {
            "_rels/.rels": relations(("r1", "officeDocument", "word/document.xml")),
            "word/_rels/document.xml.rels": relations(
                ("s", "styles", "styles.xml"), ("n", "numbering", "numbering.xml"), ("f", "footnotes", "footnotes.xml")
            ),
            "word/document.xml": part("document", f"<w:body>{body}</w:body>"),
            "word/styles.xml": part("styles", styles),
            "word/numbering.xml": part("numbering", numbering),
            "word/footnotes.xml": part("footnotes", footnotes),
            "docProps/core.xml": f'<c:p xmlns:c="urn:c" xmlns:dc="urn:dc">{core}</c:p>',
        }
    )


def paragraph(text: str, properties: str = "") -> str:
    """One Word paragraph."""
    inner = f"<w:pPr>{properties}</w:pPr>" if properties else ""
    return f"<w:p>{inner}<w:r><w:t>{text}</w:t></w:r></w:p>"


def pdf(objects: list[bytes], trailer: bytes = b"") -> bytes:
    """A PDF of numbered objects, the first being the catalog."""
    out = bytearray(b"%PDF-1.7\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<</Size %d/Root 1 0 R%b>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
    return bytes(out)


def stream(content: bytes, filters: bytes = b"") -> bytes:
    """A stream object."""
    return b"<</Length %d%b>>\nstream\n%b\nendstream" % (len(content), filters, content)


def text_pdf(
    pages: list[list[tuple[int, int, str]]], bookmarks: list[tuple[str, int]] | None = None, title: str = ""
) -> bytes:
    """Pages of (font size, distance from the top, line); bookmarks as (title, page from 1)."""
    count = len(pages)
    first_page = 4
    kids = b" ".join(b"%d 0 R" % (first_page + 2 * index) for index in range(count))
    outline = first_page + 2 * count
    marks = bookmarks or []
    root = b"/Outlines %d 0 R" % outline if marks else b""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R%b>>" % root,
        b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, count),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    for index, lines in enumerate(pages):
        content = b"".join(
            b"BT /F1 %d Tf 72 %d Td (%b) Tj ET\n" % (size, 792 - top, text.encode("cp1252"))
            for size, top, text in lines
        )
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R>>>>/Contents %d 0 R>>"
            % (first_page + 2 * index + 1)
        )
        objects.append(stream(zlib.compress(content), b"/Filter/FlateDecode"))
    if marks:
        first = outline + 1
        objects.append(
            b"<</Type/Outlines/First %d 0 R/Last %d 0 R/Count %d>>" % (first, outline + len(marks), len(marks))
        )
        for index, (name, page) in enumerate(marks):
            links = b"/Prev %d 0 R" % (first + index - 1) if index else b""
            links += b"/Next %d 0 R" % (first + index + 1) if index + 1 < len(marks) else b""
            target = first_page + 2 * (page - 1)
            objects.append(
                b"<</Title(%b)/Parent %d 0 R%b/Dest[%d 0 R/Fit]>>" % (name.encode("cp1252"), outline, links, target)
            )
    info = b""
    if title:
        objects.append(b"<</Title(%b)>>" % title.encode("cp1252"))
        info = b"/Info %d 0 R" % len(objects)
    return pdf(objects, info)


Line = tuple[int, int, int, str]


def placed_pdf(pages: list[list[Line]], size: tuple[int, int] = (612, 792), page_facts: bytes = b"") -> bytes:
    """Pages of (font size, distance from the left, distance from the top, text)."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * index) for index in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, len(pages)),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    for index, lines in enumerate(pages):
        content = b"".join(
            b"BT /F1 %d Tf %d %d Td (%b) Tj ET\n" % (points, left, size[1] - top, text.encode("cp1252"))
            for points, left, top, text in lines
        )
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 %d %d]/Resources<</Font<</F1 3 0 R>>>>/Contents %d 0 R%b>>"
            % (*size, 5 + 2 * index, page_facts)
        )
        objects.append(stream(zlib.compress(content), b"/Filter/FlateDecode"))
    return pdf(objects)
