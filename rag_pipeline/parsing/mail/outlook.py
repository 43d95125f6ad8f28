"""Outlook messages (MSG): properties, bodies and attachments out of the compound file.

Belongs here: the property streams of [MS-OXMSG]. Does not belong here: the container (`legacy/ole`), or what
becomes of a message (`mail`).
"""

from __future__ import annotations

import struct
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import escape

from rag_pipeline.errors import UndecodableBytes
from rag_pipeline.parsing.decode import decode
from rag_pipeline.parsing.legacy.ole import OleFile
from rag_pipeline.parsing.limits import ParseLimits
from rag_pipeline.parsing.mail.outlook_rtf import outlook_body
from rag_pipeline.parsing.web.tree import declared_encoding

# A forward of a forward is three.
MAX_EMBEDDED_DEPTH = 8

_SUBJECT, _BODY, _HTML, _HEADER = "0037", "1000", "1013", "007D"
_RTF = "1009"
_SENT, _DELIVERED, _CODE_PAGE, _HTML_CODE_PAGE = 0x0039, 0x0E06, 0x3FFD, 0x3FDE
_SENDER_NAME, _SENDER_ADDRESS, _TO, _CC = "0C1A", "0C1F", "0E04", "0E03"
_MESSAGE_ID, _IN_REPLY_TO = "1035", "1042"
_LONG_NAME, _SHORT_NAME, _DATA, _MEDIA_TYPE = "3707", "3704", "37010102", "370E"


@dataclass(slots=True)
class OutlookMessage:
    """What an Outlook file says; see `mail.Mail`."""

    subject: str = ""
    header: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    plain: str = ""
    html: str = ""
    attachments: list[tuple[str, str, bytes]] = field(default_factory=list)


def read_outlook(raw: bytes, address: str, limits: ParseLimits) -> OutlookMessage:
    """The message; raises UnparsableDocument for a damaged container."""
    return _read(_Container(raw, address), "", 0, limits)


class _Container(OleFile):
    """A compound file that knows in which code page its narrow strings are."""

    code_page = "cp1252"


def _read(container: _Container, prefix: str, depth: int, limits: ParseLimits) -> OutlookMessage:
    numbers = _fixed_properties(container.read(f"{prefix}__properties_version1.0"), 24 if prefix else 32)
    container.code_page = _codec(numbers.get(_CODE_PAGE) or numbers.get(_HTML_CODE_PAGE) or 1252)
    message = OutlookMessage(
        subject=_text(container, prefix, _SUBJECT),
        header=_text(container, prefix, _HEADER),
        plain=_text(container, prefix, _BODY),
        html=_html(container, prefix),
    )
    rtf = container.read(f"{prefix}__substg1.0_{_RTF}0102")
    if rtf and not message.html.strip():
        plain, message.html = outlook_body(rtf, limits)
        message.plain = message.plain if message.plain.strip() else plain
    name, mail_address = _text(container, prefix, _SENDER_NAME), _text(container, prefix, _SENDER_ADDRESS)
    # Inside one organisation the address is a directory path that says nothing to a reader.
    is_mail = "@" in mail_address
    facts = {
        "from": f"{name} <{mail_address}>" if name and is_mail and name != mail_address else name or mail_address,
        "to": _text(container, prefix, _TO),
        "cc": _text(container, prefix, _CC),
        "message_id": _text(container, prefix, _MESSAGE_ID),
        "in_reply_to": _text(container, prefix, _IN_REPLY_TO),
        "date": _date(numbers.get(_SENT) or numbers.get(_DELIVERED) or 0),
    }
    message.facts = {key: " ".join(value.split()) for key, value in facts.items() if value}
    for folder in container.folders:
        if folder.startswith(f"{prefix}__attach_version1.0_") and "/" not in folder[len(prefix) :]:
            _attach(container, f"{folder}/", message, depth, limits)
    return message


def _attach(container: _Container, prefix: str, message: OutlookMessage, depth: int, limits: ParseLimits) -> None:
    name = _text(container, prefix, _LONG_NAME) or _text(container, prefix, _SHORT_NAME) or "unnamed"
    name = " ".join(name.replace("\\", "/").rpartition("/")[2].split())[:200]
    embedded = f"{prefix}__substg1.0_3701000D"
    if embedded in container.folders and depth < MAX_EMBEDDED_DEPTH:
        # An embedded message shares the container, so its text joins as a plain text attachment.
        inner = _read(container, f"{embedded}/", depth + 1, limits)
        body = inner.html if not inner.plain.strip() and inner.html else inner.plain
        ending = "html" if body is inner.html else "txt"
        content = f"{inner.subject}\n\n{body}" if ending == "txt" else f"<h1>{escape(inner.subject)}</h1>{body}"
        # The mark keeps the page's own claim, made for its former bytes, from being believed.
        message.attachments.append((f"{name}.{ending}", "", content.encode("utf-8-sig", "replace")))
        message.attachments.extend(inner.attachments)
        return
    data = container.read(f"{prefix}__substg1.0_{_DATA}")
    if data:
        message.attachments.append((name, _text(container, prefix, _MEDIA_TYPE), data))


def _fixed_properties(data: bytes, start: int) -> dict[int, int]:
    """Values, by number, of the properties that have a fixed size; `start` skips the stream's header."""
    found: dict[int, int] = {}
    for position in range(start, len(data) - 15, 16):
        kind, number = struct.unpack_from("<HH", data, position)
        if kind == 0x0003:
            found[number] = struct.unpack_from("<I", data, position + 8)[0]
        elif kind == 0x0040:
            found[number] = struct.unpack_from("<Q", data, position + 8)[0]
    return found


def _date(moment: int) -> str:
    """ISO 8601 for tenths of microseconds since 1601; empty for a moment no calendar has."""
    try:
        return (datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment // 10)).isoformat() if moment else ""
    except OverflowError:
        return ""


def _codec(number: int) -> str:
    name = {65001: "utf-8", 20127: "cp1252", 28591: "cp1252"}.get(number, f"cp{number}")
    try:
        "".encode(name)
    except LookupError:
        return "cp1252"
    return name


def _text(container: _Container, prefix: str, number: str) -> str:
    wide = container.read(f"{prefix}__substg1.0_{number}001F")
    if wide:
        return wide.decode("utf-16-le", "replace").rstrip("\0")
    narrow = container.read(f"{prefix}__substg1.0_{number}001E").rstrip(b"\0")
    return _decoded(narrow, container.code_page)


def _html(container: _Container, prefix: str) -> str:
    data = container.read(f"{prefix}__substg1.0_{_HTML}0102")
    if not data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        # Some programs end the page, or fill it up, with zeros, and no text holds any.
        data = data.rstrip(b"\0")
    return _decoded(data, declared_encoding(data)) if data else _text(container, prefix, _HTML)


def _decoded(data: bytes, declared: str | None) -> str:
    try:
        return decode(data, declared) if data else ""
    except UndecodableBytes:
        return ""
