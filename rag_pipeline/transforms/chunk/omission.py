"""Sections without the blocks that are to be left out of the index.

Belongs here: taking blocks out of sections, so that no chunk spans one.
Does not belong here: which blocks those are (`transforms/boilerplate.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from rag_pipeline.contracts.documents import REPEATABLE_KINDS, Block
from rag_pipeline.transforms.block_hashes import block_hash
from rag_pipeline.transforms.chunk.sections import Section

LARGEST_SHARE = 0.5
"""A document loses no more of its text than this: one made mostly of shared blocks is a form, and is kept whole."""


def without_blocks(text: str, sections: Sequence[Section], left_out: Collection[int]) -> list[Section]:
    """The sections without the blocks whose hash is to be left out; all of them if too little would remain.

    A section is parted where a block is taken from its middle. A heading that would stand alone goes too: it lives on
    in the path of what remains below it.
    """
    kept = [part for section in sections for part in _parts(text, section, left_out)]
    before, after = _chars(sections), _chars(kept)
    return kept if after > (1 - LARGEST_SHARE) * before else list(sections)


def _parts(text: str, section: Section, left_out: Collection[int]) -> Iterator[Section]:
    gone = [_is_left_out(text, block, left_out) for block in section.blocks]
    if not any(gone):
        yield section
        return
    start = 0
    for stop in [*(index for index, out in enumerate(gone) if out), len(gone)]:
        blocks = section.blocks[start:stop]
        if any(block.kind != "heading" for block in blocks):
            is_opened = section.is_opened and start == 0
            yield replace(section, is_opened=is_opened, blocks=blocks, definitions=section.definitions[start:stop])
        start = stop + 1


def _is_left_out(text: str, block: Block, left_out: Collection[int]) -> bool:
    return block.kind in REPEATABLE_KINDS and block_hash(text[block.start_char : block.end_char]) in left_out


def _chars(sections: Sequence[Section]) -> int:
    return sum(block.end_char - block.start_char for section in sections for block in section.blocks)
