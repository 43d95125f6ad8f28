"""Delta tables of the lake, read: open, read, stream, history.

Belongs here: what only reads `deltalake`, and the mapping of its errors to ours.
Does not belong here: commits (`delta.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.errors import LakeDamaged, TableMissing, TableOutdated
from rag_pipeline.stores.failures import cause_of, failed, is_failure, reading
from rag_pipeline.stores.objects import Objects
from rag_pipeline.stores.opened_tables import OpenedTables
from rag_pipeline.stores.read_once import FILE, DataFiles, ReadOnce
from rag_pipeline.stores.segments import SEGMENT

# Rows may hold whole documents.
STREAM_ROWS = 512
# And so many take some megabytes where they hold none.
NARROW_ROWS = 10_000
# So many can be compared with the statistics of each file.
FEW_KEYS = 256


class DeltaReads:
    """All Delta tables under one root.

    Args:
        root: A folder or an object store's prefix (`s3://…`).
        storage_options: Passed to the object store client.
        read_once: Keeps what is opened and read, of a root in a folder; None: nothing is kept.
    """

    def __init__(
        self, root: str, storage_options: Mapping[str, str] | None = None, read_once: ReadOnce | None = None
    ) -> None:
        self.root = root.rstrip("/")
        self.is_local = "://" not in root
        self._read_once = read_once if self.is_local else None
        self._opened_tables = OpenedTables()
        self._options = dict(storage_options or {}) or None

    def uri(self, path: str) -> str:
        return f"{self.root}/{path}"

    @cached_property
    def objects(self) -> Objects:
        """Single objects of a lake in an object store.

        Raises:
            ExtraMissing: Its client is not installed.
        """
        return Objects(self.root, self.storage_options)

    @property
    def storage_options(self) -> dict[str, str] | None:
        """For the object store client; None on a disk."""
        return self._options

    def _open(self, path: str, version: int | None = None) -> DeltaTable | None:
        if version is None and self._read_once is not None:
            return self._read_once.newest(self.uri(path), lambda: self._open_anew(path))
        if version is None and not self.is_local:
            return self._opened_tables.newest(self.objects, path, lambda: self._open_anew(path))
        return self._open_anew(path, version)

    def _open_anew(self, path: str, version: int | None = None) -> DeltaTable | None:
        try:
            return DeltaTable(self.uri(path), version=version, storage_options=self._options)
        except TableNotFoundError:
            return None
        except BaseException as error:
            if not is_failure(error):
                raise
            raise failed("open", self.uri(path), path, error) from cause_of(error)

    def opened(self, contract: TableContract) -> DeltaTable | None:
        """The table itself at its newest version, for a look at its files; None if there is none yet."""
        return self._open_anew(contract.path)

    def exists(self, contract: TableContract) -> bool:
        return self._open(contract.path) is not None

    def version(self, contract: TableContract) -> int:
        """Newest version of the table, -1 if there is none yet."""
        table = self._open(contract.path)
        return -1 if table is None else table.version()

    def identity(self, contract: TableContract) -> tuple[str, int]:
        """Which table it is, and its newest version. ("", -1): none.

        One that was made again has another id. One that was put back from a backup has not, and comes to the version
        that it had before by other files.
        """
        table = self._open(contract.path)
        if table is None:
            return "", -1
        with self._reading(contract.path):
            return digest("table", str(table.metadata().id), *sorted(table.file_uris())), table.version()

    def read(
        self,
        contract: TableContract,
        columns: Sequence[str] | None = None,
        *,
        where: pl.Expr | None = None,
        first: pl.Expr | None = None,
        version: int | None = None,
    ) -> pl.DataFrame:
        """The table's rows as a frame; an empty frame of the contract's schema if there is no table yet.

        Args:
            first: What holds wherever `where` does, and asks for narrower columns, so that fewer files are looked at.
            version: Read that version of the past; -1 is the state before the first commit.

        Raises:
            StoreError: The table cannot be read.
        """
        schema = contract.schema if columns is None else {c: contract.schema[c] for c in columns}
        if version == -1:
            return pl.DataFrame(schema=schema)
        table = self._open(contract.path, version)
        if table is None:
            return pl.DataFrame(schema=schema)
        lacking = self._lacking(contract, table)
        if lacking:
            # Also what rows are chosen by may not be there, and such tables are small.
            rows = self._rows(contract.path, table, [n for n in contract.columns if n not in lacking], None)
            rows = rows.with_columns(pl.lit(None, contract.schema[name]).alias(name) for name in sorted(lacking))
            return (rows if where is None else rows.filter(where)).select(list(schema))
        try:
            return self._rows(contract.path, table, list(schema), where, first)
        except LakeDamaged:
            newest = self._open(contract.path)
            if version is not None or newest is None or newest.version() == table.version():
                raise
            # A writer has gone on, and thinned out the files of the version that was opened.
            return self._rows(contract.path, newest, list(schema), where, first)

    def _lacking(self, contract: TableContract, table: DeltaTable) -> frozenset[str]:
        """Columns that were added since the table was written, and that it can do without."""
        if not contract.later:
            return frozenset()
        return contract.later.difference(field.name for field in table.schema().fields)

    def _rows(
        self,
        path: str,
        table: DeltaTable,
        columns: list[str],
        where: pl.Expr | None,
        first: pl.Expr | None = None,
    ) -> pl.DataFrame:
        with self._reading(path):
            schema = self._files(path, table).schema
        self._has(path, schema, columns)
        with self._reading(path):
            return self._collected(path, table, columns, where, first)

    def _has(self, path: str, schema: Collection[str], columns: Sequence[str]) -> None:
        missing = [name for name in columns if name not in schema]
        if missing:
            raise TableOutdated(
                f"{self.uri(path)} was written by another version of this program and has no {', '.join(missing)}. "
                f"Nothing was read or written. Use that version, or move {self.uri(_movable(path))} "
                f"away and run again: what it held is made anew from what is below it.",
                table=path,
            )

    def _files(self, path: str, table: DeltaTable) -> DataFiles:
        if self._read_once is None:
            return DataFiles.of(table, self._options)
        return self._read_once.files_of(self.uri(path), table)

    def _collected(
        self,
        path: str,
        table: DeltaTable,
        columns: Sequence[str],
        where: pl.Expr | None = None,
        first: pl.Expr | None = None,
    ) -> pl.DataFrame:
        """Columns of the rows that hold `where`; the number of the segment is one of them."""
        if self._read_once is not None:
            return self._read_once.rows(self.uri(path), self._files(path, table), columns, where, first)
        frame = self._scan_with_segments(table)
        return (frame if where is None else frame.filter(where)).select(columns).collect()

    def stream(
        self, contract: TableContract, columns: Sequence[str], *, version: int | None = None
    ) -> Iterator[pl.DataFrame]:
        """The table's rows a few hundred at a time, so that memory holds a batch and not the table."""
        table = self._open(contract.path, version)
        if table is None:
            return
        yield from self._batches(contract.path, table, columns=list(columns), batch_size=STREAM_ROWS)

    def stream_narrow(self, contract: TableContract, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Columns that hold no documents, some thousand rows at a time: nothing is read ahead of them."""
        table = self._open(contract.path)
        if table is None:
            return
        with self._reading(contract.path):
            files = DataFiles.of(table, self._options)
        self._has(contract.path, files.schema, columns)
        with self._reading(contract.path):
            for name in files.names:
                rows = files.scan([name]).select(columns)
                yield from rows.collect_batches(chunk_size=NARROW_ROWS, maintain_order=True, lazy=True)

    def count(self, contract: TableContract) -> int:
        """Rows of the newest version, as its log says."""
        table = self._open(contract.path)
        if table is None:
            return 0
        with self._reading(contract.path):
            return int(table.count())

    def _batches(self, path: str, table: DeltaTable, **options: Any) -> Iterator[pl.DataFrame]:
        with self._reading(path):
            for batch in table.to_pyarrow_dataset().to_batches(**options):
                if batch.num_rows:
                    yield pl.DataFrame(pl.from_arrow(batch))

    def _reading(self, path: str) -> AbstractContextManager[None]:
        return reading("read", self.uri(path), path)

    def stream_where(
        self,
        contract: TableContract,
        columns: Sequence[str],
        column: str,
        wanted: Iterable[str],
        *,
        version: int | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Rows whose `column` is among `wanted`: a few are read at once, many are streamed."""
        keys = pl.Series(column, sorted(set(wanted)), dtype=pl.String)
        table = None if keys.is_empty() else self._open(contract.path, version)
        lacking = frozenset[str]() if table is None else self._lacking(contract, table)
        if table is None or column in lacking:
            return
        for found in self._chosen(contract, table, [n for n in columns if n not in lacking], keys):
            nothing = (pl.lit(None, contract.schema[name]).alias(name) for name in columns if name in lacking)
            yield found.with_columns(nothing) if lacking else found

    def _chosen(
        self, contract: TableContract, table: DeltaTable, columns: list[str], keys: pl.Series
    ) -> Iterator[pl.DataFrame]:
        chosen = pl.col(keys.name).is_in(keys.implode())
        if len(keys) <= FEW_KEYS:
            # Decodes the one column of all rows, and of the others the rows that are wanted.
            with self._reading(contract.path):
                found = self._collected(contract.path, table, columns, chosen)
            if found.height:
                yield found
            return
        for frame in self._batches(contract.path, table, columns=columns, batch_size=STREAM_ROWS):
            found = frame.filter(chosen)
            if found.height:
                yield found

    def scan(self, contract: TableContract) -> pl.LazyFrame | None:
        """The newest version of a table to query lazily, or None if there is no table yet."""
        table = self._open(contract.path)
        if table is None:
            return None
        with self._reading(contract.path):
            return self._scan(table)

    def _scan(self, table: DeltaTable) -> pl.LazyFrame:
        return self._scan_with_segments(table).drop(SEGMENT, strict=False)

    def _scan_with_segments(self, table: DeltaTable) -> pl.LazyFrame:
        return DataFiles.of(table, self._options).scan().drop(FILE)

    def file_uris(self, contract: TableContract) -> list[str]:
        """Data files of the newest version.

        Raises:
            TableMissing: There is no such table.
        """
        table = self._open(contract.path)
        if table is None:
            raise TableMissing(
                f"there is no table at {self.uri(contract.path)}; run: rag-pipeline run", table=contract.path
            )
        with self._reading(contract.path):
            return sorted(table.file_uris())

    def history(self, contract: TableContract, limit: int = 20) -> list[dict[str, Any]]:
        """The last commits, newest first, with version, time, operation and run id."""
        table = self._open(contract.path)
        if table is None:
            return []
        with self._reading(contract.path):
            return table.history(limit)


def _movable(path: str) -> str:
    """What to move away with an outdated table: the tables of silver are made of each other."""
    return "silver" if path.startswith("silver/") else path
