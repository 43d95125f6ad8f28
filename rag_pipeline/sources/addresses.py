"""Addresses and uris of objects in a folder or bucket, and stamps that tell whether one has changed.

Belongs here: names as text that can always be stored, and taken back to the very name.
Does not belong here: which names a source takes (`selection.py`).
"""

from __future__ import annotations

import re

from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.sources import SourceSpec
from rag_pipeline.shown import without_secrets
from rag_pipeline.transforms.metadata import METADATA_VERSION

# A byte of a name that is no UTF-8 becomes %XX. A name may hold such text itself, so a percent sign is
# escaped exactly where it would be taken for an escape; nearly every name stays as it is.
_ESCAPE = re.compile(r"%(25|[89A-F][0-9A-F])")
_UNDECODED = re.compile("[\udc80-\udcff]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

# What would be taken for a folder, an escape or a line's end in an address, and bytes that are no UTF-8.
_NO_NAME = re.compile("[%/\\\\\x00-\x1f\x7f\ud800-\udfff]")


def address_of(name: str) -> str:
    """The address of a name as the operating system gives it, with undecodable bytes as surrogates."""
    if "%" in name:
        name = _ESCAPE.sub(r"%25\1", name)
    if not name.isascii():
        name = _UNDECODED.sub(lambda match: f"%{ord(match.group()) - 0xDC00:02X}", name)
        # Only object stores can hold these at all; there is no way back, and no way to store them.
        name = _LONE_SURROGATE.sub("\ufffd", name)
    return name


def name_of(address: str) -> str:
    """The inverse of `address_of`."""
    if "%" not in address:
        return address
    return _ESCAPE.sub(lambda match: _unescaped(int(match.group(1), 16)), address)


def is_address(text: str) -> bool:
    """Whether a text that somebody gave is an address as listings have them, below the location and nowhere else."""
    try:
        name = name_of(text)
        name.encode("utf-8", "surrogateescape")
    except ValueError:
        return False
    segments = name.split("/")
    return "\0" not in name and address_of(name) == text and not {"", ".", ".."} & set(segments)


def _unescaped(code: int) -> str:
    return "%" if code == 0x25 else chr(0xDC00 + code)


def segment_of(name: str) -> str:
    """Any name as one segment of an address: a name at a server is no path."""
    if name in ("", ".", ".."):
        return name.replace(".", "%2E") or "%00"
    return _NO_NAME.sub(lambda match: _escape(ord(match.group())), name)


def _escape(code: int) -> str:
    # Bytes that are no text stand at U+DC80 and above; half a character otherwise is nothing that has a byte.
    return f"%{code - 0xDC00:02X}" if 0xDC80 <= code <= 0xDCFF else f"%{code:02X}"


def uri_of(spec: SourceSpec, address: str) -> str:
    """The configured location, without passwords, and the address, joined by one slash."""
    prefix = without_secrets(spec.location if spec.uri_prefix is None else spec.uri_prefix)
    shortened = prefix.rstrip("/")
    # "memory://" and "/" are whole as they are.
    return f"{prefix}{address}" if not shortened or shortened.endswith(":") else f"{shortened}/{address}"


def stamp_of(spec: SourceSpec, size_bytes: int | None, *facts: str) -> str:
    """Stamp (32 hex digits) of what the source tells of an object.

    Settings that decide how an object is read are part of it, so that changing one reads it again.
    """
    reading = f"{METADATA_VERSION} {spec.use_sidecars:d} {spec.use_front_matter:d}"
    is_refused = size_bytes is not None and size_bytes > spec.max_document_bytes
    # What lies elsewhere is something else, even where name, size and time are the same.
    return digest("stamp", reading, spec.location, f"{is_refused:d}", str(size_bytes), *facts)[:32]
