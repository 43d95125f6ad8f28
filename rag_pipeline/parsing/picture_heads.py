"""What the first bytes of a picture say of it: its form, and how many pixels it has.

Belongs here: the heads of the forms that documents hold. Does not belong here: opening pictures (`ocr/pictures.py`),
which takes a library and time.
"""

from __future__ import annotations

import re
import struct

UNKNOWN = "application/octet-stream"
# Segments of a JPEG before the one that says its size; a hostile one may have any number.
MAX_SEGMENTS = 200
# Sizes of a frame, but for tables (C4), an extension (C8) and conditions (CC).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SVG = re.compile(rb"^(?:\xef\xbb\xbf)?\s*(?:<\?xml|<!--|<!DOCTYPE svg|<svg)")
_TIFF_TYPES = {3: "H", 4: "I"}
_TIFF_SIZES = {256: 0, 257: 1}
# Entries of a TIFF's first directory; the usual one has a dozen.
MAX_ENTRIES = 200


def head_of(content: bytes) -> tuple[str, int, int]:
    """Media type, width and height in pixels of a picture; `UNKNOWN` and zeros where its bytes do not say them."""
    for mark, media_type, size_of in _FORMS:
        if content.startswith(mark):
            try:
                width, height = size_of(content)
            except struct.error:
                width = height = 0
            return media_type, width, height
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp", *_webp(content)
    if content[40:44] == b" EMF":
        return "image/emf", 0, 0
    if _SVG.match(content[:200]) and b"<svg" in content[:4_096]:
        return "image/svg+xml", 0, 0
    return UNKNOWN, 0, 0


def _png(content: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", content, 16)
    return width, height


def _gif(content: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", content, 6)
    return width, height


def _bmp(content: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<ii", content, 18)
    return abs(width), abs(height)


def _jpeg(content: bytes) -> tuple[int, int]:
    at = 2
    for _ in range(MAX_SEGMENTS):
        mark, kind, length = struct.unpack_from(">BBH", content, at)
        if mark != 0xFF:
            break
        if kind in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return width, height
        # A filling byte is no segment.
        at += 1 if kind == 0xFF else 2 + length
    return 0, 0


def _tiff(content: bytes) -> tuple[int, int]:
    order = "<" if content[:2] == b"II" else ">"
    [at] = struct.unpack_from(f"{order}I", content, 4)
    [entries] = struct.unpack_from(f"{order}H", content, at)
    size = [0, 0]
    for number in range(min(entries, MAX_ENTRIES)):
        tag, kind = struct.unpack_from(f"{order}HH", content, at + 2 + 12 * number)
        if tag in _TIFF_SIZES and kind in _TIFF_TYPES:
            [size[_TIFF_SIZES[tag]]] = struct.unpack_from(order + _TIFF_TYPES[kind], content, at + 10 + 12 * number)
    return size[0], size[1]


def _webp(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    try:
        if kind == b"VP8X":
            return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
        if kind == b"VP8L":
            [bits] = struct.unpack_from("<I", content, 21)
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        width, height = struct.unpack_from("<HH", content, 26)
    except struct.error:
        return 0, 0
    return width & 0x3FFF, height & 0x3FFF


def _untold(_: bytes) -> tuple[int, int]:
    return 0, 0


_FORMS = (
    (b"\x89PNG\r\n\x1a\n", "image/png", _png),
    (b"\xff\xd8\xff", "image/jpeg", _jpeg),
    (b"GIF8", "image/gif", _gif),
    (b"BM", "image/bmp", _bmp),
    (b"II*\0", "image/tiff", _tiff),
    (b"MM\0*", "image/tiff", _tiff),
    (b"\xd7\xcd\xc6\x9a", "image/wmf", _untold),
)
