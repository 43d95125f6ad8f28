"""`rag-pipeline costs`: what runs cost, and what the lake takes.

Belongs here: arguments, and how the sums look.
Does not belong here: adding up (`refresh/costs.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rag_pipeline.cli.options import common_options, open_workspace
from rag_pipeline.cli.rendering import emit, show, table

if TYPE_CHECKING:
    from rag_pipeline.refresh.costs import CostReport, CostSum

# A screenful; all of them are in the JSON.
SHOWN_ROWS = 15
UNKNOWN = "unknown"
WHAT = ""
FIGURES = ("Bytes", "Documents", "Texts", "Tokens", "Seconds", "Price")
ALWAYS_SHOWN = ("Seconds", "Price")


@click.command()
@click.option("--days", type=click.IntRange(1, 3_650), default=30, show_default=True, help="Of how many days.")
@common_options
def costs(days: int, as_json: bool) -> None:
    """Show what runs cost by day, run, source and model, and the storage of each table.

    Runs that changed nothing are not listed. Seconds of parsing and cutting are those of all worker processes added up.

    Example: rag-pipeline costs --days 7
    """
    from rag_pipeline.refresh.costs import read_cost_report

    with open_workspace() as workspace:
        report = read_cost_report(workspace, days)
    if as_json:
        emit(report)
    else:
        _show(report, days)


def _show(report: CostReport, days: int) -> None:
    groups = [("Day", report.by_day), ("Run", report.by_run), ("Source", report.by_source), ("Alias", report.by_model)]
    for name, sums in [*groups, (f"Last {days} days", [report.total])]:
        rows = [_row(each) for each in sums[:SHOWN_ROWS]]
        # A model reads no bytes: what is 0 for all tells nothing.
        names = [figure for figure in FIGURES if any(row[figure] for row in rows) or figure in ALWAYS_SHOWN]
        if rows:
            cells = [[row[each] for each in (WHAT, *names)] for row in rows]
            show(table("", [name, *((each, "right") for each in names)], cells), "")
    stored = [
        [each.table, None if each.version < 0 else each.version, each.newest_bytes, each.all_bytes]
        for each in report.storage
    ]
    columns = ["Table", ("Version", "right"), ("Bytes of it", "right"), ("With earlier versions", "right")]
    show(table("Storage", columns, stored))  # type: ignore[arg-type]


def _row(each: CostSum) -> dict[str, object]:
    price = UNKNOWN if each.price is None else f"{each.price:,.4f}".rstrip("0").rstrip(".")
    shown = (each.what, each.bytes, each.documents, each.texts, each.tokens, round(each.seconds, 2), price)
    return dict(zip((WHAT, *FIGURES), shown, strict=True))
