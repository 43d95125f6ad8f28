"""Pictures on the pages of a PDF: where they are, what they are, and their bytes as a file.

Belongs here: image objects of PDFium. Does not belong here: pages that are pictures of text (`scanned`).
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from rag_pipeline.contracts.documents import Picture
from rag_pipeline.errors import UnparsableDocument
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.pdf.layout import Piece
from rag_pipeline.parsing.pdf.tags import PageTags
from rag_pipeline.parsing.picture_heads import UNKNOWN, head_of
from rag_pipeline.parsing.pictures import MAX_PICTURES, Gallery, Hung

if TYPE_CHECKING:
    from pypdfium2 import PdfPage

# Objects of a page that are looked through; plans have a million.
MAX_OBJECTS = 5_000
# Forms within forms.
MAX_DEPTH = 3
# Of the page's height: a picture and the tag that names it begin within so much.
SAME_TOP = 0.03
# A picture of more pixels is none that a person looks at; as bytes it would fill the memory of a worker.
MAX_PIXELS = 60_000_000
# Streams of pictures stand in no pack of objects, so that a file without one says so to whoever looks for the word.
_IMAGE = re.compile(rb"/Subtype\s*/Image\b")
# Of PDFium's bitmaps: channels of a pixel, and whether blue comes before red.
_GREY, _BGR, _BGRX, _BGRA = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class PagePicture:
    """A picture on a page.

    Attributes:
        top: Of its upper edge, as share of the page's height; None if unknown.
    """

    hung: Hung
    page: int
    top: float | None


def has_pictures(raw: bytes) -> bool:
    """Whether a file holds any picture beside such as are written into a page's own content."""
    return _IMAGE.search(raw) is not None


def page_pictures(raw: bytes, page: PdfPage, number: int) -> list[PagePicture]:
    """The pictures of an open page in the order that it draws them.

    Args:
        number: Of the page, from 1.
    """
    found: list[PagePicture] = []
    height = page.get_height() if page.get_rotation() == 0 else 0.0
    for order, image in enumerate(_images(page.raw)):
        picture = _looked(image)
        if picture is not None and len(found) < MAX_PICTURES:
            hung = Hung(picture.content_hash, partial(_itself, picture), _content(raw, number - 1, order, picture))
            found.append(PagePicture(hung, number, _top(image, height)))
    return found


def hang_among(
    gallery: Gallery,
    builder: TextBuilder,
    pieces: Sequence[Piece],
    pictures: Sequence[PagePicture],
    tags: PageTags | None,
) -> Iterator[Piece]:
    """The pieces of a page, one by one for the builder; each picture is hung before what stands below it."""
    waiting: dict[int, list[PagePicture]] = {}
    for picture in pictures:
        below = (index for index, piece in enumerate(pieces) if _is_below(piece, picture))
        waiting.setdefault(next(below, len(pieces)), []).append(picture)
    for index in range(len(pieces) + 1):
        for picture in waiting.get(index, ()):
            gallery.hang(builder, picture.hung, _said(picture, tags), picture.page)
        yield from pieces[index : index + 1]


def _is_below(piece: Piece, picture: PagePicture) -> bool:
    return picture.top is not None and piece.top is not None and piece.top > picture.top


def _said(picture: PagePicture, tags: PageTags | None) -> str:
    """What the tags say of the picture that begins where this one does."""
    near = [
        (abs(top - picture.top), said)
        for said, top in (tags.pictures if tags is not None else ())
        if picture.top is not None and abs(top - picture.top) <= SAME_TOP
    ]
    return clean_text(min(near)[1]).strip() if near else ""


def _itself(picture: Picture) -> Picture:
    return picture


def _images(page: Any) -> Iterator[Any]:
    """Image objects of a page in the order that it draws them, also those within its forms."""
    from pypdfium2 import raw as pdfium

    left = MAX_OBJECTS
    waiting = [(pdfium.FPDFPage_CountObjects(page), pdfium.FPDFPage_GetObject, page, 0, 0)]
    while waiting and left > 0:
        count, get, owner, index, depth = waiting.pop()
        while index < count and left > 0:
            item = get(owner, index)
            index, left = index + 1, left - 1
            kind = pdfium.FPDFPageObj_GetType(item)
            if kind == pdfium.FPDF_PAGEOBJ_IMAGE:
                yield item
            elif kind == pdfium.FPDF_PAGEOBJ_FORM and depth < MAX_DEPTH:
                waiting.append((count, get, owner, index, depth))
                waiting.append(
                    (pdfium.FPDFFormObj_CountObjects(item), pdfium.FPDFFormObj_GetObject, item, 0, depth + 1)
                )
                break


