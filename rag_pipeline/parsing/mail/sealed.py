"""Signed and encrypted mail: what can be read of it without a key.

Belongs here: telling S/MIME and PGP apart and unwrapping signed S/MIME. Signatures are not verified.
Does not belong here: MIME parts as such (`mime`).
"""

from __future__ import annotations

import re
from email.message import Message

from rag_pipeline.errors import EncryptedDocument

_DATA = bytes.fromhex("06092a864886f70d010701")
_ENCRYPTED = (bytes.fromhex("06092a864886f70d010703"), bytes.fromhex("060b2a864886f70d0109100117"))
_SEALED_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
SIGNATURE_TYPES = frozenset(
    {"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"}
)
_PGP = re.compile(r"\s*-----BEGIN PGP MESSAGE-----.*?-----END PGP MESSAGE-----\s*$", re.S)
_VERSION_NOTE = re.compile(rb"\s*(?:Version:[^\r\n]{0,100}\s*)?\Z", re.I)
_OCTETS, _OCTETS_IN_PARTS = 0x04, 0x24


def is_sealed(part: Message) -> bool:
    """Whether the part is an S/MIME envelope, signed or encrypted."""
    return part.get_content_type() in _SEALED_TYPES


def is_encrypted(part: Message, data: bytes) -> bool:
    """Whether the sealed part, or the part of an encrypted PGP message, cannot be read without a key."""
    if part.get_content_type() == "application/pgp-encrypted":
        return True
    kind = str(part.get_param("smime-type") or "").lower()
    return is_sealed(part) and ("enveloped" in kind or is_encrypted_data(data))


def is_encrypted_data(data: bytes) -> bool:
    """Whether an S/MIME envelope is an encrypted one."""
    return any(mark in data[:100] for mark in _ENCRYPTED)


def is_version_note(data: bytes) -> bool:
    """Whether a part of an encrypted PGP message only says by which version it was made."""
    return _VERSION_NOTE.match(data) is not None


def encrypted_message(address: str) -> EncryptedDocument:
    """The refusal of a message that only a key opens."""
    return EncryptedDocument(f"{address}: the message is encrypted. Store it decrypted or exclude it.", address=address)


def is_pgp_text(text: str) -> bool:
    """Whether a body is one armoured PGP message and nothing else."""
    return _PGP.match(text) is not None


def signed_content(data: bytes) -> bytes:
    """The message within a signed S/MIME envelope; empty where there is none or the envelope is damaged."""
    start = data.find(_DATA)
    if start < 0:
        return b""
    explicit = _element(data, start + len(_DATA))
    inner = _element(data, explicit[1]) if explicit and explicit[0] == 0xA0 else None
    if inner is None:
        return b""
    if inner[0] == _OCTETS:
        return data[inner[1] : inner[2]]
    if inner[0] != _OCTETS_IN_PARTS:
        return b""
    parts: list[bytes] = []
    position = inner[1]
    while position < inner[2]:
        piece = _element(data, position)
        if piece is None or piece[0] != _OCTETS:
            break
        parts.append(data[piece[1] : piece[2]])
        position = piece[2]
    return b"".join(parts)


def _element(data: bytes, position: int) -> tuple[int, int, int] | None:
    """(tag, start, end) of the content of the BER element there; one of open length ends with the data."""
    if position + 2 > len(data):
        return None
    tag, length = data[position], data[position + 1]
    start = position + 2
    if length == 0x80:
        return tag, start, len(data)
    if length > 0x80:
        size = length & 0x7F
        if size > 8:
            return None
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    return tag, start, min(start + length, len(data))
