"""Delta tables of the lake, written: append, change, empty, tidy; count commits.

Belongs here: every commit to a Delta table.
Does not belong here: reading (`delta_reads.py`); what is written: callers bring frames that a contract accepts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable, write_deltalake
from deltalake.fs import DeltaStorageHandler

from rag_pipeline.contracts.table import TableContract
from rag_pipeline.errors import LakeDamaged, StoreError, TableMissing
from rag_pipeline.stores.delta_commits import COMPRESSED, DeltaCommits
from rag_pipeline.stores.delta_log import forget_log
from rag_pipeline.stores.quoting import sql_name
from rag_pipeline.stores.segments import SEGMENT, Change, Segments

log = logging.getLogger(__name__)

# Where opening files begins to cost more than reading them.
COMPACT_ABOVE_FILES = 64
# A table is tidied before every so many commits; then files below this size become one, and so many versions stay.
TIDY_EVERY = 16
SMALL_FILE_BYTES = 256_000
KEPT_VERSIONS = 8
# And of the log, for a look at what was done lately, so many commits more.
KEPT_COMMITS = 8
# Vacuumed files must outlive the longest reader that pinned an old version.
RETENTION_HOURS = 7 * 24
# Above so many bytes to rewrite, the rows are joined in a stream instead of in memory.
MERGE_ABOVE_BYTES = 64_000_000


class DeltaStore(DeltaCommits):
    """All Delta tables under one root, read and written."""

    @property
    def is_alone(self) -> bool:
        """Whether no other process can be writing to these tables now."""
        return False

    def forget_missing_files(self, contract: TableContract, table: DeltaTable, names: Sequence[str]) -> None:
        """Take data files out of the newest version without reading them; in an object store they are removed first."""
        with self._writing("take damaged files out of", contract.path):
            if "://" in self.root:
                files = DeltaStorageHandler.from_table(table._table)
                for name in names:
                    files.delete_file(name)
            table.repair(commit_properties=self._properties())
        self.commits += 1
        log.warning("took damaged files out table=%s files=%d", contract.path, len(names))

    def clear(self, contract: TableContract) -> None:
        """Make a table empty in one commit, without reading it."""
        empty = contract.empty()
        if contract.grouped_by:
            empty = empty.with_columns(pl.lit(None, pl.Int64).alias(SEGMENT))
        self._write(contract, empty, "empty", mode="overwrite", schema_mode="overwrite")

    def append(self, contract: TableContract, frame: pl.DataFrame) -> int:
        """Add rows in one commit and return the new version.

        Raises:
            ContractViolation: The rows break the contract; nothing was written.
            StoreError: The commit failed.
        """
        contract.check(frame)
        table = self._opened_to_write(contract)
        segments = None if table is None or not contract.grouped_by else self._segments(contract.path, table)
        if table is not None and contract.grouped_by and (segments is None or segments.unfilled is not None):
            self._rewrite(table, Change(contract, frame, contract.empty()), segments)
        else:
            if contract.grouped_by:
                segments = segments or Segments({}, 0)
                frame = segments.cut(frame, segments.next)
            self._write(contract, frame, "append to", mode="append")
        version = self.version(contract)
        log.info("appended table=%s version=%d rows=%d", contract.path, version, frame.height)
        return version

    def merge(
        self,
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
            doomed = self.read(contract, contract.key, where=pl.col(column).is_in(gone))
        return self.replace_where(contract, upserts, doomed)

    def replace_where(self, contract: TableContract, upserts: pl.DataFrame, deletes: pl.DataFrame) -> bool:
        """Like `merge`, with the rows to delete given by their whole key."""
        contract.check(upserts)
        table = self._opened_to_write(contract)
        if table is None:
            if upserts.height:
                self.append(contract, upserts)
            return bool(upserts.height)
        doomed = deletes.select(contract.key).unique()
        doomed = doomed.join(upserts.select(contract.key), on=list(contract.key), how="anti")
        if not upserts.height and not doomed.height:
            return False
        if contract.grouped_by:
            self._rewrite(table, Change(contract, upserts, doomed), self._segments(contract.path, table))
        else:
            self._merge(table, contract, upserts, doomed)
        log.info("merged table=%s upserts=%d deletes=%d", contract.path, upserts.height, doomed.height)
        return True

    def _segments(self, path: str, table: DeltaTable) -> Segments | None:
        with self._reading(path):
            return Segments.of(table)

    def _rewrite(self, table: DeltaTable, change: Change, segments: Segments | None) -> None:
        """Commit a change of a table in segments by writing the touched ones anew, or by a merge if these are large."""
        contract = change.contract
        if segments is None:
            # It was written in one piece; once it is laid out anew.
            rows = self._rows(contract.path, table, list(contract.columns), None).with_columns(
                pl.lit(0, pl.Int64).alias(SEGMENT)
            )
            first = Segments({}, 0)
            rows = change.result(rows, first.cut(change.upserts, 0), first)
            self._write(contract, rows, "lay out", mode="overwrite", schema_mode="overwrite")
            return
        names = list(dict.fromkeys([*contract.key, contract.grouped_by, SEGMENT]))
        with self._writing("merge into", contract.path):
            touched = change.touched(self._collected(contract.path, table, names))
            placed = change.placed(touched, segments)
            numbers = sorted({*touched[SEGMENT], *placed[SEGMENT]})
            if sum(segments.sizes.get(number, 0) for number in numbers) <= MERGE_ABOVE_BYTES:
                columns = [*contract.columns, SEGMENT]
                stored = self._collected(contract.path, table, columns, pl.col(SEGMENT).is_in(numbers))
                rows = change.result(stored, placed, segments)
                self._overwrite(table, contract, rows, sorted({*numbers, *rows[SEGMENT]}))
                return
        self._merge(table, contract, placed, change.doomed)

    def _overwrite(
        self, table: DeltaTable, contract: TableContract, rows: pl.DataFrame, numbers: Sequence[int]
    ) -> None:
        """Make some segments hold these rows and no others, in one commit."""
        if not numbers:
            return
        with self._writing("write segments of", contract.path):
            write_deltalake(
                table,
                rows,
                mode="overwrite",
                predicate=f"{SEGMENT} IN ({', '.join(map(str, numbers))})",
                writer_properties=COMPRESSED,
                commit_properties=self._properties(contract),
            )
        self.commits += 1

    def _merge(
        self,
        table: DeltaTable,
        contract: TableContract,
        upserts: pl.DataFrame,
        doomed: pl.DataFrame,
    ) -> None:
        source = pl.concat(
            [upserts.with_columns(_delete=pl.lit(False)), doomed.with_columns(_delete=pl.lit(True))],
            how="diagonal",
        )
        columns = {name: f"s.{sql_name(name)}" for name in contract.columns}
        inserted = {name: f"s.{sql_name(name)}" for name in upserts.columns}
        with self._writing("merge into", contract.path):
            (
                table.merge(
                    source,
                    predicate=" AND ".join(f"t.{sql_name(k)} = s.{sql_name(k)}" for k in contract.key),
                    source_alias="s",
                    target_alias="t",
                    commit_properties=self._properties(contract),
                )
                .when_matched_delete(predicate="s._delete")
                .when_matched_update(columns, predicate="NOT s._delete")
                .when_not_matched_insert(inserted, predicate="NOT s._delete")
                .execute()
            )
        self.commits += 1

    def update(self, contract: TableContract, rows: pl.DataFrame) -> bool:
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
        table = self._opened_to_write(contract)
        if table is None:
            raise TableMissing(
                f"there is no table at {self.uri(contract.path)}; run: rag-pipeline run", table=contract.path
            )
        segments = self._segments(contract.path, table) if contract.grouped_by else None
        if segments is None or not self._update_segments(table, contract, rows, segments):
            self._merge_update(table, contract, rows)
        log.info(
            "updated table=%s rows=%d columns=%d", contract.path, rows.height, len(rows.columns) - len(contract.key)
        )
        return True

    def _update_segments(
        self, table: DeltaTable, contract: TableContract, rows: pl.DataFrame, segments: Segments
    ) -> bool:
        """Replace columns in the segments that hold the rows; False: these are too large for memory."""
        key = list(contract.key)
        with self._writing("update", contract.path):
            places = self._collected(contract.path, table, [*key, SEGMENT])
            numbers = sorted(places.join(rows, on=key, how="semi")[SEGMENT].unique())
            if sum(segments.sizes[number] for number in numbers) > MERGE_ABOVE_BYTES:
                return False
            columns = [*contract.columns, SEGMENT]
            stored = self._collected(contract.path, table, columns, pl.col(SEGMENT).is_in(numbers))
        changed = stored.update(rows, on=key, how="left", include_nulls=True)
        self._overwrite(table, contract, changed.select(columns), numbers)
        return True

    def _merge_update(self, table: DeltaTable, contract: TableContract, rows: pl.DataFrame) -> None:
        columns = {name: f"s.{sql_name(name)}" for name in rows.columns if name not in contract.key}
        predicate = " AND ".join(f"t.{sql_name(k)} = s.{sql_name(k)}" for k in contract.key)
        with self._writing("update", contract.path):
            merge = table.merge(
                rows, predicate, source_alias="s", target_alias="t", commit_properties=self._properties(contract)
            )
            merge.when_matched_update(columns).execute()
        self.commits += 1

    def _opened_to_write(self, contract: TableContract) -> DeltaTable | None:
        """The table to be changed, tidied first if it is due: a version that was read stays the newest afterwards."""
        table = self._open(contract.path)
        if table is not None and self._lacking(contract, table):
            rows = self.read(contract, version=table.version())
            if contract.grouped_by:
                rows = (self._segments(contract.path, table) or Segments({}, 0)).cut(rows, 0)
            self._write(contract, rows, "add columns to", mode="overwrite", schema_mode="overwrite")
            table = self._open(contract.path)
        if table is None or not self.is_alone or not table.version() or table.version() % TIDY_EVERY:
            return table
        try:
            self.tidy(contract, table)
        except StoreError as error:
            # What is to be written may take something from readers: it never waits for house-keeping.
            log.warning("%s was not tidied: %s", contract.path, error.message)
        return self._open(contract.path)

    def tidy(self, contract: TableContract, table: DeltaTable) -> bool:
        """Compact the small files of a table and forget its old versions; say whether files were compacted.

        The last versions stay for those who opened one, and commands that read for longer open the table again. Only
        for a writer that is alone: files that no version names yet are taken for those of a writer that was killed.
        """
        with self._writing("tidy", contract.path):
            sizes = pl.DataFrame(table.get_add_actions(flatten=True))
            is_loose = Segments.of(table) is None and sizes.filter(pl.col("size_bytes") < SMALL_FILE_BYTES).height > 1
            if is_loose:
                table.optimize.compact(
                    target_size=SMALL_FILE_BYTES, writer_properties=COMPRESSED, commit_properties=self._properties()
                )
                self.commits += 1
            kept = self._kept_versions(contract.path, table.version())
            options: dict[str, Any] = {"retention_hours": 0, "enforce_retention_duration": False, "full": True}
            if table.vacuum(dry_run=True, keep_versions=kept, **options):
                table.vacuum(dry_run=False, keep_versions=kept, **options)
            forget_log(Path(self.uri(contract.path)) / "_delta_log", kept[-1] - KEPT_COMMITS)
        return is_loose

    def _kept_versions(self, path: str, newest: int) -> list[int]:
        """The newest versions that can still be opened."""
        kept = [newest]
        while len(kept) < KEPT_VERSIONS and kept[-1]:
            try:
                is_there = self._open(path, kept[-1] - 1) is not None
            except LakeDamaged:
                is_there = False
            if not is_there:
                break
            kept.append(kept[-1] - 1)
        return kept

    def maintain(self, contract: TableContract, *, retention_hours: int = RETENTION_HOURS) -> bool:
        """Compact many small files into few, and remove files that nobody needs; say whether files were compacted.

        Args:
            retention_hours: Where other writers may be at work, files are removed at this age.
        """
        table = self._open(contract.path)
        if table is None:
            return False
        if self.is_alone:
            return self.tidy(contract, table)
        is_loose = len(table.file_uris()) > COMPACT_ABOVE_FILES
        if is_loose:
            with self._writing("compact", contract.path):
                table.optimize.compact(commit_properties=self._properties())
            self.commits += 1
        with self._writing("vacuum", contract.path):
            table.vacuum(retention_hours=retention_hours, dry_run=False, full=True)
        return is_loose
