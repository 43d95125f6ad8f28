"""`rag-pipeline groups refresh`: take groups from who left them, without a run.

Belongs here: arguments, and what was found.
Does not belong here: asking for groups and counting them (`refresh/memberships.py`).
"""

from __future__ import annotations

from dataclasses import asdict

import click

from rag_pipeline.cli.exit_codes import FOUND
from rag_pipeline.cli.options import common_options, open_workspace
from rag_pipeline.cli.rendering import counted, emit, facts, show, talk


@click.group()
def groups() -> None:
    """Ask sources who is in which of their groups."""


@groups.command()
@common_options
def refresh(as_json: bool) -> None:
    """Ask every source that knows groups who is in them, and take from readers what they have no longer.

    Nothing else is asked, and no row of the index is touched, so that it may be run every minute. While a run computes
    vectors it waits for it, ten minutes at most. Who is new in a group has it from the next run on, once what was
    revoked has left readers. Exit code 1: a source or a group could not be told, and what was known of it stands.

    Example: rag-pipeline groups refresh
    """
    from rag_pipeline.refresh.memberships import memberships_are_open, withdraw_memberships

    with open_workspace() as workspace:
        report = withdraw_memberships(workspace)
        is_open = not report.added and memberships_are_open(workspace)
    for name, reason in report.unavailable.items():
        talk(f"Source {name} does not tell its groups, so what was known of them stands: {reason}")
    for name, unknown in report.unknown.items():
        talk(f"Source {name} does not tell who is in {', '.join(unknown)}, so what was known of them stands.")
    if as_json:
        emit(asdict(report) | {"waits_for_a_run": not is_open})
    else:
        show(
            facts(
                [
                    ("Memberships", f"{report.memberships:,} in {counted(report.groups, 'group')}"),
                    ("Taken from readers", f"{report.withdrawn:,}"),
                    ("New", f"{report.added:,}" + ("" if is_open else ", counted by the next run")),
                ]
            )
        )
    click.get_current_context().exit(FOUND if report.unavailable or report.unknown else 0)
