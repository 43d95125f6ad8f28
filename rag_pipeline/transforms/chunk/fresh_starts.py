"""Where in a long run of units packing begins afresh, so that an edit costs the chunks beside it.

Packed from the front, every chunk begins where the one before it was full: one more row moves all that follow, and
rows of like length never fall into step again. So in long runs some places are boundaries for their own sake: those
whose surrounding text has the smallest hash far and wide. The same text has the same such places, whatever was
edited elsewhere.

Belongs here: choosing the places. Does not belong here: packing between them (`pack.py`), or cutting (`units.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from itertools import groupby

from rag_pipeline.contracts.documents import Block, BlockKind
from rag_pipeline.transforms.chunk.tokens import TokenMap
from rag_pipeline.transforms.chunk.units import Unit

REACH_CHUNKS = 6
"""A place is chosen if no other within so many full chunks to either side has as small a hash.

They lie twice as far apart on average and never nearer, so an edit is made good after about six chunks. Each costs
half a chunk, one in 24. Shorter runs have none and are cut as they always were."""

# On each side of a place. A row that says little ("yes", "}") takes part with its neighbours, and few do in an edit.
HASHED_CHARS = 128
# Two equal hashes of 64 bits are not to be expected among the places of one document, and cost no more than a place.
HASH_BYTES = 8

_PROSE: frozenset[BlockKind] = frozenset({"paragraph", "quote", "html", "cue", "picture"})


def fresh_starts(text: str, units: Sequence[Unit], tokens: TokenMap, chunk_tokens: int) -> list[int]:
    """The units, by index and never the first, that begin a chunk whatever is packed before them.

    None in prose: its sentences, paragraphs and turns are of so many lengths that packing falls into step by itself,
    within ten chunks as a rule. A log, or another text without a blank line, is a paragraph as long as many chunks, and
    no prose.
    """
    start, end = units[0].start_char, units[-1].end_char
    reach, length = REACH_CHUNKS * chunk_tokens, tokens.count(start, end)
    if length < 2 * reach:
        return []

    def is_prose(block: Block) -> bool:
        return block.kind in _PROSE and tokens.count(block.start_char, block.end_char) < 2 * reach

    kept: list[int] = []
    for block, group in groupby(range(len(units)), key=lambda index: units[index].block):
        kept.extend([] if is_prose(block) else group)
    begins = [units[index].start_char for index in kept]
    hashes = [_hash(text[max(start, at - HASHED_CHARS) : min(end, at + HASHED_CHARS)]) for at in begins]
    places = [tokens.count(start, at) for at in begins]
    lowest = lowest_within(hashes, places, reach)
    return [kept[found] for found in lowest if reach <= places[found] <= length - reach]


def _hash(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES).digest()


def lowest_within(hashes: Sequence[bytes], places: Sequence[int], reach: int) -> list[int]:
    """The indexes whose hash is smaller than all others less than `reach` away.

    Of those before it, only the nearest with a hash as small can stand in the way, and likewise of those after it;
    a stack of rising hashes has both at hand.
    """
    is_lowest = [True] * len(hashes)
    rising: list[int] = []
    for index, place in enumerate(places):
        while rising and hashes[rising[-1]] >= hashes[index]:
            before = rising.pop()
            if place - places[before] < reach:
                is_lowest[before] = False
                is_lowest[index] &= hashes[before] != hashes[index]
        if rising and place - places[rising[-1]] < reach:
            is_lowest[index] = False
        rising.append(index)
    return [index for index, lowest in enumerate(is_lowest) if lowest]
