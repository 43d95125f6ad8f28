"""What a command published, told to Dagster where it is in use, so that the asset's history has no gaps.

Belongs here: whether there are records to write to, who asked, and what is said if they cannot be written.
Does not belong here: the event itself (`defs/publication_events.py`).
"""

from __future__ import annotations

import getpass
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rag_pipeline.cli.rendering import talk

if TYPE_CHECKING:
    from rag_pipeline.refresh.workspace import Workspace

log = logging.getLogger(__name__)


@contextmanager
def recorded_publications(workspace: Workspace, how: str) -> Iterator[None]:
    """Report to Dagster what the block publishes, also if it fails afterwards; without a Dagster home nothing is done.

    Args:
        how: The command, as it is shown there.
    """
    try:
        yield
    finally:
        _record(workspace, how)


def _record(workspace: Workspace, how: str) -> None:
    home = workspace.pipeline.dagster_home
    if not home.is_dir():
        return
    # The pointer has moved: whatever the records are like, the command did what was asked.
    try:
        rows = workspace.lake.publications_of(workspace.run_id)
        if not rows:
            return
        from rag_pipeline.defs.publication_events import report_publications
        from rag_pipeline.refresh.generations import is_held

        report_publications(home, rows, by_whom=_who(), how=f"rag-pipeline {how}", is_held=is_held(workspace))
    except Exception as error:
        log.warning("publication not recorded in %s", home, exc_info=True)
        talk(
            f"(The publication stands, but Dagster's records in {home} did not take it: {type(error).__name__}. "
            f'Its history there lacks it; rag-pipeline sql "SELECT * FROM gold.publications" shows it.)',
            style="yellow",
        )


def _who() -> str:
    """The account and machine that the command ran on."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        # A container may run under a number that no account has.
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
