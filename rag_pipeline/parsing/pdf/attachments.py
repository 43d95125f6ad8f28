"""Files within a PDF: those of its list of embedded files, and those pinned to a page as a paper clip.

Belongs here: finding them, within limits. Does not belong here: parsing them (`attached`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from posixpath import basename
from typing import TYPE_CHECKING, Any

from rag_pipeline.errors import LimitExceeded, UnparsableDocument
from rag_pipeline.parsing.attached import Attachment
from rag_pipeline.parsing.builder import one_line
from rag_pipeline.parsing.containers.archives import RATIO_FLOOR_BYTES
from rag_pipeline.parsing.decode import clean_again
from rag_pipeline.parsing.limits import ParseLimits

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

# What is beyond is counted and not opened.
MAX_LISTED = 10_000
# Each page has to be loaded for it, which costs as much as its text.
MAX_PAGES_WITH_CLIPS = 200
# A page with more is a drawing; they are counted.
MAX_ANNOTATIONS = 2_000
# More names of what is left out than anybody reads; the rest is counted.
MAX_NAMED = 200


@dataclass(frozen=True, slots=True)
class EmbeddedFiles:
    """The files within a PDF.

    Attributes:
        found: Each content once under the same name.
        left_out: Those that are left out, each with the reason in brackets; at the end how many more there are.
        left_out_count: How many are left out in all.
    """

    found: list[Attachment]
    left_out: list[str]
    left_out_count: int


def embedded_files(
    document: PdfDocument, clips: Mapping[int, int], limits: ParseLimits, document_bytes: int
) -> EmbeddedFiles:
    """The files, and those that are left out.

    Args:
        clips: How many files are pinned to a page, by its number from 0.
        document_bytes: Size of the PDF. As in an archive, a small one may not unpack to a lot.
    """
    found: list[Attachment] = []
    left_out: list[str] = []
    left_out_count = 0
    seen: set[tuple[str, bytes]] = set()
    allowed_bytes = min(limits.max_archive_bytes, max(RATIO_FLOOR_BYTES, limits.max_archive_ratio * document_bytes))
    # One stream may be listed under many names, so all that is unpacked counts, and not only what is kept.
    kept_bytes = unpacked_bytes = 0
    handles = _Handles(document, clips)
    for number, handle in enumerate(handles, 1):
        is_full = unpacked_bytes > limits.max_archive_bytes or len(found) >= limits.max_attachments
        if is_full and left_out_count >= MAX_NAMED:
            left_out_count += 1
            continue
        name = _name(handle, document, number)
        size = 0 if is_full else _size_bytes(handle)
        unpacked_bytes += size + len(name)
        if is_full or kept_bytes + size > allowed_bytes:
            left_out.append(f"{name} ({LimitExceeded.code})")
            left_out_count += 1
            continue
        data = _data(handle, document)
        if data is None:
            left_out.append(f"{name} ({UnparsableDocument.code})")
            left_out_count += 1
        elif (name, data) not in seen:
            seen.add((name, data))
            kept_bytes += len(data)
            found.append((name, "", data))
    left_out_count += handles.beyond
    if left_out_count > len(left_out):
        left_out.append(f"{left_out_count - len(left_out):,} more ({LimitExceeded.code})")
    return EmbeddedFiles(found, left_out, left_out_count)


@dataclass(slots=True)
class _Handles:
    """The raw handles: first of the document's list, then of its pages.

    Attributes:
        clips: How many files are pinned to a page, by its number from 0.
        beyond: How many lie beyond a bound or on a page that cannot be opened; known once all were gone through.
    """

    document: PdfDocument
    clips: Mapping[int, int]
    beyond: int = 0

    def __iter__(self) -> Iterator[Any]:
        from pypdfium2 import raw as pdfium

        listed = max(0, pdfium.FPDFDoc_GetAttachmentCount(self.document.raw))
        self.beyond += max(0, listed - MAX_LISTED)
        for index in range(min(MAX_LISTED, listed)):
            yield pdfium.FPDFDoc_GetAttachment(self.document.raw, index)
        for place, (index, count) in enumerate(self.clips.items()):
            page = pdfium.FPDF_LoadPage(self.document.raw, index) if place < MAX_PAGES_WITH_CLIPS else None
            if not page:
                self.beyond += count
                continue
            try:
                yield from self._pinned(page, count)
            finally:
                pdfium.FPDF_ClosePage(page)

    def _pinned(self, page: Any, count: int) -> Iterator[Any]:
        from pypdfium2 import raw as pdfium

        annotations = pdfium.FPDFPage_GetAnnotCount(page)
        given = 0
        for position in range(min(annotations, MAX_ANNOTATIONS)):
            annotation = pdfium.FPDFPage_GetAnnot(page, position)
            try:
                if pdfium.FPDFAnnot_GetSubtype(annotation) == pdfium.FPDF_ANNOT_FILEATTACHMENT:
                    given += 1
                    yield pdfium.FPDFAnnot_GetFileAttachment(annotation)
            finally:
                pdfium.FPDFPage_CloseAnnot(annotation)
        if annotations > MAX_ANNOTATIONS:
            self.beyond += max(0, count - given)


def _name(handle: Any, document: PdfDocument, number: int) -> str:
    """The name without its folders; one by number where there is none."""
    from pypdfium2 import PdfAttachment, PdfiumError

    name = f"file-{number}"
    if not handle:
        return name
    try:
        found = PdfAttachment(handle, document).get_name()
    except PdfiumError:
        return name
    return one_line(basename(clean_again(found).replace("\\", "/"))) or name


def _size_bytes(handle: Any) -> int:
    """Size of the content, which the library unpacks to tell it; 0 for what cannot be read."""
    from ctypes import byref, c_ulong

    from pypdfium2 import raw as pdfium

    size = c_ulong()
    if handle:
        pdfium.FPDFAttachment_GetFile(handle, None, 0, byref(size))
    return size.value


def _data(handle: Any, document: PdfDocument) -> bytes | None:
    """The content; None for what cannot be read."""
    from pypdfium2 import PdfAttachment, PdfiumError

    if not handle:
        return None
    try:
        return bytes(PdfAttachment(handle, document).get_data())
    except PdfiumError:
        return None
