"""Hashes by which a block of text, or a whole section, is known again in other documents.

Belongs here: what is hashed, and how. Only the standard library: worker processes import it.
Does not belong here: what is made of text that stands in many documents (`boilerplate.py`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence

from rag_pipeline.contracts.documents import REPEATABLE_KINDS, Block

# Part of every document's recipe: bump whenever other blocks or other hashes may come out.
VERSION = "1"

MIN_WORDS = 4
"""Shorter blocks repeat by nature: "Display help", "See also:"."""

MIN_UNSPACED_LETTERS = 12
"""What counts as much in scripts that put no spaces between words."""

# Thai and Lao, Burmese, Khmer, kana, and the characters of Chinese.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def normal_wording(text: str) -> str:
    """What of a text is hashed: case and white space are layout."""
    return " ".join(text.split()).casefold()


def block_wording(text: str, block: Block) -> str | None:
    """Normal wording of a block that may be boilerplate; None if it is too short, or data such as a table's."""
    if block.kind not in REPEATABLE_KINDS:
        return None
    wording = normal_wording(text[block.start_char : block.end_char])
    if wording.count(" ") >= MIN_WORDS - 1:
        return wording
    is_long = not wording.isascii() and len(_UNSPACED.findall(wording)) >= MIN_UNSPACED_LETTERS
    return wording if is_long else None


def section_wordings(text: str, blocks: Sequence[Block]) -> Iterator[tuple[int, str]]:
    """(start of the heading, normal wording) of sections of which every block may be boilerplate.

    Headings that stand right above the section's own count with it: left out below them, nothing would name them.
    """
    blocks = _with_text(blocks)
    return _sections(text, blocks, [block_wording(text, block) for block in blocks])


def _with_text(blocks: Sequence[Block]) -> list[Block]:
    """Without the marks of pictures, which say nothing."""
    return [block for block in blocks if block.start_char < block.end_char]


def _sections(text: str, blocks: Sequence[Block], wordings: Sequence[str | None]) -> Iterator[tuple[int, str]]:
    at = 0
    while at < len(blocks):
        body = at
        while body < len(blocks) and blocks[body].kind == "heading":
            body += 1
        end = body
        while end < len(blocks) and blocks[end].kind != "heading":
            end += 1
        if at < body < end and None not in wordings[body:end]:
            lines = [normal_wording(text[block.start_char : block.end_char]) for block in blocks[at:body]]
            yield blocks[body - 1].start_char, "\n".join([*lines, *filter(None, wordings[body:end])])
        at = end


def wording_hash(wording: str) -> int:
    """64 bits of a normal wording."""
    digest = hashlib.blake2b(wording.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def repeatable_wordings(text: str, blocks: Sequence[Block]) -> Iterator[str]:
    """Normal wordings of everything in a document that may be boilerplate: blocks, and sections made of such."""
    blocks = _with_text(blocks)
    wordings = [block_wording(text, block) for block in blocks]
    yield from filter(None, wordings)
    yield from (wording for _, wording in _sections(text, blocks, wordings))


def repeatable_hashes(text: str, blocks: Sequence[Block]) -> tuple[int, ...]:
    """Distinct hashes of everything in a document that may be boilerplate, in ascending order."""
    return tuple(sorted({wording_hash(wording) for wording in repeatable_wordings(text, blocks)}))
