"""Outlook's own wrapping of bodies and attachments within mail (TNEF, mostly named winmail.dat).

Belongs here: the attributes and properties of [MS-OXTNEF] that hold text or files.
Does not belong here: MIME (`mime`), compressed bodies (`outlook_rtf`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from rag_pipeline.errors import UndecodableBytes
from rag_pipeline.parsing.decode import decode

SIGNATURE = b"\x78\x9f\x3e\x22"
_BODY, _PROPERTIES, _NEW, _NAME, _DATA, _ATTACHED = 0x2800C, 0x69003, 0x69002, 0x18010, 0x6800F, 0x69005
_LONG_NAME, _PLAIN, _HTML, _RTF = 0x3707, 0x1000, 0x1013, 0x1009
_FIXED_BYTES = {2: 4, 3: 4, 4: 4, 10: 4, 11: 4, 5: 8, 6: 8, 7: 8, 0x14: 8, 0x40: 8, 0x48: 16}
_VARIABLE = frozenset({0x0D, 0x1E, 0x1F, 0x102})
# A count that is larger is damaged or hostile.
MAX_VALUES = 100_000


@dataclass(slots=True)
class Wrapped:
    """Bodies in up to three forms, and (name, bytes) of the files."""

    plain: str = ""
    html: str = ""
    rtf: bytes = b""
    files: list[tuple[str, bytes]] = field(default_factory=list)


def unwrapped(data: bytes) -> Wrapped:
    """What the wrapping holds, as far as it is whole."""
    found = Wrapped()
    for kind, value in _attributes(data):
        if kind == _BODY:
            found.plain = _text(value.rstrip(b"\0"))
        elif kind == _PROPERTIES:
            for number, form, content in _properties(value):
                if number == _PLAIN:
                    found.plain = found.plain or _string(form, content)
                elif number == _HTML:
                    found.html = _string(form, content)
                elif number == _RTF:
                    found.rtf = content
        elif kind == _NEW:
            found.files.append(("", b""))
        elif found.files and kind in (_NAME, _DATA, _ATTACHED):
            name, content = found.files[-1]
            found.files[-1] = _file(kind, value, name, content)
    found.files = [(name, content) for name, content in found.files if content]
    return found


def _file(kind: int, value: bytes, name: str, content: bytes) -> tuple[str, bytes]:
    if kind == _DATA:
        return name, value
    if kind == _NAME:
        return name or _text(value.rstrip(b"\0")), content
    names = [_string(form, data) for number, form, data in _properties(value) if number == _LONG_NAME]
    return (names[0] if names else name), content


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = len(SIGNATURE) + 2
    while position + 9 <= len(data):
        kind, size = struct.unpack_from("<xII", data, position)
        yield kind, data[position + 9 : position + 9 + size]
        position += 9 + size + 2


def _properties(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(number, type, value) of the properties; the list ends where it makes no sense."""
    try:
        count = struct.unpack_from("<I", data)[0]
        position = 4
        for _ in range(min(count, MAX_VALUES)):
            form, number = struct.unpack_from("<HH", data, position)
            position += 4
            if number >= 0x8000:
                position = _after_name(data, position)
            values = 1
            if form & 0x1000 or form in _VARIABLE:
                values = struct.unpack_from("<I", data, position)[0]
                position += 4
            form &= 0xFFF
            if form not in _FIXED_BYTES and form not in _VARIABLE:
                return
            for _ in range(min(values, MAX_VALUES)):
                size = _FIXED_BYTES.get(form)
                if size is None:
                    size = struct.unpack_from("<I", data, position)[0]
                    position += 4
                yield number, form, data[position : position + size]
                position += -(-size // 4) * 4
                if position > len(data):
                    return
    except struct.error:
        return


def _after_name(data: bytes, position: int) -> int:
    kind = struct.unpack_from("<I", data, position + 16)[0]
    if kind == 0:
        return position + 24
    size: int = struct.unpack_from("<I", data, position + 20)[0]
    return position + 24 + -(-size // 4) * 4


def _string(form: int, value: bytes) -> str:
    if form == 0x1F:
        return value.decode("utf-16-le", "replace").rstrip("\0")
    return _text(value.rstrip(b"\0"))


def _text(value: bytes) -> str:
    try:
        return decode(value, "cp1252") if value else ""
    except UndecodableBytes:
        return ""
