"""Files that are attached to a document: each is parsed as a document below it, and what cannot be is named.

Belongs here: the addresses, parts and bounds of attachments, for every format that has them.
Does not belong here: finding attachments (`mail/`, `pdf/`), members of archives (`containers/`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import DocumentError, LimitExceeded
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.media_type import media_type_of

# An attached file may have attachments itself: each level gets this share of the attachments allowed.
NESTED_SHARE = 8
MAX_LISTED_CHARS = 2_000

Attachment = tuple[str, str, bytes]
"""File name, media type as it was declared or "", and content."""


def attached_documents(
    attachments: Sequence[Attachment], left_chars: int, context: ParseContext
) -> tuple[list[ParsedDocument], dict[str, str]]:
    """The documents of all attachments that can be read, and what to say of them in the metadata.

    Args:
        left_chars: Characters of text that the attachments may have together.
    """
    documents: list[ParsedDocument] = []
    unread: list[str] = []
    # A file within a file within a file counts towards what the outermost may unpack to.
    left_bytes = max(1, context.limits.max_archive_bytes - sum(len(data) for _, _, data in attachments))
    for number, (name, media_type, data) in enumerate(attachments, 1):
        if left_chars <= 0:
            unread.append(f"{name} ({LimitExceeded.code})")
            continue
        try:
            allowed = replace(context.limits, max_text_chars=left_chars, max_archive_bytes=left_bytes)
            found = _attached(number, name, media_type, data, replace(context, limits=allowed))
            left_chars -= sum(len(document.text) for document in found)
            documents.extend(found)
        except DocumentError as error:
            unread.append(f"{name} ({error.code})")
    facts: dict[str, str] = {}
    if attachments:
        facts["attachments"] = ", ".join(name for name, _, _ in attachments)[:MAX_LISTED_CHARS]
    if unread:
        facts["unread_attachments"] = ", ".join(unread)[:MAX_LISTED_CHARS]
        facts["unread_attachments_count"] = str(len(unread))
    return documents, facts


def _attached(number: int, name: str, media_type: str, data: bytes, context: ParseContext) -> list[ParsedDocument]:
    inner = replace(context.limits, max_attachments=context.limits.max_attachments // NESTED_SHARE)
    kind = "message/rfc822" if media_type == "message/rfc822" else media_type_of(name, data)
    prefix = f"attachment:{number}:{name}"
    return [
        replace(document, part=f"{prefix}/{document.part}" if document.part else prefix)
        for document in context.parse_part(data, kind, f"{context.address}#{name}", inner)
    ]
