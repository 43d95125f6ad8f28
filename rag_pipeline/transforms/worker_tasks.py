"""What worker processes run: one object parsed, one document cut.

Belongs here: the two functions and what they take. A worker starts anew for each run, and often for one document, so
nothing here may import a library of frames, storage or settings; a test holds that.
Does not belong here: starting workers (`parallel/`), which objects and documents (`refresh/`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rag_pipeline.contracts.documents import Block, Chunk, ParsedDocument
from rag_pipeline.contracts.ids import fingerprint
from rag_pipeline.contracts.tokens import TokenCounter
from rag_pipeline.parsing import parse, recipe_version
from rag_pipeline.parsing.limits import ParseLimits
from rag_pipeline.parsing.ocr.options import OcrOptions
from rag_pipeline.parsing.registry import picture_of, reads_pictures
from rag_pipeline.transforms.chunk import chunk_document
from rag_pipeline.transforms.chunk.params import ChunkParams
from rag_pipeline.transforms.enrich import EnrichOptions, check_quality, enrich

# Text, title, language, blocks as stored, how to cut, and hashes of blocks to leave out: what a worker process needs.
DocumentToCut = tuple[str, str | None, str | None, list[dict[str, Any]], ChunkParams, list[int]]


@dataclass(frozen=True, slots=True)
class ParseRecipe:
    """How the objects of one source are parsed.

    Attributes:
        ocr: How pictures of text are read; None: they are not.
    """

    limits: ParseLimits
    options: EnrichOptions
    ocr: OcrOptions | None = None

    def fingerprint(self, media_type: str, *, has_others: bool = True, concern: int = 0) -> str:
        """Everything that decides what parsing an object of this media type gives, with or without files in it.

        Args:
            concern: What reading pictures has to do with the object (`ocr/options.py`). What has none is the same under
                any setting, and is not parsed again for it.
        """
        return _recipe_fingerprint(media_type, has_others, concern, self)

    def fingerprints(self, media_type: str, *, concern: int = 0) -> list[str]:
        """The fingerprints that an object of this media type may have, with and without files in it."""
        return sorted({self.fingerprint(media_type, has_others=each, concern=concern) for each in (True, False)})


@lru_cache(maxsize=10_000)
def _recipe_fingerprint(media_type: str, has_others: bool, concern: int, recipe: ParseRecipe) -> str:
    version = recipe_version(media_type, has_others=has_others)
    reading = recipe.ocr.recipe(concern) if recipe.ocr is not None and reads_pictures(media_type) else ""
    return fingerprint("parse", version, repr(recipe.limits), recipe.options.recipe, *filter(None, [reading]))


def parse_object(item: tuple[bytes, str, str], recipe: ParseRecipe) -> list[ParsedDocument]:
    """Parse one object and enrich what it gives; runs in a worker process."""
    raw, media_type, address = item
    parsed = parse(raw, media_type, address, recipe.limits, recipe.ocr)
    documents = [enrich(document, media_type, recipe.options) for document in parsed if document.text.strip()]
    check_quality(documents, address, recipe.options)
    return documents


def find_picture(item: tuple[bytes, str, str], limits: ParseLimits, content_hash: str) -> bytes:
    """The picture of that hash within one object, as a file; empty for none. Runs in a worker process."""
    raw, media_type, address = item
    return picture_of(raw, media_type, address, limits, content_hash)


def block_rows(blocks: Iterable[Block]) -> list[dict[str, Any]]:
    """Blocks as they are stored.

    A line below zero is that of the block's beginning alone: the columns stay those of every lake there is.
    """
    return [
        {
            "kind": block.kind,
            "start_char": block.start_char,
            "end_char": block.end_char,
            "level": block.level,
            "label": block.label,
            "page": block.page,
            "line": block.line if block.line is None or block.holds_lines else -block.line,
        }
        for block in blocks
    ]


def blocks_of(rows: Iterable[dict[str, Any]]) -> tuple[Block, ...]:
    """Blocks as they were before `block_rows`."""
    return tuple(map(_block_of, rows))


def _block_of(row: dict[str, Any]) -> Block:
    line = row["line"]
    return Block(**row) if line is None or line > 0 else Block(**{**row, "line": -line}, holds_lines=False)


def cut_document(item: DocumentToCut, counter: TokenCounter) -> list[Chunk]:
    """Cut one document; runs in a worker process."""
    text, title, language, blocks, params, hashes = item
    parsed = ParsedDocument(text=text, blocks=blocks_of(blocks), title=title, language=language)
    return chunk_document(parsed, params, counter, hashes)
