"""`rag-pipeline rebuild`: heal damaged tables.

Belongs here: arguments, and what was done.
Does not belong here: healing (`refresh/rebuild.py`).
"""

from __future__ import annotations

import click

from rag_pipeline.cli.options import common_options, open_workspace
from rag_pipeline.cli.progress import showing_progress
from rag_pipeline.cli.records import recorded_publications
from rag_pipeline.cli.rendering import counted, emit, facts, show


@click.command()
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@common_options
def rebuild(tables: tuple[str, ...], as_json: bool) -> None:
    """Make a damaged table again from what is below it, or every one that is damaged if none is named.

    Damaged files are moved into .damaged in the lake. Readers keep what is published until the new version is audited.
    Nothing is embedded whose vector is stored in gold/embeddings or in the index. Bronze cannot be made again: restore
    its folder from a backup.

    Example: rag-pipeline rebuild silver.chunks
    """
    from rag_pipeline.refresh.progress import CURRENT
    from rag_pipeline.refresh.rebuild import rebuild as heal

    with (
        open_workspace() as workspace,
        recorded_publications(workspace, "rebuild"),
        showing_progress() as progress,
    ):
        token = CURRENT.set(progress)
        try:
            report = heal(workspace, tables)
        finally:
            CURRENT.reset(token)
    if as_json:
        emit(report)
        return
    published = report.published
    show(
        facts(
            [
                ("Rebuilt", ", ".join(report.tables) or "nothing: no table is damaged"),
                ("Damaged files", f"{counted(report.files_set_aside, 'file')} moved into .damaged"),
                ("Vectors saved", f"{report.vectors_saved:,} taken from the index"),
                ("Embeddings computed", report.embeddings_computed),
                (
                    "Published",
                    f"{published.alias} version {published.table_version}, {counted(published.rows, 'chunk')}",
                ),
            ]
        )
    )
