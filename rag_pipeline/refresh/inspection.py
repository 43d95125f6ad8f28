"""What a file would become, without a lake: parsed and cut as a run would do it, and nothing written.

Belongs here: one file through the parser and the chunker, in a worker process with its limits.
Does not belong here: how it is shown (`cli/inspect_file.py`), the steps themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rag_pipeline.contracts.documents import Chunk, ParsedDocument
from rag_pipeline.errors import DocumentError
from rag_pipeline.parsing import media_type_of
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.transforms.left_out import left_out
from rag_pipeline.transforms.worker_tasks import block_rows, cut_document, parse_object


@dataclass(frozen=True, slots=True)
class Inspected:
    """One document of the file.

    Attributes:
        left_out: What it lacks, by cause.
    """

    document: ParsedDocument
    chunks: list[Chunk]
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a file becomes.

    Attributes:
        tokenizer: The model whose tokens are counted.
        refused: Why there is no document, or None.
    """

    media_type: str
    size_bytes: int
    tokenizer: str
    documents: list[Inspected] = field(default_factory=list)
    refused: DocumentError | None = None


def inspect_bytes(
    workspace: Workspace, source: str, raw: bytes, address: str, known_type: str | None = None
) -> Inspection:
    """Parse and cut one file as the source's settings say.

    Args:
        known_type: Its media type, where the source knows it.
    """
    media_type = known_type or media_type_of(address, raw)
    found = Inspection(media_type, len(raw), workspace.pipeline.counted_alias)
    parse = partial(parse_object, recipe=workspace.parse_recipe(source))
    [(_, parsed)] = workspace.local_engine.map(parse, [(raw, media_type, address)], weight=lambda item: len(item[0]))
    if isinstance(parsed, DocumentError):
        return Inspection(media_type, len(raw), found.tokenizer, refused=parsed)
    cut = partial(cut_document, counter=workspace.token_counter)
    items = [_to_cut(workspace, source, media_type, document) for document in parsed]
    for document, (_, chunks) in zip(parsed, workspace.local_engine.map(cut, items), strict=True):
        if isinstance(chunks, DocumentError):
            return Inspection(media_type, len(raw), found.tokenizer, refused=chunks)
        found.documents.append(Inspected(document, chunks, left_out(document.metadata)))
    return found


def _to_cut(workspace: Workspace, source: str, media_type: str, document: ParsedDocument) -> Any:
    params = workspace.chunk_params(source, document.metadata.get("media_type", media_type))
    return document.text, document.title, document.language, block_rows(document.blocks), params, []
