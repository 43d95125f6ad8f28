"""Files that are pictures: PNG, JPEG, TIFF with its pages, WebP, BMP, and the first frame of a GIF.

Belongs here: opening them within bounds, and what they become.
Does not belong here: recognition (`engine.py`), scanned pages of a PDF (`pdf/scanned.py`).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import EmptyDocument, LimitExceeded, NeedsOcr, UnparsableDocument
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.limits import check_count
from rag_pipeline.parsing.ocr.engine import PageReader, fitted_scale
from rag_pipeline.parsing.ocr.lines import Line, paragraphs
from rag_pipeline.parsing.ocr.said import lacking_facts, read_facts, unread_facts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

VERSION = "1"

# Pixels of one picture; A4 at 600 dots per inch has 35 million. A hostile file of a kilobyte may claim any number.
MAX_PIXELS = 60_000_000
_READERS = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/gif": "GIF",
    "image/tiff": "TIFF",
    "image/bmp": "BMP",
    "image/webp": "WEBP",
}


def parse_picture(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """The document of the text that a picture shows, page by page.

    Raises:
        EmptyDocument: It shows no text.
        LimitExceeded: Too many pages, or pixels.
        NeedsOcr: Recognition is off.
        UnparsableDocument: It cannot be opened.
    """
    reader = context.reader
    if reader is None:
        raise NeedsOcr(f"{context.address}: a picture has no text of its own; set ocr.", address=context.address)
    with _opened(raw, context.address) as image:
        frames = int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1
        check_count(frames, context.limits.max_pages, "pages", context.address)
        reader.claim(frames, context.address)
        pages = []
        for number in range(frames):
            image.seek(number)
            reader.begin_page()
            pages.append(reader.read(_pixels(image, context.address)))
    return [_document(pages, context.address, reader)]


def pixels_of(content: bytes, address: str) -> NDArray[np.uint8]:
    """A picture within a document as the engine wants it; of several frames the first.

    Raises:
        LimitExceeded: It has too many pixels.
        UnparsableDocument: It cannot be opened.
    """
    with _opened(content, address) as image:
        return _pixels(image, address)


@contextmanager
def _opened(raw: bytes, address: str) -> Iterator[Image]:
    import PIL
    from PIL import Image as images

    try:
        # What it says of odd tags and of size is for a person at a screen; size is bounded here.
        with (
            warnings.catch_warnings(action="ignore"),
            images.open(io.BytesIO(raw), formats=tuple(_READERS.values())) as image,
        ):
            yield image
    except images.DecompressionBombError:
        raise _too_large(address, "too many") from None
    except (PIL.UnidentifiedImageError, OSError, EOFError, SyntaxError, ValueError):
        raise UnparsableDocument(
            f"{address}: the picture is damaged. Open it in its application and save it again.", address=address
        ) from None


def _pixels(image: Image, address: str) -> NDArray[np.uint8]:
    """The picture as the engine wants it: upright, on white, of a fitting size.

    Raises:
        LimitExceeded: It has too many pixels; nothing was unpacked.
    """
    import numpy as np
    from PIL import Image as images
    from PIL import ImageOps

    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_large(address, f"{width:,} by {height:,}")
    scale = fitted_scale(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # A photograph is unpacked at a fraction of its size at once.
    image.draft("RGB", size)
    upright: Any = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = images.new("RGBA", layer.size, "white")
        upright.alpha_composite(layer)
    elif upright.mode.startswith("I;16"):
        # Sixteen bits of grey: converting cuts what is above eight.
        upright = images.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    if image.size != upright.size:
        size = size[::-1] if (image.size[0] > image.size[1]) != (upright.size[0] > upright.size[1]) else size
    resized = upright.convert("RGB").resize(size, images.Resampling.LANCZOS)
    return np.ascontiguousarray(np.asarray(resized)[:, :, ::-1])


def _too_large(address: str, pixels: str) -> LimitExceeded:
    return LimitExceeded(
        f"{address}: a picture of {pixels} pixels, and the limit is {MAX_PIXELS:,} in all. Scale it down, or exclude "
        "it.",
        address=address,
    )


def _document(pages: list[list[Line]], address: str, reader: PageReader) -> ParsedDocument:
    builder = TextBuilder()
    for number, lines in enumerate(pages, 1):
        for paragraph in paragraphs(lines):
            builder.add("heading" if paragraph.is_heading else "paragraph", paragraph.text, page=number)
    if builder.is_empty and reader.failures:
        raise UnparsableDocument(
            f"{address}: recognition failed ({reader.failures[0]}). Save the picture again, or exclude it.",
            address=address,
        )
    if builder.is_empty:
        raise EmptyDocument(
            f"{address}: recognition found no text in the picture. Exclude it, if it shows none.", address=address
        )
    unread = [number for number, lines in enumerate(pages, 1) if not lines]
    read = [number for number, lines in enumerate(pages, 1) if lines]
    facts = {"pages": str(len(pages)), **read_facts(read, [line for lines in pages for line in lines])}
    facts |= lacking_facts(reader.failures, reader.unsure_lines)
    if unread:
        facts |= unread_facts(unread)
    heading = next((block.label for block in builder.blocks[:1] if block.kind == "heading"), None)
    return builder.build(
        title=heading,
        metadata=facts,
        quality={"pages_with_text": len(read) / len(pages), "ocr_confidence": float(facts["ocr_confidence"])},
    )
