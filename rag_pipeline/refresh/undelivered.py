"""Messages to people on duty that no sink took yet, as `status` shows them.

Belongs here: counting them by sink.
Does not belong here: sending (`alerts/`), the file (`stores/alerts.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from rag_pipeline.errors import StoreError
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.alerts import AlertFile


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A sink of alerts that has not taken all messages.

    Attributes:
        error: Why the last attempt failed, or why it is not known what waits; empty if there was none yet.
        dropped: Messages that were given up: too many waited, or the sink refuses what they say.
    """

    sink: str
    waiting: int
    since: datetime | None
    error: str
    dropped: int


def undelivered_to(workspace: Workspace) -> list[Undelivered]:
    """By sink of pipeline.yaml; those that took everything are left out."""
    pipeline = workspace.pipeline
    if not pipeline.settings.alerts.sinks:
        return []
    try:
        state = AlertFile(pipeline.lake_root, pipeline.dagster_home).read()
    except StoreError as error:
        return [Undelivered(name, 0, None, error.message, 0) for name in pipeline.settings.alerts.sinks]
    found = []
    for name in pipeline.settings.alerts.sinks:
        mine = [message for message in state.outbox if message.sink == name]
        dropped = state.dropped.get(name, 0)
        if mine or dropped:
            since = datetime.fromtimestamp(min(message.at for message in mine), UTC) if mine else None
            found.append(Undelivered(name, len(mine), since, mine[0].error if mine else "", dropped))
    return found
