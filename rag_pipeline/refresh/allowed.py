"""What a table of rows shows that may not be read now, by bronze, the settings and the sources.

Belongs here: reading who may read what, for whatever holds published rows.
Does not belong here: what follows from it (`transforms/revoke.py`), taking it away (`revoke.py`, `withdraw.py`).

Where bronze cannot be read, the source itself says what may still be shown (`unrecorded.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from rag_pipeline.contracts.sink import Readable
from rag_pipeline.contracts.tables import BRONZE
from rag_pipeline.refresh.exposed import exposed_documents
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.polls import unrecorded_sources
from rag_pipeline.refresh.unrecorded import readers_by_source
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.transforms.revoke import (
    SHOWN_COLUMNS,
    Readers,
    RevocationPlan,
    plan_closing,
    plan_revocation,
    readers_now,
    with_closed,
)

log = logging.getLogger(__name__)

# What an opened table has to lose.
Planned = Callable[[Readable], RevocationPlan]


def plan_of_now(workspace: Workspace, faults: list[str]) -> Planned:
    readers, unrecorded = read_readers(workspace, faults)

    def planned(table: Readable) -> RevocationPlan:
        rows = table.read(SHOWN_COLUMNS)
        asked = {name: readers_by_source(workspace, name, rows, readers.get(name)) for name in sorted(unrecorded)}
        known = {**readers, **asked}
        plan = plan_revocation(rows, known)
        # Last: it reads whole texts, and what is gone need not be read.
        exposed = exposed_documents(workspace, table)
        return with_closed(plan, plan_closing(rows, exposed, known), rows) if exposed else plan

    return planned


def read_readers(workspace: Workspace, faults: list[str]) -> tuple[dict[str, Readers], set[str]]:
    """Who may read the objects of each configured source by bronze, and the sources that have to be asked themselves.

    Of these bronze says nothing, or not what they say now.
    """
    readers: dict[str, Readers] = {}
    unrecorded = _unrecorded(workspace)
    for name in workspace.settings.sources:
        reason = "what it says now could not be recorded" if name in unrecorded else ""
        try:
            if workspace.lake.exists(BRONZE.of(name)):
                readers[name] = _readers_of(workspace, name)
            else:
                unrecorded.add(name)
        except FAULTS as error:
            reason = f"its bronze table cannot be read: {error}"
        if reason:
            unrecorded.add(name)
            faults.append(f"source {name} itself was asked who may be shown what, since {reason}")
            log.error("source %s itself is asked who may be shown what, since %s", name, reason)
    return readers, unrecorded


def _unrecorded(workspace: Workspace) -> set[str]:
    try:
        return unrecorded_sources(workspace)
    except FAULTS as error:
        log.error("whether bronze holds what sources say cannot be told, so each is asked: %s", error)
        return set(workspace.settings.sources)


def _readers_of(workspace: Workspace, name: str) -> Readers:
    state = workspace.lake.bronze_state(name)
    ids: dict[str, tuple[str, ...]] = {}
    for document, uri in workspace.lake.read(BRONZE.of(name), ["document_id", "uri"]).unique().iter_rows():
        ids[uri] = (*ids.get(uri, ()), document)
    return Readers(readers_now(state, workspace.pipeline.source_spec(name)), ids)
