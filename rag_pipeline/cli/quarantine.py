"""`rag-pipeline quarantine`: what was refused, why, and trying it again.

Belongs here: listing, showing and releasing quarantine rows.
Does not belong here: deciding what is refused (`refresh/documents.py`), or parsing again: the next run does that.
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

# What could not be fetched is fetched again by every run; there is nothing to release.
TRIED_BY_EVERY_RUN = "fetch"
LEAST_ID_CHARS = 6
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
    with open_workspace() as workspace:
        row = _chosen(_rows(workspace), [document_id])[0]
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
    import polars as pl

    from rag_pipeline.contracts.tables import QUARANTINE

    with open_workspace() as workspace, workspace.lake.writing():
        rows = _rows(workspace)
        chosen = _chosen(rows, document_ids) if document_ids else rows
        released = [row["document_id"] for row in chosen if row["stage"] != TRIED_BY_EVERY_RUN]
        schema = {name: QUARANTINE.schema[name] for name in ("document_id", "next_attempt_at")}
        frame = pl.DataFrame({"document_id": released, "next_attempt_at": workspace.now()}, schema=schema)
        workspace.lake.update(QUARANTINE, frame)
    if as_json:
        emit({"released": released, "tried_by_every_run": len(chosen) - len(released)})
        return
    talk(f"The next run tries {counted(len(released), 'document')} again: rag-pipeline run")
    if len(chosen) > len(released):
        talk(f"{len(chosen) - len(released):,} could not be fetched, which every run tries again anyway.")


def _cells(row: dict[str, Any]) -> list[Any]:
    detail = bounded(one_line(row["detail"]), DETAIL_CHARS)
    return [_short(row), row["source"], one_line(row["uri"]), row["reason_code"], detail]


def _rows(workspace: Workspace) -> list[dict[str, Any]]:
    from rag_pipeline.contracts.tables import QUARANTINE

    return workspace.lake.read(QUARANTINE).sort("source", "uri", "document_id").to_dicts()


def _short(row: dict[str, Any]) -> str:
    return str(row["document_id"])[:SHORT_ID_CHARS]


def _chosen(rows: list[dict[str, Any]], document_ids: tuple[str, ...] | list[str]) -> list[dict[str, Any]]:
    """Rows by document_id or the beginning of one, as the list shows it."""
    chosen = []
    for wanted in document_ids:
        found = [row for row in rows if row["document_id"].startswith(wanted)]
        if len(found) != 1 or len(wanted) < LEAST_ID_CHARS:
            what = "not in quarantine" if not found else "not the beginning of one document's id"
            raise UsageError(f"{what}: {wanted}; see which are: rag-pipeline quarantine list", document_id=wanted)
        chosen += found
    return chosen
