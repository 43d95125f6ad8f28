"""What the tables at the head of an RTF file say: styles that are headings, fonts and colours.

Belongs here: reading those tables. Does not belong here: text (`rtf`).
"""

from __future__ import annotations

import re

from rag_pipeline.parsing.office.symbols import SIGNS_OF, symbol

_CHARSETS = {
    0: "cp1252", 128: "cp932", 129: "cp949", 134: "gb2312", 136: "big5", 161: "cp1253", 162: "cp1254",
    163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250",
}  # fmt: skip
_STYLE = re.compile(rb"\{\\s(\d{1,5})\b([^{};]*(?:\{[^{}]*\}[^{};]*)*);\}")
_STYLE_OUTLINE = re.compile(rb"\\outlinelevel(\d)")
_STYLE_HEADING = re.compile(rb"heading (\d)\s*$", re.I)
_FONT = re.compile(rb"\{\\f(\d{1,5})[^{}]*?\\fcharset(\d{1,3})")
# Word writes a group of its own about the looks before the name; an entry of a font is short.
_SIGN_FONT = re.compile(
    rb"\{\\f(\d{1,5})[^{}]{0,300}?\\fcharset2(?!\d)(?:[^{};]|\{[^{}]{0,100}\}){0,300}?(?<!\w)(Symbol|Wingdings)\s*;"
)
_COLOURS = re.compile(rb"\{\\colortbl([^{}]{0,20000})\}")
_WHITE = re.compile(rb"\\red255\s*\\green255\s*\\blue255\b")


def font_encodings(raw: bytes) -> dict[int, str]:
    """Encoding by the number of the font, or the font's name where it has signs of its own; "" for an unknown one."""
    found = {int(number): _CHARSETS.get(int(charset), "") for number, charset in _FONT.findall(raw)}
    return found | {int(number): name.decode().casefold() for number, name in _SIGN_FONT.findall(raw)}


def decoded(data: bytes, encoding: str) -> str:
    """Text in an encoding that `font_encodings` names; a sign that is not known is one that cannot be shown."""
    if encoding in SIGNS_OF:
        return "".join(symbol(encoding, f"{code:x}") or "\ufffd" for code in data)
    return data.decode(encoding, "replace")


def letter(code: int, encoding: str) -> str:
    """The letter that a file names by its number in Unicode, or in a font that has signs of its own."""
    return (symbol(encoding, f"{code:x}") if encoding in SIGNS_OF else "") or chr(code)


def style_levels(raw: bytes) -> dict[int, int]:
    """Heading depth from 1 by the number of the style."""
    start = raw.find(b"{\\stylesheet")
    if start < 0:
        return {}
    levels: dict[int, int] = {}
    for number, body in _STYLE.findall(raw, start, start + 400_000):
        outline = _STYLE_OUTLINE.search(body)
        named = _STYLE_HEADING.search(body)
        level = int(outline.group(1)) + 1 if outline else int(named.group(1)) if named else 0
        if 1 <= level <= 6:
            levels[int(number)] = level
    return levels


def white_colours(raw: bytes) -> frozenset[int]:
    """Numbers of the colours that are white as paper."""
    table = _COLOURS.search(raw)
    colours = table.group(1).split(b";") if table else []
    return frozenset(number for number, colour in enumerate(colours) if _WHITE.search(colour))


def is_codec(name: str) -> bool:
    """Whether Python knows an encoding by that name."""
    try:
        "".encode(name)
    except LookupError:
        return False
    return True
