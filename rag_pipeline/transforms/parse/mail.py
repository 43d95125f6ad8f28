"""E-mails (EML): header facts, body, and attachments as further documents.

Belongs here: MIME messages and what the two mail formats share. Does not belong here: the text of bodies
(`mail_body`), the Outlook container (`mail_outlook`).
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.utils import parsedate_to_datetime

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import DocumentError, UndecodableBytes, UnparsableDocument
from rag_pipeline.transforms.parse.builder import TextBuilder
from rag_pipeline.transforms.parse.decode import clean_text, decode
from rag_pipeline.transforms.parse.limits import ParseLimits, check_count
from rag_pipeline.transforms.parse.mail_body import add_body
from rag_pipeline.transforms.parse.mail_outlook import read_outlook

VERSION = "1"

MAX_HEADER_CHARS = 2_000
MAX_PARTS = 2_000
MAX_MIME_DEPTH = 50
# An attached message may attach messages: each level gets this share of the attachments allowed.
NESTED_SHARE = 8


@dataclass(slots=True)
class Mail:
    """A message of either format.

    Attributes:
        facts: from, to, cc, date, message_id, in_reply_to, as far as the message has them.
        attachments: (file name, media type or "", bytes).
    """

    subject: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    plain: str = ""
    html: str = ""
    attachments: list[tuple[str, str, bytes]] = field(default_factory=list)


def parse_email(raw: bytes, address: str, limits: ParseLimits) -> list[ParsedDocument]:
    """The message as first document, then one or more for each attachment that can be read.

    Raises:
        LimitExceeded: Too many attachments or parts.
        UnparsableDocument: There is no message.
    """
    message = message_from_bytes(raw)
    mail = Mail(subject=_header(message, "Subject"))
    for name, fact in (("From", "from"), ("To", "to"), ("Cc", "cc"), ("Message-ID", "message_id")):
        mail.facts[fact] = _header(message, name)
    mail.facts["in_reply_to"] = _header(message, "In-Reply-To")
    mail.facts["date"] = _date(message)
    _read_parts(message, mail, address, limits)
    return _documents(mail, address, limits)


def parse_msg(raw: bytes, address: str, limits: ParseLimits) -> list[ParsedDocument]:
    """Like `parse_email`, for Outlook's own files.

    Raises:
        LimitExceeded: Too many attachments.
        UnparsableDocument: The container is damaged.
    """
    found = read_outlook(raw, address)
    mail = Mail(found.subject, found.facts, found.plain, found.html, found.attachments)
    if found.header:
        header = message_from_bytes(found.header.encode("utf-8", "replace"))
        mail.facts.setdefault("date", _date(header))
        mail.facts.setdefault("message_id", _header(header, "Message-ID"))
        mail.facts.setdefault("in_reply_to", _header(header, "In-Reply-To"))
    return _documents(mail, address, limits)


def _documents(mail: Mail, address: str, limits: ParseLimits) -> list[ParsedDocument]:
    check_count(len(mail.attachments), limits.max_attachments, "attachments", address)
    builder = TextBuilder()
    subject = clean_text(mail.subject).strip()
    if subject:
        builder.add("heading", subject, level=1)
    add_body(builder, clean_text(mail.plain), mail.html)
    parts: list[ParsedDocument] = []
    unread: list[str] = []
    for number, (name, media_type, data) in enumerate(mail.attachments, 1):
        try:
            parts.extend(_attached(number, name, media_type, data, address, limits))
        except DocumentError as error:
            unread.append(f"{name} ({error.code})")
    metadata = {name: value[:MAX_HEADER_CHARS] for name, value in mail.facts.items() if value}
    if mail.attachments:
        metadata["attachments"] = ", ".join(name for name, _, _ in mail.attachments)[:MAX_HEADER_CHARS]
    if unread:
        metadata["unread_attachments"] = ", ".join(unread)[:MAX_HEADER_CHARS]
    body = builder.build(title=subject or None, author=metadata.get("from"), metadata=metadata)
    return [body, *parts]


def _attached(
    number: int, name: str, media_type: str, data: bytes, address: str, limits: ParseLimits
) -> Iterator[ParsedDocument]:
    # The registry knows this module, so it can only be imported when it is there.
    from rag_pipeline.transforms.parse.media_type import media_type_of
    from rag_pipeline.transforms.parse.registry import parse

    inner = replace(limits, max_attachments=limits.max_attachments // NESTED_SHARE)
    kind = "message/rfc822" if media_type == "message/rfc822" else media_type_of(name, data)
    for document in parse(data, kind, f"{address}#{name}", inner):
        part = f"attachment:{number}:{name}" + (f"/{document.part}" if document.part else "")
        yield replace(document, part=part)


def _read_parts(message: Message, mail: Mail, address: str, limits: ParseLimits) -> None:
    plain: list[str] = []
    html: list[str] = []
    for count, part in enumerate(_leaves(message, 0)):
        check_count(count, MAX_PARTS, "MIME parts", address)
        kind = part.get_content_type()
        name = _file_name(part)
        is_attached = part.get_content_disposition() == "attachment" or bool(name)
        if kind in ("text/plain", "text/html") and not is_attached:
            (plain if kind == "text/plain" else html).append(_text(part))
        elif kind == "message/rfc822":
            inner = part.get_payload()
            if isinstance(inner, list) and inner and isinstance(inner[0], Message):
                mail.attachments.append((name or "message.eml", kind, _as_bytes(inner[0])))
        elif not kind.startswith("multipart/") and kind not in ("text/calendar", "application/pgp-signature"):
            mail.attachments.append((name or "unnamed", kind, _payload(part)))
        check_count(len(mail.attachments), limits.max_attachments, "attachments", address)
    mail.plain, mail.html = "\n\n".join(plain), "\n".join(html)


def _leaves(message: Message, depth: int) -> Iterator[Message]:
    if not message.is_multipart() or message.get_content_type() == "message/rfc822":
        yield message
    elif depth < MAX_MIME_DEPTH:
        for part in message.get_payload():
            if isinstance(part, Message):
                yield from _leaves(part, depth + 1)


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
        raise UnparsableDocument("An attached message is damaged.") from None


def _file_name(part: Message) -> str:
    try:
        name = part.get_filename()
    except (ValueError, LookupError, AttributeError, TypeError):
        return ""
    return " ".join(clean_text(name or "").replace("\\", "/").rpartition("/")[2].split())[:200]


def _header(message: Message, name: str) -> str:
    """The header's decoded value; damaged headers give what can be read of them."""
    # Cut before decoding: the standard library takes quadratic time on headers of a megabyte.
    value = str(message.get(name) or "")[: 2 * MAX_HEADER_CHARS]
    try:
        parts = decode_header(value)
    except (HeaderParseError, ValueError):
        parts = [(value, None)]
    text = "".join(part if isinstance(part, str) else _decoded(part, charset) for part, charset in parts)
    return " ".join(clean_text(text).split())[:MAX_HEADER_CHARS]


def _decoded(value: bytes, charset: str | None) -> str:
    try:
        return decode(value, charset) if value else ""
    except UndecodableBytes:
        return ""


def _date(message: Message) -> str:
    try:
        return parsedate_to_datetime(_header(message, "Date")).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""
