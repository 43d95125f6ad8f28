"""Bodies that Outlook keeps as compressed RTF, with or without the HTML they were made from.

Belongs here: [MS-OXRTFCP] decompression and [MS-OXRTFEX] recovery of HTML. Does not belong here: reading
RTF as such (`office/rtf`).
"""

from __future__ import annotations

import html
import struct
from dataclasses import dataclass, replace

from rag_pipeline.errors import DocumentError
from rag_pipeline.parsing.limits import ParseLimits
from rag_pipeline.parsing.office.rtf import rtf_document
from rag_pipeline.parsing.office.rtf_tokens import tokens

# Size of the dictionary ([MS-OXRTFCP]).
_RING_BYTES = 4096
# What every compressed body may refer back to before it has said anything itself.
_PRIMER = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript "
    b"\\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n"
    b"\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)
_SKIPPED = frozenset({b"fonttbl", b"colortbl", b"stylesheet", b"info", b"pict", b"object"})
_SIGNS = {b"par": "\n", b"line": "\n", b"tab": "\t"}


def outlook_body(data: bytes, limits: ParseLimits) -> tuple[str, str]:
    """(plain text, HTML) of a compressed RTF body; one of them or, for a damaged body, both are empty."""
    rtf = decompressed(data)
    if b"\\fromhtml" in rtf[:1000]:
        return "", recovered_html(rtf)
    try:
        return rtf_document(rtf, "body", limits).text, ""
    except DocumentError:
        return "", ""


def decompressed(data: bytes) -> bytes:
    """The RTF; as much of it as can be had of damaged data. It is at most nine times as long as `data`."""
    if len(data) < 16:
        return b""
    raw_bytes, kind = struct.unpack_from("<I4s", data, 4)
    if kind == b"MELA":
        return data[16 : 16 + raw_bytes]
    if kind != b"LZFu":
        return b""
    return bytes(_expanded(data))


def _expanded(data: bytes) -> bytearray:
    out = bytearray(_PRIMER)
    position = 16
    while position < len(data):
        control = data[position]
        position += 1
        for bit in range(8):
            size = 1 + (control >> bit & 1)
            token = data[position : position + size]
            position += size
            if len(token) < size:
                break
            if size == 1:
                out += token
                continue
            start, length = (token[0] << 8 | token[1]) >> 4, (token[1] & 15) + 2
            # How far back: positions count round a ring, and its write position marks the end.
            back = (len(out) - start) % _RING_BYTES
            if back == 0 or back > len(out):
                return out[len(_PRIMER) :]
            for _ in range(length):
                out.append(out[-back])
    return out[len(_PRIMER) :]


@dataclass(frozen=True, slots=True)
class _State:
    is_tag: bool = False
    is_skipped: bool = False
    fallback_chars: int = 1


def recovered_html(rtf: bytes) -> str:
    """The HTML that was wrapped into `rtf`."""
    return _Recovery().run(rtf)


class _Recovery:
    def __init__(self) -> None:
        self._parts: list[str] = []
        self._bytes = bytearray()
        self._encoding = "cp1252"
        self._state = _State()
        self._stack: list[_State] = []
        self._to_skip = 0

    def run(self, rtf: bytes) -> str:
        is_first = is_optional = False
        for word, number, code, symbol, brace, text in tokens(rtf):
            if brace:
                self._brace(brace)
                is_first, is_optional = brace == b"{", False
                continue
            if symbol == b"*" and is_first:
                is_optional = True
                continue
            if word:
                self._flush()
                if is_optional or (is_first and word in _SKIPPED):
                    is_tag = word == b"htmltag"
                    self._state = replace(self._state, is_tag=is_tag, is_skipped=not is_tag)
                else:
                    self._word(word, int(number) if number else None)
            elif not self._state.is_skipped:
                self._data(bytes.fromhex(code.decode("ascii")) if code else text or _escaped(symbol))
            is_first = is_optional = False
        self._flush()
        return "".join(self._parts).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def _flush(self) -> None:
        text = self._bytes.decode(self._encoding, "replace")
        self._bytes.clear()
        self._parts.append(text if self._state.is_tag else html.escape(text, quote=False))

    def _brace(self, brace: bytes) -> None:
        self._flush()
        self._to_skip = 0
        if brace == b"{":
            self._stack.append(self._state)
        elif self._stack:
            self._state = self._stack.pop()

    def _word(self, word: bytes, number: int | None) -> None:
        if word == b"htmlrtf":
            self._state = replace(self._state, is_skipped=number != 0)
        elif word == b"uc":
            self._state = replace(self._state, fallback_chars=min(max(0, number or 0), 8))
        elif word == b"ansicpg":
            self._encoding = _code_page(number or 0)
        elif word == b"u" and not self._state.is_skipped:
            self._parts.append(chr((number or 0) % 65536))
            self._to_skip = self._state.fallback_chars
        elif word in _SIGNS and not self._state.is_skipped:
            self._parts.append(_SIGNS[word])

    def _data(self, data: bytes) -> None:
        self._bytes += data[self._to_skip :]
        self._to_skip = max(0, self._to_skip - len(data))


def _escaped(symbol: bytes) -> bytes:
    return symbol if symbol in (b"{", b"}", b"\\") else b" " if symbol == b"~" else b""


def _code_page(number: int) -> str:
    name = "utf-8" if number == 65001 else f"cp{number}"
    try:
        "".encode(name)
    except LookupError:
        return "cp1252"
    return name
