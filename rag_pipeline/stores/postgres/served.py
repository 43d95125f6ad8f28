"""The published rows as a search reads them out of PostgreSQL: one transaction, and the two retrievers in SQL.

Belongs here: what is read in one snapshot, who asks in it, and rows by vector and by words under a condition.
Does not belong here: connections and what became of them (`reader.py`), the condition (`stores/filters.py`), the
functions for SQL of others (`search.py`).

Who may read what is held twice: the condition stands in every statement, before anything is ranked, and where the role
is no owner row-level security stands below it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import psycopg
import pyarrow as pa
from psycopg.sql import Literal

from rag_pipeline.contracts.index import ROW_COLUMNS
from rag_pipeline.contracts.log_rows import Publication
from rag_pipeline.errors import NothingPublished, StoreError, TableOutdated
from rag_pipeline.stores.filters import POSTGRES, permission_filter
from rag_pipeline.stores.postgres.connection import broken_off_after
from rag_pipeline.stores.postgres.rows import CONFIGURATIONS, OTHER_LANGUAGES
from rag_pipeline.stores.postgres.schema import LAYOUT
from rag_pipeline.stores.postgres.search import BM25_B, BM25_K1, EFFORT, EXACT_ROWS
from rag_pipeline.transforms.word_forms import forms_of

# PostgreSQL has no texts with it; what was delivered has the other in its place.
_NUL, _INSTEAD = "\0", "\ufffd"
_SETTINGS = {
    "search_path": "pg_catalog",
    "standard_conforming_strings": "on",
    "row_security": "on",
    "timezone": "UTC",
    "datestyle": "ISO",
    **EFFORT,
}
_STATE = """
SELECT d.layout, d.publication, d.delivered_at, d.searched, d.space_fingerprint, d.dimension, d.is_approximate,
    d.rows, row_security_active('{s}.permissions'),
    EXISTS (SELECT FROM {s}.gateways g JOIN pg_roles r ON r.oid = g.role WHERE r.rolname = current_user), current_user,
    ARRAY(SELECT DISTINCT g.group_principal FROM {s}.groups g WHERE g.member_principal = ANY (ARRAY[{own}]::text[])),
    (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector')
FROM {s}.delivery d
"""
_ROWS = """(SELECT c.*, p.allowed_principals, split_part(p.state, ' ', 2) AS metadata_hash
    FROM {s}.chunks c JOIN {s}.permissions p USING (chunk_id)) r"""
_ORDER = 'uri COLLATE "C", source COLLATE "C", start_char, chunk_id COLLATE "C"'
# Words count for what they are in all that the caller may read, whatever else the search is limited to.
_MATCHING = """
WITH asked AS MATERIALIZED (
    SELECT name::regconfig AS configuration, tsvector_to_array(to_tsvector(name::regconfig, {text})) AS lexemes
    FROM unnest(ARRAY[{configurations}]::text[]) AS name
), said AS MATERIALIZED (
    SELECT a.configuration, a.lexemes, array_to_string(ARRAY(
        SELECT '''' || replace(replace(l, '\\', '\\\\'), '''', '''''') || '''' FROM unnest(a.lexemes) AS l
    ), ' | ')::tsquery AS query
    FROM asked a WHERE cardinality(a.lexemes) > 0
), matched AS MATERIALIZED (
    SELECT r.chunk_id, r.words, s.lexemes, r.token_count::float8 AS size
    FROM {rows} JOIN said s USING (configuration) WHERE r.words @@ s.query AND {readers}
), terms AS MATERIALIZED (
    SELECT m.chunk_id, u.lexeme, cardinality(u.positions)::float8 AS times, m.size
    FROM matched m CROSS JOIN LATERAL unnest(m.words) AS u WHERE u.lexeme = ANY (m.lexemes)
), rare AS (
    SELECT t.lexeme, ln(1 + (n.rows - count(*) + 0.5) / (count(*) + 0.5)) AS weight
    FROM terms t CROSS JOIN (SELECT count(*)::float8 AS rows FROM {s}.permissions WHERE {readers}) n
    GROUP BY t.lexeme, n.rows
), scored AS (
    SELECT t.chunk_id, sum(r.weight * t.times * (1 + {k1}) / (t.times + {k1} * (1 - {b} + {b} * t.size / a.size)))
        AS "_score"
    FROM terms t JOIN rare r USING (lexeme) CROSS JOIN (SELECT avg(m.size) AS size FROM matched m) a
    GROUP BY t.chunk_id
)
SELECT {columns} FROM {rows} JOIN scored USING (chunk_id) WHERE {where} ORDER BY "_score" DESC, {order} LIMIT {limit}
"""


@dataclass(frozen=True, slots=True)
class DeliveredVersion:
    """What was delivered, as one transaction sees it.

    Attributes:
        name: Of the publication, and whether something was taken from it there.
        key: Equal while nothing else was delivered or taken away.
        principals: Who asks, with the groups that they have in that version.
    """

    publication: Publication
    name: str
    rows: int
    delivered_at: datetime
    key: tuple[str, str]
    principals: frozenset[str]


class ServedRows:
    """The rows that one caller may read, as `SearchedTable` says; many threads may ask within one transaction."""

    dialect = POSTGRES

    def __init__(
        self, connection: psycopg.Connection[Any], schema: str, own: Collection[str], statement_seconds: float
    ) -> None:
        """Begin to read.

        Args:
            own: Who asks, without groups.
            statement_seconds: The server gives up what takes longer. It counts for each statement, and not for what is
                done between them, like opening a model for the first time.

        Raises:
            NothingPublished: Nothing is delivered.
            TableOutdated: Another version of this program delivered.
            StoreError: The role may not say who asks.
        """
        self._connection = connection
        self._schema = schema
        self._statement_seconds = statement_seconds
        self._settings = _SETTINGS | {"statement_timeout": f"{statement_seconds * 1000:.0f}"}
        self.version = self._begun(sorted(own))
        self._readers = permission_filter(self.version.principals, POSTGRES)

    def _begun(self, own: Sequence[str]) -> DeliveredVersion:
        listed = ", ".join(map(_literal, own))
        settings = {**self._settings, "rag.principals": _array_text(own)}
        self._fetched(
            "SELECT "
            + ", ".join(f"pg_catalog.set_config({_literal(k)}, {_literal(v)}, true)" for k, v in settings.items())
        )
        found = self._fetched(_STATE.replace("{s}", self._schema).replace("{own}", listed))
        if not found or not found[0][3]:
            raise NothingPublished(
                f"nothing stands in schema {self._schema} of PostgreSQL yet that may be searched; it is delivered by "
                f"the next run: rag-pipeline run"
            )
        layout, name, moved_at, searched, space, dimension, approximate, rows, limited, gateway, role, groups, ext = (
            found[0]
        )
        if layout != LAYOUT:
            raise outdated(self._schema)
        if limited and not gateway:
            raise StoreError(
                f"role {role} of PostgreSQL may not say who asks, so nothing was searched: the owner lets it by "
                f"INSERT INTO {self._schema}.gateways VALUES ('{role}')"
            )
        self._space, self._dimension, self._extension = str(space), int(dimension), str(ext)
        self._is_approximate = bool(approximate)
        publication = Publication.of_searched(json.loads(searched))
        if name != publication.name:
            # Less than what was published: whoever asks twice and wants one version has to see that it is another.
            publication = replace(publication, note=f"{name}, {moved_at.isoformat()}")
        names = frozenset(own) | frozenset(groups)
        return DeliveredVersion(publication, str(name), int(rows), moved_at, (str(name), f"{moved_at} {rows}"), names)

    def count(self, where: str | None = None) -> int:
        """How many rows hold a condition."""
        return int(self._fetched(f"SELECT count(*) FROM {self._rows} WHERE {self._held(where)}")[0][0])

    def read(self, columns: Sequence[str], where: str | None = None, limit: int | None = None) -> pl.DataFrame:
        """Rows as a frame, in no particular order."""
        end = "" if limit is None else f" LIMIT {int(limit)}"
        found = self._fetched(f"SELECT {_listed(columns)} FROM {self._rows} WHERE {self._held(where)}{end}")
        return _frame(found, columns)

    def nearest(self, vector: np.ndarray, where: str, limit: int, columns: Sequence[str]) -> pl.DataFrame:
        """Rows that hold `where`, nearest first by cosine distance in `_distance`.

        All of them are compared, unless they are many and there is an approximate index.
        """
        asked = "[" + ",".join(map(repr, np.asarray(vector, np.float32).astype(float).tolist())) + "]"
        literal = f"{_literal(asked)}::{self._extension}.vector"
        found: list[tuple[Any, ...]] = []
        if self._is_approximate and self._are_many(where):
            found = self._fetched(self._near(literal, where, limit, columns))
        if len(found) < limit:
            found = self._fetched(self._exactly(literal, where, limit, columns))
        return _frame(found, columns, {"_distance": pl.Float32()})

    def matching(self, text: str, where: str, limit: int, columns: Sequence[str]) -> pl.DataFrame:
        """Rows that hold `where` and share words with `text`, best BM25 first in `_score`."""
        names = sorted({*CONFIGURATIONS.values(), OTHER_LANGUAGES})
        parts = {
            "columns": f'{_listed(columns)}, "_score"',
            "configurations": ", ".join(_literal(f"pg_catalog.{name}") for name in names),
            "k1": str(BM25_K1),
            "b": str(BM25_B),
            "order": _ORDER,
            "limit": str(int(limit)),
            "rows": self._rows,
            "s": self._schema,
            "readers": self._readers,
            "text": _literal(text),
            "where": where,
        }
        return _frame(self._fetched(_MATCHING.format(**parts)), columns, {"_score": pl.Float64()})

    # -- statements ---------------------------------------------------------------------------------------

    @property
    def _rows(self) -> str:
        return _ROWS.replace("{s}", self._schema)

    def _held(self, where: str | None) -> str:
        # What is read for all callers, like names of newer versions, is read of what this one may read.
        return f"({self._readers}) AND ({where or 'true'})"

    def _exactly(self, literal: str, where: str, limit: int, columns: Sequence[str]) -> str:
        return f"""SELECT {_listed(columns)},
            (v.embedding OPERATOR({self._extension}.<=>) {literal})::real AS "_distance"
            FROM {self._rows} JOIN {self._schema}.vectors v USING (chunk_id)
            WHERE v.space_fingerprint = {_literal(self._space)} AND {self._held(where)}
            ORDER BY "_distance", {_ORDER} LIMIT {int(limit)}"""

    def _near(self, literal: str, where: str, limit: int, columns: Sequence[str]) -> str:
        """By the index; its expression and condition are written as the index has them."""
        kind = f"{self._extension}.vector({self._dimension})"
        return f"""SELECT {_listed(columns)}, n.distance AS "_distance" FROM {self._rows} JOIN (
                SELECT v.chunk_id, (v.embedding OPERATOR({self._extension}.<=>) {literal})::real AS distance
                FROM {self._schema}.vectors v WHERE v.space_fingerprint = {_literal(self._space)} AND EXISTS (
                    SELECT FROM {self._rows} WHERE r.chunk_id = v.chunk_id AND {self._held(where)})
                ORDER BY v.embedding::{kind} OPERATOR({self._extension}.<=>) {literal}::{kind} LIMIT {int(limit)}
            ) n USING (chunk_id) ORDER BY n.distance, {_ORDER}"""

    def _are_many(self, where: str) -> bool:
        found = self._fetched(
            f"SELECT count(*) FROM (SELECT FROM {self._rows} WHERE {self._held(where)} LIMIT {EXACT_ROWS + 1}) many"
        )
        return int(found[0][0]) > EXACT_ROWS

    def _fetched(self, statement: str) -> list[tuple[Any, ...]]:
        # Half a surrogate pair is no text, and equals none that stands there.
        query = statement.replace(_NUL, _INSTEAD).encode("utf-8", "replace")
        # A server that stands still keeps no clock of its own.
        with broken_off_after(self._connection, 2 * self._statement_seconds):
            return self._connection.execute(query).fetchall()


def _literal(value: str) -> str:
    # Half a surrogate pair is no text, and equals none that stands there.
    return Literal(value.replace(_NUL, _INSTEAD).encode("utf-8", "replace").decode()).as_string(None)


def outdated(schema: str) -> TableOutdated:
    """The error of what another version of this program delivered."""
    return TableOutdated(
        f"schema {schema} of PostgreSQL was delivered by another version of this program, so nothing was read. Use "
        f"that version, or deliver anew: rag-pipeline run",
        table=schema,
    )


def _array_text(names: Sequence[str]) -> str:
    """An array of texts as PostgreSQL reads it."""
    quoted = (name.replace("\\", "\\\\").replace('"', '\\"') for name in names)
    return "{" + ",".join(f'"{name}"' for name in quoted) + "}"


def _listed(columns: Sequence[str]) -> str:
    """Columns of the index; forms of words are made again of the text that they are forms of."""
    return ", ".join(f'r."{name}"' for name in _read_columns(columns)) or "1"


def _read_columns(columns: Sequence[str]) -> list[str]:
    more = ["embedded_text", "language"] if "word_forms" in columns else []
    return list(dict.fromkeys([*(name for name in columns if name != "word_forms"), *more]))


def _frame(
    rows: Sequence[tuple[Any, ...]], columns: Sequence[str], more: dict[str, pl.DataType] | None = None
) -> pl.DataFrame:
    names = _read_columns(columns)
    empty = pl.DataFrame(pl.from_arrow(pa.schema([(name, ROW_COLUMNS[name]) for name in names]).empty_table()))
    frame = pl.DataFrame(list(rows), schema={**empty.schema, **(more or {})}, orient="row")
    if "word_forms" in columns:
        forms = [forms_of(*row) for row in frame.select("embedded_text", "language").iter_rows()]
        frame = frame.with_columns(word_forms=pl.Series(forms, dtype=pl.String))
    return frame.select([*columns, *(more or {})])
