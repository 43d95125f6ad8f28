"""Parse objects of bronze in worker processes.

Belongs here: how workers come by their bytes, and what comes back to the caller, with what it took.
Does not belong here: which objects (`transforms/documents.py`), how (`parsing`), what is kept of it
(`documents.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from rag_pipeline.stores.lake import Lake
from rag_pipeline.transforms.worker_tasks import parse_object

# Hash and batch of the bytes, address, and the media type if it is declared.
_Reference = tuple[str, int, str, str | None]
# Media type and size in bytes.
_Told = tuple[str, int]


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


class BytesOfBronze:
    """Reads objects of one source, wherever the worker is; pickled, it opens the lake where it is unpickled."""

    def __init__(self, lake: Lake, source: str) -> None:
        self._lake = lake
        self._source = source

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self._lake.root, self._lake.storage_options, self._source)

    def __call__(self, references: Sequence[_Reference]) -> Iterator[tuple[int, tuple[bytes, str, str], _Told]]:
        positions: dict[str, list[int]] = {}
        for position, reference in enumerate(references):
            positions.setdefault(reference[0], []).append(position)
        for bytes_hash, raw in self._lake.stream_bytes(self._source, {each[0]: each[1] for each in references}):
            for position in positions[bytes_hash]:
                _, _, address, known = references[position]
                media_type = known or media_type_of(address, raw)
                yield position, (raw, media_type, address), (media_type, len(raw))


def _reopened(root: str, options: dict[str, str], source: str) -> BytesOfBronze:
    return BytesOfBronze(Lake(root, options), source)


def parsed_objects(workspace: Workspace, origins: pl.DataFrame) -> Iterator[ParsedObject]:
    """Parse objects in worker processes, in the order in which bronze gives their bytes."""
    for source, group in origins.sort("source", "bytes_batch", "address").group_by("source", maintain_order=True):
        yield from _parsed_of(workspace, str(source[0]), group.to_dicts())


def _parsed_of(workspace: Workspace, source: str, origins: list[dict[str, Any]]) -> Iterator[ParsedObject]:
    task = Timed(partial(parse_object, recipe=workspace.parse_recipe(source)))
    references = [
        (row["bytes_hash"], row["bytes_batch"], row["address"], DeclaredMetadata.from_json(row["declared"]).media_type)
        for row in origins
    ]
    sizes = {row["bytes_hash"]: row["size_bytes"] or 0 for row in origins}
    read = BytesOfBronze(workspace.lake, source)
    with progress(f"parse {source}", len(origins)) as bar:
        found = workspace.engine.map_stored(task, references, read, weight=lambda each: sizes[each[0]])
        for position, told, answer in found:
            origin = origins[position]
            bar.advance(1)
            result, seconds = _lost(workspace, answer) if isinstance(answer, DocumentError) else answer
            if isinstance(result, list) and not any(document.text.strip() for document in result):
                result = EmptyDocument("the document holds no text, so there is nothing to search")
            # Who was lost with its worker told nothing.
            media_type, size_bytes = told or (
                references[position][3] or media_type_of(origin["address"], b""),
                sizes[origin["bytes_hash"]],
            )
            yield ParsedObject(origin, media_type, size_bytes, seconds, result)


def _lost(workspace: Workspace, error: DocumentError) -> tuple[DocumentError, float]:
    """What a lost worker leaves: nothing but the reason tells how long it took."""
    return error, workspace.settings.limits.parse_timeout_seconds if isinstance(error, ParserTimeout) else 0.0
