"""Reading the source again when a hit is used: whether it still says what was indexed.

Belongs here: comparing hits with their objects at the source, one document after the other.
Does not belong here: how a source is read (`sources/`), taking in what has changed (`refresh/`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import polars as pl

from rag_pipeline.contracts.ids import bytes_hash
from rag_pipeline.contracts.sources import Source, SourceObject, SourceSpec
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.contracts.tables import BRONZE, DOCUMENTS
from rag_pipeline.errors import DocumentError, DocumentVanished, RagPipelineError
from rag_pipeline.settings import Pipeline
from rag_pipeline.sources import open_source
from rag_pipeline.stores.lake import Lake
from rag_pipeline.transforms.permissions import allowed_principals

AtSource = Literal["same", "changed", "gone", "unknown"]
OpenSource = Callable[[str], tuple[SourceSpec, Source]]
# Bytes of a bucket come one request after the other; files of this machine come soonest in one thread.
THREADS = 8

_DOCUMENT_COLUMNS = ["document_id", "origin_id", "source", "content_hash", "input_key"]
_BRONZE_COLUMNS = ["document_id", "address", "uri", "revision", "batch", "bytes_hash", "change"]


@dataclass(frozen=True, slots=True)
class Indexed:
    """What the index has of one document: its source, what its text was, and who may read it."""

    document_id: str
    source: str
    content_hash: str
    principals: frozenset[str]


def sources_of(pipeline: Pipeline) -> OpenSource:
    """Opens the sources that a pipeline configures."""

    def open_named(name: str) -> tuple[SourceSpec, Source]:
        spec = pipeline.source_spec(name)
        return spec, open_source(spec)

    return open_named


class SourceCheck:
    """Compares documents with their sources.

    What the lake knows of documents is kept at hand, and read again when one of its tables has changed.

    Args:
        open_source: The spec of a source and the source itself, by name.
    """

    def __init__(self, lake: Lake, open_source: OpenSource) -> None:
        self._lake = lake
        self._open_source = open_source
        self._opened: dict[str, tuple[SourceSpec, Source]] = {}
        self._known: dict[str, tuple[tuple[str, int], pl.DataFrame]] = {}

    def check(self, documents: Iterable[Indexed]) -> dict[str, AtSource]:
        """By document: whether its bytes and readers at the source are those that were indexed."""
        wanted = {one.document_id: one for one in documents}
        known = self._documents().filter(pl.col("document_id").is_in(list(wanted)))
        found: dict[str, AtSource] = dict.fromkeys(wanted, "unknown")
        for source in sorted({one.source for one in wanted.values()}):
            objects = self._objects(source)
            rows = known.filter(pl.col("source") == source).join(objects, left_on="origin_id", right_on="object_id")
            opened = self._source(source)
            if opened is None:
                continue
            threads = getattr(opened[1], "fetch_threads", THREADS)

            def compare(row: Mapping[str, str], opened: tuple[SourceSpec, Source] = opened) -> tuple[str, AtSource]:
                return row["document_id"], self._compared(opened, wanted[row["document_id"]], row)

            with ThreadPoolExecutor(max(1, threads)) as pool:
                found |= dict(pool.map(compare, rows.to_dicts()))
        return found

    def _compared(self, opened: tuple[SourceSpec, Source], indexed: Indexed, row: Mapping[str, str]) -> AtSource:
        spec, source = opened
        item = SourceObject(row["address"], row["uri"], None, None, "")
        try:
            fetched = source.fetch(item)
        except DocumentVanished:
            return "gone"
        except DocumentError:
            # It is there, and would be refused now.
            return "changed"
        except RagPipelineError:
            return "unknown"
        same_bytes = row["input_key"].startswith(f"{bytes_hash(fetched.raw)}:")
        same_text = indexed.content_hash == row["content_hash"]
        # Parts of an object may have fewer readers than the whole, never more.
        readers = frozenset(allowed_principals(row["address"], fetched.declared, spec))
        return "same" if same_bytes and same_text and indexed.principals <= readers else "changed"

    def _source(self, name: str) -> tuple[SourceSpec, Source] | None:
        if name not in self._opened:
            try:
                self._opened[name] = self._open_source(name)
            except (KeyError, RagPipelineError):
                # It stands in no pipeline.yaml any more.
                return None
        return self._opened[name]

    def _documents(self) -> pl.DataFrame:
        return self._read(DOCUMENTS, lambda: self._lake.read(DOCUMENTS, _DOCUMENT_COLUMNS))

    def _objects(self, source: str) -> pl.DataFrame:
        def last_rows() -> pl.DataFrame:
            rows = self._lake.read(BRONZE.of(source), _BRONZE_COLUMNS).sort("revision", "batch")
            last = rows.unique("document_id", keep="last")
            return last.select("address", "uri", object_id="document_id")

        return self._read(BRONZE.of(source), last_rows)

    def _read(self, table: TableContract, read: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        state = self._lake.identity(table)
        known = self._known.get(table.path)
        if known is None or known[0] != state:
            known = (state, read())
            self._known[table.path] = known
        return known[1]
