"""`rag-pipeline quarantine`: what was refused, why, and trying it again.

Belongs here: listing, showing and releasing quarantine rows.
Does not belong here: what is released (`refresh/quarantine.py`), deciding what is refused (`refresh/documents.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rag_pipeline.cli.options import common_options, open_workspace
from rag_pipeline.cli.rendering import SHORT_ID_CHARS, counted, emit, facts, one_line, show, table, talk
from rag_pipeline.errors import UsageError
from rag_pipeline.shown import bounded

if TYPE_CHECKING:
    from rag_pipeline.refresh.workspace import Workspace

# What happened stands first in it and what to do last; what is left out between is in `quarantine show`.
DETAIL_CHARS = 240


@click.group()
def quarantine() -> None:
    """See what was refused and why, and have it tried again."""


@quarantine.command(name="list")
@click.option("--source", metavar="NAME", help="Only this source.")
@click.option("--reason", metavar="CODE", help="Only this reason.")
@common_options
def list_rows(source: str | None, reason: str | None, as_json: bool) -> None:
    """List the documents in quarantine.

    Example: rag-pipeline quarantine list
    """
    with open_workspace() as workspace:
        if source is not None and source not in workspace.settings.sources:
            allowed = ", ".join(sorted(workspace.settings.sources))
            raise UsageError(f"there is no source {source!r}; allowed: {allowed}", source=source)
        everything = _rows(workspace)
    rows = [row for row in everything if source in (None, row["source"]) and reason in (None, row["reason_code"])]
    if as_json:
        for row in rows:
            emit(row)
        return
    if not rows and everything:
        there = ", ".join(sorted({row["reason_code"] for row in everything}))
        talk(f"{counted(len(everything), 'document')} in quarantine, but none like that; reasons: {there}.")
        return
    if not rows:
        talk("Nothing is in quarantine.")
        return
    columns = ["Document", "Source", "Location", "Reason", "What to do"]
    show(table("", columns, (_cells(row) for row in rows)))
    talk(f"{counted(len(rows), 'document')} in quarantine. More on one: rag-pipeline quarantine show DOCUMENT")


@quarantine.command(name="show")
@click.argument("document_id")
@common_options
def show_row(document_id: str, as_json: bool) -> None:
    """Show why one document is in quarantine.

    The beginning of the id is enough, as `quarantine list` prints it.

    Example: rag-pipeline quarantine show 0123456789ab
    """
    from rag_pipeline.refresh.quarantine import chosen_rows

    with open_workspace() as workspace:
        [row] = chosen_rows(_rows(workspace), [document_id])
    if as_json:
        emit(row)
        return
    show(facts([(name.replace("_", " "), value) for name, value in row.items()]))


@quarantine.command()
@click.argument("document_ids", nargs=-1)
@common_options
def retry(document_ids: tuple[str, ...], as_json: bool) -> None:
    """Have the next run try documents again: those named, or all.

    A document is tried again by itself when its bytes or the parser change; this is for when something else did.

    Example: rag-pipeline quarantine retry
    """
    from rag_pipeline.refresh.quarantine import retry_quarantined

    with open_workspace() as workspace:
        report = retry_quarantined(workspace, document_ids)
    if as_json:
        emit(report)
        return
    talk(f"The next run tries {counted(len(report.released), 'document')} again: rag-pipeline run")
    if report.tried_by_every_run:
        talk(f"{report.tried_by_every_run:,} could not be fetched, which every run tries again anyway.")


def _cells(row: dict[str, Any]) -> list[Any]:
    detail = bounded(one_line(row["detail"]), DETAIL_CHARS)
    return [_short(row), row["source"], one_line(row["uri"]), row["reason_code"], detail]


def _rows(workspace: Workspace) -> list[dict[str, Any]]:
    from rag_pipeline.refresh.quarantine import quarantined

    return quarantined(workspace)


def _short(row: dict[str, Any]) -> str:
    return str(row["document_id"])[:SHORT_ID_CHARS]
