"""Outlook messages (MSG): properties, bodies and attachments out of the compound file.

Belongs here: the property streams of [MS-OXMSG]. Does not belong here: the container (`ole`), or what
becomes of a message (`mail`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rag_pipeline.errors import UndecodableBytes
from rag_pipeline.transforms.parse.decode import decode
from rag_pipeline.transforms.parse.html_tree import declared_encoding
from rag_pipeline.transforms.parse.ole import OleFile

MAX_EMBEDDED_DEPTH = 8

_SUBJECT, _BODY, _HTML, _HEADER = "0037", "1000", "1013", "007D"
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


def read_outlook(raw: bytes, address: str) -> OutlookMessage:
    """Raises UnparsableDocument for a damaged container."""
    return _read(OleFile(raw, address), "", 0)


def _read(container: OleFile, prefix: str, depth: int) -> OutlookMessage:
    message = OutlookMessage(
        subject=_text(container, prefix, _SUBJECT),
        header=_text(container, prefix, _HEADER),
        plain=_text(container, prefix, _BODY),
        html=_html(container, prefix),
    )
    name, mail_address = _text(container, prefix, _SENDER_NAME), _text(container, prefix, _SENDER_ADDRESS)
    # Inside one organisation the address is a directory path that says nothing to a reader.
    is_mail = "@" in mail_address
    facts = {
        "from": f"{name} <{mail_address}>" if name and is_mail and name != mail_address else name or mail_address,
        "to": _text(container, prefix, _TO),
        "cc": _text(container, prefix, _CC),
        "message_id": _text(container, prefix, _MESSAGE_ID),
        "in_reply_to": _text(container, prefix, _IN_REPLY_TO),
    }
    message.facts = {key: " ".join(value.split()) for key, value in facts.items() if value}
    for folder in container.folders:
        if folder.startswith(f"{prefix}__attach_version1.0_") and "/" not in folder[len(prefix) :]:
            _attach(container, f"{folder}/", message, depth)
    return message


def _attach(container: OleFile, prefix: str, message: OutlookMessage, depth: int) -> None:
    name = _text(container, prefix, _LONG_NAME) or _text(container, prefix, _SHORT_NAME) or "unnamed"
    name = " ".join(name.replace("\\", "/").rpartition("/")[2].split())[:200]
    embedded = f"{prefix}__substg1.0_3701000D"
    if embedded in container.folders and depth < MAX_EMBEDDED_DEPTH:
        # An embedded message shares the container, so its text joins as a plain text attachment.
        inner = _read(container, f"{embedded}/", depth + 1)
        body = inner.html if not inner.plain.strip() and inner.html else inner.plain
        ending = "html" if body is inner.html else "txt"
        content = f"{inner.subject}\n\n{body}" if ending == "txt" else body
        message.attachments.append((f"{name}.{ending}", "", content.encode("utf-8")))
        message.attachments.extend(inner.attachments)
        return
    data = container.read(f"{prefix}__substg1.0_{_DATA}")
    if data:
        message.attachments.append((name, _text(container, prefix, _MEDIA_TYPE), data))


def _text(container: OleFile, prefix: str, number: str) -> str:
    wide = container.read(f"{prefix}__substg1.0_{number}001F")
    if wide:
        return wide.decode("utf-16-le", "replace").rstrip("\0")
    narrow = container.read(f"{prefix}__substg1.0_{number}001E").rstrip(b"\0")
    return _decoded(narrow)


def _html(container: OleFile, prefix: str) -> str:
    data = container.read(f"{prefix}__substg1.0_{_HTML}0102")
    return _decoded(data, declared_encoding(data)) if data else _text(container, prefix, _HTML)


def _decoded(data: bytes, declared: str | None = "cp1252") -> str:
    try:
        return decode(data, declared) if data else ""
    except UndecodableBytes:
        return ""
