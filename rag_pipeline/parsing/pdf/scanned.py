"""Pages of a PDF that are pictures of text, read by recognition.

Belongs here: drawing such a page, and its lines as pieces. Does not belong here: which pages they are (`pdf`), the
engine (`parsing/ocr`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.ocr.engine import fitted_scale
from rag_pipeline.parsing.ocr.lines import Line, confidence, paragraphs
from rag_pipeline.parsing.ocr.said import lacking_facts, read_facts
from rag_pipeline.parsing.pdf.layout import Piece
from rag_pipeline.parsing.pdf.roles import Tags

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pypdfium2 import PdfDocument

# Points to pixels at 150 dots per inch; a page that is larger than A4 is drawn smaller.
MAX_SCALE = 150 / 72
# Points; a page of less has no room for a word.
MIN_SIDE = 4.0


@dataclass(slots=True)
class Scans:
    """What was read of pages without text, by page number.

    Attributes:
        unread: Pages that stay without.
        failures: What the engine said of pages that it failed on.
        unsure_lines: Lines that were found and left out.
    """

    pieces: dict[int, list[Piece]] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    unsure_lines: int = 0

    @property
    def facts(self) -> dict[str, str]:
        """What the metadata says of pages that were read, and of those that reading failed on; nothing for none."""
        read = read_facts(sorted(self.pieces), self.lines) if self.pieces else {}
        return read | lacking_facts(self.failures, self.unsure_lines)

    @property
    def quality(self) -> dict[str, float]:
        """How sure the engine is of them, as a part of the quality score."""
        return {"ocr_confidence": round(confidence(self.lines), 2)} if self.pieces else {}


def read_scans(document: PdfDocument, numbers: Sequence[int], context: ParseContext) -> Scans:
    """Read the pages of these numbers, from 1; without a reader all of them stay as they are.

    Raises:
        LimitExceeded: They are more than may be read.
    """
    found = Scans(unread=list(numbers))
    if context.reader is None or not numbers:
        return found
    context.reader.claim(len(numbers), context.address)
    found.unread.clear()
    for number in numbers:
        context.reader.begin_page()
        drawn = _drawn(document, number - 1)
        lines = context.reader.read(drawn) if drawn is not None else []
        if not lines:
            found.unread.append(number)
            continue
        found.lines += lines
        found.pieces[number] = [
            Piece(
                "heading" if each.is_heading else "paragraph",
                each.text,
                number,
                level=int(each.is_heading),
                top=each.top,
                bottom=each.bottom,
            )
            for each in paragraphs(lines)
        ]
    found.failures, found.unsure_lines = list(context.reader.failures), context.reader.unsure_lines
    return found


def with_scans(pages: list[list[Piece]], tags: Tags, scans: Scans) -> tuple[list[list[Piece]], Tags]:
    """Pieces by page, and the tags that are about them: a stamp over a scan is on the picture of its page, too."""
    found = [scans.pieces.get(number, pieces) for number, pieces in enumerate(pages, 1)]
    return found, {number: page for number, page in tags.items() if number not in scans.pieces}


def _drawn(document: PdfDocument, index: int) -> NDArray[np.uint8] | None:
    """The page as the engine wants it; None for one that cannot be drawn."""
    import numpy as np
    from pypdfium2 import PdfiumError

    try:
        page = document[index]
    except PdfiumError:
        return None
    try:
        width, height = page.get_size()
        if not (math.isfinite(width) and math.isfinite(height)) or min(width, height) < MIN_SIDE:
            return None
        bitmap = page.render(scale=min(MAX_SCALE, fitted_scale(width, height)), rev_byteorder=False)
        try:
            # Grey pages have one channel, and what is drawn is gone with its page.
            pixels = bitmap.to_numpy()
            pixels = np.repeat(pixels.reshape(*pixels.shape[:2], -1)[:, :, :1], 3, 2) if pixels.ndim < 3 else pixels
            return np.ascontiguousarray(pixels[:, :, :3])
        finally:
            bitmap.close()
    except PdfiumError:
        return None
    finally:
        page.close()
