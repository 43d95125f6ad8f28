"""A message as a document: its address, what its header says, and who may read it.

Belongs here: what the settings of the kind `mail` make of one message, pure.
Does not belong here: getting messages (`imap.py`, `maildir.py`, `mbox.py`), their text (`parsing/mail/`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email import policy
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import getaddresses, parsedate_to_datetime

from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.names import principal
from rag_pipeline.contracts.sources import Capabilities, DeclaredMetadata, FetchedObject, SourceSpec
from rag_pipeline.errors import SourceUnavailable
from rag_pipeline.shown import without_secrets
from rag_pipeline.sources import reading
from rag_pipeline.sources.addresses import segment_of

# Why a message cannot be read where its store is gone since it was listed.
DOWN = "the place where the mail is does not answer"
CAPABILITIES = Capabilities(gives_media_types=True)
# Headers of mailing lists take some kilobytes.
_MAX_HEADER_BYTES = 256 * 1024
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,998}>")
_FORWARD = re.compile(r"\s*(?:fwd?|wg|tr|rv|enc|doorst)\s*:", re.I)
_MAILBOX = re.compile(r"[^@\s<>\x00-\x1f]+@[^@\s<>\x00-\x1f]+")


def folder_address(levels: Iterable[str]) -> str:
    """Names of folders, escaped, as the beginning of an address."""
    return "/".join(map(segment_of, levels))


def message_stamp(spec: SourceSpec, *facts: str) -> str:
    """Stamp of a message; settings that decide how one is read are part of it, flags are not."""
    fields = spec.fields
    how = [fields["permissions_from"], *sorted(map(str.lower, fields["recipient_domains"])), fields["quoted"]]
    return digest("mail", spec.location, repr(how), *facts)[:32]


def fetched_message(spec: SourceSpec, raw: bytes, folder: str, received: datetime | None) -> FetchedObject:
    """A message with what is declared of it.

    Args:
        folder: As the address has it.
        received: UTC, where the store knows it; else the message's own date counts.

    Raises:
        DocumentTooLarge: It is over the source's limit.
    """
    if len(raw) > spec.max_document_bytes:
        raise reading.too_large(len(raw), spec.max_document_bytes)
    end = _HEADER_END.search(raw, 0, _MAX_HEADER_BYTES)
    header = BytesHeaderParser(policy=policy.compat32).parsebytes(raw[: end.end() if end else _MAX_HEADER_BYTES])
    extra = {"folder": folder}
    thread = _thread(header)
    if thread:
        extra["thread"] = thread
    readers = None
    if spec.fields["permissions_from"] == "recipients":
        readers = people(header, spec.fields["recipient_domains"])
    return FetchedObject(
        raw,
        DeclaredMetadata(
            allowed_principals=readers,
            modified_at=received or _date(header),
            extra=extra,
            media_type="message/x-reply"
            if spec.fields["quoted"] == "leave_out" and _is_reply(header)
            else "message/rfc822",
        ),
    )


def people(header: Message, domains: Iterable[str] = ()) -> tuple[str, ...]:
    """Addresses of who wrote a message and whom it names as recipients, in lower case; what is no address is nobody.

    Those in blind copy are left out: who may read a message is shown with it, and they would be named to the others.

    Args:
        domains: Only addresses of these count; none: all.
    """
    named = [str(value) for name in ("From", "To", "Cc") for value in header.get_all(name, [])]
    allowed = {domain.strip().lower().lstrip("@") for domain in domains}
    found = set()
    for _, address in getaddresses(named):
        mailbox = address.strip().lower()
        if _MAILBOX.fullmatch(mailbox) and (not allowed or mailbox.rpartition("@")[2] in allowed):
            try:
                found.add(principal(mailbox))
            except ValueError:
                # Letters that nobody sees make it look like somebody else's.
                continue
    return tuple(sorted(found))


def _thread(header: Message) -> str:
    """The first message of the thread that this one belongs to, or its own id where it begins one; "" for none."""
    for name in ("References", "In-Reply-To", "Message-ID"):
        found = _MESSAGE_ID.search(str(header.get(name) or ""))
        if found:
            return found.group()
    return ""


def _is_reply(header: Message) -> bool:
    """Whether it answers another message; one that passes another on is often the only copy of it."""
    answers = header.get("In-Reply-To") or header.get("References")
    return bool(answers) and not _FORWARD.match(str(header.get("Subject") or ""))


def _date(header: Message) -> datetime | None:
    try:
        found = parsedate_to_datetime(str(header.get("Date") or ""))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    try:
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except OverflowError:
        return None


def unavailable(spec: SourceSpec, reason: str) -> SourceUnavailable:
    """The store cannot be listed or read; the reason is a clause, and what to do about it a sentence after it."""
    return SourceUnavailable(
        f"The mail of source {spec.name} at {without_secrets(spec.location)} cannot be read: {reason} "
        "Nothing of the source was changed.",
        source=spec.name,
    )
