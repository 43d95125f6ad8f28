"""Chunks that a caller names, and the text around one: each read from one published version.

Belongs here: reading rows by their ids, with the publication that they are of.
Does not belong here: what a window holds (`windows.py`), searching (`search.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from rag_pipeline.contracts.filters import Filter
from rag_pipeline.contracts.index import ROW_COLUMNS
from rag_pipeline.contracts.log_rows import Publication
from rag_pipeline.retrieval.hits import Hit, body_of
from rag_pipeline.retrieval.published import Served
from rag_pipeline.retrieval.windows import WINDOW_COLUMNS, Window, WindowBy, merged_windows
from rag_pipeline.stores.selection import Selection


@dataclass(frozen=True, slots=True)
class ReadChunks:
    """Chunks that the caller may read, by their ids, and the publication that all of them are of."""

    publication: Publication
    rows: Mapping[str, dict[str, Any]]


def read_chunks(served: Served, principals: frozenset[str], chunk_ids: Collection[str]) -> ReadChunks:
    """Those of some chunks that the caller may read."""
    chosen = Filter(principals, chunk_ids=tuple(sorted(set(chunk_ids))))
    rows = Selection(served.table, chosen).read(list(ROW_COLUMNS)) if chunk_ids else None
    found = {} if rows is None else {row["chunk_id"]: row for row in rows.iter_rows(named=True)}
    return ReadChunks(served.publication, found)


def read_around(
    served: Served, principals: frozenset[str], chunk_id: str, max_tokens: int, by: WindowBy
) -> tuple[Hit, Window] | None:
    """A chunk and the text around it; None: there is none that the caller may read."""
    read = read_chunks(served, principals, [chunk_id])
    if chunk_id not in read.rows:
        return None
    hit = _hit_of(read.rows[chunk_id], read.publication)
    chosen = Filter(principals, document_ids=(hit.document_id,))
    rows = Selection(served.table, chosen).read(WINDOW_COLUMNS)
    (window,) = merged_windows(rows.to_dicts(), [hit], max_tokens, by)
    return hit, window


def _hit_of(row: Mapping[str, Any], publication: Publication) -> Hit:
    """A chunk that was asked for by its id, as a hit that nothing was searched for."""
    names = ("chunk_id", "document_id", "source", "uri", "title", "page", "line", "start_char", "end_char")
    more = ("token_count", "media_type", "source_modified_at", "rank_weight")
    return Hit(
        **{name: row[name] for name in (*names, *more)},
        rank=1,
        score=0.0,
        section_path=tuple(row["section_path"]),
        text=body_of(row),
        allowed_principals=tuple(row["allowed_principals"]),
        vector_rank=None,
        vector_distance=None,
        text_rank=None,
        text_score=None,
        vector_weight=None,
        published_at=publication.published_at,
    )
