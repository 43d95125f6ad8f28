"""Rows of an index as PostgreSQL takes them in, and which of its columns are delivered.

Belongs here: names and types there, the text form of COPY, the configuration of full text for a language.
Does not belong here: what is delivered (`delivery.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import pyarrow as pa
from psycopg import Cursor

from rag_pipeline.contracts.index import NULLABLE, ROW_COLUMNS

# Who may read a row stands elsewhere, the forms of words are those of another index, and what changes with the readers
# must not change a text's row.
_NOT_DELIVERED = ("chunk_id", "allowed_principals", "word_forms", "metadata_hash")
_TYPES: Mapping[pa.DataType, str] = {
    pa.string(): "text",
    pa.int64(): "bigint",
    pa.float64(): "double precision",
    pa.list_(pa.string()): "text[]",
    pa.timestamp("us", "UTC"): "timestamptz",
}
CHUNK_COLUMNS: Mapping[str, str] = {
    name: f"{_TYPES[dtype]}{'' if name in NULLABLE else ' NOT NULL'}"
    for name, dtype in ROW_COLUMNS.items()
    if name not in _NOT_DELIVERED
}
# What tells that a row of the index is another one; readers are compared by themselves.
STATE_COLUMNS = ("chunk_hash", "metadata_hash", "text_hash")

# Configurations that every PostgreSQL from 14 on brings, by language.
CONFIGURATIONS: Mapping[str, str] = {
    "ar": "arabic",
    "ca": "catalan",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "eu": "basque",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "nb": "norwegian",
    "ne": "nepali",
    "nl": "dutch",
    "nn": "norwegian",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}
OTHER_LANGUAGES = "simple"
_NULL = r"\N"
_ESCAPES = (("\\", r"\\"), ("\t", r"\t"), ("\n", r"\n"), ("\r", r"\r"))
# PostgreSQL has no texts with it.
_NUL, _INSTEAD = "\0", "\ufffd"


def with_configuration(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with the configuration of full text for their language."""
    named = pl.col("language").replace_strict(CONFIGURATIONS, default=OTHER_LANGUAGES)
    return rows.with_columns(configuration=pl.lit("pg_catalog.") + named.fill_null(OTHER_LANGUAGES))


def changed_rows(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Rows of `after` that `before` lacks, or has with other values; both by `chunk_id`."""
    names = [name for name in after.columns if name != "chunk_id"]
    both = after.join(before, on="chunk_id", how="left", suffix="_before", maintain_order="left")
    is_other = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_before")) for name in names)
    return both.filter(is_other).select(after.columns)


def copy_rows(cursor: Cursor[Any], place: str, rows: pl.DataFrame) -> None:
    """Bring rows to a table; `place` names it and the columns."""
    with cursor.copy(f"COPY {place} FROM STDIN") as copy:
        copy.write(copy_text(rows))


def copy_text(rows: pl.DataFrame) -> bytes:
    """Rows in the text form of COPY, a line each; vectors as pgvector reads them, to the last bit."""
    if rows.is_empty():
        return b""
    parts = [_field(name, dtype) for name, dtype in rows.schema.items()]
    lines = rows.select(pl.concat_str(parts, separator="\t")).to_series()
    return ("\n".join(lines) + "\n").encode()


def _field(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, pl.Array):
        # The shortest text that reads back as the same number.
        numbers = column.arr.to_list().list.eval(pl.element().cast(pl.String)).list.join(",")
        return (pl.lit("[") + numbers + pl.lit("]")).fill_null(_NULL)
    if isinstance(dtype, pl.List):
        quoted = pl.lit('"') + _replaced(pl.element(), (("\\", r"\\"), ('"', r"\""))) + pl.lit('"')
        column = pl.lit("{") + column.list.eval(quoted).list.join(",") + pl.lit("}")
    elif isinstance(dtype, pl.Datetime):
        return column.dt.strftime("%Y-%m-%d %H:%M:%S%.6f+00").fill_null(_NULL)
    elif not isinstance(dtype, pl.String):
        return column.cast(pl.String).fill_null(_NULL)
    return _replaced(column, ((_NUL, _INSTEAD), *_ESCAPES)).fill_null(_NULL)


def _replaced(column: pl.Expr, pairs: tuple[tuple[str, str], ...]) -> pl.Expr:
    for old, new in pairs:
        column = column.str.replace_all(old, new, literal=True)
    return column
