"""Pictures of text, drawn: what a scanner or a camera would give, without a file of anybody's."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from rag_pipeline_tests.parsing.office_files import pdf, stream

WIDTH, HEIGHT, LETTERS = 900, 420, 30


def drawn(lines: Sequence[str], size: tuple[int, int] = (WIDTH, HEIGHT), left: int = 40, top: int = 40) -> Image.Image:
    """Lines of black letters on white."""
    image = Image.new("L", size, 255)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(LETTERS)
    for number, line in enumerate(lines):
        draw.text((left, top + number * 2 * LETTERS), line, font=font, fill=0)
    return image


def encoded(image: Image.Image, format_: str = "PNG", **more: object) -> bytes:
    """The picture as a file."""
    file = io.BytesIO()
    image.save(file, format_, **more)
    return file.getvalue()


def scanned_pdf(pages: Sequence[Image.Image | bytes]) -> bytes:
    """A page for each picture; for bytes, a page with that content and the font F of its own."""
    kids = b" ".join(b"%d 0 R" % (4 + 3 * index) for index in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, len(pages)),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    for index, page in enumerate(pages):
        image = page if isinstance(page, Image.Image) else Image.new("L", (1, 1), 255)
        width, height = (page.width // 2, page.height // 2) if isinstance(page, Image.Image) else (612, 792)
        content = page if isinstance(page, bytes) else b"q %d 0 0 %d 0 0 cm /P Do Q" % (width, height)
        jpeg = encoded(image, "JPEG", quality=90)
        objects += [
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 %d %d]/Resources<</Font<</F 3 0 R>>/XObject<</P %d 0 R>>>>"
            b"/Contents %d 0 R>>" % (width, height, 6 + 3 * index, 5 + 3 * index),
            stream(content),
            b"<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 8"
            b"/Filter/DCTDecode/Length %d>>stream\n%b\nendstream" % (image.width, image.height, len(jpeg), jpeg),
        ]
    return pdf(objects)
