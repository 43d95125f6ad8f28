"""E-mails (EML, MBOX, MSG): header facts, body, and attachments as further documents.

Belongs here: headers, mailboxes of many messages, and what the mail formats share. Does not belong here: MIME
parts (`mime`), the text of bodies (`body`), the Outlook container (`outlook`).
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from dataclasses import replace
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.utils import parsedate_to_datetime

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import DocumentError, UndecodableBytes, UnparsableDocument
from rag_pipeline.parsing.attached import attached_documents
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_text, decode
from rag_pipeline.parsing.limits import check_count, no_known_format
from rag_pipeline.parsing.mail.body import add_body
from rag_pipeline.parsing.mail.mime import Mail, open_sealed, read_parts
from rag_pipeline.parsing.mail.outlook import read_outlook
from rag_pipeline.parsing.mail.sealed import encrypted_message, is_encrypted_data, signed_content
from rag_pipeline.parsing.web.hidden import hidden_counts

VERSION = "18"

# Some fifty recipients; no subject comes near.
MAX_HEADER_CHARS = 2_000
# Of a long list of recipients as much is text; metadata has more of it.
MAX_SHOWN_CHARS = 500
# A line that begins a message of a mailbox, with the first header field after it.
_ENVELOPE = re.compile(rb"(?:\A|\r?\n\r?\n)From [^\r\n]{1,500}\r?\n(?=>?[A-Za-z][A-Za-z0-9-]*:)")
_ENCODED = re.compile(r"^Content-Transfer-Encoding:[ \t]*(?:base64|quoted-printable)", re.M | re.I)
_CHARSET = re.compile(r"(\bcharset[ \t]*=[ \t]*\"?)[\w.:-]+", re.I)
# What programs write before the subject of a message that is passed on, in the languages of their makers.
_PASSED_ON = re.compile(r"\s*(?:fwd?|wg|tr|rv|enc|vb|vl|pd|doorst)\s*:", re.I)
_ESCAPED_FROM = re.compile(rb"^>(>*From )", re.M)


def parse_email(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """The message as first document, then one or more for each attachment that can be read.

    A mailbox gives so for each of its messages; those that cannot be read are left out.

    Raises:
        EncryptedDocument: Nothing can be read without a key.
        LimitExceeded: Too many attachments, parts or messages, or more text than allowed.
        UnparsableDocument: There is no message.
    """
    raw = _in_utf_8(raw)
    marks = [match.span() for match in _ENVELOPE.finditer(raw)] if raw.startswith(b"From ") else []
    if len(marks) < 2:
        return _message(raw, context)
    check_count(len(marks), context.limits.max_records, "messages", context.address)
    documents: list[ParsedDocument] = []
    sealed: list[ParsedDocument] = []
    refusal: DocumentError | None = None
    # Messages that cannot be read and say nothing outside.
    unnamed = 0
    chars = 0
    ends = [start for start, _ in marks[1:]] + [len(raw)]
    for number, ((_, start), end) in enumerate(zip(marks, ends, strict=True), 1):
        message = _ESCAPED_FROM.sub(rb"\1", raw[start:end])
        try:
            left = replace(context.limits, max_text_chars=context.limits.max_text_chars - chars)
            found = _message(message, replace(context, address=f"{context.address}#{number}", limits=left))
        except DocumentError as error:
            refusal = error
            notice = _notice(message, error, f"message:{number}")
            sealed += notice
            unnamed += not notice
            continue
        chars += sum(len(document.text) for document in found)
        check_count(chars, context.limits.max_text_chars, "characters of text", context.address)
        for document in found:
            part = f"message:{number}" + (f"/{document.part}" if document.part else "")
            documents.append(replace(document, part=part))
    if not documents and refusal is not None:
        raise refusal
    if unnamed:
        documents[0] = replace(documents[0], metadata=documents[0].metadata | {"unread_message_count": str(unnamed)})
    return documents + sealed


def _in_utf_8(raw: bytes) -> bytes:
    """A message without a mark of byte order; one saved as UTF-16 with its declared charsets to match."""
    raw = raw.removeprefix(codecs.BOM_UTF8)
    if not raw.startswith((b"\xff\xfe", b"\xfe\xff")) and b"\0" not in raw[:4]:
        return raw
    text = decode(raw, None)
    if _ENCODED.search(text) is None:
        text = _CHARSET.sub(r"\1utf-8", text)
    return text.encode("utf-8", "replace")


def _notice(raw: bytes, error: DocumentError, part: str) -> list[ParsedDocument]:
    """What stands outside a message that cannot be read, and why it cannot, so that it does not vanish."""
    message = message_from_bytes(raw)
    mail = Mail(subject=_header(message, "Subject"))
    _read_facts(message, mail)
    builder = TextBuilder()
    _add_head(builder, mail)
    metadata = {name: value for name, value in mail.facts.items() if value} | {
        "unread": error.code,
        "unread_message_count": "1",
    }
    found = builder.build(title=mail.subject or None, author=metadata.get("from"), metadata=metadata, part=part)
    return [] if builder.is_empty else [found]


def parse_reply(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """Like `parse_email`, for an answer to a message that is a document itself: what it quotes is left out.

    One that says nothing of its own keeps its quotes. Raises what `parse_email` does.
    """
    return _message(_in_utf_8(raw), context, leave_out_quotes=True)


def _message(raw: bytes, context: ParseContext, *, leave_out_quotes: bool = False) -> list[ParsedDocument]:
    message = message_from_bytes(raw)
    if not message.keys() and b"\0" in raw:
        raise no_known_format(context.address)
    mail = Mail(subject=_header(message, "Subject"))
    _read_facts(message, mail)
    read_parts(message, mail, context.address, context.limits)
    return _documents(mail, context, leave_out_quotes=leave_out_quotes)


def _read_facts(message: Message, mail: Mail) -> None:
    for name, fact in (("From", "from"), ("To", "to"), ("Cc", "cc"), ("Message-ID", "message_id")):
        mail.facts[fact] = _header(message, name)
    mail.facts["in_reply_to"] = _header(message, "In-Reply-To")
    mail.facts["date"] = _date(message)


def parse_pkcs7(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """The message within an S/MIME envelope that is a file of its own.

    Raises:
        EncryptedDocument: It cannot be read without a key.
        UnparsableDocument: There is no message in it.
    """
    if is_encrypted_data(raw):
        raise encrypted_message(context.address)
    content = signed_content(raw)
    if not content:
        raise UnparsableDocument(
            f"{context.address}: the envelope holds no message. Save the message itself.", address=context.address
        )
    return _message(content, context)


def parse_msg(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """Like `parse_email`, for Outlook's own files.

    Raises:
        EncryptedDocument: Nothing can be read without a key.
        LimitExceeded: Too many attachments.
        UnparsableDocument: The container is damaged.
    """
    found = read_outlook(raw, context.address, context.limits)
    mail = Mail(found.subject, found.facts, found.plain, found.html, attachments=found.attachments)
    open_sealed(mail, context.address)
    if found.header:
        header = message_from_bytes(found.header.encode("utf-8", "replace"))
        mail.facts["date"] = _date(header) or mail.facts.get("date", "")
        mail.facts.setdefault("message_id", _header(header, "Message-ID"))
        mail.facts.setdefault("in_reply_to", _header(header, "In-Reply-To"))
    return _documents(mail, context)


def _documents(mail: Mail, context: ParseContext, *, leave_out_quotes: bool = False) -> list[ParsedDocument]:
    limits = context.limits
    check_count(len(mail.attachments), limits.max_attachments, "attachments", context.address)
    builder = TextBuilder()
    subject = _add_head(builder, mail)
    hidden: Counter[str] = Counter()
    # What is passed on may stand in no other message, and is marked as in an answer.
    keep_quotes = not leave_out_quotes or _PASSED_ON.match(subject) is not None
    skipped = add_body(builder, clean_text(mail.plain), mail.html, hidden, keep_quotes=keep_quotes)
    for event in mail.events:
        builder.add("paragraph", event)
    parts, said = attached_documents(mail.attachments, limits.max_text_chars - builder.length_chars, context)
    metadata = (
        {name: value[:MAX_HEADER_CHARS] for name, value in mail.facts.items() if value} | said | hidden_counts(hidden)
    )
    if skipped:
        metadata["skipped_quote_count"] = str(skipped)
    body = builder.build(title=subject or None, author=metadata.get("from"), metadata=metadata)
    return [body, *parts]


def _add_head(builder: TextBuilder, mail: Mail) -> str:
    """Adds the subject, and who wrote to whom, since people look for mails by their names. Returns the subject."""
    subject = clean_text(mail.subject).strip()
    if subject:
        builder.add("heading", subject, level=1)
    people = [
        f"{name}: {clean_text(mail.facts[fact])[:MAX_SHOWN_CHARS]}"
        for name, fact in (("From", "from"), ("To", "to"), ("Cc", "cc"))
        if mail.facts.get(fact) and not mail.facts[fact].startswith("<Saved by")
    ]
    if subject or mail.plain.strip() or mail.html or mail.events:
        builder.add("field", "\n".join(people))
    return subject


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
