"""Sections without the blocks that are to be left out of the index.

Belongs here: taking blocks out of sections, so that no chunk spans one, and when they stay all the same.
Does not belong here: which blocks those are (`transforms/boilerplate.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from rag_pipeline.contracts.documents import Block, ParsedDocument
from rag_pipeline.transforms.block_hashes import block_wording, section_wordings, wording_hash
from rag_pipeline.transforms.chunk.sections import Section

# Part of how a document was cut, where something was left out of it: bump when other blocks may stay.
VERSION = "1"

LARGEST_SHARE = 0.5
"""A document loses no more of its text than this: one made mostly of shared blocks is a form, and is kept whole."""


def without_blocks(
    document: ParsedDocument, sections: Sequence[Section], left_out: Collection[int], *, with_header: bool
) -> list[Section]:
    """The sections without what is to be left out; all of them if too little would remain.

    A section that would lose all but its heading is left out only as a whole, if heading and text repeat together;
    else it stays as it is, since somebody may look for the heading. Where something remains below, the heading is
    named in its path. What follows a colon stays: it is half of a sentence. A section is parted where a block is
    taken from its middle.

    Args:
        with_header: Chunks name their section; if they do not, a heading stays even where it stands alone.
    """
    whole = {
        start
        for start, wording in section_wordings(document.text, document.blocks)
        if wording_hash(wording) in left_out
    }
    kept = [
        part
        for section in sections
        if section.blocks[0].start_char not in whole
        for part in _parts(document.text, section, left_out, with_header)
    ]
    before, after = _chars(sections), _chars(kept)
    return kept if after > (1 - LARGEST_SHARE) * before else list(sections)


def _parts(text: str, section: Section, left_out: Collection[int], with_header: bool) -> Iterator[Section]:
    gone = _gone(text, section.blocks, left_out)
    has_heading = section.blocks[0].kind == "heading"
    if not any(gone) or (has_heading and all(gone[1:])):
        yield section
        return
    start = 0
    for stop in [*(index for index, out in enumerate(gone) if out), len(gone)]:
        blocks = section.blocks[start:stop]
        if blocks and (not with_header or any(block.kind != "heading" for block in blocks)):
            is_opened = section.is_opened and start == 0
            yield replace(section, is_opened=is_opened, blocks=blocks, definitions=section.definitions[start:stop])
        start = stop + 1


def _gone(text: str, blocks: Sequence[Block], left_out: Collection[int]) -> list[bool]:
    gone: list[bool] = []
    for index, block in enumerate(blocks):
        wording = block_wording(text, block)
        before = text[blocks[index - 1].start_char : blocks[index - 1].end_char] if index else ""
        gone.append(
            wording is not None and wording_hash(wording) in left_out and not before.rstrip("*_` \n").endswith(":")
        )
    return gone


def _chars(sections: Sequence[Section]) -> int:
    return sum(block.end_char - block.start_char for section in sections for block in section.blocks)
