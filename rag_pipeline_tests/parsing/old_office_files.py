"""Word and PowerPoint files of 1997 made in code, byte by byte as [MS-DOC] and [MS-PPT] describe them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from rag_pipeline_tests.parsing.compound_files import compound

HIDDEN, DELETED, STRUCK = b"\x3c\x08\1", b"\0\x08\1", b"\x37\x08\1"
RAISED, LOWERED = b"\x48\x2a\1", b"\x48\x2a\2"
FONT_SIZE, UNKNOWN_LONG = b"\x43\x4a\x18\0", b"\x15\xc6\2\0\0"
_TEXT = 0x400
_PAGE = 512


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Runs of (text, character properties), the number of the style, and the mark that ends it."""

    runs: Sequence[tuple[str, bytes]]
    style: int = 0
    end: str = "\r"


def old_word(
    paragraphs: Sequence[Paragraph], asides: Sequence[str] = (), is_narrow: bool = False, flags: int = 0
) -> bytes:
    """A Word file; `asides` are its further stories: footnotes, headers, macros, comments, endnotes, text boxes."""
    width = 1 if is_narrow else 2
    runs: list[tuple[str, bytes]] = []
    styles: list[tuple[int, int]] = []
    for paragraph in paragraphs:
        runs += [*paragraph.runs, (paragraph.end, b"")]
        styles.append((sum(len(text) for text, _ in runs), paragraph.style))
    main_chars = styles[-1][0]
    runs += [(text, b"") for text in asides]
    text = "".join(words for words, _ in runs)
    body = text.encode("cp1252" if is_narrow else "utf-16-le")
    body += bytes(-len(body) % _PAGE)
    first_page = (_TEXT + len(body)) // _PAGE
    main = bytearray(_TEXT)
    struct.pack_into("<H", main, 2, 0xC1)
    struct.pack_into("<H", main, 10, flags)
    struct.pack_into("<8I", main, 0x4C, main_chars, *map(len, asides), *[0] * (7 - len(asides)))
    packed = 2 * _TEXT | 0x40000000 if is_narrow else _TEXT
    pieces = struct.pack("<II", 0, len(text)) + struct.pack("<HIH", 0, packed, 0)
    # A leading list of properties that no piece uses, as fast saves leave it.
    clx = b"\1\2\0\0\0" + b"\2" + struct.pack("<I", len(pieces)) + pieces
    last = _TEXT + width * len(text)
    table = clx
    for place, page in ((0x00FA, first_page), (0x0102, first_page + 1)):
        struct.pack_into("<II", main, place, len(table), 12)
        table += struct.pack("<III", _TEXT, last, page)
    struct.pack_into("<II", main, 0x01A2, 0, len(clx))
    pages = _character_page(runs, width) + _paragraph_page(styles, width)
    return compound({"WordDocument": bytes(main) + body + pages, "1Table" if flags & 0x200 else "0Table": table})


def _character_page(runs: Sequence[tuple[str, bytes]], width: int) -> bytes:
    page = bytearray(_PAGE)
    page[-1] = len(runs)
    place = _TEXT
    free = _PAGE - 2
    for number, (text, properties) in enumerate(runs):
        struct.pack_into("<I", page, 4 * number, place)
        place += width * len(text)
        if properties:
            free = (free - len(properties) - 1) // 2 * 2
            page[free : free + 1 + len(properties)] = bytes([len(properties)]) + properties
            page[4 * (len(runs) + 1) + number] = free // 2
    struct.pack_into("<I", page, 4 * len(runs), place)
    return bytes(page)


def _paragraph_page(styles: Sequence[tuple[int, int]], width: int) -> bytes:
    page = bytearray(_PAGE)
    page[-1] = len(styles)
    struct.pack_into("<I", page, 0, _TEXT)
    for number, (end, style) in enumerate(styles):
        struct.pack_into("<I", page, 4 * (number + 1), _TEXT + width * end)
        at = _PAGE - 8 * (number + 1)
        # Two ways to say the length: in words before the style, or after a zero.
        page[at : at + 4] = struct.pack("<BHB", 2, style, 0) if number % 2 else struct.pack("<BBH", 0, 1, style)
        page[4 * (len(styles) + 1) + 13 * number] = at // 2
    return bytes(page)


def atom(kind: int, content: bytes, instance: int = 0) -> bytes:
    """A record of a presentation that holds bytes."""
    return struct.pack("<HHI", instance << 4, kind, len(content)) + content


def folder(kind: int, *records: bytes, instance: int = 0) -> bytes:
    """A record of a presentation that holds records."""
    content = b"".join(records)
    return struct.pack("<HHI", instance << 4 | 0xF, kind, len(content)) + content


def said(kind: int, text: str) -> bytes:
    """A text of a kind: 0 is a title, 1 a body, 2 notes."""
    is_wide = not text.isascii()
    words = atom(4000, text.encode("utf-16-le")) if is_wide else atom(4008, text.encode("latin-1"))
    return atom(3999, struct.pack("<I", kind)) + words


@dataclass(frozen=True, slots=True)
class Slide:
    """Texts of the outline, which the list keeps, and those of the slide itself, as (kind, text)."""

    outline: Sequence[tuple[int, str]] = ()
    own: Sequence[tuple[int, str]] = ()
    notes: str = ""
    is_hidden: bool = False


def old_presentation(slides: Sequence[Slide], user: bytes = bytes(24)) -> bytes:
    """A PowerPoint file; own texts of the kind -1 refer to the outline by their number."""
    listed: list[bytes] = []
    for number, slide in enumerate(slides, 1):
        listed.append(atom(1011, struct.pack("<IIiII", number, 0, len(slide.outline), 255 + number, 0)))
        listed += [said(kind, text) for kind, text in slide.outline]
    stream = folder(1000, folder(4080, *listed))
    places: list[int] = []
    for number, slide in enumerate(slides, 1):
        places.append(len(stream))
        texts = [atom(3998, struct.pack("<I", int(text))) if kind < 0 else said(kind, text) for kind, text in slide.own]
        info = atom(1017, struct.pack("<iIBBHBBH", -1, 0, 0, 0, 4 if slide.is_hidden else 0, 0, 0, 0))
        stream += folder(1006, info, folder(61453, *texts))
        if slide.notes:
            stream += folder(1008, atom(1009, struct.pack("<IHH", 255 + number, 0, 0)), said(2, slide.notes))
    stream += atom(6002, struct.pack("<I", 1 | len(slides) << 20) + struct.pack(f"<{len(slides)}I", *places))
    return compound({"Current User": user, "PowerPoint Document": stream})
