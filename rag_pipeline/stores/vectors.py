"""Index tables in LanceDB: one per embedding space, written by reconciliation, read at a pinned version.

Belongs here: everything that touches `lancedb`: schema, writes, indexes, the filter; searches are in `retrievers.py`.
Does not belong here: what should be in the table (`refresh/index.py`), fusing the retrievers (`retrieval/`).
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa

# Lance logs a deprecation line per projected query otherwise; it reads this once, at import.
os.environ.setdefault("LANCEDB_LOG", "error")

import lancedb
from lancedb.index import IvfRq

from rag_pipeline.contracts.embedding import EmbeddingSpace
from rag_pipeline.contracts.index import ROW_COLUMNS
from rag_pipeline.errors import EmbeddingSpaceMismatch, LakeDamaged, StoreError, TableMissing, TableOutdated
from rag_pipeline.stores.failures import Stored, reading, reason_of
from rag_pipeline.stores.filters import LANCE
from rag_pipeline.stores.index_schema import FINGERPRINT_KEY, PREFIX, SPACE_KEY, index_schema, table_name
from rag_pipeline.stores.quoting import sql_string
from rag_pipeline.stores.retrievers import REFINE_FACTOR, Passing, by_vector, matching_rows, nearest_rows
from rag_pipeline.stores.upkeep import (
    TEXT_INDEX,
    age_beyond,
    is_compaction_due,
    is_small,
    may_wait,
    needed_indexes,
    older_than,
)

log = logging.getLogger(__name__)
T = TypeVar("T")
INDEX = "gold/index"  # The folder of all index tables, as errors name it.
# One-bit codes are whole bytes; vectors of any other width are searched exactly.
CODE_DIMENSIONS = 8
# Each optimize after new rows adds one part to the approximate index; searching many of them is slow.
MAX_INDEX_PARTS = 8
DELETE_BATCH = 5_000


class VectorStore:
    """The LanceDB database under one root."""

    def __init__(
        self, root: str, options: Mapping[str, str] | None = None, still_writing: Callable[[], None] | None = None
    ) -> None:
        self.root = root
        self._stored = Stored(INDEX, still_writing)
        with reading("open", root, INDEX):
            self._connection = lancedb.connect(root, storage_options=dict(options or {}) or None)

    def open(
        self, name: str, space_fingerprint: str, *, version: int | None = None, refine_factor: int = REFINE_FACTOR
    ) -> VectorTable:
        """Open an index table, at a version or at its newest.

        Args:
            refine_factor: Candidates of the approximate index for each row asked for, as the version was published
                with; or EXACT.

        Raises:
            TableMissing: There is no such table or version.
            LakeDamaged: It is there and cannot be opened.
            EmbeddingSpaceMismatch: Its vectors are not from the space asked for.
            TableOutdated: Another version of this program wrote it, with other columns.
        """
        try:
            with reading("open", self.place(name), INDEX):
                handle = self._connection.open_table(name)
                if version is not None:
                    handle.checkout(version)
                metadata, columns = handle.schema.metadata or {}, handle.schema.names
        except LakeDamaged as error:
            # Lance says so with the class that it has for arguments, and with no other fault.
            if not isinstance(error.__cause__, ValueError):
                raise
            raise TableMissing(
                f"there is no index table {name} (version {version}) in {self.root}: {reason_of(error.__cause__)}. "
                f"Run: rag-pipeline run",
                table=name,
            ) from error
        found = metadata.get(FINGERPRINT_KEY, b"").decode()
        if found != space_fingerprint:
            raise EmbeddingSpaceMismatch(
                f"index table {name} holds vectors of embedding space {found or 'unknown'}, but {space_fingerprint} "
                f"was asked for; distances between the two mean nothing, so nothing was read or written. "
                f"Give the changed model a new alias in pipeline.yaml, or restore the old one.",
                table=name,
                found=found,
                wanted=space_fingerprint,
            )
        missing = [column for column in ROW_COLUMNS if column not in columns]
        if missing:
            raise TableOutdated(
                f"index table {name} in {self.root} was written by another version of this program and has no "
                f"{', '.join(missing)}. Nothing was read. Use that version, or run: rag-pipeline run",
                table=name,
            )
        return VectorTable(handle, name, self.place(name), refine_factor, self._stored)

    def place(self, name: str) -> str:
        """Folder or address of a table."""
        return f"{self.root}/{name}.lance"

    def open_or_create(self, space: EmbeddingSpace) -> VectorTable:
        """The newest version of a space's table, made empty if it is not there or is damaged.

        Raises:
            StoreError: It can neither be opened nor made.
        """
        name = table_name(space.fingerprint)

        make = partial(self._connection.create_table, name, schema=index_schema(space))

        def create() -> VectorTable:
            handle = self._stored("create", self.place(name), make)
            return VectorTable(handle, name, self.place(name), stored=self._stored)

        try:
            return self.open(name, space.fingerprint)
        except (TableMissing, LakeDamaged):
            try:
                return create()
            except StoreError as error:
                refused = error
        # Another writer may have made it since; and only a store that answers can say that a table is damaged.
        if name not in self._listed():
            raise refused
        try:
            return self.open(name, space.fingerprint)
        except (TableMissing, LakeDamaged):
            log.warning("index table %s is damaged and is made anew: %s", name, refused)
        self.drop(name)
        return create()

    def tables(self) -> list[str]:
        """Names of the index tables that can be opened; a creation that was killed leaves one that cannot."""
        found = []
        for name in self._listed():
            try:
                with reading("open", self.place(name), INDEX):
                    self._connection.open_table(name)
            except LakeDamaged:
                continue
            found.append(name)
        return found

    def named(self) -> list[tuple[str, str]]:
        """Name and embedding space of the index tables of this version of the program, whether they open or not."""
        return [(name, name.removeprefix(PREFIX)) for name in self._listed() if name.startswith(PREFIX)]

    def restart(self, space: EmbeddingSpace) -> None:
        """Make the newest version of a space's table empty, beside the versions there are, and without reading them."""
        name = table_name(space.fingerprint)
        begin = partial(self._connection.create_table, name, schema=index_schema(space), mode="overwrite")
        self._stored("begin anew", self.place(name), begin)

    def _listed(self) -> list[str]:
        with reading("list", self.root, INDEX):
            page = self._connection.list_tables()
            names = list(page.tables)
            while page.page_token:
                page = self._connection.list_tables(page_token=page.page_token)
                names += page.tables
        return names

    def drop(self, name: str) -> None:
        """Remove an index table; nothing happens if it is not there."""
        drop: Callable[..., None] = self._connection.drop_table
        self._stored("drop", self.place(name), lambda: drop(name, ignore_missing=True))


