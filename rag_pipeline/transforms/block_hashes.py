"""Hashes by which a block of text is known again in other documents.

Belongs here: which blocks are hashed, and how. Only the standard library: worker processes import it.
Does not belong here: what is made of blocks that stand in many documents (`boilerplate.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from rag_pipeline.contracts.documents import REPEATABLE_KINDS, Block

MIN_WORDS = 4
"""Shorter blocks repeat by nature: "Display help", "See also:"."""


def block_hash(text: str) -> int | None:
    """64 bits of a block's wording, case and white space aside; None if it is too short to count."""
    words = text.split()
    if len(words) < MIN_WORDS:
        return None
    normal = " ".join(words).casefold().encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(normal, digest_size=8).digest(), "big", signed=True)


def repeatable_hashes(text: str, blocks: Iterable[Block]) -> tuple[int, ...]:
    """Distinct hashes of the blocks of a document that may be boilerplate, in ascending order.

    Tables, code, records and their fields are not among them: there, equal values are data.
    """
    found = (block_hash(text[b.start_char : b.end_char]) for b in blocks if b.kind in REPEATABLE_KINDS)
    return tuple(sorted({each for each in found if each is not None}))
