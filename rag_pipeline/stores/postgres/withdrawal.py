"""Taking away by the rows that stand in PostgreSQL, where what is published cannot be delivered.

Belongs here: those rows as something to look at, and one transaction that only takes away.
Does not belong here: what may not be read (`refresh/allowed.py`), bringing a version (`delivery.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow as pa
from psycopg import Cursor
from psycopg.sql import SQL, Composed, Identifier, Literal

from rag_pipeline.contracts.delivery import Withheld, Withholding
from rag_pipeline.contracts.index import ROW_COLUMNS
from rag_pipeline.stores.postgres import statements
from rag_pipeline.stores.postgres.rows import copy_rows
from rag_pipeline.stores.postgres.schema import LAYOUT, Schema

# What a publication is called from which something was taken since; it is compared with no name of the lake's.
LESS = ", less what was withdrawn"
# It takes away and builds nothing, and is called where something failed already: the run waits no longer for it.
WITHDRAWAL_SECONDS = 600.0
_BATCH_ROWS = 2_000


class DeliveredRows:
    """The rows that stand there, in columns of the index."""

    def __init__(self, cursor: Cursor[Any], tables: Schema) -> None:
        self._cursor = cursor
        self._named = tables.named

    def read(self, columns: Sequence[str], where: str | None = None, limit: int | None = None) -> pl.DataFrame:
        """See `Readable.read`."""
        rows = self._cursor.execute(self._query(columns, where, limit)).fetchall()
        return _frame(rows, columns)

    def stream(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """See `Readable.stream`."""
        with self._cursor.connection.cursor(name="delivered_rows") as cursor:
            cursor.execute(self._query(columns))
            while rows := cursor.fetchmany(_BATCH_ROWS):
                yield from _frame(rows, columns).to_arrow().to_batches()

    def _query(self, columns: Sequence[str], where: str | None = None, limit: int | None = None) -> Composed:
        # A row of permissions without its text shows nothing, and is taken away besides.
        return self._named(
            "SELECT {columns} FROM (SELECT c.*, p.allowed_principals, "
            "pg_catalog.split_part(p.state, ' ', 2) AS metadata_hash "
            "FROM {s}.chunks c JOIN {s}.permissions p USING (chunk_id)) r WHERE {where} LIMIT {limit}",
            columns=SQL(", ").join(map(Identifier, columns)),
            where=SQL(where or "true"),
            limit=Literal(limit),
        )


def _frame(rows: Sequence[tuple[Any, ...]], columns: Sequence[str]) -> pl.DataFrame:
    empty = pa.schema([(name, ROW_COLUMNS[name]) for name in columns]).empty_table()
    return pl.DataFrame(rows, schema=pl.DataFrame(pl.from_arrow(empty)).schema, orient="row")


def without(rows: pl.DataFrame, withheld: Withheld) -> pl.DataFrame:
    """Rows with `chunk_id` and `allowed_principals` less what is withheld of them."""
    gone = pl.Series(withheld.gone, dtype=pl.String).implode()
    narrowed = withheld.narrowed.select("chunk_id", kept="allowed_principals")
    both = rows.filter(~pl.col("chunk_id").is_in(gone)).join(narrowed, on="chunk_id", how="left")
    return both.with_columns(allowed_principals=pl.coalesce("kept", "allowed_principals")).drop("kept")


def stage_groups(cursor: Cursor[Any], groups: Mapping[str, tuple[str, ...]]) -> None:
    """The groups of each principal as a table of this transaction."""
    names = ["member_principal", "group_principal"]
    pairs = [(member, group) for member, theirs in groups.items() for group in theirs]
    cursor.execute("CREATE TEMPORARY TABLE desired_groups (member_principal text, group_principal text) ON COMMIT DROP")
    rows = pl.DataFrame(pairs, schema=dict.fromkeys(names, pl.String), orient="row")
    copy_rows(cursor, f"pg_temp.desired_groups ({', '.join(names)})", rows)


def withdraw(
    cursor: Cursor[Any],
    tables: Schema,
    lake: str,
    withheld: Withholding,
    groups: Mapping[str, tuple[str, ...]],
) -> int:
    """See `Target.withdraw`, within a transaction that began."""
    before = tables.state()
    if not before or before["lake"] not in ("", lake):
        return 0
    if not tables.is_same(before):
        # What such tables show cannot be told: they are made again, empty, until they are delivered to.
        tables.install(anew=True)
        _note_empty(cursor, tables, lake)
        return int(before.get("rows") or 1)
    is_sound = before["installed"] == tables.signature()
    if not is_sound:
        tables.install(anew=False)
    taken = _taken(cursor, tables, withheld(DeliveredRows(cursor, tables)))
    stage_groups(cursor, groups)
    taken += cursor.execute(tables.named(statements.GROUPS_GONE)).rowcount
    if taken:
        cursor.execute(tables.named(statements.NOTE_LESS, less=Literal(LESS), is_touched=Literal(not is_sound)))
    elif not is_sound:
        cursor.execute(tables.named("UPDATE {s}.delivery SET is_touched = true"))
    return taken


def _taken(cursor: Cursor[Any], tables: Schema, withheld: Withheld) -> int:
    run = cursor.execute
    run(statements.TO_LEAVE)
    run("CREATE TEMPORARY TABLE narrowed (chunk_id text PRIMARY KEY, allowed_principals text[]) ON COMMIT DROP")
    copy_rows(cursor, "pg_temp.leaving (chunk_id)", pl.DataFrame({"chunk_id": withheld.gone}, {"chunk_id": pl.String}))
    narrowed = withheld.narrowed.select("chunk_id", "allowed_principals")
    copy_rows(cursor, "pg_temp.narrowed (chunk_id, allowed_principals)", narrowed)
    run(tables.named(statements.LEAVING_WITHOUT_TEXT))
    removed = 0
    for table in ("vectors", "chunks", "permissions"):
        removed = max(removed, run(tables.named(statements.GONE, t=Identifier(table))).rowcount)
    return removed + run(tables.named(statements.NARROWED)).rowcount


def _note_empty(cursor: Cursor[Any], tables: Schema, lake: str) -> None:
    cursor.execute(
        tables.named(
            "INSERT INTO {s}.delivery (layout, lake, publication, sequence, alias, space_fingerprint, dimension, "
            "is_approximate, rows, groups_hash, searched, is_touched, columns, installed) "
            "VALUES ({layout}, {lake}, {less}, 0, '', '', 0, false, 0, '', '', false, {columns}, {installed})",
            layout=Literal(LAYOUT),
            lake=Literal(lake),
            less=Literal(LESS),
            columns=Literal(tables.columns()),
            installed=Literal(tables.signature()),
        )
    )
