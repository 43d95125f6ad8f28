"""What a parser is told besides the bytes.

Belongs here: the one value that every parser takes.
Does not belong here: which parser reads what (`registry.py`), or the limits themselves (`limits.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing.limits import ParseLimits
from rag_pipeline.parsing.ocr.engine import PageReader


@dataclass(frozen=True, slots=True)
class ParseContext:
    """Where an object lies, what it may cost, and how the files within it are parsed.

    Attributes:
        address: Where the object lies in its source; used in messages, and for the language of code.
        limits: What this object may cost.
        parse_part: Parses a file that the object holds: bytes, media type, address, limits.
        reader: Reads pictures of text; None: they are not read.
    """

    address: str
    limits: ParseLimits
    parse_part: Callable[[bytes, str, str, ParseLimits], list[ParsedDocument]]
    reader: PageReader | None = None