class VectorTable:
    """One index table, as of the version it was opened at.

    Attributes:
        refine_factor: How the nearest rows are found where there is an approximate index: candidates compared in full
            precision for each row asked for, or EXACT.
    """

    dialect = LANCE

    def __init__(
        self,
        handle: Any,
        name: str,
        place: str,
        refine_factor: int = REFINE_FACTOR,
        stored: Stored | None = None,
    ) -> None:
        self._stored = stored or Stored(INDEX)
        self._table = handle
        self._passing = Passing(handle)
        self.name = name
        self.place = place
        self.refine_factor = refine_factor
        self._indexed_vectors: bool | None = None

    @property
    def version(self) -> int:
        return int(self._read("open", lambda: self._table.version))

    @property
    def space(self) -> EmbeddingSpace:
        return EmbeddingSpace(**json.loads(self._schema.metadata[SPACE_KEY]))

    @property
    def _schema(self) -> pa.Schema:
        return self._read("open", lambda: self._table.schema)

    def made_at(self) -> dict[int, datetime]:
        """When each version of the table that is there was committed, UTC."""
        return {int(version["version"]): version["timestamp"].astimezone(UTC) for version in self._versions()}

    def count(self, where: str | None = None) -> int:
        return int(self._read("count the rows of", lambda: self._table.count_rows(where)))

    def read(self, columns: Sequence[str], where: str | None = None, limit: int | None = None) -> pl.DataFrame:
        """Rows as a frame, in no particular order."""

        def scan() -> pa.Table:
            query = self._table.search().select(list(columns)).limit(limit)
            return (query.where(where) if where else query).to_arrow()

        return pl.DataFrame(pl.from_arrow(self._read("scan", scan)))

    def stream(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows, batch by batch."""
        with reading("scan", self.place, INDEX):
            yield from self._table.search().select(list(columns)).limit(None).to_batches()

    # -- writing ------------------------------------------------------------------------------------------

    def add(self, batches: Iterable[pa.Table]) -> None:
        """Add rows, whose chunk_ids the table has none of, in one commit however many batches they come in.

        Raises:
            ContractViolation: Whatever `batches` raises comes through as it is; nothing was written.
        """
        schema = self._schema
        raised: list[BaseException] = []

        def streamed() -> Iterator[pa.RecordBatch]:
            try:
                for rows in batches:
                    yield from rows.cast(schema).to_batches()
            except BaseException as error:
                raised.append(error)
                raise

        try:
            reader = pa.RecordBatchReader.from_batches(schema, streamed())
            self._stored("add to", self.place, lambda: self._table.add(reader))
        except StoreError:
            # Through the store an error arrives as text.
            if raised:
                raise raised[0] from None
            raise

    def update_columns(self, rows: pa.Table) -> None:
        """Replace the given columns of rows that are there, by chunk_id, in one commit."""
        fields = [self._schema.field(name) for name in rows.schema.names]
        rows = rows.cast(pa.schema(fields))
        self._stored(
            "merge into",
            self.place,
            lambda: self._table.merge_insert("chunk_id").when_matched_update_all().use_index(False).execute(rows),
        )

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Remove rows by chunk_id."""
        for start in range(0, len(chunk_ids), DELETE_BATCH):
            names = ", ".join(sql_string(name) for name in chunk_ids[start : start + DELETE_BATCH])
            self._stored("delete from", self.place, partial(self._table.delete, f"chunk_id IN ({names})"))

    def restore(self, version: int) -> None:
        """Make an older version the newest again, as one more commit."""
        self._stored("restore", self.place, lambda: self._table.restore(version))

    def index(self) -> bool:
        """Bring the indexes up to date with the rows, as far as search needs it; call once after a change.

        Returns:
            Whether the approximate index is another one than before.
        """
        existing = {index.name for index in self._indexes()}
        rows = self.count()
        for column, configuration in needed_indexes(rows).items():
            if f"{column}_idx" not in existing or (is_small(rows) and column in TEXT_INDEX):
                self._create_index(column, configuration())
        return self._index_vectors(existing, rows)

    def compact_if_due(self, oldest_kept: int | None = None) -> bool:
        """Compact, index what waits and forget versions, once enough has gathered; say whether it was done.

        Args:
            oldest_kept: This version and all younger ones stay, for readers; None: the newest alone.
        """
        kept = self.version if oldest_kept is None else oldest_kept
        versions, waiting = self._versions(), max(self._waiting().values(), default=0)
        now = datetime.now(UTC)
        age = age_beyond(kept, versions, now)
        if not is_compaction_due(self.count(), waiting, versions, older_than(age, versions, now)):
            return False
        # The table first, and its versions in a call that finds nothing else to do: thinning counts from its own start.
        self._stored("optimize", self.place, self._table.optimize)
        age += max(timedelta(0), datetime.now(UTC) - now)
        self._stored("thin the versions of", self.place, lambda: self._table.optimize(cleanup_older_than=age))
        return True

    def _index_vectors(self, existing: set[str], rows: int) -> bool:
        if is_small(rows) or self.space.dimension % CODE_DIMENSIONS:
            if "vector_idx" in existing:
                self._stored("drop index of", self.place, lambda: self._table.drop_index("vector_idx"))
                return True
            return False
        if "vector_idx" in existing:
            stats = self._statistics("vector_idx")
            doubled = stats.num_unindexed_rows > stats.num_indexed_rows
            if stats.num_indices < MAX_INDEX_PARTS and not doubled:
                return False
        self._create_index("vector", IvfRq(distance_type="cosine"))
        return True

    def _create_index(self, column: str, configuration: Any) -> None:
        make = partial(self._table.create_index, column, config=configuration, replace=True)
        self._stored(f"index {column} of", self.place, make)

    # -- searching ----------------------------------------------------------------------------------------

    def nearest(self, vector: np.ndarray, where: str, limit: int, columns: Sequence[str]) -> pl.DataFrame:
        """Rows that pass `where`, nearest first by cosine distance in `_distance` (0 is the same direction)."""
        trained = self.refine_factor if self.has_vector_index else None
        return self._read(
            "search by vector in", lambda: nearest_rows(self._passing, vector, where, limit, columns, trained)
        )

    def distances(self, vector: np.ndarray, limit: int, refine_factor: int) -> np.ndarray:
        """Cosine distances of the nearest rows of all, ascending, as found by a refine factor or by EXACT."""
        rows = self._read(
            "search by vector in", lambda: by_vector(self._table, vector, "true", limit, ["chunk_id"], refine_factor)
        )
        return rows["_distance"].sort().to_numpy()

    def matching(self, text: str, where: str, limit: int, columns: Sequence[str]) -> pl.DataFrame:
        """Rows that pass `where` and share words with `text`, best BM25 first in `_score`."""
        return self._read("search by words in", lambda: matching_rows(self._passing, text, where, limit, columns))

    @property
    def has_vector_index(self) -> bool:
        """Whether vector search uses the approximate index."""
        if self._indexed_vectors is None:
            self._indexed_vectors = any(index.name == "vector_idx" for index in self._indexes())
        return self._indexed_vectors

    def unindexed_rows(self) -> dict[str, int]:
        """Rows by index where more wait beside it than search bears; all of them where one that is needed is not."""
        rows = self.count()
        found = {name: count for name, count in self._waiting().items() if count > may_wait(rows)}
        names = {index.name for index in self._indexes()}
        missing = [name for column in needed_indexes(rows) if (name := f"{column}_idx") not in names]
        return found | (dict.fromkeys(missing, rows) if rows else {})

    def _waiting(self) -> dict[str, int]:
        """Rows beside each index that a table of this size needs, by its name."""
        needed = {*(f"{column}_idx" for column in needed_indexes(self.count())), "vector_idx"}
        names = [index.name for index in self._indexes() if index.name in needed]
        return {name: int(self._statistics(name).num_unindexed_rows) for name in names}

    def _indexes(self) -> list[Any]:
        return list(self._read("list the indexes of", self._table.list_indices))

    def _versions(self) -> list[dict[str, Any]]:
        listed = self._read("list the versions of", self._table.list_versions)
        # Lance gives local times without their zone. Of the hour that an autumn has twice the first one is taken, so
        # that a version is kept too long rather than not long enough.
        return [version | {"timestamp": version["timestamp"].astimezone(UTC)} for version in listed]

    def _statistics(self, index: str) -> Any:
        return self._read(f"read the statistics of {index} of", lambda: self._table.index_stats(index))

    def _read(self, verb: str, action: Callable[[], T]) -> T:
        with reading(verb, self.place, INDEX):
            return action()
