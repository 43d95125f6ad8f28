"""The lake: which tables there are, where they lie, and the one writer at a time.

Belongs here: paths of tables, typed access to each, the write lock.
Does not belong here: reconciling (`transforms/`, `refresh/`), vector search (`vectors.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import polars as pl

from rag_pipeline.contracts.log_rows import Audit, Publication
from rag_pipeline.contracts.put_away import PART_BYTES, Shelf, joined
from rag_pipeline.contracts.tables import (
    AUDITS,
    BRONZE,
    EMBEDDINGS,
    PUBLICATIONS,
)
from rag_pipeline.errors import LakeDamaged
from rag_pipeline.stores.delta import DeltaStore
from rag_pipeline.stores.lake_format import settle_format
from rag_pipeline.stores.lease import read_holder
from rag_pipeline.stores.lease_lock import LeaseLock
from rag_pipeline.stores.lock import WriteLock
from rag_pipeline.stores.read_once import ReadOnce
from rag_pipeline.stores.reserve import keep_reserve, spend_reserve

# LanceDB has a folder of its own beside the Delta tables.
INDEX_PATH = "gold/index"

_PLACE = "place of the row"
_STATE_ORDER = ["document_id", "revision", "batch"]
# So many rows of bronze are read at once.
FEW_ROWS = 25_000
STATE_COLUMNS = [name for name in BRONZE.columns if name not in ("raw",)]


class Lake(DeltaStore):
    """The Delta tables of one lake by name, and its write lock."""

    def __init__(
        self,
        root: str,
        storage_options: Mapping[str, str] | None = None,
        run_id: str = "",
        *,
        read_once: ReadOnce | None = None,
        lock_timeout_seconds: float = 600,
    ) -> None:
        super().__init__(root, storage_options, run_id, read_once)
        self._lock_timeout_seconds = lock_timeout_seconds
        self._lock: WriteLock | None = None
        self._lease: LeaseLock | None = None
        self._is_settled = False
        # Of the lease when the tables were last planned on.
        self._tenure = 0

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lake's write lock; a second writer says whom it waits for. Re-entrant in one thread.

        On a disk it is a lock of the kernel, in an object store a lease that expires.

        Raises:
            LakeBusy: Another process held the lock for longer than the timeout.
            LakeTooNew: A newer program wrote the lake.
            StoreUnfit: The object store does not keep what a lease needs.
        """
        if not self.is_local:
            with self._leased():
                yield
            return
        if self._lock is None:
            self._lock = WriteLock(self.root, self.run_id, self._lock_timeout_seconds)
        with self._lock.held():
            if not self._is_settled:
                settle_format(Path(self.root))
                self._is_settled = True
            yield

    @contextmanager
    def _leased(self) -> Iterator[None]:
        if self._lease is None:
            self._lease = LeaseLock(self.objects, self.run_id, self._lock_timeout_seconds)
        with self._lease.held():
            lease = self._lease.lease
            if lease.epoch != self._tenure:
                self._tenure = lease.epoch
                self._begin_tenure(is_continued=lease.is_continued)
            yield

    @property
    def is_alone(self) -> bool:
        return self._lock is not None and self._lock.is_held

    @property
    def epoch(self) -> int | None:
        return self._lease.lease.epoch if self._lease is not None and self._lease.is_held else None

    def still_writing(self) -> None:
        if self._lease is not None and self._lease.is_held:
            self._lease.lease.check()

    def _outgrow(self, epoch: int) -> None:
        if self._lease is not None and self._lease.is_held:
            self._lease.lease.outgrow(epoch)
            self._tenure = self._lease.lease.epoch

    def holder(self) -> str:
        """Who holds the lease of a lake in an object store, in words; empty: nobody, or it is in a folder.

        Raises:
            StoreError: The store did not answer.
        """
        return "" if self.is_local else read_holder(self.objects)

    def keep_reserve(self) -> None:
        """Keep room for taking away on a disk; an object store is never full."""
        if self.is_local:
            keep_reserve(Path(self.root))

    def spend_reserve(self) -> bool:
        """Give that room up where the disk is full; whether there is more now than before."""
        return self.is_local and spend_reserve(Path(self.root))

    def bronze_state(self, source: str, columns: Sequence[str] = STATE_COLUMNS) -> pl.DataFrame:
        """Last row of every document of a source, tombstones included, without the bytes."""
        rows = self.read(BRONZE.of(source), list(dict.fromkeys([*columns, *_STATE_ORDER])))
        placed = rows.select(_STATE_ORDER).with_row_index(_PLACE).sort(_STATE_ORDER)
        last = placed.unique("document_id", keep="last", maintain_order=True)[_PLACE]
        # The frame that was read is let go, so that its columns go one by one.
        rows = rows.select(columns)
        return pl.DataFrame({name: rows.drop_in_place(name).gather(last) for name in rows.columns})

    def bronze_parts(self, source: str, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """What `bronze_state` gives, in no order and a part at a time, so that memory holds a part of it."""
        version = self.version(BRONZE.of(source))
        if self.count(BRONZE.of(source)) <= FEW_ROWS:
            yield self.bronze_state(source, columns)
            return
        names = list(dict.fromkeys([*columns, *_STATE_ORDER]))
        try:
            shelf, groups = self._grouped(source, names)
        except LakeDamaged:
            if self.version(BRONZE.of(source)) == version:
                raise
            # A writer has gone on, and thinned out the files of the version that was opened.
            shelf, groups = self._grouped(source, names)
        for group in groups:
            rows = pl.concat(map(shelf.get, group)).sort(_STATE_ORDER)
            yield rows.unique("document_id", keep="last", maintain_order=True).select(columns)

    def _grouped(self, source: str, columns: list[str]) -> tuple[Shelf, list[list[int]]]:
        """All rows of a source's bronze put away, and groups of them: of a document all are in one."""
        contract, shelf, groups = BRONZE.of(source), Shelf(), list[list[int]]()
        row_count = self.count(contract)
        for frame in joined(self.stream_narrow(contract, columns)):
            # About as many groups as the rows make parts.
            parts = row_count * int(frame.estimated_size()) // frame.height // PART_BYTES
            groups = groups or [[] for _ in range(parts + 1)]
            placed = frame.with_columns((pl.col("document_id").hash() % len(groups)).alias(_PLACE))
            for (group,), rows in placed.partition_by(_PLACE, as_dict=True, include_key=False).items():
                groups[group].append(shelf.put(rows))
        return shelf, [group for group in groups if group]

    def last_batch(self, source: str) -> int:
        """Number of the last commit of a source's bronze, -1 if there is none."""
        frames = self.stream_narrow(BRONZE.of(source), ["batch"])
        return max((cast("int", frame["batch"].max()) for frame in frames), default=-1)

    def stream_bytes(self, source: str, wanted: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
        """Bytes by hash, a few at a time; `wanted` maps bytes_hash to the batch that holds it."""
        if not wanted:
            return
        batches = sorted(set(wanted.values()))
        seen: set[str] = set()
        for frame in self._stream_batches(BRONZE.of(source).path, batches):
            for bytes_hash, batch, raw in frame.iter_rows():
                if bytes_hash not in seen and wanted.get(bytes_hash) == batch:
                    seen.add(bytes_hash)
                    yield bytes_hash, raw

    def _stream_batches(self, path: str, batches: list[int]) -> Iterator[pl.DataFrame]:
        import pyarrow.dataset as ds

        table = self._open(path)
        if table is None:
            return
        # `batch` grows with every commit, so file statistics skip all files that hold no wanted row.
        chosen = (ds.field("batch") >= batches[0]) & (ds.field("batch") <= batches[-1])
        chosen &= ds.field("raw").is_valid()
        if len(batches) <= 1000:
            chosen &= ds.field("batch").isin(batches)
        columns = ["bytes_hash", "batch", "raw"]
        yield from self._batches(path, table, columns=columns, filter=chosen, batch_size=64, batch_readahead=2)

    def embedded_hashes(self, space_fingerprint: str) -> pl.DataFrame:
        """(text_hash, batch) of every text embedded in a space, each once."""
        frame = self.read(EMBEDDINGS.of(space_fingerprint), ["text_hash", "batch"])
        return frame.unique("text_hash", keep="first", maintain_order=True)

    def vectors(self, space_fingerprint: str, wanted: pl.DataFrame) -> pl.DataFrame:
        """Vectors of some texts.

        Args:
            wanted: (text_hash, batch), as `embedded_hashes` gives them.

        Returns:
            (text_hash, vector), each text once.
        """
        batches = wanted["batch"].unique().sort()
        hashes = wanted["text_hash"].unique()
        rows = self.read(
            EMBEDDINGS.of(space_fingerprint),
            ["text_hash", "vector"],
            where=pl.col("batch").is_in(batches.implode()) & pl.col("text_hash").is_in(hashes.implode()),
            # Hashes of a million texts are no narrow column, and a cold build asks for each batch in turn.
            first=pl.col("batch").is_in(batches.implode()),
        )
        return rows.unique("text_hash", keep="first", maintain_order=True)

    def last_publication(self) -> Publication | None:
        """The pointer: the publication readers are to follow, or None before the first."""
        rows = self.read(PUBLICATIONS)
        return Publication.of(rows.sort("sequence").row(-1, named=True)) if rows.height else None

    def publications(self) -> list[Publication]:
        """All publications, oldest first."""
        return _publications(self.read(PUBLICATIONS))

    def publications_of(self, run_id: str) -> list[Publication]:
        """What one run or command published, in order."""
        return _publications(self.read(PUBLICATIONS, where=pl.col("run_id") == run_id))

    def append_publication(self, publication: Publication) -> None:
        """Move the pointer."""
        self.append(PUBLICATIONS, PUBLICATIONS.frame([publication.row()]))

    def last_audit(self, space_fingerprint: str) -> Audit | None:
        """Newest audit of a space's index, or None."""
        rows = self.read(AUDITS, where=pl.col("space_fingerprint") == space_fingerprint)
        return Audit.of(rows.sort("sequence").row(-1, named=True)) if rows.height else None

    def audits(self, where: pl.Expr | None = None) -> list[Audit]:
        """All audits, or some, oldest first."""
        rows = self.read(AUDITS, where=where)
        return [Audit.of(row) for row in rows.sort("sequence").iter_rows(named=True)]

    def append_audit(self, audit: Audit) -> None:
        """Record an audit."""
        self.append(AUDITS, AUDITS.frame([audit.row()]))


def _publications(rows: pl.DataFrame) -> list[Publication]:
    return [Publication.of(row) for row in rows.sort("sequence").iter_rows(named=True)]
