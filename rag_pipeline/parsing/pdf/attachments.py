"""Files within a PDF: those of its list of embedded files, and those pinned to a page as a paper clip.

Belongs here: finding them, within limits. Does not belong here: parsing them (`attached`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from posixpath import basename
from typing import TYPE_CHECKING, Any

from rag_pipeline.errors import LimitExceeded, UnparsableDocument
from rag_pipeline.parsing.attached import Attachment
from rag_pipeline.parsing.builder import one_line
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.limits import ParseLimits

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

MAX_LISTED = 10_000
MAX_PAGES_WITH_CLIPS = 200
MAX_ANNOTATIONS = 2_000


def embedded_files(
    document: PdfDocument, clipped_pages: Sequence[int], limits: ParseLimits
) -> tuple[list[Attachment], list[str]]:
    """The files, each content once, and those that are left out, each with the reason in brackets.

    Args:
        clipped_pages: Numbers from 0 of the pages that a file is pinned to.
    """
    found: list[Attachment] = []
    left_out: list[str] = []
    seen: set[tuple[str, bytes]] = set()
    total_bytes = 0
    for number, attachment in enumerate(_attachments(document, clipped_pages), 1):
        name, data = _name_and_data(attachment, document, number)
        if data is None:
            left_out.append(f"{name} ({UnparsableDocument.code})")
        elif (name, data) in seen:
            continue
        elif total_bytes + len(data) > limits.max_archive_bytes or len(found) >= limits.max_attachments:
            left_out.append(f"{name} ({LimitExceeded.code})")
        else:
            seen.add((name, data))
            total_bytes += len(data)
            found.append((name, "", data))
    return found, left_out


def _attachments(document: PdfDocument, clipped_pages: Sequence[int]) -> Iterator[Any]:
    """The raw handles: first of the document's list, then of its pages."""
    from pypdfium2 import raw as pdfium

    for index in range(min(MAX_LISTED, max(0, pdfium.FPDFDoc_GetAttachmentCount(document.raw)))):
        yield pdfium.FPDFDoc_GetAttachment(document.raw, index)
    for index in clipped_pages[:MAX_PAGES_WITH_CLIPS]:
        page = pdfium.FPDF_LoadPage(document.raw, index)
        if not page:
            continue
        try:
            for position in range(min(pdfium.FPDFPage_GetAnnotCount(page), MAX_ANNOTATIONS)):
                annotation = pdfium.FPDFPage_GetAnnot(page, position)
                try:
                    if pdfium.FPDFAnnot_GetSubtype(annotation) == pdfium.FPDF_ANNOT_FILEATTACHMENT:
                        yield pdfium.FPDFAnnot_GetFileAttachment(annotation)
                finally:
                    pdfium.FPDFPage_CloseAnnot(annotation)
        finally:
            pdfium.FPDF_ClosePage(page)


def _name_and_data(attachment: Any, document: PdfDocument, number: int) -> tuple[str, bytes | None]:
    """Name and content; None as content of what cannot be read."""
    from pypdfium2 import PdfAttachment, PdfiumError

    name = f"file-{number}"
    if not attachment:
        return name, None
    found = PdfAttachment(attachment, document)
    try:
        name = one_line(basename(clean_text(found.get_name()).replace("\\", "/"))) or name
        return name, bytes(found.get_data())
    except PdfiumError:
        return name, None
