"""`rag-pipeline sql`: DuckDB over every table of the lake, to read.

Belongs here: showing an answer.
Does not belong here: views and safety (`stores/sql.py`).
"""

from __future__ import annotations

from decimal import Decimal
from itertools import islice

import click
from rich.text import Text

from rag_pipeline.cli.options import common_options, open_workspace
from rag_pipeline.cli.rendering import counted, emit, show, shown, table, talk
from rag_pipeline.errors import UsageError

# A longer cell makes a table that nobody reads; the JSON holds all of it.
CELL_CHARS = 400


@click.command()
@click.argument("query")
@click.option("--limit", default=100, show_default=True, metavar="ROWS", help="Most rows to show without --json.")
@common_options
def sql(query: str, limit: int, as_json: bool) -> None:
    """Ask one SELECT of the lake's tables, in DuckDB's dialect.

    \b
    bronze.<source>                           every revision of every object
    silver.documents, chunks, quarantine, duplicates, boilerplate
    gold.publications, audits, embeddings_<model>

    You see every document, whoever may read it: this is a tool for those who run the lake. Nothing can be written.

    Example: rag-pipeline sql "SELECT source, count(*) AS documents FROM silver.documents GROUP BY ALL"
    """
    from rag_pipeline.refresh.status import known_spaces
    from rag_pipeline.stores.sql import LakeSql

    if limit < 1:
        raise UsageError(f"--limit is {limit}, want at least 1", limit=limit)
    with open_workspace() as workspace:
        spaces = known_spaces(workspace)
        with LakeSql(workspace.lake, workspace.settings.sources, spaces) as database:
            result = database.query(query)
            if as_json:
                for row in result.rows:
                    emit(dict(zip(result.columns, row, strict=True)))
                return
            rows = list(islice(result.rows, limit))
            more = next(result.rows, None) is not None
    columns = [
        (name, "right" if rows and all(_is_number(row[at]) for row in rows) else "left")
        for at, name in enumerate(result.columns)
    ]
    show(table("", columns, ([_cell(value) for value in row] for row in rows)))  # type: ignore[arg-type]
    talk(f"the first {limit:,} rows; --limit shows more, --json all" if more else counted(len(rows), "row"))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _cell(value: object) -> Text:
    # Numbers as they are: a separator in a year or a line number would be read as part of it.
    text = str(value) if _is_number(value) else shown(value)
    return Text(text if len(text) <= CELL_CHARS else f"{text[:CELL_CHARS]}…")
