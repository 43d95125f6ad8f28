"""Have texts read by rules, by nearness, or by a chat model, as rows of silver/enrichments.

Belongs here: streaming texts to each kind of enrichment, and what its reading cost.
Does not belong here: which texts, committing rows, what documents then say (`enrichments.py`).
"""

from __future__ import annotations

import json
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import polars as pl

from rag_pipeline.contracts.enrichments import WRITTEN, Enrichment, value_text
from rag_pipeline.contracts.tables import DOCUMENTS, ENRICHMENTS
from rag_pipeline.refresh.contexts import parts_of, windows
from rag_pipeline.refresh.costs import record_cost
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.transforms.enrichments import labels_by_nearness, labels_by_rules

# Readings of rules and vectors cost next to nothing: lost by a kill at most, and a commit for many of them.
COMMIT_TEXTS = 1_000

Rows = Iterator[list[dict[str, Any]]]
# input_hash, title and text of what is read.
Read = tuple[str, str | None, str]
# The same, and which part of it is meant.
ReadPart = tuple[str, str | None, str, str]


def read_texts(workspace: Workspace, enrichment: Enrichment, due: pl.DataFrame) -> Rows:
    """Rows for texts, some at a time: without a recipe of their own they are readings of the enrichment's.

    Args:
        due: (document_id, content_hash) of what is to be read.

    Raises:
        RagPipelineError: No more can be read now; what was yielded before stands.
    """
    return _READERS[enrichment.kind](workspace, enrichment, due)


def _texts(workspace: Workspace, due: pl.DataFrame) -> Iterator[list[Read]]:
    """Texts of documents, some at a time."""
    columns = ["document_id", "content_hash", "content_title", "text"]
    pending: list[Read] = []
    for frame in workspace.lake.stream_where(DOCUMENTS, columns, "document_id", due["document_id"]):
        pending += frame.select(columns[1:]).iter_rows()
        while len(pending) >= COMMIT_TEXTS:
            yield pending[:COMMIT_TEXTS]
            pending = pending[COMMIT_TEXTS:]
    if pending:
        yield pending


def _chunks(workspace: Workspace, due: pl.DataFrame) -> Iterator[list[Read]]:
    """Chunks alone with their title and headings, some at a time."""
    left = set(due["content_hash"])
    pending: list[Read] = []
    for _, key, header, text in parts_of(workspace, due["document_id"]):
        if key in left:
            left.remove(key)
            pending.append((key, header, text))
        if len(pending) >= COMMIT_TEXTS:
            yield pending
            pending = []
    if pending:
        yield pending


def _parts(workspace: Workspace, due: pl.DataFrame) -> Iterator[list[ReadPart]]:
    """Chunks within their documents, some at a time."""
    left = set(due["content_hash"])
    pending: list[ReadPart] = []
    for _, _, window in windows(workspace, due["document_id"]):
        if window.key in left:
            left.remove(window.key)
            title = " > ".join(filter(None, (window.title, *window.path)))
            pending.append((window.key, title, window.around, window.part))
        if len(pending) >= COMMIT_TEXTS:
            yield pending
            pending = []
    if pending:
        yield pending


def _by_rules(workspace: Workspace, enrichment: Enrichment, due: pl.DataFrame) -> Rows:
    for texts in _texts(workspace, due):
        yield [
            {"input_hash": hashed, "value": value_text(labels_by_rules(enrichment, title, text))}
            for hashed, title, text in texts
        ]


def _by_nearness(workspace: Workspace, enrichment: Enrichment, due: pl.DataFrame) -> Rows:
    """Labels of texts, and the vectors of their beginnings where these are new: other labels compute none again."""
    if workspace.is_trial:
        return
    model = workspace.model(enrichment.model)
    prototypes = {label: model.embed_documents(texts) for label, texts in enrichment.labels}
    known: set[str] = set()
    for hashes, vectors in _kept_vectors(workspace, enrichment, due):
        known.update(hashes)
        yield _labelled(enrichment, hashes, vectors, prototypes)
    for texts in _texts(workspace, due.filter(~pl.col("content_hash").is_in(list(known)))):
        beginnings = [(f"{title}\n\n{text}" if title else text)[: enrichment.most_chars] for _, title, text in texts]
        vectors = np.asarray(model.embed_documents(beginnings), dtype=np.float32)
        hashes = [hashed for hashed, *_ in texts]
        kept = [
            {"recipe": enrichment.beginnings, "input_hash": hashed, "value": _vector_text(vector)}
            for hashed, vector in zip(hashes, vectors, strict=True)
        ]
        yield [*_labelled(enrichment, hashes, vectors, prototypes), *kept]


def _labelled(
    enrichment: Enrichment, hashes: Iterable[str], vectors: np.ndarray, prototypes: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    labels = labels_by_nearness(enrichment, vectors, prototypes)
    return [{"input_hash": hashed, "value": value_text(found)} for hashed, found in zip(hashes, labels, strict=True)]


def _kept_vectors(
    workspace: Workspace, enrichment: Enrichment, due: pl.DataFrame
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Vectors of beginnings that an enrichment with the same model read before, some at a time."""
    columns = ["recipe", "input_hash", "value"]
    for frame in workspace.lake.stream_where(ENRICHMENTS, columns, "input_hash", due["content_hash"]):
        mine = frame.filter(pl.col("recipe") == enrichment.beginnings)
        for rows in mine.iter_slices(COMMIT_TEXTS):
            if rows.height:
                yield rows["input_hash"].to_list(), np.stack([_vector(value) for value in rows["value"]])


def _vector_text(vector: np.ndarray) -> str:
    return json.dumps(b64encode(vector.astype("<f4").tobytes()).decode())


def _vector(text: str) -> np.ndarray:
    return np.frombuffer(b64decode(json.loads(text)), dtype="<f4")


def _read_by(
    workspace: Workspace, enrichment: Enrichment, due: pl.DataFrame
) -> Iterator[list[Read]] | Iterator[list[ReadPart]]:
    if enrichment.reads_windows:
        return _parts(workspace, due)
    return _chunks(workspace, due) if enrichment.reads_chunks else _texts(workspace, due)


def _by_chat(workspace: Workspace, enrichment: Enrichment, due: pl.DataFrame) -> Rows:
    if workspace.is_trial:
        return
    from rag_pipeline.answering.asking import chat_client
    from rag_pipeline.enrichment.asking import ChatReader, Text

    client = chat_client(workspace.pipeline, enrichment.model)
    reader = ChatReader(enrichment, client)
    began = time.monotonic()
    texts = 0
    try:
        for some in _read_by(workspace, enrichment, due):
            for start in range(0, len(some), reader.batch_texts):
                rows, stopped = reader.read([Text(*each) for each in some[start : start + reader.batch_texts]])
                texts += len(rows)
                if rows:
                    yield rows
                if stopped is not None:
                    raise stopped
        if reader.last_error is not None:
            raise reader.last_error
    finally:
        client.close()
        if reader.tokens:
            seconds = time.monotonic() - began
            spent = {"tokens": reader.tokens, "price": reader.price}
            record_cost(workspace, "enrich", enrichment.model, texts=texts, seconds=seconds, **spent)


_READERS: dict[str, Callable[[Workspace, Enrichment, pl.DataFrame], Rows]] = {
    "rules": _by_rules,
    "nearest": _by_nearness,
    "classify": _by_chat,
    "extract": _by_chat,
    **dict.fromkeys(WRITTEN, _by_chat),
}
