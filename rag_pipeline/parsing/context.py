"""What a parser is told besides the bytes.

Belongs here: the one value that every parser takes.
Does not belong here: which parser reads what (`registry.py`), or the limits themselves (`limits.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing.limits import ParseLimits
from rag_pipeline.parsing.ocr.engine import PageReader
from rag_pipeline.parsing.pictures import Gallery


@dataclass(frozen=True, slots=True)
class ParseContext:
    """Where an object lies, what it may cost, and how the files within it are parsed.

    Attributes:
        address: Where the object lies in its source; used in messages, and for the language of code.
        limits: What this object may cost.
        parse_part: Parses a file that the object holds: bytes, media type, address, limits.
        reader: Reads pictures of text; None: they are not read.
        gallery: Gets the pictures of the document that the parser composes.
    """

    address: str
    limits: ParseLimits
    parse_part: Callable[[bytes, str, str, ParseLimits], list[ParsedDocument]]
    reader: PageReader | None = None
    gallery: Gallery = field(default_factory=Gallery)

    def reads_instead_of_text(self, has_text: bool) -> bool:
        """Whether the pictures of a document without text are read; the gallery is told so."""
        self.gallery.is_instead_of_text = self.reader is not None and not has_text and bool(self.gallery.hung)
        return self.gallery.is_instead_of_text
