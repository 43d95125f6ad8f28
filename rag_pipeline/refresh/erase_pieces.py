"""Pieces of what is erased that nothing else in the lake holds: what is searched for afterwards.

Belongs here: which pieces of bytes, texts, titles and addresses those are, and what is left out.
Does not belong here: which documents (`erase_plan.py`), the search (`erase_proof.py`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import polars as pl

from rag_pipeline.contracts.catalog import FIXED_TABLES
from rag_pipeline.contracts.ids import git_blob_id
from rag_pipeline.contracts.tables import AUDITS, BRONZE, DOCUMENTS, PUBLICATIONS
from rag_pipeline.errors import LakeDamaged
from rag_pipeline.refresh.damage import unless_damaged
from rag_pipeline.refresh.erase_words import words_of_a_lake
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.byte_search import evenly, held_by, together
from rag_pipeline.stores.lake_files import tables_in
from rag_pipeline.stores.purge import index_rows, index_tables

log = logging.getLogger(__name__)

# A shorter piece is found by chance.
LEAST_TITLE_BYTES = 6
LEAST_PIECE_CHARS = 20
# So many of one document show whether it is there; of all together, so that a search of everything ends. Titles and
# addresses do not count.
PIECES_OF_TEXT = 24
PIECES_OF_BYTES = 12
MOST_PIECES = 400
_PIECE_BYTES = 40
# Other documents are searched together: enough of them that the beginning of a search costs little.
_PORTION_BYTES = 8 * 2**20
_LEAST_DISTINCT = 10
# A number or a date stands anywhere by chance, and is no word that could be taken out.
_FIGURES = re.compile(rb"[\d\s.,:;/_+TZ-]*")
# Columns of logs that say something in words; what stands in others is how the program finds its way.
FREE_COLUMNS = ("note", "figures", "findings", "detail", "reason")
# Words that the program, its tables and Dagster write themselves, beside the names of tables and columns.
_FIXED_WORDS = (
    "publish rollback vanished refused dagster Dagster DagsterEvent EventLogEntry SUCCESS FAILURE STARTED "
    "SKIPPED ERROR WARNING parquet commitInfo metaData protocol operation operationMetrics operationParameters "
    "engineInfo schema schemaString partitionBy partitionValues partitionColumns modificationTime dataChange "
    "numRecords minValues maxValues nullCount DELETE CREATE TABLE OPTIMIZE VACUUM START UPDATE overwrite "
    "append string integer boolean timestamp"
)


def stored_sources(workspace: Workspace) -> list[str]:
    """Sources that bronze has a table of, whether they are configured or not."""
    return tables_in(workspace.lake, BRONZE.layer)


@dataclass(frozen=True, slots=True)
class Pieces:
    """What is searched for.

    Attributes:
        needles: In files.
        blobs: Ids that git gives the bytes, to know copies by that git made of them.
    """

    needles: tuple[bytes, ...]
    blobs: tuple[str, ...]


def pieces_of(
    workspace: Workspace, documents: Mapping[str, set[str]], derived: set[str], known_pieces: Iterable[bytes]
) -> Pieces:
    """Pieces of documents, by source, and of what was made of them, that nothing else in the lake holds.

    Args:
        known_pieces: Further ones.
    """
    ids = {each for found in documents.values() for each in found}
    held = _Held()
    held.take_objects(workspace, documents, ids)
    held.take_texts(workspace, derived)
    left = dict.fromkeys([*held.names, *evenly(list(held.parts), MOST_PIECES), *known_pieces])
    for piece in words_of_a_lake(left):
        del left[piece]
    elsewhere = chain([_own_words(workspace)], _said_by_logs(workspace), _others(workspace, ids, derived))
    for content in together(elsewhere, _PORTION_BYTES):
        for piece in held_by(content, left):
            del left[piece]
    return Pieces(tuple(left), tuple(sorted(held.blobs)))


class _Held:
    """Pieces of documents, each once, in a fixed order.

    Attributes:
        names: Titles and addresses: they say who is meant, so all of them are searched for.
        parts: Of bytes and texts.
    """

    def __init__(self) -> None:
        self.names: dict[bytes, None] = {}
        self.parts: dict[bytes, None] = {}
        self.blobs: set[str] = set()

    def take_objects(self, workspace: Workspace, documents: Iterable[str], ids: set[str]) -> None:
        """What bronze holds."""
        columns = ["title", "uri", "address", "raw"]
        for name in documents:
            rows = workspace.lake.stream_where(BRONZE.of(name), [*columns, "document_id"], "document_id", ids)
            for title, uri, address, raw in _rows_of(rows, columns):
                self._take([title, uri, address], _of_bytes(raw or b""))
                if raw:
                    self.blobs.add(git_blob_id(raw))

    def take_texts(self, workspace: Workspace, derived: set[str]) -> None:
        """What silver and the indexes hold."""
        lake = workspace.lake
        columns = ["title", "content_title", "uri", "text"]
        rows = _readable(lake.stream_where(DOCUMENTS, [*columns, "document_id"], "document_id", derived))
        for title, content_title, uri, text in _rows_of(rows, columns):
            self._take([title, content_title, uri], _of_text(text))
        none: list[dict[str, Any]] = []
        for name in index_tables(lake):
            for row in unless_damaged(partial(index_rows, lake, name, ["title", "embedded_text"], derived), none):
                self._take([row["title"]], evenly(_of_text(row["embedded_text"]), 2))

    def _take(self, names: Iterable[str | None], parts: Iterable[bytes]) -> None:
        self.names.update(dict.fromkeys(_whole(*names)))
        self.parts.update(dict.fromkeys(parts))


def _rows_of(frames: Iterable[pl.DataFrame], columns: list[str]) -> Iterator[tuple[Any, ...]]:
    for frame in frames:
        yield from frame.select(columns).iter_rows()


def _readable(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """As far as the table can be read: what is damaged is made again, or is for verify to name."""
    try:
        yield from frames
    except LakeDamaged as error:
        log.warning("what an erasure searches for was taken from less: %s", error)


def _whole(*values: str | None) -> Iterator[bytes]:
    for value in values:
        raw = (value or "").strip().encode("utf-8", "surrogatepass")
        if len(raw) >= LEAST_TITLE_BYTES and not _FIGURES.fullmatch(raw):
            yield raw


def _of_text(text: str) -> list[bytes]:
    lines = (line.strip() for line in re.split(r"\n|(?<=[.!?]) ", text))
    pieces = [line for line in lines if len(line) >= LEAST_PIECE_CHARS]
    return [line[:200].encode("utf-8", "surrogatepass") for line in evenly(pieces, PIECES_OF_TEXT)]


def _of_bytes(raw: bytes) -> Iterator[bytes]:
    starts = range(0, max(1, len(raw) - _PIECE_BYTES), _PIECE_BYTES)
    for start in evenly(starts, PIECES_OF_BYTES):
        piece = raw[start : start + _PIECE_BYTES]
        if len(set(piece)) >= _LEAST_DISTINCT:
            yield piece


def _own_words(workspace: Workspace) -> bytes:
    """Names of sources, models, tables and columns, and fixed words: none of them may be taken out of a record."""
    settings = workspace.pipeline.settings
    named = [name for table in FIXED_TABLES for name in (table.layer, table.name, *table.columns)]
    return "\0".join([*settings.sources, *settings.embedding_models, *named, _FIXED_WORDS]).encode()


def _said_by_logs(workspace: Workspace) -> Iterator[bytes]:
    """What readers find their index and model by."""
    for contract in (PUBLICATIONS, AUDITS):
        columns = [name for name, kind in contract.schema.items() if kind == pl.String and name not in FREE_COLUMNS]
        rows = workspace.lake.read(contract, columns).unique()
        yield "\0".join(value for row in rows.iter_rows() for value in row if value).encode("utf-8", "surrogatepass")


def _others(workspace: Workspace, ids: set[str], derived: set[str]) -> Iterator[bytes]:
    """What every other document holds, as bytes and as text."""
    lake = workspace.lake
    for name in stored_sources(workspace):
        for frame in _readable(lake.stream(BRONZE.of(name), ["document_id", "title", "uri", "declared", "raw"])):
            for document, title, uri, declared, raw in frame.iter_rows():
                if document not in ids:
                    yield (
                        "\0".join([title or "", uri, declared]).encode("utf-8", "surrogatepass") + b"\0" + (raw or b"")
                    )
    for frame in _readable(lake.stream(DOCUMENTS, ["document_id", "title", "uri", "text"])):
        for document, title, uri, text in frame.iter_rows():
            if document not in derived:
                yield "\0".join([title or "", uri, text]).encode("utf-8", "surrogatepass")
