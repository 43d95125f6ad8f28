"""Bodies of answers, never larger than allowed: a few kilobytes may expand to gigabytes.

Belongs here: joining and expanding what comes in pieces.
Does not belong here: letters (`web` kinds decide on charsets).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from rag_pipeline.sources.http.failures import Garbled, TooLarge

# What is asked for; servers that send another coding all the same are not understood.
ACCEPTED = "gzip, identity"
# Bits of the window: gzip's header, zlib's, and none.
_GZIP, _ZLIB, _RAW = 31, 15, -15


def whole_body(pieces: Iterable[bytes], coding: str, limit: int) -> bytes:
    """The body as it was before coding.

    Raises:
        TooLarge: It is over `limit` bytes; no more than that was kept.
        Garbled: It is not of its coding, or broke off within.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return _joined(pieces, limit)
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise Garbled(f"it is coded as {coding[:40]}, which was not asked for")
    return expanded(pieces, limit, _GZIP if coding.endswith("gzip") else _ZLIB)


def expanded(pieces: Iterable[bytes], limit: int, window: int = _GZIP) -> bytes:
    """What zipped pieces hold; raises what `whole_body` does."""
    body = bytearray()
    expander = zlib.decompressobj(window)
    is_first = True
    try:
        for piece in pieces:
            if not piece:
                continue
            if is_first and window == _ZLIB and piece[0] & 0x0F != 8:
                # Some servers send deflate without the header of zlib.
                expander = zlib.decompressobj(_RAW)
            is_first = False
            while piece:
                if expander.eof:
                    # What follows the end of a member is another one, or filling.
                    if window != _GZIP or not piece.startswith(b"\x1f\x8b"):
                        return bytes(body)
                    expander = zlib.decompressobj(window)
                body += expander.decompress(piece, limit + 1 - len(body))
                if len(body) > limit:
                    raise _too_large(limit)
                piece = expander.unconsumed_tail or expander.unused_data
    except zlib.error as error:
        raise Garbled("it is not coded as it says") from error
    if not expander.eof and not is_first:
        raise Garbled("it broke off")
    return bytes(body)


def _joined(pieces: Iterable[bytes], limit: int) -> bytes:
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"it is larger than {limit:,} bytes")
