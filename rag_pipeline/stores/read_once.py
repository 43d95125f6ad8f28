"""What a run read of its Delta tables, so that nothing is opened or decoded twice.

Belongs here: the columns of data files that were read, and the tables that were opened, of lakes in a folder.
Does not belong here: what is read and why (`delta_reads.py`).

A data file never changes once it is committed, so what was decoded of it stays true for every version that holds it:
after a change of one document, the next step reads the file that the change wrote and no other. Columns too wide to be
kept are read of the files that hold the rows that are wanted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable

from rag_pipeline.stores.objects import for_polars
from rag_pipeline.stores.segments import SEGMENT

# Narrow columns of some hundred thousand chunks: what was used longest ago goes first.
MOST_BYTES = 96 * 2**20
# A column of more than this part of them is not kept: text, vectors, bytes.
WIDE_PART = 6
FILE = "file of the row"

Signature = tuple[int, int, int]


@dataclass(frozen=True)
class DataFiles:
    """The data files of one version of a table, in the order in which their rows are given.

    Attributes:
        schema: Of the whole table, the number of the segment included where it has segments.
        options: Of the object store; None on a disk.
    """

    names: Sequence[str]
    schema: Mapping[str, pl.DataType]
    options: dict[str, str] | None = None

    @classmethod
    def of(cls, table: DeltaTable, options: dict[str, str] | None = None) -> DataFiles:
        # Delta keeps names percent-encoded, which the reader takes literally: a folder with a space is not found.
        return cls([unquote(uri) for uri in table.file_uris()], pl.scan_delta(table).collect_schema(), options)

    def scan(self, names: Sequence[str] | None = None) -> pl.LazyFrame:
        """Rows of all files or of some, each with the file it stands in, under a name that no table uses."""
        chosen = list(self.names if names is None else names)
        if not chosen:
            return pl.LazyFrame(schema={**self.schema, FILE: pl.String()})
        frame = pl.scan_parquet(
            chosen,
            glob=False,
            schema={name: dtype for name, dtype in self.schema.items() if name != SEGMENT},
            missing_columns="insert",
            include_file_paths=FILE,
            storage_options=for_polars(self.options),
        )
        if SEGMENT not in self.schema:
            return frame
        number = pl.col(FILE).str.extract(rf"{SEGMENT}=(\d+)/[^/]+$").cast(self.schema[SEGMENT])
        return frame.with_columns(number.alias(SEGMENT))


@dataclass
class _Opened:
    """A table at its newest version, and what its newest log entry looked like on disk when it was opened."""

    table: DeltaTable
    version: int
    seen: Signature
    files: DataFiles | None = None


# A command may let all that it opens share what was read.
SHARED: ContextVar[ReadOnce | None] = ContextVar("read once", default=None)


@dataclass
class ReadOnce:
    """Tables that were opened and columns that were read, by folder of the table; for one thread at a time.

    Args:
        most_bytes: Of all columns that are kept.
    """

    most_bytes: int = MOST_BYTES
    _tables: dict[str, _Opened] = field(default_factory=dict)
    # By folder and column, by file.
    _columns: OrderedDict[tuple[str, str], dict[str, pl.Series]] = field(default_factory=OrderedDict)
    _sizes: dict[tuple[str, str], int] = field(default_factory=dict)

    def newest(self, folder: str, open_table: Callable[[], DeltaTable | None]) -> DeltaTable | None:
        """The table at its newest version, opened again only if somebody has committed since."""
        known = self._tables.get(folder)
        if known is not None and _is_newest(folder, known):
            return known.table
        table = open_table()
        self._tables.pop(folder, None)
        if table is not None:
            version = table.version()
            seen = _signature(_entry(folder, version))
            if seen is not None:
                self._tables[folder] = _Opened(table, version, seen)
        return table

    def files_of(self, folder: str, table: DeltaTable) -> DataFiles:
        """The data files of a table at the version that it is at."""
        known = self._tables.get(folder)
        if known is None or known.table is not table or known.version != table.version():
            return DataFiles.of(table)
        if known.files is None:
            known.files = DataFiles.of(table)
        return known.files

    def rows(
        self,
        folder: str,
        files: DataFiles,
        columns: Sequence[str],
        where: pl.Expr | None = None,
        first: pl.Expr | None = None,
    ) -> pl.DataFrame:
        """Columns of the rows that hold `where`, in the order of the files.

        Args:
            first: What holds wherever `where` does, and asks for narrower columns, so that fewer files are looked at.
        """
        if first is not None and files.names:
            files = replace(files, names=self._holding(folder, files, first))
        if not files.names:
            return pl.DataFrame(schema={name: files.schema[name] for name in columns})
        if where is None:
            return _frame(self._parts(folder, files, columns), columns)
        asked = where.meta.root_names()
        parts = self._parts(folder, files, asked)
        if not self._missing(folder, files, columns):
            parts |= self._parts(folder, files, columns)
            return _frame(parts, list(parts)).filter(where).select(columns)
        return files.scan(self._holding(folder, files, where)).filter(where).select(columns).collect()

    def _holding(self, folder: str, files: DataFiles, where: pl.Expr) -> list[str]:
        """The files with a row that holds it."""
        asked = where.meta.root_names()
        parts = self._parts(folder, files, asked)
        holding = _frame(parts, asked).select(holds=where)["holds"].arg_true()
        ends = pl.Series([part.len() for part in parts[asked[0]]], dtype=pl.UInt32).cum_sum()
        return [files.names[number] for number in ends.search_sorted(holding, side="right").unique().sort()]

    def _missing(self, folder: str, files: DataFiles, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The files that have not been decoded, by column; columns of which all files were are left out."""
        known = {name: self._columns.get((folder, name), {}) for name in columns}
        missing = {name: tuple(each for each in files.names if each not in known[name]) for name in columns}
        return {name: names for name, names in missing.items() if names}

    def _parts(self, folder: str, files: DataFiles, columns: Sequence[str]) -> dict[str, list[pl.Series]]:
        """Columns, of each file a part."""
        missing = self._missing(folder, files, columns)
        decoded: dict[str, dict[str, pl.Series]] = {}
        for names in set(missing.values()):
            decoded |= _decoded(files, names, [name for name in missing if missing[name] == names])
        parts: dict[str, list[pl.Series]] = {}
        for name in columns:
            by_file = self._columns.get((folder, name), {}) | decoded.get(name, {})
            parts[name] = [by_file[each] for each in files.names]
            if name in decoded:
                self._keep((folder, name), dict(zip(files.names, parts[name], strict=True)))
            elif (folder, name) in self._columns:
                self._columns.move_to_end((folder, name))
        return parts

    def _keep(self, key: tuple[str, str], by_file: dict[str, pl.Series]) -> None:
        self._sizes.pop(key, None)
        self._columns.pop(key, None)
        size = int(sum(part.estimated_size() for part in by_file.values()))
        if size > self.most_bytes // WIDE_PART:
            return
        self._columns[key], self._sizes[key] = by_file, size
        while sum(self._sizes.values()) > self.most_bytes:
            oldest, _ = self._columns.popitem(last=False)
            del self._sizes[oldest]


def _decoded(files: DataFiles, names: Sequence[str], columns: Sequence[str]) -> dict[str, dict[str, pl.Series]]:
    """Columns of some files, by column and file."""
    rows = files.scan(names).select([*columns, FILE]).collect()
    runs = rows[FILE].rle().struct.unnest()
    found: dict[str, dict[str, pl.Series]] = {}
    for column in columns:
        empty, start = rows[column].clear(), 0
        found[column] = dict.fromkeys(names, empty)
        for height, name in runs.iter_rows():
            found[column][name] = rows[column].slice(start, height)
            start += height
    return found


def _frame(parts: Mapping[str, Sequence[pl.Series]], columns: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame([pl.concat(parts[name], rechunk=False) for name in columns])


def _entry(folder: str, version: int) -> Path:
    return Path(folder) / "_delta_log" / f"{version:020}.json"


def _signature(entry: Path) -> Signature | None:
    try:
        found = entry.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _is_newest(folder: str, known: _Opened) -> bool:
    """Whether nobody has committed since; writing moves the object itself to the version that it wrote."""
    is_as_opened = known.table.version() == known.version and _signature(_entry(folder, known.version)) == known.seen
    return is_as_opened and not _entry(folder, known.version + 1).exists()
