"""The sentence that situates a chunk in its document: what it is made of, and putting it into the chunk's header.

Belongs here: what a model is shown of a document around a chunk, the key of that, and rows of chunks with sentences.
Does not belong here: asking a model (`enrichment/`), reading and writing tables (`refresh/contexts.py`).

A sentence goes by what the model was shown: the chunk, title and headings, the beginning of the document, and what
stands around the chunk. An edit concerns the chunks that it is shown with, and no others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from rag_pipeline.contracts.documents import HEADER_SEPARATOR, embedded_text, header_with, own_header
from rag_pipeline.contracts.ids import digest, text_hash
from rag_pipeline.contracts.tokens import TokenCounter
from rag_pipeline.transforms.chunks import identified

# Raise it when a chunk is shown with something else: every one is asked about again.
VERSION = "1"
# About half a page: who speaks, of what and when. An edit within it concerns every chunk of the document.
OPENING_CHARS = 1_000
# About a chunk of usual length on either side; an edit concerns the chunks that stand within it.
AROUND_CHARS = 1_000
# Titles and headings are lines; what is longer is none, and would be sent with each chunk.
TITLE_CHARS = 200
MOST_HEADINGS = 10


class Window(NamedTuple):
    """What a model is shown of a chunk; `opening` ends before `before` begins."""

    title: str
    path: tuple[str, ...]
    opening: str
    before: str
    part: str
    after: str

    @property
    def key(self) -> str:
        """Equal for equal windows, wherever the document lies and whoever may read it."""
        path = digest("path", *self.path)
        return f"{VERSION}:{digest('context', self.title, path, self.opening, self.before, self.part, self.after)}"

    @property
    def around(self) -> str:
        """The document as the model is shown it, less title and headings."""
        surroundings = f"{self.before}{self.part}{self.after}"
        return f"{self.opening}\n[…]\n{surroundings}" if self.opening else surroundings


def window_of(title: str | None, text: str, path: Sequence[str], start: int, end: int) -> Window:
    """What is shown of the chunk `text[start:end]` of a document."""
    begins = max(0, start - AROUND_CHARS)
    opening = text[: min(OPENING_CHARS, begins)]
    if len(opening) == begins:
        # Nothing lies between.
        begins, opening = 0, ""
    headings = tuple(heading[:TITLE_CHARS] for heading in path[-MOST_HEADINGS:])
    around = (text[begins:start], text[start:end], text[end : end + AROUND_CHARS])
    return Window((title or "")[:TITLE_CHARS], headings, opening, *around)


def is_present(key: pl.Expr) -> pl.Expr:
    """Whether a key was made by what is shown now."""
    return key.str.starts_with(f"{VERSION}:").fill_null(False)


def with_contexts(
    rows: Sequence[dict[str, Any]], wanted: Mapping[str, tuple[str | None, str | None]], counter: TokenCounter
) -> list[dict[str, Any]]:
    """Rows of silver/chunks with other sentences in their headers, and the ids and hashes that follow from that.

    Args:
        rows: All chunks of one document.
        wanted: By chunk_id as it is: the sentence, and the key of what it was made of.
    """
    changed = []
    for row in sorted(rows, key=lambda row: int(row["position"])):
        context, key = wanted.get(row["chunk_id"], (None, None))
        header, tokens, part = row["header"], row["token_count"], row["text_hash"]
        if row["context"]:
            header = own_header(row["header"])
            part = row["part_key"] or text_hash(embedded_text(header, row["text"]))
            tokens -= _count(row["header"][len(header) :].lstrip("\n"), counter)
        if context:
            fitting = fitted(context, counter.max_tokens - tokens, counter)
            header, tokens = header_with(header, fitting), tokens + _count(fitting, counter)
        said = {"context": context, "context_key": key, "part_key": part if context else None}
        changed.append(row | {"header": header, "token_count": tokens, **said})
    return identified(changed)


def fitted(context: str, room_tokens: int, counter: TokenCounter) -> str:
    """As much of a sentence as there is room for, and a word at least."""
    text = context
    while _count(text, counter) > max(room_tokens, 1):
        spans = counter.token_spans(text)
        if len(spans) < 2:
            break
        cut = text[: spans[min(len(spans) - 1, max(room_tokens, 1))][0]].rstrip()
        text = cut if cut and len(cut) < len(text) else text[: spans[-1][0]].rstrip()
        if not text:
            return context[: spans[0][1]]
    return text


def _count(context: str, counter: TokenCounter) -> int:
    return counter.token_counts([f"{context}{HEADER_SEPARATOR}"])[0]
