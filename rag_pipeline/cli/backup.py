"""`rag-pipeline backup` and `restore`: a lake copied away, and put back.

Belongs here: arguments, and what was done.
Does not belong here: copying (`stores/backup.py`), putting back (`refresh/restore.py`).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from rag_pipeline.cli.exit_codes import FOUND
from rag_pipeline.cli.options import common_options, open_pipeline, open_workspace
from rag_pipeline.cli.rendering import counted, emit, facts, show


@click.command()
@click.argument("destination", metavar="DEST", type=click.Path(file_okay=False, path_type=Path))
@click.option("--only", "alone", is_flag=True, help="Remove all older backups there afterwards, as after an erasure.")
@common_options
def backup(destination: Path, alone: bool, as_json: bool) -> None:
    """Copy the lake to a folder: one moment of it, what is there already not again, checked by hash.

    Runs may go on meanwhile. What interrupts it leaves older backups whole.

    Example: rag-pipeline backup /mnt/backups/lake
    """
    from rag_pipeline.stores.backup import back_up

    with open_workspace() as workspace:
        report = back_up(workspace.lake, destination, workspace.now(), alone=alone)
    if as_json:
        emit(asdict(report))
        return
    copied = f"{counted(report.copied_files, 'file')}, {report.copied_bytes:,} bytes"
    show(
        facts(
            [
                ("Backup", report.name),
                ("Holds", f"{counted(report.files, 'file')}, {report.size_bytes:,} bytes"),
                ("Copied now", copied),
                ("Older backups removed", f"{report.removed_backups:,}"),
            ]
        )
    )


@click.command()
@click.argument("source", metavar="SRC", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--to", metavar="LAKE", help="Folder, or address in an object store; else the lake of pipeline.yaml.")
@click.option("--backup", "name", metavar="NAME", help="Which of the backups there; else the newest.")
@click.option("--replace", "may_replace", is_flag=True, help="Put it in the place of a lake that holds something.")
@common_options
def restore(source: Path, to: str | None, name: str | None, may_replace: bool, as_json: bool) -> None:
    """Put the lake back from a backup, checked by hash, without what was erased since.

    Stop the server and Dagster's daemon before. Exit code 1: verify finds something in what was restored.

    Example: rag-pipeline restore /mnt/backups/lake --replace
    """
    from rag_pipeline.defs.scrub import scrub_of
    from rag_pipeline.refresh.restore import restore as put_back

    pipeline = open_pipeline()
    scrub = scrub_of(pipeline.dagster_home)
    report = put_back(pipeline, source, to=to, name=name, may_replace=may_replace, scrub=scrub)
    if as_json:
        emit(asdict(report))
    else:
        show(
            facts(
                [
                    ("Restored", f"{report.backup} into {report.lake}"),
                    ("Holds", f"{counted(report.files, 'file')}, {report.size_bytes:,} bytes"),
                    ("Erased again", f"{counted(report.erased, 'document')} erased since"),
                    ("Verified", "nothing found" if not report.findings else f"{counted(report.findings, 'finding')}"),
                ]
            )
        )
    click.get_current_context().exit(FOUND if report.findings else 0)
