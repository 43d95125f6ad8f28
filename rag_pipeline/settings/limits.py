"""What one document may cost: the section `limits` of pipeline.yaml.

Belongs here: every limit that a message tells a person to raise, except those of one source's files.
Does not belong here: keeping to them (`parsing/limits.py`, `parallel/limits.py`).
"""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of pipeline.yaml: frozen, with no key but its own; `described.py` tells what its settings mean."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LimitsSettings(Section):
    """What one document may cost before it is quarantined; a change parses again what it concerns."""

    parse_timeout_seconds: float = Field(default=60, gt=0, le=86_400)
    """Time to parse or cut one document, on the clock and, rounded up, of the processor."""
    memory_bytes: int = Field(default=3 * 2**30, ge=2**28, le=2**42)
    """Memory of one worker process; `worker_processes` of them run at once."""
    max_text_chars: int = Field(default=50_000_000, gt=0, le=2**31)
    """Characters of extracted text, all parts of a file together."""
    max_pages: int = Field(default=2_000, gt=0, le=10_000_000)
    """Pages, slides or sheets of a file."""
    max_records: int = Field(default=200_000, gt=0, le=1_000_000_000)
    """Documents that one file of records, or one mailbox, may become."""
    max_attachments: int = Field(default=200, gt=0, le=1_000_000)
    """Attachments of one message."""
    max_cells: int = Field(default=5_000_000, gt=0, le=2**31)
    """Cells of a spreadsheet."""
    max_html_bytes: int = Field(default=20 * 2**20, gt=0, le=2**31)
    """Size of an HTML page."""
    max_archive_bytes: int = Field(default=1024 * 2**20, gt=0, le=2**40)
    """Unpacked size of a container like DOCX or EPUB, all members together."""
    max_archive_ratio: int = Field(default=200, gt=0, le=1_000_000)
    """Unpacked size of a container's member divided by its packed size."""
    max_archive_entries: int = Field(default=10_000, gt=0, le=100_000_000)
    """Members of a container."""
    max_member_bytes: int = Field(default=256 * 2**20, gt=0, le=2**40)
    """Unpacked size of one member of a container."""

    max_ocr_pages: int = Field(default=200, gt=0, le=100_000)
    """Pages and pictures of one file that are read where `ocr` is on; a file with more is quarantined."""
    ocr_page_seconds: int = Field(default=30, gt=0, le=3_600)
    """Processor time to read one page, beside `parse_timeout_seconds`."""

    @property
    def cpu_seconds(self) -> int:
        """Processor time follows the clock: whoever allows more of one means both."""
        return math.ceil(self.parse_timeout_seconds)

    @property
    def parsing(self) -> dict[str, int]:
        """What parsers themselves keep to, by name."""
        return self.model_dump(exclude={"parse_timeout_seconds", "memory_bytes", "max_ocr_pages", "ocr_page_seconds"})
