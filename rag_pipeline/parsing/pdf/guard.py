"""Bounds what a PDF's compressed streams unpack to, before any PDF library touches them.

Belongs here: the check against decompression bombs, which PDFium itself does not bound.
Does not belong here: reading the document (`pdf`).
"""

from __future__ import annotations

import re
import zlib

from rag_pipeline.errors import LimitExceeded
from rag_pipeline.parsing.limits import ParseLimits

_STREAM = re.compile(rb"stream\r?\n")
# The dictionary stands before its stream; this much of it is enough to see the filters.
DICTIONARY_BYTES = 600
# Deflate packs 1000:1 at best, so a smaller stream under one filter cannot grow dangerous alone.
SMALL_STREAM_BYTES = 16 * 1024
STEP_BYTES = 8 * 1024 * 1024
# Streams do not overlap; a file that says so again and again only wants to be unpacked again and again.
MAX_LOOKS_AT_A_BYTE = 8


def check_streams(raw: bytes, address: str, limits: ParseLimits) -> None:
    """Raises LimitExceeded if a stream, or all together, unpack past the limits.

    Only Deflate is looked at: the other filters of PDF either do not expand or are image formats, which
    are not decoded here.
    """
    total = 0
    looked_at = 0
    last_end = raw.rfind(b"endstream")
    for match in _STREAM.finditer(raw):
        dictionary = raw[max(0, match.start() - DICTIONARY_BYTES) : match.start()]
        dictionary = dictionary[dictionary.rfind(b"obj") + 1 :]
        filters = dictionary.count(b"/FlateDecode") + dictionary.count(b"/Fl ") + dictionary.count(b"/Fl]")
        if not filters:
            continue
        start = match.end()
        end = raw.find(b"endstream", start) if start <= last_end else len(raw)
        looked_at += end - start
        if looked_at > MAX_LOOKS_AT_A_BYTE * len(raw):
            raise LimitExceeded(
                f"{address}: the compressed streams overlap. The file is damaged or hostile; exclude it.",
                address=address,
            )
        if filters == 1 and end - start < SMALL_STREAM_BYTES:
            total += (end - start) * 8
            continue
        size = _unpacked_bytes(raw[start:end], filters, limits.max_member_bytes)
        total += size
        if size > limits.max_member_bytes or total > limits.max_archive_bytes:
            raise LimitExceeded(
                f"{address}: a compressed stream unpacks to more than {min(size, limits.max_member_bytes):,} "
                f"bytes ({total:,} in all so far). The file is damaged or hostile; exclude it.",
                address=address,
                stream_bytes=size,
                total_bytes=total,
            )


def _unpacked_bytes(packed: bytes, filters: int, limit_bytes: int) -> int:
    """Size after `filters` rounds of Deflate, counted no further than just past the limit."""
    size = 0
    inner = zlib.decompressobj() if filters > 1 else None
    outer = zlib.decompressobj()
    pending = packed
    try:
        while pending and not outer.eof and size <= limit_bytes:
            plain = outer.decompress(pending, STEP_BYTES)
            pending = outer.unconsumed_tail
            size += len(plain)
            while inner is not None and plain and not inner.eof and size <= limit_bytes:
                size += len(inner.decompress(plain, STEP_BYTES))
                plain = inner.unconsumed_tail
    except zlib.error:
        # Damaged or encrypted: the PDF library will not unpack it either.
        return size
    return size
