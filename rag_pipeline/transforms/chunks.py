"""What silver/chunks should hold, compared with what it holds: pure planning, and the rows of a document.

Belongs here: which documents to cut again, chunk rows with their ids and hashes.
Does not belong here: the cutting itself (`chunk/`), reading or writing tables (`refresh/chunks.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from rag_pipeline.contracts.documents import Chunk, embedded_text
from rag_pipeline.contracts.ids import chunk_id, digest, text_hash


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """Documents to cut, and documents whose chunks go, by document_id."""

    to_cut: list[str]
    gone: list[str]


def plan_chunks(documents: pl.DataFrame, duplicates: pl.DataFrame, chunks: pl.DataFrame) -> ChunkPlan:
    """Compare the documents to index with what was cut.

    Args:
        documents: document_id, content_hash of silver/documents, and chunker_fingerprint and left_out_hash as they
            should be now.
        duplicates: document_id of silver/duplicates: documents that are left out.
        chunks: document_id, content_hash, chunker_fingerprint, left_out_hash of silver/chunks.
    """
    wanted = documents.join(duplicates, on="document_id", how="anti")
    recipe = ["document_id", "content_hash", "chunker_fingerprint", "left_out_hash"]
    cut = chunks.unique(recipe)
    to_cut = wanted.join(cut, on=recipe, how="anti")
    gone = cut.unique("document_id").join(wanted, on="document_id", how="anti")
    return ChunkPlan(to_cut["document_id"].to_list(), gone["document_id"].to_list())


def chunk_rows(
    document: str, content_hash: str, text: str, chunks: Sequence[Chunk], fingerprint: str, left_out_hash: str
) -> list[dict[str, Any]]:
    """Rows of silver/chunks for the chunks of one document."""
    return identified(
        [
            {
                "document_id": document,
                "position": position,
                "section_path": list(chunk.section_path),
                "header": chunk.header,
                "text": text[chunk.start_char : chunk.end_char],
                "start_char": chunk.start_char,
                "end_char": chunk.end_char,
                "token_count": chunk.token_count,
                "kind": chunk.kind,
                "page": chunk.page,
                "line": chunk.line,
                "is_hard_split": chunk.is_hard_split,
                "content_hash": content_hash,
                "chunker_fingerprint": fingerprint,
                "left_out_hash": left_out_hash,
            }
            for position, chunk in enumerate(chunks)
        ]
    )


def identified(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of one document, in its order, with the ids and hashes that follow from everything else on them."""
    seen: Counter[str] = Counter()
    done = []
    for row in rows:
        hashed = text_hash(embedded_text(row["header"], row["text"]))
        shown = [
            *(str(row[name]) for name in ("position", "start_char", "end_char", "page", "line")),
            *(str(row[name]) for name in ("token_count", "kind", "is_hard_split")),
            str(len(row["header"])),
            *row["section_path"],
        ]
        name = chunk_id(row["document_id"], hashed, seen[hashed])
        chunk_hash = digest("chunk row", row["content_hash"], *shown)
        done.append({**row, "chunk_id": name, "text_hash": hashed, "chunk_hash": chunk_hash})
        seen[hashed] += 1
    return done
