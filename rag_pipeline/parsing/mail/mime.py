"""MIME messages: which parts are the body, which are attached, and what wraps them.

Belongs here: walking parts, and the one form in which both mail formats hand on a message.
Does not belong here: header facts and documents (`mail`), the text of bodies (`body`).
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message

from rag_pipeline.errors import UndecodableBytes
from rag_pipeline.parsing.decode import clean_text, decode
from rag_pipeline.parsing.limits import ParseLimits, check_count
from rag_pipeline.parsing.mail import sealed as mail_sealed
from rag_pipeline.parsing.mail import tnef as mail_tnef
from rag_pipeline.parsing.mail.calendar import event_texts
from rag_pipeline.parsing.mail.outlook_rtf import outlook_body
from rag_pipeline.parsing.media_type import is_wide

# Mail programs send dozens; each costs a parser.
MAX_PARTS = 2_000
# Mail programs nest five levels; beyond it is made to exhaust readers.
MAX_MIME_DEPTH = 50
# What a saved page brings along to look like itself.
_PAGE_CHROME = frozenset({"text/css", "text/javascript", "application/javascript", "application/x-javascript"})


@dataclass(slots=True)
class Mail:
    """A message of either format.

    Attributes:
        facts: from, to, cc, date, message_id, in_reply_to, as far as the message has them.
        events: A text for each event of an invitation.
        attachments: (file name, media type or "", bytes).
    """

    subject: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    plain: str = ""
    html: str = ""
    events: list[str] = field(default_factory=list)
    attachments: list[tuple[str, str, bytes]] = field(default_factory=list)


def read_parts(message: Message, mail: Mail, address: str, limits: ParseLimits) -> None:
    """Fills in the body and the attachments.

    Raises:
        EncryptedDocument: There is nothing to read without a key.
        LimitExceeded: Too many parts or attachments.
    """
    reader = _Reader(mail, address, limits)
    reader.read(message, 0)
    mail.plain, mail.html = "\n\n".join(reader.plain), "\n".join(reader.html)
    _refuse_encrypted(mail, reader.has_secret, address)


def open_sealed(mail: Mail, address: str) -> None:
    """Replaces what Outlook shows of a sealed message, one attachment, by the message within.

    Raises:
        EncryptedDocument: There is nothing to read without a key.
    """
    opened: list[tuple[str, str, bytes]] = []
    has_secret = False
    for name, kind, data in mail.attachments:
        if not name.lower().endswith(".p7m"):
            opened.append((name, kind, data))
        elif mail_sealed.is_encrypted_data(data):
            has_secret = True
            # Beside a body that can be read it is named as unread.
            opened.append((name, kind, data))
        else:
            content = mail_sealed.signed_content(data)
            opened.append((name, "message/rfc822", content) if content else (name, kind, data))
    mail.attachments = opened
    _refuse_encrypted(mail, has_secret, address)


def _refuse_encrypted(mail: Mail, has_secret: bool, address: str) -> None:
    is_sealed = has_secret and not mail.plain.strip() and not mail.html.strip()
    if is_sealed or mail_sealed.is_pgp_text(mail.plain):
        raise mail_sealed.encrypted_message(address)


_REPORTS = ("message/delivery-status", "message/global-delivery-status", "message/disposition-notification")


class _Reader:
    def __init__(self, mail: Mail, address: str, limits: ParseLimits) -> None:
        self.plain: list[str] = []
        self.html: list[str] = []
        self.has_secret = False
        self._mail = mail
        self._address = address
        self._limits = limits
        self._parts = 0

    def read(self, message: Message, depth: int) -> None:
        for part in _leaves(message, depth):
            self._parts += 1
            check_count(self._parts, MAX_PARTS, "MIME parts", self._address)
            self._read_leaf(part, depth)
            check_count(len(self._mail.attachments), self._limits.max_attachments, "attachments", self._address)

    def _read_leaf(self, part: Message, depth: int) -> None:
        kind = part.get_content_type()
        name = _file_name(part)
        is_attached = part.get_content_disposition() == "attachment" or bool(name)
        if kind.startswith("multipart/") and isinstance(part.get_payload(), str):
            # Parts were announced, but there is no boundary between them.
            kind = "text/plain"
        if kind in ("text/plain", "text/html") and not is_attached:
            self._read_body(part, kind)
        elif kind in _REPORTS:
            self.plain.append(_report(part))
        elif kind == "message/rfc822":
            inner = part.get_payload()
            if isinstance(inner, list) and inner and isinstance(inner[0], Message):
                self._mail.attachments.append((name or "message.eml", kind, _as_bytes(inner[0])))
        elif kind == "text/calendar":
            self._mail.events.extend(event for event in event_texts(_text(part)) if event not in self._mail.events)
        elif kind in _PAGE_CHROME and not is_attached:
            return
        elif not kind.startswith("multipart/") and kind not in mail_sealed.SIGNATURE_TYPES:
            self._read_file(part, name, _payload(part), depth)

    def _read_body(self, part: Message, kind: str) -> None:
        """Text of the message; what is none is named like an attachment that cannot be read."""
        data = _payload(part)
        if b"\0" in data and not is_wide(data):
            self._mail.attachments.append((f"body.{'txt' if kind == 'text/plain' else 'html'}", kind, data))
        else:
            (self.plain if kind == "text/plain" else self.html).append(_text(part))

    def _read_file(self, part: Message, name: str, data: bytes, depth: int) -> None:
        if mail_sealed.is_encrypted(part, data):
            self.has_secret = True
            if not mail_sealed.is_version_note(data):
                # Beside a body that can be read it is named as unread.
                self._mail.attachments.append((name or "sealed.p7m", part.get_content_type(), data))
        elif mail_sealed.is_sealed(part) and depth < MAX_MIME_DEPTH and (inner := mail_sealed.signed_content(data)):
            self.read(message_from_bytes(inner), depth + 1)
        elif data.startswith(mail_tnef.SIGNATURE):
            found = mail_tnef.unwrapped(data)
            if not any(map(str.strip, self.plain + self.html)):
                plain, html = outlook_body(found.rtf, self._limits) if found.rtf else ("", "")
                self.plain.append(found.plain or plain)
                self.html.append(found.html or html)
            self._mail.attachments.extend((name or "unnamed", "", content) for name, content in found.files)
        else:
            self._mail.attachments.append((name or "unnamed", part.get_content_type(), data))


def _leaves(message: Message, depth: int) -> Iterator[Message]:
    if not message.is_multipart() or message.get_content_type() in ("message/rfc822", *_REPORTS):
        yield message
    elif depth < MAX_MIME_DEPTH:
        for part in message.get_payload():
            if isinstance(part, Message):
                yield from _leaves(part, depth + 1)


def _report(part: Message) -> str:
    """What a mail server says became of a message: groups of fields, which are headers of parts without a body."""
    inner = part.get_payload()
    groups = inner if isinstance(inner, list) else []
    return "\n\n".join(
        "\n".join(f"{name}: {' '.join(str(value).split())}" for name, value in group.items())
        for group in groups
        if isinstance(group, Message)
    )


def _text(part: Message) -> str:
    try:
        text = decode(_payload(part), part.get_content_charset())
    except UndecodableBytes:
        return ""
    if part.get_param("format") == "flowed":
        text = text.replace("\r\n", "\n").replace(" \n", " ")
    return text


def _payload(part: Message) -> bytes:
    try:
        data = part.get_payload(decode=True)
    except (binascii.Error, ValueError, LookupError, AssertionError):
        return b""
    return data if isinstance(data, bytes) else b""


def _as_bytes(message: Message) -> bytes:
    try:
        return message.as_bytes()
    except (UnicodeError, LookupError, ValueError, AttributeError, TypeError):
        return b""


def _file_name(part: Message) -> str:
    try:
        name = part.get_filename()
    except (ValueError, LookupError, AttributeError, TypeError):
        return ""
    return " ".join(clean_text(name or "").replace("\\", "/").rpartition("/")[2].split())[:200]
