"""Identities: how every id and hash of the lake is derived.

Belongs here: digests and ids. Nothing is random, nothing depends on clock, machine, batch or order.
Does not belong here: fingerprints of particular recipes; their owners build them with `digest`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

# Stands between an archive and a member, in addresses and in the part of a document.
MEMBER_MARK = "!/"
# And an object and the number of a picture in it, from 1.
PICTURES_MARK = f"{MEMBER_MARK}pictures/"


def digest(*parts: str | bytes) -> str:
    """SHA-256 (64 hex digits) of length-prefixed parts, so ("ab", "c") and ("a", "bc") differ.

    Strings are hashed as UTF-8; a lone surrogate (from an undecodable file name) is kept apart as its
    own byte sequence, so two different names never meet.
    """
    prefixed: list[bytes] = []
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        prefixed += (len(raw).to_bytes(8, "big"), raw)
    # At once: a call for each of many short parts takes longer than hashing them.
    return hashlib.sha256(b"".join(prefixed)).hexdigest()


def document_id(source: str, address: str, ordinal: int) -> str:
    """Id (32 hex digits) of the document first seen at `address` of `source`.

    Args:
        ordinal: 0, unless a live document that began at this address has since moved elsewhere; then the
            next free number, so that a new document at an old address is a document of its own.
    """
    return digest("document", source, address, str(ordinal))[:32]


def chunk_id(document: str, text_hash: str, ordinal: int) -> str:
    """Id (32 hex digits) of a chunk: its document, what is embedded, and its ordinal among equal texts.

    Position is no part of it, so an edit elsewhere in the document leaves it alone.
    """
    return digest("chunk", document, text_hash, str(ordinal))[:32]


def text_hash(embedded_text: str) -> str:
    """SHA-256 of exactly what the model sees. Equal hashes in one embedding space share one vector."""
    return digest("text", embedded_text)


def bytes_hash(raw: bytes) -> str:
    """Plain SHA-256 of a source object's bytes, the same that `sha256sum` prints."""
    return hashlib.sha256(raw).hexdigest()


def git_blob_id(raw: bytes) -> str:
    """Id that git gives some bytes."""
    return hashlib.sha1(b"blob %d\0" % len(raw) + raw, usedforsecurity=False).hexdigest()


def fingerprint(*parts: str) -> str:
    """16 hex digits naming a recipe (parser version, chunker parameters, embedding space)."""
    return digest("fingerprint", *parts)[:16]


def principals_key(principals: Iterable[str]) -> str:
    """One string for a set of principals, equal exactly when the sets are equal."""
    return digest("principals", *sorted(set(principals)))[:16]
