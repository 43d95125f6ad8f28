"""The end of a run that did not go well: what readers still see, and nobody can say that they may.

Belongs here: which documents were edited or are to be redacted while the run did not get to them.
Does not belong here: what is gone or narrowed by bronze alone (`revoke.py`), wording of texts that were parsed anew
(`revocations.py`).

A text that was edited may have lost wording that readers still see. Once it is parsed, wording is compared with
wording, and only what has left is closed; where the run did not get that far, the whole document is, until the next run
has taken it in.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from rag_pipeline.contracts.sink import Readable
from rag_pipeline.refresh.allowed import read_readers
from rag_pipeline.refresh.bronze import poll_source
from rag_pipeline.refresh.deliver import deliver_published, withdrawn_elsewhere
from rag_pipeline.refresh.edited_since import ids_to_close
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.generations import is_held
from rag_pipeline.refresh.memberships import withdraw_memberships
from rag_pipeline.refresh.revoke import RevokeReport, on_any_disk, revoke_now, take_from_published
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.kept import open_version
from rag_pipeline.transforms.revoke import SHOWN_COLUMNS, RevocationPlan, plan_closing

log = logging.getLogger(__name__)


def finish_revocations(workspace: Workspace) -> str:
    """After a run that did not end well, take from readers what it did not get to.

    Returns:
        Why not all could be taken from them; empty if it was. That is said in the log, too.
    """
    reasons: list[str] = []
    for step in (withdraw_memberships, revoke_now, close_unsettled):
        try:
            step(workspace)
        except FAULTS as error:
            log.error("what was revoked could not all be taken from readers: %s", error)
            reasons.append(str(error))
    if workspace.delivery is not None and workspace.delivery.fault and not workspace.delivery.is_withdrawn:
        reasons.append(workspace.delivery.fault)
    return " ".join(dict.fromkeys(reasons))


def revoke_alone(workspace: Workspace, allow_mass_deletion: Collection[str] = ()) -> str:
    """Poll the sources and take from readers what is gone, where no run could be begun.

    Args:
        allow_mass_deletion: Sources whose deletion guard lets everything go.

    Returns:
        As `finish_revocations`.
    """
    for name in workspace.settings.sources:
        try:
            poll_source(workspace, name, allow_mass_deletion=name in allow_mass_deletion)
        except FAULTS as error:
            log.error("source %s could not be polled: %s", name, error)
    return finish_revocations(workspace)


def close_unsettled(workspace: Workspace) -> RevokeReport:
    """Close published texts that were edited, or are to be redacted, and that nobody can say still stand."""
    report = RevokeReport()
    with workspace.lake.writing(), withdrawn_elsewhere(workspace):
        last = workspace.lake.last_publication()
        if last is None or is_held(workspace):
            return report
        closing = ids_to_close(workspace, open_version(workspace.vectors, last))
        if closing:
            readers, _ = read_readers(workspace, report.faults)

            def planned(now: Readable) -> RevocationPlan:
                return plan_closing(now.read(SHOWN_COLUMNS), closing, readers)

            on_any_disk(
                workspace, lambda is_full: take_from_published(workspace, last, planned, report, is_full=is_full)
            )
            deliver_published(workspace)
    return report
