"""What both readers of files do alike: refuse by size, read what is declared, word what went wrong.

Belongs here: everything about a fetched object that does not depend on where its bytes came from.
Does not belong here: opening files (`local.py`, `remote.py`).
"""

from __future__ import annotations

import os
from dataclasses import replace

from rag_pipeline.contracts.sources import DeclaredMetadata, SourceSpec
from rag_pipeline.errors import (
    DocumentTooLarge,
    DocumentUnreadable,
    DocumentVanished,
    InvalidMetadata,
    LinkOutsideSource,
)
from rag_pipeline.transforms.metadata import merge_declared, read_front_matter, read_sidecar

# A file that changes this often is being written to; the next run reads it.
READ_ATTEMPTS = 3


def declared_by(raw: bytes, sidecar: tuple[str, bytes] | None, spec: SourceSpec) -> DeclaredMetadata:
    """What an object's sidecar (its address and bytes) and front matter declare, the sidecar first.

    Raises:
        InvalidMetadata: See `read_sidecar` and `read_front_matter`.
    """
    declared = read_front_matter(raw) if spec.use_front_matter else DeclaredMetadata()
    if sidecar is not None:
        address, content = sidecar
        declared = merge_declared(read_sidecar(content, is_json=address.endswith(".json")), declared)
    return declared


def bounded_by_target(declared: DeclaredMetadata, target: str, of_target: DeclaredMetadata) -> DeclaredMetadata:
    """What is declared of a link, with what bounds its permissions."""
    return replace(declared, link_target=target, link_target_principals=of_target.allowed_principals)


def too_large(size_bytes: int | None, limit_bytes: int) -> DocumentTooLarge:
    shown = "larger" if size_bytes is None else f"{size_bytes} bytes, more"
    return DocumentTooLarge(
        f"The document is {shown} than the limit of {limit_bytes} bytes, and was not read. Split or exclude it, "
        "or raise `sources.NAME.max_document_bytes`.",
        size_bytes=size_bytes,
        limit_bytes=limit_bytes,
    )


def vanished() -> DocumentVanished:
    return DocumentVanished("The document was listed, and is gone now that it is read; it counts as not listed.")


def unreadable(reason: str) -> DocumentUnreadable:
    return DocumentUnreadable(
        f"The document cannot be read: {reason}. Correct it at the source; the next run tries again.", reason=reason
    )


def unreadable_because(error: BaseException) -> DocumentUnreadable:
    return unreadable(words_of(error))


def words_of(error: BaseException) -> str:
    """What went wrong, without the error's own message, which may hold paths or credentials."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number).lower() if number else type(error).__name__


def still_changing() -> DocumentUnreadable:
    return unreadable(f"it was changed while it was read, {READ_ATTEMPTS} times in a row")


def leads_outside() -> LinkOutsideSource:
    return LinkOutsideSource(
        "This is a symbolic link that leads out of what the source may read, so it was not followed. Put a copy "
        "in its place, or exclude it."
    )


def sidecar_unreadable(reason: str) -> InvalidMetadata:
    return InvalidMetadata(
        f"The document's sidecar cannot be read: {reason}. It may say who may read the document, so the document "
        "is held back. Correct the sidecar; the next run reads it again.",
        reason=reason,
    )


def several_sidecars(addresses: list[str]) -> InvalidMetadata:
    names = " and ".join(address.rpartition("/")[2] for address in addresses)
    return InvalidMetadata(
        f"The document has more than one sidecar ({names}), so it is not known who may read it. Keep one.",
        sidecars=names,
    )
