"""Table contracts: what a table promises, written as data.

Belongs here: column types, keys, row rules, and checking a frame against them before it is written.
Does not belong here: paths, writers, Dagster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import polars as pl
import pyarrow as pa

from rag_pipeline.errors import ContractViolation


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its type, one sentence on it, and whether it may be null.

    Attributes:
        later: It was added to a table that cannot be made again: where the table was written without it, it is null.
    """

    dtype: pl.DataType
    doc: str
    nullable: bool = False
    later: bool = False

    def __post_init__(self) -> None:
        if self.later and not self.nullable:
            raise ValueError("rows that were written before have no value")


@dataclass(frozen=True, slots=True)
class RowRule:
    """A true sentence about every row. `holds` is true for a good row; null counts as broken."""

    code: str
    holds: pl.Expr
    doc: str


@dataclass(frozen=True)
class TableContract:
    """A table: where it lies, and what it promises: its grain (`doc`), columns, key and row rules.

    `layer` and `name` give its place in the lake; a change of columns raises `version`. Rows with one value of
    `grouped_by` are changed together; a table that names it lies in segments, so that a change rewrites little.

    Where there are several of a kind, `each` is the folder of one of them, with {} for its name: `BRONZE.of("docs")` is
    one table, and BRONZE alone has no place.
    """

    layer: str
    name: str
    doc: str
    columns: Mapping[str, Column]
    key: tuple[str, ...]
    rules: tuple[RowRule, ...] = ()
    version: int = 1
    grouped_by: str = ""
    each: str = ""
    folder: str = ""

    def of(self, name: str) -> TableContract:
        """The one of its kind that has this name."""
        if not self.each:
            raise ValueError(f"there is one {self.kind} and no other")
        return replace(self, each="", folder=self.each.format(name))

    @property
    def kind(self) -> str:
        """What it is called where all of its kind are meant, like `bronze/source`."""
        return f"{self.layer}/{self.name}"

    @property
    def path(self) -> str:
        """Its place in the lake, like `silver/chunks`."""
        if self.each:
            raise ValueError(f"there are several tables {self.kind}; say which: .of(name)")
        return f"{self.layer}/{self.folder or self.name}"

    @cached_property
    def schema(self) -> pl.Schema:
        # Asked at each read and write, and polars looks at every type anew.
        return pl.Schema({name: column.dtype for name, column in self.columns.items()})

    @property
    def later(self) -> frozenset[str]:
        """Columns that a table of an earlier version of this program lacks, and that it can do without."""
        return frozenset(name for name, column in self.columns.items() if column.later)

    def empty(self) -> pl.DataFrame:
        return pl.DataFrame(schema=self.schema)

    def frame(self, rows: list[dict[str, object]]) -> pl.DataFrame:
        """Rows as a frame of exactly this schema; a missing column is null."""
        # By way of Arrow: three times as fast as from the rows themselves, where columns are nested.
        schema = self.empty().to_arrow().schema
        columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
        return pl.DataFrame(pl.from_arrow(pa.table(columns, schema=schema)))

    def check(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return `frame` unchanged if it keeps every promise.

        Raises:
            ContractViolation: Naming the columns that differ, or the first broken rule with the number
                of rows that break it. Nothing has been written.
        """
        if frame.schema != self.schema:
            raise self._violation(_schema_difference(self.schema, frame.schema))
        for name, column in self.columns.items():
            if not column.nullable and frame[name].null_count():
                raise self._violation(f"{frame[name].null_count()} rows have no {name}")
        # All rules in one pass; only a broken one is looked at again, for its rows.
        kept = frame.select(rule.holds.fill_null(False).all().alias(rule.code) for rule in self.rules)
        for rule in self.rules:
            if not kept[rule.code].item():
                broken = frame.filter(~rule.holds.fill_null(False))
                sample = broken.select(self.key).head(3).rows()
                raise self._violation(f"{broken.height} rows break {rule.code} ({rule.doc}); first: {sample}")
        if frame.height != frame.select(self.key).n_unique():
            raise self._violation(f"{', '.join(self.key)} is not unique in the rows to write")
        return frame

    def _violation(self, what: str) -> ContractViolation:
        return ContractViolation(
            f"{self.kind} v{self.version}: {what}. Nothing was written. This is a fault of the "
            f"program or of a changed library, not of your documents; please report it.",
            table=self.kind,
        )


def _schema_difference(want: pl.Schema, got: pl.Schema) -> str:
    missing = [f"missing {name} ({dtype})" for name, dtype in want.items() if name not in got]
    extra = [f"unknown {name}" for name in got if name not in want]
    wrong = [f"{n} is {got[n]}, want {dtype}" for n, dtype in want.items() if n in got and got[n] != dtype]
    return "; ".join([*missing, *extra, *wrong]) or f"columns out of order: {list(got)}"
