"""One delivery: from the version that PostgreSQL holds to the one that is published, in one transaction.

Belongs here: the connection, comparing both sides, applying the difference, and what drifted since.
Does not belong here: tables and rights (`schema.py`), when it is delivered (`refresh/deliver.py`).

Where the server holds an earlier version as it was delivered, and the lake keeps that version, the two are compared
here, and only rows that differ travel. Else one narrow row for each chunk does, and the server compares; texts and
vectors travel only for rows that differ. Triggers note whoever else writes; after that, and where rights or functions
are not what they were, every row is compared with the checksum that it was delivered with. A delivery that is killed
leaves nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import polars as pl
import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Composed, Identifier, Literal

from rag_pipeline.contracts.delivery import Compared, Delivered, Published, Withholding
from rag_pipeline.contracts.ids import digest
from rag_pipeline.errors import DeliveryFailed
from rag_pipeline.shown import keep_secret
from rag_pipeline.stores.postgres import statements
from rag_pipeline.stores.postgres.connection import CONNECTION, begin, broken_off_after, options_of
from rag_pipeline.stores.postgres.rows import CHUNK_COLUMNS, STATE_COLUMNS, changed_rows, copy_rows, with_configuration
from rag_pipeline.stores.postgres.schema import LAYOUT, Schema
from rag_pipeline.stores.postgres.search import functions as search_functions
from rag_pipeline.stores.postgres.withdrawal import LESS, WITHDRAWAL_SECONDS, stage_groups, withdraw, without
from rag_pipeline.stores.selection import rows_with

log = logging.getLogger(__name__)

# Ids in one condition; beyond so many rows reading the whole table is faster than asking for them.
_BATCH = 500
_MOST_ASKED = 20_000
_DESIRED_COLUMNS = ["chunk_id", *STATE_COLUMNS, "allowed_principals"]
# HNSW takes vectors of so many dimensions; wider ones are searched exactly.
MOST_INDEXED_DIMENSIONS = 2_000
# After a change of so large a share of all rows the planner's statistics are old.
_ANALYZED_SHARE = 0.1


class PostgresTarget:
    """One schema of one PostgreSQL.

    Args:
        readers: Roles that may search.
        functions: Those that readers call; see `Schema`. None: those of `search.py`.
    """

    def __init__(
        self,
        dsn: str,
        schema: str,
        *,
        readers: Sequence[str] = (),
        approximate_from_rows: int = 10_000,
        timeout_seconds: float = 3_600,
        functions: Mapping[str, str] | None = None,
    ) -> None:
        self._schema = schema
        self._readers = tuple(readers)
        self._approximate_from_rows = approximate_from_rows
        self._timeout_seconds = timeout_seconds
        self._functions = search_functions(schema) if functions is None else functions
        given = options_of(dsn)
        keep_secret(filter(None, (str(given.get(name) or "") for name in ("password", "sslpassword"))))
        self._place = f"{given.get('dbname', '')} on {given.get('host', 'this machine')}"
        self._conninfo = make_conninfo(**{**CONNECTION, **given})

    def deliver(self, published: Published, still_published: Callable[[], None]) -> Delivered:
        """See `Target.deliver`."""
        with self._connected() as connection, connection.cursor() as cursor:
            work = _Delivery(cursor, published, self)
            delivered = work.done()
            if not delivered.is_nothing or work.is_moved:
                still_published()
            connection.commit()
        return delivered

    def withdraw(self, lake: str, withheld: Withholding, groups: Mapping[str, tuple[str, ...]]) -> int:
        """See `Target.withdraw`."""
        with (
            self._connected(min(self._timeout_seconds, WITHDRAWAL_SECONDS)) as connection,
            connection.cursor() as cursor,
        ):
            begin(cursor, self._schema)
            taken = withdraw(cursor, self.tables(cursor), lake, withheld, groups)
            connection.commit()
        return taken

    def tables(self, cursor: psycopg.Cursor[Any]) -> Schema:
        """The schema, within a transaction."""
        return Schema(cursor, self._schema, CHUNK_COLUMNS, self._readers, self._functions)

    def compare(self, published: Published) -> Compared:
        """See `Target.compare`."""
        with self._connected() as connection, connection.cursor() as cursor:
            compared = _Delivery(cursor, published, self).compared()
            connection.commit()
        return compared

    def clean(self) -> None:
        """See `Target.clean`."""
        with self._connected() as connection:
            connection.autocommit = True
            for table in ("vectors", "chunks", "permissions", "groups"):
                connection.execute(SQL("VACUUM {}").format(Identifier(self._schema, table)))

    @contextmanager
    def _connected(self, seconds: float | None = None) -> Iterator[psycopg.Connection[Any]]:
        is_reached = False
        try:
            with psycopg.connect(self._conninfo) as connection:
                is_reached = True
                with broken_off_after(connection, self._timeout_seconds if seconds is None else seconds):
                    yield connection
        except psycopg.Error as error:
            said = " ".join((error.diag.message_primary or str(error)).split()) or type(error).__name__
            raise DeliveryFailed(
                f"PostgreSQL ({self._place}, schema {self._schema}) did not take in what is published, and readers "
                f"there keep what they had: {said.rstrip('.?')}. The next run delivers it.",
                place=self._place,
                is_reached=is_reached,
            ) from error


class _Delivery:
    """The work of one transaction.

    Attributes:
        is_moved: Another publication than before, or rights that were made again.
    """

    def __init__(self, cursor: psycopg.Cursor[Any], published: Published, target: PostgresTarget) -> None:
        self._cursor = cursor
        self._published = published
        self._target = target
        self._space = published.table.space
        self._name = published.name
        self._rows, self._is_difference = 0, False
        self.is_moved = False
        begin(cursor, target._schema)
        self._tables = target.tables(cursor)
        self._named = self._tables.named

    def done(self) -> Delivered:
        before, healed = self._installed()
        index = self._index_name()
        groups_hash = digest("groups", repr(sorted(self._published.groups.items())))
        is_less = str(before.get("publication", "")).endswith(LESS)
        wanted = {"publication": self._published.name, "lake": self._published.lake, "groups_hash": groups_hash}
        is_there = index is None or self._exists(index)
        if not healed and is_there and all(before.get(key) == value for key, value in wanted.items()):
            return Delivered()
        self.is_moved = True
        # What is known to hold a version as it was delivered needs only what is another one now.
        is_known = not healed and not is_less and before.get("space_fingerprint") == self._space.fingerprint
        delivered = self._brought_over(healed, before if is_known else {}, is_less=is_less)
        self._bring_groups()
        self._index_vectors(index)
        self._note(groups_hash, is_approximate=index is not None)
        return delivered

    def compared(self) -> Compared:
        """How what stands there differs; what does is noted there, so that the next delivery looks at every row."""
        before = self._tables.state()
        if not self._tables.is_same(before):
            return Compared(reasons=("nothing was delivered there yet, or its tables are not those that were made",))
        reasons = []
        if (before["publication"], before["lake"]) != (self._published.name, self._published.lake):
            reasons.append(f"it holds version {before['sequence']} of {before['lake'] or 'a lake that was moved'}")
        if before["installed"] != self._tables.signature():
            reasons.append("rights, policies or functions are not those that were made")
        self._stage_desired()
        found: dict[str, list[str]] = {"missing": [], "ghosts": [], "mismatched": []}
        for kind, name in self._cursor.execute(self._thorough(statements.COMPARED)).fetchall():
            found[kind].append(name)
        compared = Compared(**{kind: tuple(sorted(names)) for kind, names in found.items()}, reasons=tuple(reasons))
        if compared != Compared():
            self._cursor.execute(self._named("UPDATE {s}.delivery SET is_touched = true"))
        return compared

    # -- what stands before there are rows ----------------------------------------------------------------

    def _installed(self) -> tuple[Mapping[str, Any], str]:
        """What was delivered last, and why everything has to be compared; the schema stands after it."""
        before = self._tables.state()
        if before and before["lake"] not in ("", self._published.lake):
            raise DeliveryFailed(
                f"schema {self._target._schema} of PostgreSQL ({self._target._place}) holds what the lake "
                f"{before['lake']} published; nothing was changed. Name another schema_name, or, if that lake was "
                f"moved here: UPDATE {self._target._schema}.delivery SET lake = ''",
                lake=str(before["lake"]),
            )
        is_same = self._tables.is_same(before)
        if is_same and before["installed"] == self._tables.signature():
            return before, "rows were written by somebody else" if before["is_touched"] else ""
        self._tables.install(anew=not is_same)
        healed = "tables, rights or functions were not those of the delivery before" if before else ""
        return (before if is_same else {}), healed

    # -- rows ---------------------------------------------------------------------------------------------

    def _brought_over(self, healed: str, known: Mapping[str, Any], *, is_less: bool) -> Delivered:
        run = self._cursor.execute
        self._stage_desired(known, is_less=is_less)
        differing = run(self._differing(is_thorough=bool(healed))).fetchall()
        removed = 0
        for table in ("vectors", "chunks", "permissions"):
            if not self._is_difference:
                run(self._named(statements.LEAVING, t=Identifier(table)))
            removed = max(removed, run(self._named(statements.GONE, t=Identifier(table))).rowcount)
        texts, vectors = self._bring_rows({name: bool(is_wanted) for name, is_wanted in differing})
        permissions = run(self._named(statements.PERMISSIONS)).rowcount
        changed = texts + vectors + removed
        if changed > _ANALYZED_SHARE * max(1, self._rows):
            for table in ("vectors", "chunks", "permissions"):
                run(self._named("ANALYZE {s}.{t}", t=Identifier(table)))
        return Delivered(texts, vectors, permissions, removed, healed)

    def _stage_desired(self, known: Mapping[str, Any] | None = None, *, is_less: bool = False) -> None:
        """The rows that should be there, or those alone that are others than the version that is known to be there."""
        rows = self._published.table.read(_DESIRED_COLUMNS)
        if is_less:
            # The place lost rows that the index may still hold; it does not get them back before they may be read.
            withheld = self._published.withheld(self._published.table)
            self._name += "" if withheld.is_empty else LESS
            rows = without(rows, withheld)
        self._rows = rows.height
        leaving = pl.Series("chunk_id", [], pl.String)
        before = self._rows_before(known) if known else None
        self._is_difference = before is not None
        if before is not None:
            leaving = before.join(rows, on="chunk_id", how="anti")["chunk_id"]
            rows = changed_rows(before, rows)
        self._cursor.execute(statements.TO_LEAVE)
        copy_rows(self._cursor, "pg_temp.leaving (chunk_id)", leaving.to_frame())
        state = pl.concat_str(STATE_COLUMNS, separator=" ")
        self._cursor.execute(statements.DESIRED)
        wanted = rows.select("chunk_id", state.alias("state"), "allowed_principals")
        copy_rows(self._cursor, "pg_temp.desired (chunk_id, state, allowed_principals)", wanted)
        self._cursor.execute("ANALYZE pg_temp.desired")

    def _rows_before(self, known: Mapping[str, Any]) -> pl.DataFrame | None:
        rows = self._published.earlier(str(known["publication"]), _DESIRED_COLUMNS)
        return rows if rows is not None and rows.height == known["rows"] else None

    def _differing(self, *, is_thorough: bool) -> Composed:
        if is_thorough:
            return self._thorough(statements.DIFFERING)
        nothing = SQL("")
        return self._named(
            statements.DIFFERING, space=Literal(self._space.fingerprint), bad_chunk=nothing, bad_vector=nothing
        )

    def _thorough(self, statement: str) -> Composed:
        """A statement that compares each row with the checksum that it was delivered with."""
        columns = SQL(", ").join(Identifier("c", name) for name in CHUNK_COLUMNS)
        return self._named(
            statement,
            space=Literal(self._space.fingerprint),
            bad_chunk=self._named(
                "OR c.checksum <> pg_catalog.md5(ROW({columns}, c.configuration)::text)", columns=columns
            ),
            bad_vector=self._named("OR v.checksum <> pg_catalog.md5({x}.vector_send(v.embedding))"),
        )

    def _bring_rows(self, wanted: Mapping[str, bool]) -> tuple[int, int]:
        """Texts and vectors that were written; `wanted` says of each row whether its vector is."""
        if not wanted:
            return 0, 0
        run = self._cursor.execute
        names = ["chunk_id", *CHUNK_COLUMNS, "configuration"]
        columns = SQL(", ").join(map(Identifier, names))
        run(
            self._named(
                "CREATE TEMPORARY TABLE staged ON COMMIT DROP AS SELECT {columns} FROM {s}.chunks LIMIT 0",
                columns=columns,
            )
        )
        run(self._named("CREATE TEMPORARY TABLE staged_vectors (chunk_id text, embedding {x}.vector) ON COMMIT DROP"))
        for rows in self._rows_of([name for name, is_wanted in wanted.items() if is_wanted], ["vector"]):
            copy_rows(self._cursor, "pg_temp.staged_vectors (chunk_id, embedding)", rows.select("chunk_id", "vector"))
            self._copy_chunks(rows, names)
        for rows in self._rows_of([name for name, is_wanted in wanted.items() if not is_wanted], []):
            self._copy_chunks(rows, names)
        changed = SQL(", ").join(map(Identifier, names[1:]))
        given = SQL(", ").join(Identifier("excluded", name) for name in names[1:])
        held = SQL(", ").join(Identifier("c", name) for name in names[1:])
        parts = {"columns": columns, "changed": changed, "given": given, "held": held}
        texts = run(self._named(statements.CHUNKS, **parts)).rowcount
        vectors = run(self._named(statements.VECTORS, space=Literal(self._space.fingerprint))).rowcount
        return texts, vectors

    def _rows_of(self, names: Sequence[str], more: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Those rows of the index, a batch at a time."""
        columns = ["chunk_id", *CHUNK_COLUMNS, *more]
        table = self._published.table
        if len(names) <= _MOST_ASKED:
            for at in range(0, len(names), _BATCH):
                yield rows_with(table, "chunk_id", names[at : at + _BATCH], columns)
            return
        chosen = pl.DataFrame({"chunk_id": names})
        for batch in table.stream(columns):
            yield pl.DataFrame(pl.from_arrow(batch)).join(chosen, on="chunk_id", how="semi")

    def _copy_chunks(self, rows: pl.DataFrame, names: Sequence[str]) -> None:
        place = f"pg_temp.staged ({', '.join(names)})"
        copy_rows(self._cursor, place, with_configuration(rows).select(names))

    def _bring_groups(self) -> None:
        run = self._cursor.execute
        stage_groups(self._cursor, self._published.groups)
        run(self._named(statements.GROUPS_GONE))
        run(self._named(statements.GROUPS_NEW))

    # -- the index and the note ---------------------------------------------------------------------------

    def _index_name(self) -> str | None:
        """Of the HNSW index of the space; None: rows are few or vectors wide, and search is exact."""
        is_small = self._published.rows < self._target._approximate_from_rows
        if is_small or self._space.dimension > MOST_INDEXED_DIMENSIONS:
            return None
        return f"hnsw_{self._space.fingerprint[:32]}"

    def _exists(self, index: str) -> bool:
        found = self._named(
            "SELECT pg_catalog.to_regclass(pg_catalog.format('%I.%I', {n}::text, {i}::text))", i=Literal(index)
        )
        row = self._cursor.execute(found).fetchone()
        return row is not None and row[0] is not None

    def _index_vectors(self, wanted: str | None) -> None:
        """One index for each space, so that another one is built beside that which readers use."""
        run = self._cursor.execute
        if wanted is not None and not self._exists(wanted):
            run(
                self._named(
                    "CREATE INDEX {i} ON {s}.vectors USING hnsw ((embedding::{x}.vector({d})) {x}.vector_cosine_ops) "
                    "WHERE space_fingerprint = {f}",
                    i=Identifier(wanted),
                    d=Literal(self._space.dimension),
                    f=Literal(self._space.fingerprint),
                )
            )
        others = "SELECT indexname FROM pg_catalog.pg_indexes WHERE schemaname = {n} AND indexname LIKE 'hnsw%'"
        # Last, since readers wait for it until the commit; where one reads for long, it goes with another delivery.
        for (name,) in run(self._named(others)).fetchall():
            if name != wanted:
                with suppress(psycopg.errors.LockNotAvailable), self._cursor.connection.transaction():
                    run("SELECT pg_catalog.set_config('lock_timeout', '1s', true)")
                    run(self._named("DROP INDEX {s}.{i}", i=Identifier(name)))

    def _note(self, groups_hash: str, *, is_approximate: bool) -> None:
        said = {
            "layout": LAYOUT,
            "lake": self._published.lake,
            "publication": self._name,
            "sequence": self._published.sequence,
            "alias": self._published.alias,
            "space_fingerprint": self._space.fingerprint,
            "dimension": self._space.dimension,
            "is_approximate": is_approximate,
            "rows": self._rows,
            "groups_hash": groups_hash,
            "searched": json.dumps(self._published.searched, sort_keys=True),
            "is_touched": False,
            "columns": self._tables.columns(),
            "installed": self._tables.signature(),
        }
        run = self._cursor.execute
        run(self._named("DELETE FROM {s}.delivery"))
        columns = SQL(", ").join(map(Identifier, said))
        values = SQL(", ").join(map(Literal, said.values()))
        run(self._named("INSERT INTO {s}.delivery ({columns}) VALUES ({values})", columns=columns, values=values))
