"""What a refresh asks of the place where an index is published.

Belongs here: the few calls by which the steps compare, change and audit an index.
Does not belong here: LanceDB, which is the first sink (`stores/vectors.py`); how readers search it (`retrieval/`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import polars as pl
import pyarrow as pa

from rag_pipeline.contracts.embedding import EmbeddingSpace


class Readable(Protocol):
    """Rows that readers are shown, wherever they stand, to be looked at."""

    def read(self, columns: Sequence[str], where: str | None = None, limit: int | None = None) -> pl.DataFrame:
        """Columns of all rows, or of those that a condition of the store leaves."""
        ...

    def stream(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Columns of all rows, a batch at a time."""
        ...


class Sink(Readable, Protocol):
    """The index of one embedding space, opened at a version. Each change is one commit and a new version.

    Rows have the columns of `contracts/index.py` and a vector. A version that was published stays as it is, whatever
    is written after it, until it is older than those that are kept.

    Attributes:
        name: Of the table.
        refine_factor: Candidates of the approximate index for each row asked for, as the version was published with.
    """

    name: str
    refine_factor: int

    @property
    def version(self) -> int:
        """The version that reads see: what was opened, or made by the last change."""
        ...

    @property
    def space(self) -> EmbeddingSpace:
        """Embedding space of its vectors."""
        ...

    @property
    def has_vector_index(self) -> bool:
        """Whether an approximate index answers; else search is exact."""
        ...

    def add(self, batches: Iterable[pa.Table]) -> None:
        """Add rows whose chunk_id is not there."""
        ...

    def update_columns(self, rows: pa.Table) -> None:
        """Replace some columns of rows that are there, by chunk_id."""
        ...

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Remove rows."""
        ...

    def restore(self, version: int) -> None:
        """Make the newest version equal an older one."""
        ...

    def index(self) -> bool:
        """Bring every index up to date with the rows, and say whether one was trained anew."""
        ...

    def unindexed_rows(self) -> dict[str, int]:
        """Rows that an index does not reach, by index; empty when all are reached."""
        ...

    def compact_if_due(self, oldest_kept: int | None = None) -> bool:
        """Join small files and forget versions before the oldest that is kept, if that is due; say whether it was."""
        ...

    def distances(self, vector: np.ndarray, limit: int, refine_factor: int) -> np.ndarray:
        """Cosine distances of the rows nearest to a vector, ascending."""
        ...
