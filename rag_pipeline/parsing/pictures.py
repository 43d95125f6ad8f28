"""Pictures within documents: where they stand, what they are, and which of them are ornaments.

A parser hangs each picture that it comes upon into the gallery of its document, which marks the place. Their bytes are
looked at once the text is complete: what a container may unpack to is spent on text first, and no picture can cost a
document its text.

Belongs here: the gallery, ornaments, captions. Does not belong here: finding pictures in one format, reading what they
show (`ocr/shown.py`).
"""

from __future__ import annotations

import binascii
import hashlib
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rag_pipeline.contracts.documents import Block, ParsedDocument, Picture
from rag_pipeline.errors import DocumentError, UnparsableDocument
from rag_pipeline.parsing.builder import TextBuilder, one_line
from rag_pipeline.parsing.picture_heads import UNKNOWN, head_of

if TYPE_CHECKING:
    from rag_pipeline.parsing.containers.archives import Archive

# Pictures of one document; a hostile one may name the same thing any number of times.
MAX_PICTURES = 1_000
# Pixels. Rules, bullets and icons.
MIN_SHORT_SIDE, MIN_LONG_SIDE = 16, 64
# A picture of fewer has a shape and no more: a mask, a line, one colour.
MIN_BYTES = 512
# A picture that stands so often in one document is its logo or its background.
ORNAMENT_COUNT = 3

# What people put below a picture, or above it.
_CAPTION = re.compile(
    r"(?:fig(?:ure|ura|\.)?|abb(?:ildung|\.)?|bild|image|photo|foto|chart|diagram|map|plate|exhibit|illustration|"
    r"scheme|図|图)\s*\d+(?:[.-]\d+)*\s*[:.\u2013\u2014-]?\s",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Hung:
    """One picture where it was found.

    Attributes:
        key: Equal for pictures of the same bytes that the document holds once.
        look: What it is; raises DocumentError for bytes that cannot be had.
        content: It as a file by itself; raises the same.
        is_read: What it shows stands in the text already.
    """

    key: Hashable
    look: Callable[[], Picture]
    content: Callable[[], bytes]
    is_read: bool = False


@dataclass(slots=True)
class Gallery:
    """The pictures of the one document that a parser composes, in reading order.

    Attributes:
        hung: One for each mark in the text.
        skipped: How many more there are than a document may have.
        is_instead_of_text: The document has no text but what its pictures may show.
    """

    hung: list[Hung] = field(default_factory=list)
    skipped: int = 0
    is_instead_of_text: bool = False

    def hang(self, builder: TextBuilder, picture: Hung, caption: str = "", page: int | None = None) -> None:
        """Mark where a picture stands: behind what the builder has so far."""
        if len(self.hung) >= MAX_PICTURES:
            self.skipped += 1
            return
        builder.mark_picture(caption, page)
        self.hung.append(picture)

    def hang_member(
        self, builder: TextBuilder, archive: Archive, name: str, caption: str = "", page: int | None = None
    ) -> None:
        """Mark where the member `name` of a container stands; one that the container lacks is no picture."""
        if name in archive.names:
            picture = Hung((id(archive), name), lambda: looked_at(archive.read(name)), lambda: archive.read(name))
            self.hang(builder, picture, caption, page)


@dataclass(frozen=True, slots=True)
class Shown:
    """A document whose pictures were looked at.

    Attributes:
        pictures: One for each picture block of the document, in order.
    """

    document: ParsedDocument
    pictures: tuple[Hung, ...]


def looked_at(content: bytes) -> Picture:
    """What the bytes of a picture say of it."""
    media_type, width, height = head_of(content)
    return Picture(media_type, width, height, len(content), hashlib.sha256(content).hexdigest())


def base64_bytes(written: bytes) -> bytes:
    """What is written as base64, with or without its padding; raises UnparsableDocument for what is none."""
    packed = b"".join(written.split())
    try:
        return b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise UnparsableDocument("A picture within is damaged. Save the file again.") from None


def shown(document: ParsedDocument, gallery: Gallery) -> Shown:
    """The document with what its pictures are; ornaments, and those whose bytes are damaged, are counted alone.

    The text stays as it is.
    """
    known: dict[Hashable, Picture | None] = {}
    for hung in gallery.hung:
        if hung.key not in known:
            known[hung.key] = _looked(hung)
    pictures = [known[hung.key] for hung in gallery.hung]
    counts = Counter(picture.content_hash for picture in pictures if picture is not None)
    kept = [picture is not None and not _is_ornament(picture, counts) for picture in pictures]
    marks = iter(kept)
    blocks = [block for block in document.blocks if block.kind != "picture" or next(marks)]
    unread = pictures.count(None)
    said = {
        "pictures_count": sum(kept),
        "decorative_pictures_count": len(kept) - sum(kept) - unread,
        "unread_pictures_count": unread,
        "skipped_pictures_count": gallery.skipped,
    }
    found = replace(
        document,
        blocks=_captioned(document.text, blocks),
        pictures=tuple(picture for picture, is_kept in zip(pictures, kept, strict=True) if picture and is_kept),
        metadata=document.metadata | {name: str(count) for name, count in said.items() if count},
    )
    return Shown(found, tuple(hung for hung, is_kept in zip(gallery.hung, kept, strict=True) if is_kept))


def _looked(hung: Hung) -> Picture | None:
    try:
        return hung.look()
    except DocumentError:
        return None


def _is_ornament(picture: Picture, counts: Counter[str]) -> bool:
    sides = (picture.width, picture.height)
    # Drawings say no pixels.
    is_tiny = min(sides) > 0 and (min(sides) < MIN_SHORT_SIDE or max(sides) < MIN_LONG_SIDE)
    return is_tiny or picture.size_bytes < MIN_BYTES or counts[picture.content_hash] >= ORNAMENT_COUNT


def _captioned(text: str, blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Pictures of which nothing is said get the line below or above them, if that begins as captions do."""
    found = list(blocks)
    for index, block in enumerate(blocks):
        if block.kind == "picture" and block.label is None:
            below, above = blocks[index + 1 : index + 2], blocks[max(0, index - 1) : index]
            for other in (*below, *above):
                said = text[other.start_char : other.end_char]
                if other.kind == "paragraph" and other.page == block.page and _CAPTION.match(said):
                    found[index] = replace(block, label=one_line(said) or None)
                    break
    return tuple(found)


def ending_of(media_type: str) -> str:
    """What the name of a file of a picture ends with, such as `.png`; empty where that is not known."""
    if media_type == UNKNOWN:
        return ""
    return "." + media_type.rpartition("/")[2].removesuffix("+xml").replace("jpeg", "jpg")
