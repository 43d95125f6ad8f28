"""The safety limits of parsing, and the checks that apply to every format.

Belongs here: numbers that bound what one document may cost, as one frozen value, and refusals that formats share.
Does not belong here: time and memory limits of the worker process; `parallel/` holds those.
"""

from __future__ import annotations

from dataclasses import dataclass

from rag_pipeline.errors import DocumentTooLarge, LimitExceeded, UnsupportedMediaType

# Bytes.
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """What one document may cost before it is refused.

    Attributes:
        max_document_bytes: Size of a file of any kind.
        max_text_bytes: Size of a file that is text itself (Markdown, code, CSV, JSON, plain text).
        max_text_chars: Characters of extracted text, all parts of a file together.
        max_pages: Pages, slides or sheets.
        max_archive_bytes: Unpacked size of a container (DOCX, EPUB, ...), all members together.
        max_archive_ratio: Unpacked size divided by packed size of a container.
        max_archive_entries: Members of a container.
        max_member_bytes: Unpacked size of one member of a container.
        max_records: Documents that one file of records may become.
        max_attachments: Attachments of one message that are parsed.
        max_cells: Cells of a spreadsheet's bounding box that are read.
        max_html_bytes: Size of an HTML page.
    """

    max_document_bytes: int = 100 * MEBIBYTE
    max_text_bytes: int = 20 * MEBIBYTE
    max_text_chars: int = 50_000_000
    max_pages: int = 2_000
    max_archive_bytes: int = 1024 * MEBIBYTE
    max_archive_ratio: int = 200
    max_archive_entries: int = 10_000
    max_member_bytes: int = 256 * MEBIBYTE
    max_records: int = 200_000
    max_attachments: int = 200
    max_cells: int = 5_000_000
    max_html_bytes: int = 20 * MEBIBYTE


SETTING_OF = {
    "records": "max_records",
    "messages": "max_records",
    "blocks": "max_records",
    "characters of text": "max_text_chars",
    "pages": "max_pages",
    "pages to read": "max_ocr_pages",
    "slides": "max_pages",
    "sheets": "max_pages",
    "attachments": "max_attachments",
    "files in the container": "max_archive_entries",
}
"""The setting that bounds what is counted; what is not here has a fixed bound."""


def check_bytes(size_bytes: int, limit_bytes: int, address: str, setting: str) -> None:
    """Raises DocumentTooLarge, naming `setting`, if `size_bytes` is over `limit_bytes`."""
    if size_bytes > limit_bytes:
        raise DocumentTooLarge(
            f"{address}: the file has {size_bytes:,} bytes and the limit for its kind is {limit_bytes:,}. "
            f"Split it, exclude it, or raise `{setting}`.",
            address=address,
            size_bytes=size_bytes,
            limit_bytes=limit_bytes,
        )


def check_count(count: int, limit: int, what: str, address: str) -> None:
    """Raises LimitExceeded if `count` of `what` (a plural noun) is over `limit`."""
    if count > limit:
        advice = f"Split the file, or raise `limits.{SETTING_OF[what]}`." if what in SETTING_OF else "Split the file."
        raise LimitExceeded(
            f"{address}: {count:,} {what}, and the limit is {limit:,}. {advice}",
            address=address,
            what=what,
            count=count,
            limit=limit,
        )


def no_known_format(address: str) -> UnsupportedMediaType:
    """The refusal of a program, noise and zeros in a text, the same under every name and in every container."""
    said = "the content is of no format that is read, whatever the name ends with. The file may be damaged"
    advice = "open it in its own program and save it again, or exclude it."
    return UnsupportedMediaType(f"{address}: {said}: {advice}", address=address, media_type="application/octet-stream")
