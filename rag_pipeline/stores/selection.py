"""The rows of one index table that a filter leaves, and the ways to read them: all that is asked of it for a caller.

Belongs here: a table and a filter joined once, so that every retriever and every window has the same condition.
Does not belong here: the condition as SQL (`filters.py`), what is done with the rows (`retrieval/`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import polars as pl

from rag_pipeline.contracts.filters import Filter
from rag_pipeline.contracts.sink import Readable
from rag_pipeline.stores.filters import Dialect, one_of, saying_any, where_of


class SearchedTable(Protocol):
    """The rows of one published index, wherever they stand; `VectorTable` says what each call gives."""

    dialect: Dialect

    def count(self, where: str | None = None) -> int: ...

    def read(self, columns: Sequence[str], where: str | None = None, limit: int | None = None) -> pl.DataFrame: ...

    def nearest(self, vector: np.ndarray, where: str, limit: int, columns: Sequence[str]) -> pl.DataFrame: ...

    def matching(self, text: str, where: str, limit: int, columns: Sequence[str]) -> pl.DataFrame: ...


class Selection:
    """What one filter leaves of a table, as of the version that it was opened at.

    Args:
        known_sources: Names of sources that are no mistake although nothing of theirs can be read.

    Raises:
        BadQuery: A source or field is named that nothing the caller may read has; the message names what there is.
    """

    def __init__(self, table: SearchedTable, chosen: Filter, known_sources: Iterable[str] = ()) -> None:
        self._table = table
        self._where = where_of(chosen, table, known_sources)

    def nearest(self, vector: np.ndarray, limit: int, columns: Sequence[str]) -> pl.DataFrame:
        """The rows nearest to a vector, nearest first by cosine distance in `_distance` (0 is the same direction)."""
        return self._table.nearest(vector, self._where, limit, columns)

    def matching(self, text: str, limit: int, columns: Sequence[str]) -> pl.DataFrame:
        """Rows that share words with `text`, best BM25 first in `_score`."""
        return self._table.matching(text, self._where, limit, columns)

    def read(self, columns: Sequence[str], limit: int | None = None) -> pl.DataFrame:
        """All rows, in no particular order."""
        return self._table.read(columns, self._where, limit=limit)

    def read_of(self, column: str, values: Iterable[str | int], columns: Sequence[str]) -> pl.DataFrame:
        """Those of the rows that have one of the values, in no particular order."""
        return self._table.read(columns, f"({self._where}) AND {one_of(column, values)}")


def rows_with(
    table: Readable, column: str, values: Iterable[str | int], columns: Sequence[str], limit: int | None = None
) -> pl.DataFrame:
    """Rows that have one of the values, whoever may read them: for what looks after the index, never for a caller."""
    return table.read(columns, one_of(column, values), limit=limit)


def first_rows(
    table: SearchedTable,
    columns: Sequence[str],
    *,
    facts: Iterable[str] | None = None,
    sources: Iterable[str] | None = None,
) -> pl.DataFrame:
    """The first row of each document, whoever may read it; to be filtered by its principals before anyone is told.

    Args:
        facts: Only documents whose metadata has one of these fields.
        sources: Only documents of these.
    """
    parts = ["position = 0"]
    if facts is not None:
        parts.append(saying_any(facts, table.dialect))
    if sources is not None:
        parts.append(one_of("source", sources))
    return table.read(columns, " AND ".join(f"({part})" for part in parts))
