"""Parse objects of bronze in worker processes.

Belongs here: streaming their bytes to the workers and what comes back to the caller, with what it took.
Does not belong here: which objects (`transforms/documents.py`), how (`parsing`), what is kept of it
(`documents.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.contracts.sources import DeclaredMetadata
from rag_pipeline.errors import DocumentError, EmptyDocument, ParserTimeout
from rag_pipeline.parsing import media_type_of
from rag_pipeline.refresh.progress import progress
from rag_pipeline.refresh.timings import Timed
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.transforms.worker_tasks import parse_object

# Row of bronze, media type and size in bytes of an object that is being parsed.
_Waiting = tuple[dict[str, Any], str, int]


@dataclass(frozen=True, slots=True)
class ParsedObject:
    """One object and what parsing gave: its documents, or why it was refused.

    Attributes:
        origin: Its row of `origins_of`.
        seconds: What parsing took in its worker; its limit if the worker was stopped at it, 0 if it crashed.
    """

    origin: Mapping[str, Any]
    media_type: str
    size_bytes: int
    seconds: float
    result: list[ParsedDocument] | DocumentError


def parsed_objects(workspace: Workspace, origins: pl.DataFrame) -> Iterator[ParsedObject]:
    """Parse objects in worker processes, in the order in which bronze gives their bytes."""
    for source, group in origins.sort("source", "bytes_batch", "address").group_by("source", maintain_order=True):
        by_hash: dict[str, list[dict[str, Any]]] = {}
        for row in group.iter_rows(named=True):
            by_hash.setdefault(row["bytes_hash"], []).append(row)
        wanted = {row["bytes_hash"]: row["bytes_batch"] for row in group.iter_rows(named=True)}
        # The pool works ahead of us, so what belongs to a result is kept until the result is there.
        waiting: list[_Waiting] = []

        def items(
            wanted: dict[str, int] = wanted,
            by_hash: dict[str, list[dict[str, Any]]] = by_hash,
            source: str = str(source[0]),
            waiting: list[_Waiting] = waiting,
        ) -> Iterator[tuple[bytes, str, str]]:
            for bytes_hash, raw in workspace.lake.stream_bytes(source, wanted):
                for origin in by_hash[bytes_hash]:
                    known = DeclaredMetadata.from_json(origin["declared"]).media_type
                    media_type = known or media_type_of(origin["address"], raw)
                    waiting.append((origin, media_type, len(raw)))
                    yield raw, media_type, origin["address"]

        yield from _parsed_items(workspace, items(), waiting, group.height, str(source[0]))


def _parsed_items(
    workspace: Workspace,
    items: Iterable[tuple[bytes, str, str]],
    waiting: list[_Waiting],
    total: int,
    source: str,
) -> Iterator[ParsedObject]:
    task = Timed(partial(parse_object, recipe=workspace.parse_recipe(source)))
    with progress(f"parse {source}", total) as bar:
        for index, answer in workspace.engine.map(task, items, weight=lambda item: len(item[0])):
            origin, media_type, size_bytes = waiting[index]
            waiting[index] = ({}, "", 0)
            bar.advance(1)
            result, seconds = _lost(workspace, answer) if isinstance(answer, DocumentError) else answer
            if isinstance(result, list) and not any(document.text.strip() for document in result):
                result = EmptyDocument("the document holds no text, so there is nothing to search")
            yield ParsedObject(origin, media_type, size_bytes, seconds, result)


def _lost(workspace: Workspace, error: DocumentError) -> tuple[DocumentError, float]:
    """What a lost worker leaves: nothing but the reason tells how long it took."""
    return error, workspace.settings.limits.parse_timeout_seconds if isinstance(error, ParserTimeout) else 0.0
