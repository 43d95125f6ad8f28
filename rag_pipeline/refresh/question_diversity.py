"""How diverse questions of evaluation are over what is published.

Belongs here: the texts that questions are about, and a sample of all texts, as vectors of the published index.
Does not belong here: the figures and their bounds (`evaluation/diversity.py`).

No model is asked: what a question is about is the chunk that its quote stands in, whose vector is in the index.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from rag_pipeline.contracts.evaluation import ExpectedDocument, Question
from rag_pipeline.contracts.sink import Sink
from rag_pipeline.evaluation.diversity import Diversity, Vectors, diversity_of
from rag_pipeline.evaluation.sample import by_digest
from rag_pipeline.refresh.evaluation_targets import published_target
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.addresses import Addresses
from rag_pipeline.retrieval.evaluate import normalised
from rag_pipeline.stores.selection import rows_with

# Enough to find subjects that a hundredth of a corpus is about, and read in a moment.
_CORPUS_CHUNKS = 4_000


def diversity_over_published(workspace: Workspace, questions: Sequence[Question]) -> Diversity:
    """Figures of some questions; without those over the corpus where nothing is published."""
    words = [question.question for question in questions]
    target = published_target(workspace)
    if target is None or not questions:
        return diversity_of(words)
    table = workspace.vectors.open(target.table_name, target.space_fingerprint, version=target.table_version)
    rows = table.read(["chunk_id", "document_id", "uri"])
    sources = _about(table, rows, [expected for question in questions for expected in question.expected])
    chosen = by_digest(rows["chunk_id"], "diversity")[:_CORPUS_CHUNKS]
    corpus = rows_with(table, "chunk_id", chosen, ["chunk_id", "vector"]).sort("chunk_id")
    return diversity_of(words, sources, _matrix(corpus["vector"]))


def _about(table: Sink, rows: pl.DataFrame, expected: Sequence[ExpectedDocument]) -> Vectors:
    """Vectors of the chunks that the quotes stand in; of a document without a quote, its first one."""
    addresses = Addresses(rows.unique("document_id").select("document_id", "uri").rows())
    wanted = [(each, addresses.of(each)) for each in expected]
    ids = sorted({name for _, names in wanted for name in names})
    columns = ["document_id", "start_char", "header_chars", "embedded_text", "vector"]
    chunks = rows_with(table, "document_id", ids, columns).sort("document_id", "start_char")
    texts: dict[str, list[tuple[str, list[float]]]] = {}
    for document, header, text, vector in chunks.select(
        "document_id", "header_chars", "embedded_text", "vector"
    ).iter_rows():
        texts.setdefault(document, []).append((normalised(text[header:]), vector))
    found = [
        _vector_of(each, [pair for name in sorted(names) for pair in texts.get(name, [])]) for each, names in wanted
    ]
    return np.array([vector for vector in found if vector is not None], dtype=np.float32)


def _vector_of(expected: ExpectedDocument, chunks: Sequence[tuple[str, list[float]]]) -> list[float] | None:
    quote = normalised(expected.quote or "")
    return next((vector for text, vector in chunks if quote in text), chunks[0][1] if chunks else None)


def _matrix(vectors: pl.Series) -> Vectors:
    return np.array(vectors.to_list(), dtype=np.float32)
