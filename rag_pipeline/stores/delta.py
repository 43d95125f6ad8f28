"""Delta tables of the lake: read, append, merge, stream, count commits.

Belongs here: everything that touches `deltalake`, and the mapping of its errors to ours.
Does not belong here: what is written; callers bring frames that a contract accepts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import polars as pl
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler

from rag_pipeline.contracts.table import TableContract
from rag_pipeline.errors import CommitConflict, TableMissing, TableOutdated
from rag_pipeline.stores.failures import NOTHING_WRITTEN, failed, is_failure, reading

log = logging.getLogger(__name__)

STREAM_ROWS = 512
COMPACT_ABOVE_FILES = 64
# Vacuumed files must outlive the longest reader that pinned an old version.
RETENTION_HOURS = 7 * 24

_CONFIGURATION: Mapping[str, str | None] = {
    "delta.checkpointInterval": "10",
    "delta.logRetentionDuration": "interval 30 days",
}


class DeltaStore:
    """All Delta tables under one root, by path relative to it.

    Args:
        root: A folder or an object store's prefix (`s3://…`).
        storage_options: Passed to the object store client.
        run_id: Recorded in every commit.
    """

    def __init__(self, root: str, storage_options: Mapping[str, str] | None = None, run_id: str = "") -> None:
        self.root = root.rstrip("/")
        self.run_id = run_id
        self.commits = 0
        self._options = dict(storage_options or {}) or None

    def uri(self, path: str) -> str:
        return f"{self.root}/{path}"

    @property
    def storage_options(self) -> dict[str, str] | None:
        """For the object store client; None on a disk."""
        return self._options

    def _open(self, path: str, version: int | None = None) -> DeltaTable | None:
        try:
            return DeltaTable(self.uri(path), version=version, storage_options=self._options)
        except TableNotFoundError:
            return None
        except BaseException as error:
            if not is_failure(error):
                raise
            raise failed("open", self.uri(path), path, error) from error

    def opened(self, path: str) -> DeltaTable | None:
        """The table itself at its newest version, for a look at its files; None if there is none yet."""
        return self._open(path)

    def forget_missing_files(self, path: str, table: DeltaTable, names: Sequence[str]) -> None:
        """Take data files out of the newest version without reading them; in an object store they are removed first."""
        with self._writing("take damaged files out of", path):
            if "://" in self.root:
                files = DeltaStorageHandler.from_table(table._table)
                for name in names:
                    files.delete_file(name)
            table.repair(commit_properties=CommitProperties(custom_metadata={"rag_pipeline.run_id": self.run_id}))
        self.commits += 1
        log.warning("took damaged files out table=%s files=%d", path, len(names))

    def clear(self, path: str, contract: TableContract) -> None:
        """Make a table empty in one commit, without reading it."""
        with self._writing("empty", path):
            write_deltalake(
                self.uri(path),
                contract.empty(),
                mode="overwrite",
                storage_options=self._options,
                commit_properties=self._properties(contract),
            )
        self.commits += 1

    def exists(self, path: str) -> bool:
        return self._open(path) is not None

    def version(self, path: str) -> int:
        """Newest version of the table, -1 if there is none yet."""
        table = self._open(path)
        return -1 if table is None else table.version()

    def read(
        self,
        path: str,
        contract: TableContract,
        columns: Sequence[str] | None = None,
        *,
        where: pl.Expr | None = None,
        version: int | None = None,
    ) -> pl.DataFrame:
        """The table's rows as a frame; an empty frame of the contract's schema if there is no table yet.

        Args:
            version: Read that version of the past; -1 is the state before the first commit.

        Raises:
            StoreError: The table cannot be read.
        """
        schema = contract.schema if columns is None else {c: contract.schema[c] for c in columns}
        if version == -1:
            return pl.DataFrame(schema=schema)
        table = self._open(path, version)
        if table is None:
            return pl.DataFrame(schema=schema)
        with self._reading(path):
            frame = self._scan(table)
            missing = [name for name in schema if name not in frame.collect_schema()]
        if missing:
            raise TableOutdated(
                f"{self.uri(path)} was written by another version of this program and has no {', '.join(missing)}. "
                f"Nothing was read or written. Use that version, or move {self.uri(_movable(path))} "
                f"away and run again: what it held is made anew from what is below it.",
                table=path,
            )
        if where is not None:
            frame = frame.filter(where)
        with self._reading(path):
            return frame.select(list(schema)).collect()

    def stream(self, path: str, columns: Sequence[str], *, version: int | None = None) -> Iterator[pl.DataFrame]:
        """The table's rows a few hundred at a time, so that memory holds a batch and not the table."""
        table = self._open(path, version)
        if table is None:
            return
        yield from self._batches(path, table, columns=list(columns), batch_size=STREAM_ROWS)

    def _batches(self, path: str, table: DeltaTable, **options: Any) -> Iterator[pl.DataFrame]:
        with self._reading(path):
            for batch in table.to_pyarrow_dataset().to_batches(**options):
                if batch.num_rows:
                    yield pl.DataFrame(pl.from_arrow(batch))

    def _reading(self, path: str) -> AbstractContextManager[None]:
        return reading("read", self.uri(path), path)

    def stream_where(
        self,
        path: str,
        columns: Sequence[str],
        column: str,
        wanted: Iterable[str],
        *,
        version: int | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Rows whose `column` is among `wanted`, streamed; stops when each has been seen if it is unique."""
        keys = pl.Series(column, sorted(set(wanted)), dtype=pl.String)
        if keys.is_empty():
            return
        for frame in self.stream(path, columns, version=version):
            found = frame.filter(pl.col(column).is_in(keys.implode()))
            if found.height:
                yield found

    def append(self, path: str, contract: TableContract, frame: pl.DataFrame) -> int:
        """Add rows in one commit and return the new version.

        Raises:
            ContractViolation: The rows break the contract; nothing was written.
            StoreError: The commit failed.
        """
        contract.check(frame)
        with self._writing("append to", path):
            write_deltalake(
                self.uri(path),
                frame,
                mode="append",
                name=f"{contract.layer}_{contract.name}",
                description=contract.doc,
                configuration=_CONFIGURATION,
                storage_options=self._options,
                commit_properties=self._properties(contract),
            )
        self.commits += 1
        version = self.version(path)
        log.info("appended table=%s version=%d rows=%d", path, version, frame.height)
        return version

    def merge(
        self,
        path: str,
        contract: TableContract,
        upserts: pl.DataFrame,
        deletes: Iterable[str] = (),
        *,
        delete_column: str | None = None,
    ) -> bool:
        """Replace and add rows by key, and delete others, in one commit; say whether anything was written.

        Args:
            upserts: Full rows of the contract; a row with a known key replaces it.
            deletes: Values of `delete_column` (default: the key's first column) whose rows go. A row that
                is also in `upserts` stays.

        Raises:
            ContractViolation: The rows break the contract; nothing was written.
            CommitConflict: Another writer changed the same rows.
        """
        gone = sorted(set(deletes))
        column = delete_column or contract.key[0]
        doomed = upserts.select(contract.key).clear()
        if gone:
            doomed = self.read(path, contract, contract.key, where=pl.col(column).is_in(gone))
        return self.replace_where(path, contract, upserts, doomed)

    def replace_where(self, path: str, contract: TableContract, upserts: pl.DataFrame, deletes: pl.DataFrame) -> bool:
        """Like `merge`, with the rows to delete given by their whole key."""
        contract.check(upserts)
        table = self._open(path)
        if table is None:
            if upserts.height:
                self.append(path, contract, upserts)
            return bool(upserts.height)
        doomed = deletes.select(contract.key).unique()
        doomed = doomed.join(upserts.select(contract.key), on=list(contract.key), how="anti")
        if not upserts.height and not doomed.height:
            return False
        self._merge(table, path, contract, upserts, doomed)
        return True

    def _merge(
        self,
        table: DeltaTable,
        path: str,
        contract: TableContract,
        upserts: pl.DataFrame,
        doomed: pl.DataFrame,
    ) -> None:
        source = pl.concat(
            [upserts.with_columns(_delete=pl.lit(False)), doomed.with_columns(_delete=pl.lit(True))],
            how="diagonal",
        )
        columns = {name: f"s.{_quoted(name)}" for name in contract.columns}
        with self._writing("merge into", path):
            (
                table.merge(
                    source,
                    predicate=" AND ".join(f"t.{_quoted(k)} = s.{_quoted(k)}" for k in contract.key),
                    source_alias="s",
                    target_alias="t",
                    commit_properties=self._properties(contract),
                )
                .when_matched_delete(predicate="s._delete")
                .when_matched_update(columns, predicate="NOT s._delete")
                .when_not_matched_insert(columns, predicate="NOT s._delete")
                .execute()
            )
        self.commits += 1
        log.info("merged table=%s upserts=%d deletes=%d", path, upserts.height, doomed.height)

    def update(self, path: str, contract: TableContract, rows: pl.DataFrame) -> bool:
        """Replace some columns of rows that are there, by key, in one commit; say whether anything was written.

        Args:
            rows: The key and the columns to replace.

        Raises:
            ContractViolation: A column is unknown or of another type; nothing was written.
        """
        if not rows.height:
            return False
        part = replace(contract, columns={name: contract.columns[name] for name in rows.columns}, rules=())
        part.check(rows)
        table = self._open(path)
        if table is None:
            raise TableMissing(f"there is no table at {self.uri(path)}; run: rag-pipeline run", table=path)
        columns = {name: f"s.{_quoted(name)}" for name in rows.columns if name not in contract.key}
        predicate = " AND ".join(f"t.{_quoted(k)} = s.{_quoted(k)}" for k in contract.key)
        with self._writing("update", path):
            merge = table.merge(
                rows, predicate, source_alias="s", target_alias="t", commit_properties=self._properties(contract)
            )
            merge.when_matched_update(columns).execute()
        self.commits += 1
        log.info("updated table=%s rows=%d columns=%d", path, rows.height, len(columns))
        return True

    def maintain(self, path: str, *, retention_hours: int = RETENTION_HOURS) -> bool:
        """Compact many small files into few, and remove files no version within retention needs."""
        table = self._open(path)
        if table is None:
            return False
        changed = False
        if len(table.file_uris()) > COMPACT_ABOVE_FILES:
            with self._writing("compact", path):
                table.optimize.compact()
            self.commits += 1
            changed = True
        with self._writing("vacuum", path):
            table.vacuum(retention_hours=retention_hours, dry_run=False, full=True)
        return changed

    @contextmanager
    def _writing(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except CommitFailedError as error:
            raise CommitConflict(
                f"could not {verb} {self.uri(path)}: another writer changed it at the same time; nothing of this "
                f"commit was written. Run again.",
                table=path,
            ) from error
        except BaseException as error:
            if not is_failure(error):
                raise
            raise failed(verb, self.uri(path), path, error, note=NOTHING_WRITTEN) from error

    def scan(self, path: str) -> pl.LazyFrame | None:
        """The newest version of a table to query lazily, or None if there is no table yet."""
        table = self._open(path)
        if table is None:
            return None
        with self._reading(path):
            return self._scan(table)

    def _scan(self, table: DeltaTable) -> pl.LazyFrame:
        uris = table.file_uris()
        if "://" in self.root or all(unquote(uri) == uri for uri in uris):
            return pl.scan_delta(table, storage_options=self._options)
        # Delta keeps names percent-encoded, which the reader takes literally: a folder with a space is not found.
        return pl.scan_parquet(
            [unquote(uri) for uri in uris],
            glob=False,
            schema=pl.scan_delta(table).collect_schema(),
            missing_columns="insert",
        )

    def file_uris(self, path: str) -> list[str]:
        """Data files of the newest version.

        Raises:
            TableMissing: There is no such table.
        """
        table = self._open(path)
        if table is None:
            raise TableMissing(f"there is no table at {self.uri(path)}; run: rag-pipeline run", table=path)
        with self._reading(path):
            return sorted(table.file_uris())

    def history(self, path: str, limit: int = 20) -> list[dict[str, Any]]:
        """The last commits, newest first, with version, time, operation and run id."""
        table = self._open(path)
        if table is None:
            return []
        with self._reading(path):
            return table.history(limit)

    def _properties(self, contract: TableContract) -> CommitProperties:
        return CommitProperties(
            custom_metadata={
                "rag_pipeline.run_id": self.run_id,
                "rag_pipeline.contract": str(contract.version),
            }
        )


def _movable(path: str) -> str:
    """What to move away with an outdated table: the tables of silver are made of each other."""
    return "silver" if path.startswith("silver/") else path


def _quoted(name: str) -> str:
    return f"`{name}`"
