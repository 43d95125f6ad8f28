"""Opening a PDF, and saying why it cannot be opened.

Belongs here: readers of the file as a whole and their settings. Does not belong here: what pages mean (`pdf`).
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rag_pipeline.errors import EncryptedDocument, UnparsableDocument
from rag_pipeline.parsing.limits import ParseLimits
from rag_pipeline.parsing.pdf.guard import check_streams
from rag_pipeline.parsing.pdf.turned import turned_pages

if TYPE_CHECKING:
    from liteparse import LiteParse
    from liteparse.types import ParsedPage, ParseResult
    from pypdfium2 import PdfDocument


def opened(raw: bytes, address: str, limits: ParseLimits) -> PdfDocument:
    """The document, which the caller closes.

    Raises:
        EncryptedDocument: A password is needed.
        LimitExceeded: A stream unpacks past the limits.
        UnparsableDocument: It cannot be opened, or has no page.
    """
    import pypdfium2

    check_streams(raw, address, limits)
    try:
        document = pypdfium2.PdfDocument(raw)
        if len(document) == 0:
            document.close()
            raise UnparsableDocument(
                f"{address}: the PDF has no readable page. Open it in a PDF reader and save it again.",
                address=address,
            )
        return document
    except pypdfium2.PdfiumError as error:
        if _wants_password(raw):
            raise EncryptedDocument(
                f"{address}: the PDF is protected by a password. Remove the password or exclude the file.",
                address=address,
            ) from None
        raise UnparsableDocument(
            f"{address}: not a readable PDF ({str(error).rstrip('.')}). Open it in a PDF reader and save it again.",
            address=address,
        ) from None


def _wants_password(raw: bytes) -> bool:
    """Whether PDFium wants one for this file: where it gives no reason, that of the file before is still standing."""
    import pypdfium2
    from pypdfium2 import raw as pdfium

    code = None
    for file in (b"no PDF", raw):
        try:
            pypdfium2.PdfDocument(file).close()
        except pypdfium2.PdfiumError as error:
            code = error.err_code
    return bool(code == pdfium.FPDF_ERR_PASSWORD)


def read_layouts(raw: bytes) -> tuple[dict[int, ParsedPage], dict[int, int]]:
    """What liteparse makes of the pages, by number from 1, and the degrees by which pages were turned to be read.

    Nothing where it cannot open the file.
    """
    layouts = _layouts(raw)
    turned = turned_pages(layouts.values())
    if turned:
        again = _layouts(
            raw, target_pages=",".join(map(str, turned)), page_orientation_corrections=list(turned.items())
        )
        # What goes wrong at the second try leaves the first.
        turned = {number: turn for number, turn in turned.items() if number in again}
        layouts |= {number: again[number] for number in turned}
    return layouts, turned


def _layouts(raw: bytes, **settings: Any) -> dict[int, ParsedPage]:
    from liteparse import ParseError

    parser = _reader(**settings) if settings else _usual_reader(os.getpid())
    try:
        result: ParseResult = parser.parse(raw)
    except ParseError:
        return {}
    return {page.page_num: page for page in result.pages}


# Making one takes as long as reading a short page; its threads do not follow into a process that is forked.
@lru_cache(maxsize=1)
def _usual_reader(_process: int) -> LiteParse:
    return _reader()


def _reader(**settings: Any) -> LiteParse:
    from liteparse import LiteParse

    # OCR would fetch models and the result is not needed; pictures only cost memory.
    return LiteParse(
        ocr_enabled=False,
        extract_blocks=True,
        image_mode="off",
        extract_links=False,
        extract_annotations=True,
        extract_form_fields=True,
        include_complexity=True,
        # Its own removal also takes the first lines of short letters; ours asks for three pages.
        keep_headers_footers=True,
        continue_on_page_error=True,
        num_workers=1,
        quiet=True,
        **settings,
    )
