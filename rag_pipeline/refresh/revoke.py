"""Take from readers what they may no longer read, before anything is parsed, and at the end of every run.

Belongs here: reading bronze and the index, writing the version that shows less, pointing readers to it.
Does not belong here: what has to go (`transforms/revoke.py`); revoked wording of texts that were parsed anew
(`refresh/index.py`, `refresh/publication.py`).

It needs bronze, the settings, the published version of the index and the log of publications, and nothing else: no
source, parser, model or table of silver. A fault in one thing it could do without is said and gone around, and where
the index cannot be opened or written, what was delivered elsewhere loses it all the same (`withdraw.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import polars as pl

from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.log_rows import MADE_FROM_PASSED, NO_SILVER, Audit, Publication
from rag_pipeline.contracts.sink import Sink
from rag_pipeline.contracts.tables import AUDITS
from rag_pipeline.errors import LakeDamaged, TableMissing, TableOutdated
from rag_pipeline.refresh.allowed import Planned, plan_of_now
from rag_pipeline.refresh.deliver import withdrawn_elsewhere
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.generations import is_held
from rag_pipeline.refresh.moved import pointer_moved
from rag_pipeline.refresh.polls import unrecorded_figures
from rag_pipeline.refresh.steps import step
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.kept import open_version
from rag_pipeline.transforms.revoke import RevocationPlan, closed_rows

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class RevokeReport:
    """What one revocation took from readers.

    Attributes:
        documents: That are gone, or that fewer may read.
        removed, narrowed: Rows of the index.
        table_version: Version that readers are pointed to now; None: nothing had to be taken away.
        faults: What could not be looked at, for a person.
    """

    documents: int = 0
    removed: int = 0
    narrowed: int = 0
    table_version: int | None = None
    faults: list[str] = field(default_factory=list)


@step("silver/revocations")
def revoke_now(workspace: Workspace) -> RevokeReport:
    """Take deleted documents, narrowed permissions and what is to be redacted from readers; else nothing happens.

    Indexes that are kept beside the served one lose the same, so that pointing readers to one shows no more.

    Raises:
        RagPipelineError: The published index or the log of publications cannot be read or written.
    """
    with workspace.lake.writing(), withdrawn_elsewhere(workspace):
        workspace.lake.keep_reserve()
        report = on_any_disk(workspace, lambda is_full: _revoked_now(workspace, is_full=is_full))
    pointer_moved(workspace)
    return report


def _revoked_now(workspace: Workspace, *, is_full: bool) -> RevokeReport:
    report = RevokeReport()
    last = workspace.lake.last_publication()
    if last is None:
        return report
    planned = plan_of_now(workspace, report.faults)
    take_from_published(workspace, last, planned, report, is_full=is_full)
    _take_from_others(workspace, last, planned, report, is_full=is_full)
    return report


def on_any_disk(workspace: Workspace, action: Callable[[bool], T]) -> T:
    """The result of taking something away; if the disk is full, in the room that was kept for it.

    Args:
        action: Called with whether the disk is full, and so to be written to as little as can be.

    Raises:
        RagPipelineError: As `action` does, and there is no room to be had, or it is not that.
    """
    try:
        return action(False)
    except FAULTS as error:
        if not workspace.lake.spend_reserve():
            raise
        log.error("taking away is tried again in the room that was kept for it: %s", error)
    return action(True)


def as_it_may_be_read(workspace: Workspace, publication: Publication) -> Publication:
    """A publication that is about to be made, at a version that shows nothing that may not be read now.

    For going back to an older version: what was deleted or closed since does not come back with it.

    Raises:
        RagPipelineError: The version cannot be read or written.
    """
    report = RevokeReport()
    made = _reduced(
        workspace, publication, open_version(workspace.vectors, publication), plan_of_now(workspace, report.faults)
    )
    if made is None:
        return replace(publication, figures={**publication.figures, **unrecorded_figures(workspace)})
    _record(workspace, made.audit, report)
    note = "; ".join(filter(None, [publication.note, made.publication.note]))
    return replace(made.publication, sequence=publication.sequence, action=publication.action, note=note)


def take_from_published(
    workspace: Workspace,
    last: Publication,
    planned: Planned,
    report: RevokeReport,
    *,
    is_full: bool = False,
) -> None:
    """Write a version of the published index that shows less, and point readers to it.

    Readers whom a person holds at an older version stay held there, with less to see.

    Raises:
        RagPipelineError: It can be opened, but not read or written, so nobody knows what readers find in it.
    """
    try:
        shown = open_version(workspace.vectors, last)
    except (LakeDamaged, TableMissing, TableOutdated) as error:
        # No reader can open it either, so it shows nothing; the run makes it anew.
        report.faults.append(f"the published index cannot be opened by anybody: {error}")
        log.warning("the published index cannot be opened, so nothing had to be taken from it: %s", error)
        return
    made = _reduced(workspace, last, shown, planned, is_full=is_full)
    if made is None:
        return
    # The pointer first: readers must not wait for a record.
    workspace.lake.append_publication(made.publication)
    _record(workspace, made.audit, report)
    log.warning("published a revocation: %s", made.publication.note)
    report.documents += made.plan.documents
    report.removed += len(made.plan.gone)
    report.narrowed += made.plan.narrowed.height
    report.table_version = made.publication.table_version


@dataclass(frozen=True, slots=True)
class _Reduced:
    """A version that shows less than the one that readers are on: its publication and its audit, not yet recorded."""

    plan: RevocationPlan
    publication: Publication
    audit: Audit


def _reduced(
    workspace: Workspace, last: Publication, shown: Sink, planned: Planned, *, is_full: bool = False
) -> _Reduced | None:
    """Write the version; it begins from what readers are shown, whatever newer one a run left refused or unfinished."""
    plan = planned(shown)
    if plan.is_empty:
        return None
    is_sound = was_sound(workspace, shown)
    table = workspace.vectors.open(last.table_name, last.space_fingerprint)
    if table.version != last.table_version:
        table.restore(last.table_version)
    _take(table, plan, is_full=is_full)
    state = table.read(["document_id"])
    # Fewer rows of the same index: readers go on searching it as deep as it needs.
    search = said_of_search(last)
    audit = reduced_audit(workspace, last, table, state, {**search, MADE_FROM_PASSED: is_sound})
    note = f"{plan.documents} documents revoked: {len(plan.gone)} rows removed, {plan.narrowed.height} narrowed"
    figures = {"audit_id": audit.audit_id, "revoked": plan.documents, "made_from": last.made_from, **search}
    figures |= last.recipe.figures() | unrecorded_figures(workspace)
    publication = replace(
        last,
        sequence=last.sequence + 1,
        action="rollback" if is_held(workspace) else "publish",
        table_version=table.version,
        rows=audit.rows,
        documents=audit.documents,
        figures=figures,
        published_at=workspace.now(),
        run_id=workspace.run_id,
        note=note,
    )
    return _Reduced(plan, publication, audit)


def said_of_search(row: Publication | Audit) -> dict[str, Any]:
    """How deep a version has to be searched, for the record of one with fewer rows."""
    return {"search": row.search} if row.search else {}


def was_sound(workspace: Workspace, table: Sink) -> bool:
    """Whether the last audit of this very version says so; what cannot be read of it says nothing."""
    try:
        audits = workspace.lake.audits(pl.col("table_name") == table.name)
    except FAULTS as error:
        log.warning("the audits cannot be read, so the next refresh looks at all of %s: %s", table.name, error)
        return False
    place = (table.name, table.version)
    mine = [each for each in audits if each.place == place and each.space_fingerprint == table.space.fingerprint]
    return bool(mine) and mine[-1].is_sound


def _take_from_others(
    workspace: Workspace,
    last: Publication,
    planned: Planned,
    report: RevokeReport,
    *,
    is_full: bool = False,
) -> None:
    """The same for the indexes beside the served one: no reader is on them, but any may be published next."""
    try:
        others = workspace.lake.audits(pl.col("space_fingerprint") != last.space_fingerprint)
        tables = set(workspace.vectors.tables())
        for audit in {each.space_fingerprint: each for each in others}.values():
            if audit.table_name not in tables:
                continue
            table = workspace.vectors.open(audit.table_name, audit.space_fingerprint)
            plan = planned(table)
            if not plan.is_empty:
                # Its newest version may be one that no audit has seen, of a refresh that was killed.
                search = {**said_of_search(audit), MADE_FROM_PASSED: was_sound(workspace, table)}
                _take(table, plan, is_full=is_full)
                row = reduced_audit(workspace, audit, table, table.read(["document_id"]), search)
                _record(workspace, row, report)
    except FAULTS as error:
        report.faults.append(f"an index beside the served one kept what was revoked: {error}")
        log.error("an index beside the served one kept what was revoked: %s", error)


def _take(table: Sink, plan: RevocationPlan, *, is_full: bool) -> None:
    """Remove and narrow rows; each commit is one that no reader is pointed to yet.

    To find rows an index is read, to rewrite them a temporary folder is written: where one is broken the other way is
    taken. A row that is removed instead of narrowed comes back with the next refresh of the index. On a full disk all
    are removed: rows that are rewritten take room, and what is half written stays.
    """
    if is_full:
        table.delete([*plan.gone, *plan.narrowed["chunk_id"]])
        return
    if plan.gone:
        try:
            table.delete(list(plan.gone))
        except FAULTS as error:
            log.error("rows are closed instead of removed: %s", error)
            empty = pl.lit([], dtype=pl.List(pl.String()))
            gone = pl.DataFrame({"chunk_id": list(plan.gone)}).with_columns(allowed_principals=empty)
            table.update_columns(closed_rows(gone).to_arrow())
    if plan.narrowed.height:
        try:
            table.update_columns(plan.narrowed.to_arrow())
        except FAULTS as error:
            log.error("rows are removed instead of narrowed: %s", error)
            table.delete(plan.narrowed["chunk_id"].to_list())


def reduced_audit(
    workspace: Workspace, of: Publication | Audit, table: Sink, state: pl.DataFrame, findings: Mapping[str, Any]
) -> Audit:
    """The record of a version that shows no more than the one before it; it was compared with no version of silver.

    So it never counts as complete: the next refresh of the index audits it against silver.

    Args:
        findings: How deep the table has to be searched, and MADE_FROM_PASSED.
    """
    sequence = 0
    with suppress(*FAULTS):
        before = workspace.lake.read(AUDITS, ["sequence"])["sequence"].max()
        sequence = 0 if before is None else int(str(before)) + 1
    at = workspace.now()
    named = (table.name, str(table.version), str(sequence), at.isoformat(), workspace.run_id)
    return Audit(
        audit_id=digest("audit", *named)[:32],
        sequence=sequence,
        alias=of.alias,
        space_fingerprint=of.space_fingerprint,
        table_name=table.name,
        table_version=table.version,
        chunks_version=NO_SILVER,
        documents_version=NO_SILVER,
        rows=state.height,
        documents=state["document_id"].n_unique(),
        repaired=0,
        ghosts=0,
        missing=0,
        mismatched=0,
        withheld=0,
        findings=findings,
        passed=True,
        audited_at=at,
        run_id=workspace.run_id,
    )


def _record(workspace: Workspace, audit: Audit, report: RevokeReport) -> None:
    try:
        workspace.lake.append_audit(audit)
    except FAULTS as error:
        report.faults.append(f"the audit of the revoked version was not recorded: {error}")
        log.error("the audit of the revoked version was not recorded: %s", error)
