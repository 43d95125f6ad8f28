"""Files of every format that holds pictures: a line of text, a picture, another line of text."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Callable, Sequence
from random import Random

from rag_pipeline_tests.parsing.office_files import WORD, container, pdf, relations, stream

BEFORE, AFTER, SAID = "The quay has nine berths.", "Dues are paid at the office.", "Plan of the quay"
DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
SLIDES = "http://schemas.openxmlformats.org/presentationml/2006/main"
RELATED = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
ODF = "urn:oasis:names:tc:opendocument:xmlns"


def png(width: int = 200, height: int = 80, seed: int = 1) -> bytes:
    """A picture of nothing, no two seeds alike."""

    def part(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    noise = Random(seed)
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + noise.randbytes(width) for _ in range(height))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


def _blip(number: int) -> str:
    return (
        f'<w:p><w:r><w:drawing><wp:inline><wp:docPr id="1" descr="{SAID}"/><a:graphic><a:graphicData><pic:pic>'
        f'<pic:blipFill><a:blip r:embed="p{number}"/></pic:blipFill></pic:pic></a:graphicData></a:graphic></wp:inline>'
        "</w:drawing></w:r></w:p>"
    )


def docx_of(pictures: Sequence[bytes], body: str | None = None) -> bytes:
    """A Word file; `body` may name the pictures itself, as relations `p0` and on."""

    def line(text: str) -> str:
        return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"

    if body is None:
        body = line(BEFORE) + "".join(map(_blip, range(len(pictures)))) + line(AFTER)
    names = f'xmlns:w="{WORD}" xmlns:a="{DRAWING}" xmlns:r="{RELATED}" xmlns:wp="wp" xmlns:pic="pic" xmlns:v="v"'
    members: dict[str, str | bytes] = {
        "_rels/.rels": relations(("r1", "officeDocument", "word/document.xml")),
        "word/_rels/document.xml.rels": relations(
            *((f"p{index}", "image", f"media/image{index}.png") for index in range(len(pictures)))
        ),
        "word/document.xml": f"<w:document {names}><w:body>{body}</w:body></w:document>",
    }
    members |= {f"word/media/image{index}.png": content for index, content in enumerate(pictures)}
    return container(members)


def pptx_of(pictures: Sequence[bytes]) -> bytes:
    def shape(text: str) -> str:
        return f"<p:sp><p:nvSpPr/><p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"

    shown = "".join(
        f'<p:pic><p:nvPicPr><p:cNvPr id="1" name="x" descr="{SAID}"/></p:nvPicPr>'
        f'<p:blipFill><a:blip r:embed="p{index}"/></p:blipFill></p:pic>'
        for index in range(len(pictures))
    )
    names = f'xmlns:p="{SLIDES}" xmlns:a="{DRAWING}" xmlns:r="{RELATED}"'
    slide = f"<p:sld {names}><p:cSld><p:spTree>{shape(BEFORE)}{shown}{shape(AFTER)}</p:spTree></p:cSld></p:sld>"
    members: dict[str, str | bytes] = {
        "_rels/.rels": relations(("r1", "officeDocument", "ppt/presentation.xml")),
        "ppt/_rels/presentation.xml.rels": relations(("s1", "slide", "slides/slide1.xml")),
        "ppt/presentation.xml": f'<p:presentation {names}><p:sldIdLst><p:sldId id="1" r:id="s1"/></p:sldIdLst>'
        "</p:presentation>",
        "ppt/slides/slide1.xml": slide,
        "ppt/slides/_rels/slide1.xml.rels": relations(
            *((f"p{index}", "image", f"../media/image{index}.png") for index in range(len(pictures)))
        ),
    }
    members |= {f"ppt/media/image{index}.png": content for index, content in enumerate(pictures)}
    return container(members)


def _odf_names() -> str:
    parts = ("office", "text", "drawing", "presentation")
    names = " ".join(f'xmlns:{"draw" if part == "drawing" else part}="{ODF}:{part}:1.0"' for part in parts)
    return f'{names} xmlns:svg="{ODF}:svg-compatible:1.0" xmlns:xlink="http://www.w3.org/1999/xlink"'


def odt_of(pictures: Sequence[bytes]) -> bytes:
    frames = "".join(
        f'<text:p><draw:frame><draw:image xlink:href="Pictures/{index}.png"/><svg:desc>{SAID}</svg:desc></draw:frame>'
        "</text:p>"
        for index in range(len(pictures))
    )
    body = f"<office:text><text:p>{BEFORE}</text:p>{frames}<text:p>{AFTER}</text:p></office:text>"
    return _odf("application/vnd.oasis.opendocument.text", body, pictures)


def odp_of(pictures: Sequence[bytes]) -> bytes:
    frames = "".join(
        f'<draw:frame><draw:image xlink:href="Pictures/{index}.png"/><svg:desc>{SAID}</svg:desc></draw:frame>'
        for index in range(len(pictures))
    )

    def box(text: str) -> str:
        return f"<draw:frame><draw:text-box><text:p>{text}</text:p></draw:text-box></draw:frame>"

    page = f"<draw:page>{box(BEFORE)}{frames}{box(AFTER)}</draw:page>"
    body = f"<office:presentation>{page}</office:presentation>"
    return _odf("application/vnd.oasis.opendocument.presentation", body, pictures)


def _odf(media_type: str, body: str, pictures: Sequence[bytes]) -> bytes:
    members: dict[str, str | bytes] = {
        "mimetype": media_type,
        "content.xml": f"<office:document-content {_odf_names()}><office:body>{body}</office:body>"
        "</office:document-content>",
    }
    members |= {f"Pictures/{index}.png": content for index, content in enumerate(pictures)}
    return container(members, stored_first=True)


def epub_of(pictures: Sequence[bytes]) -> bytes:
    images = "".join(f'<p><img src="../img/{index}.png" alt="{SAID}"/></p>' for index in range(len(pictures)))
    items = "".join(
        f'<item id="i{index}" href="img/{index}.png" media-type="image/png"/>' for index in range(len(pictures))
    )
    members: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="book.opf"/></rootfiles></container>',
        "book.opf": '<package><manifest><item id="c" href="text/c.xhtml" media-type="application/xhtml+xml"/>'
        f'{items}</manifest><spine><itemref idref="c"/></spine></package>',
        "text/c.xhtml": f"<html><body><p>{BEFORE}</p>{images}<p>{AFTER}</p></body></html>",
    }
    members |= {f"img/{index}.png": content for index, content in enumerate(pictures)}
    return container(members, stored_first=True)


def html_of(pictures: Sequence[bytes]) -> bytes:
    images = "".join(
        f'<p><img src="data:image/png;base64,{b64encode(each).decode()}" alt="{SAID}"></p>' for each in pictures
    )
    return f"<html><body><main><p>{BEFORE}</p>{images}<p>{AFTER}</p></main></body></html>".encode()


def pdf_of(pictures: Sequence[bytes]) -> bytes:
    """A page of typed lines with the pictures between them; they are greys of one byte a pixel, packed."""
    names = b"".join(b"/P%d %d 0 R" % (index, 6 + index) for index in range(len(pictures)))
    drawn = b"".join(b"q 200 0 0 80 60 %d cm /P%d Do Q " % (500 - 100 * index, index) for index in range(len(pictures)))
    typed = b"BT /F 12 Tf 60 700 Td (%b) Tj ET %b BT /F 12 Tf 60 60 Td (%b) Tj ET"
    content = typed % (BEFORE.encode(), drawn, AFTER.encode())
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[4 0 R]/Count 1>>",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F 3 0 R>>/XObject<<%b>>>>/Contents 5 0 R>>"
        % names,
        stream(content),
    ]
    for each in pictures:
        width, height = struct.unpack_from(">II", each, 16)
        start = each.index(b"IDAT") + 4
        rows = zlib.decompress(each[start : each.index(b"IEND") - 8])
        pixels = b"".join(rows[1 + row * (width + 1) :][:width] for row in range(height))
        facts = b"/Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 8" % (
            width,
            height,
        )
        objects.append(stream(zlib.compress(pixels), b"/Filter/FlateDecode" + facts))
    return pdf(objects)


FORMATS: dict[str, Callable[[Sequence[bytes]], bytes]] = {
    "docx": docx_of,
    "pptx": pptx_of,
    "odt": odt_of,
    "odp": odp_of,
    "epub": epub_of,
    "html": html_of,
    "pdf": pdf_of,
}