def _looked(image: Any) -> Picture | None:
    """What an image object is; None for one without bytes."""
    from pypdfium2 import raw as pdfium

    width, height = ctypes.c_uint(), ctypes.c_uint()
    pdfium.FPDFImageObj_GetImagePixelSize(image, width, height)
    stream = _stream(image)
    if not stream:
        return None
    media_type = head_of(stream[:64])[0]
    return Picture(
        media_type if media_type == "image/jpeg" else "image/png" if width.value else UNKNOWN,
        width.value,
        height.value,
        len(stream),
        hashlib.sha256(stream).hexdigest(),
    )


def _stream(image: Any) -> bytes:
    from pypdfium2 import raw as pdfium

    size = pdfium.FPDFImageObj_GetImageDataRaw(image, None, 0)
    buffer = ctypes.create_string_buffer(size)
    pdfium.FPDFImageObj_GetImageDataRaw(image, buffer, size)
    return buffer.raw


def _top(image: Any, height: float) -> float | None:
    from pypdfium2 import raw as pdfium

    edges = [ctypes.c_float() for _ in range(4)]
    if height <= 0 or not pdfium.FPDFPageObj_GetBounds(image, *edges):
        return None
    return min(1.0, max(0.0, 1 - edges[3].value / height))


def _content(raw: bytes, index: int, order: int, picture: Picture) -> Callable[[], bytes]:
    """Gives the bytes of a picture as a file; the document is opened anew, since they are rarely asked for."""

    def content() -> bytes:
        import pypdfium2

        try:
            with closing(pypdfium2.PdfDocument(raw)) as document, closing(document[index]) as page:
                for number, image in enumerate(_images(page.raw)):
                    if number == order:
                        stream = _stream(image)
                        return stream if head_of(stream[:64])[0] == "image/jpeg" else _drawn(image, picture)
        except pypdfium2.PdfiumError:
            raise UnparsableDocument("A picture of the PDF cannot be drawn. Save the file again.") from None
        raise UnparsableDocument("A picture of the PDF is not there. Save the file again.")

    return content


def _drawn(image: Any, picture: Picture) -> bytes:
    """The picture as PNG."""
    from pypdfium2 import raw as pdfium

    if picture.width * picture.height > MAX_PIXELS:
        raise UnparsableDocument("A picture of the PDF has too many pixels. Scale it down.")
    bitmap = pdfium.FPDFImageObj_GetBitmap(image)
    if not bitmap:
        raise UnparsableDocument("A picture of the PDF cannot be drawn. Save the file again.")
    try:
        form = pdfium.FPDFBitmap_GetFormat(bitmap)
        width, height = pdfium.FPDFBitmap_GetWidth(bitmap), pdfium.FPDFBitmap_GetHeight(bitmap)
        stride = pdfium.FPDFBitmap_GetStride(bitmap)
        pixels = ctypes.string_at(pdfium.FPDFBitmap_GetBuffer(bitmap), stride * height)
    finally:
        pdfium.FPDFBitmap_Destroy(bitmap)
    channels = {_GREY: 1, _BGR: 3, _BGRX: 4, _BGRA: 4}.get(form, 0)
    if not channels:
        raise UnparsableDocument("A picture of the PDF is of an unknown form. Save the file again.")
    return _png(pixels, width, height, stride, channels)


def _png(pixels: bytes, width: int, height: int, stride: int, channels: int) -> bytes:
    """Grey, or red, green and blue; what is transparent becomes as it is drawn."""
    rows = bytearray()
    for number in range(height):
        row = pixels[number * stride : number * stride + width * channels]
        rows.append(0)
        if channels == 1:
            rows += row
            continue
        colours = bytearray(3 * width)
        for channel in range(3):
            colours[channel::3] = row[2 - channel :: channels]
        rows += colours
    head = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(rows), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )
