"""Deliver what is published to the places that pipeline.yaml names beside the lake.

Belongs here: which places there are, and when they are brought up to date.
Does not belong here: how one takes it in (`stores/postgres/`), what is published (`refresh/publication.py`).

It is called at each move of the pointer and by each run, right after readers of the lake are served: what was revoked
leaves both in the same step. A place that does not answer is said, holds nothing up, and is brought up to date by the
next run, whatever it missed: both sides are compared, and nothing is replayed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import polars as pl

from rag_pipeline.contracts.delivery import Delivered, DeliveryReport, Published, Target
from rag_pipeline.contracts.memberships import PRINCIPALS
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.errors import DeliveryFailed, ExtraMissing
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.withdraw import withholding
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.kept import KeptVersions, open_version
from rag_pipeline.transforms.memberships import all_principals, groups_by_member
from rag_pipeline.transforms.verify import Finding, Kind, finding

log = logging.getLogger(__name__)

# Who moves readers in the middle of a delivery delivers too, so that one more try finds nothing left to do.
_TRIES = 3


def is_delivered_elsewhere(workspace: Workspace) -> bool:
    """Whether pipeline.yaml names a place; a trial delivers nothing."""
    return workspace.settings.publish_to.postgres is not None and not workspace.is_trial


def deliver_published(workspace: Workspace) -> DeliveryReport | None:
    """Bring each place to what readers of the lake see; None: there is no place, or nothing is published.

    A fault is none of the run, and stands in the report. What may not be read by now leaves the place all the same.
    """
    if not is_delivered_elsewhere(workspace):
        return None
    began = time.monotonic()
    report = _delivered(workspace)
    if report is None:
        return None
    workspace.delivery = report = replace(report, seconds=time.monotonic() - began)
    if report.fault:
        log.error("what is published could not be delivered: %s", report.fault)
    elif not report.delivered.is_nothing:
        log.info("delivered to PostgreSQL: %s", report.delivered)
    return report


class _MovedOnError(Exception):
    """Readers of the lake were pointed to another version, or groups changed, while one was delivered."""


def _delivered(workspace: Workspace, tries: int = _TRIES) -> DeliveryReport | None:
    """One delivery, and another one where readers were pointed elsewhere meanwhile.

    It goes without the lake's lock, which others would wait for as long as an index is built there. What it began with
    is looked at again right before the commit: whoever changes it afterwards delivers after this, and is not undone.
    """
    rows = 0
    began_with = None
    try:
        began_with = _state(workspace)
        published = _published(workspace)
        if published is None:
            return None
        rows = published.rows
        delivered = _target(workspace).deliver(published, lambda: _check_still(workspace, began_with))
    except _MovedOnError as error:
        if tries > 1:
            return _delivered(workspace, tries - 1)
        return DeliveryReport(Delivered(), rows=rows, fault=str(error))
    except FAULTS as error:
        # A version that readers left may have been thinned away while it was read.
        if tries > 1 and began_with is not None and _has_moved(workspace, began_with):
            return _delivered(workspace, tries - 1)
        # A server that was not reached is not tried again.
        is_reached = not isinstance(error, DeliveryFailed) or error.facts.get("is_reached", True)
        is_withdrawn = bool(is_reached) and _is_withdrawn(workspace)
        return DeliveryReport(Delivered(), rows=rows, fault=str(error), is_withdrawn=is_withdrawn)
    return DeliveryReport(delivered, rows=rows)


def _state(workspace: Workspace) -> tuple[str, tuple[str, int]]:
    """Equal while readers of the lake are on the same version and in the same groups."""
    last = workspace.lake.last_publication()
    return "" if last is None else last.name, workspace.lake.identity(PRINCIPALS)


def _check_still(workspace: Workspace, began_with: object) -> None:
    if _state(workspace) != began_with:
        raise _MovedOnError("what readers of the lake see changes faster than it can be delivered; the next run does")


def _has_moved(workspace: Workspace, began_with: object) -> bool:
    try:
        return _state(workspace) != began_with
    except FAULTS:
        return False


@contextmanager
def withdrawn_elsewhere(workspace: Workspace) -> Iterator[None]:
    """If taking away from the lake's index fails, take it away from each place by the rows there; the failure goes on.

    To be entered with the lake's lock held.
    """
    try:
        yield
    except FAULTS as error:
        if is_delivered_elsewhere(workspace):
            is_withdrawn = _is_withdrawn(workspace)
            workspace.delivery = DeliveryReport(Delivered(), fault=str(error), is_withdrawn=is_withdrawn)
        raise


def _is_withdrawn(workspace: Workspace) -> bool:
    try:
        with workspace.lake.writing():
            groups = _groups_or_none(workspace)
            taken = _target(workspace).withdraw(workspace.lake.root, withholding(workspace), groups)
    except FAULTS as error:
        log.error("what was revoked may still stand in PostgreSQL: %s", error)
        return False
    if taken:
        log.warning("taken from PostgreSQL by the rows that stood there, since they may not be read: %s", taken)
    return True


def _published(workspace: Workspace) -> Published | None:
    last = workspace.lake.last_publication()
    if last is None:
        return None
    return Published(
        name=last.name,
        sequence=last.sequence,
        alias=last.alias,
        lake=workspace.lake.root,
        table=open_version(workspace.vectors, last),
        rows=last.rows,
        searched=last.searched(),
        groups=_groups(workspace),
        withheld=withholding(workspace),
        earlier=partial(_earlier, workspace),
    )


def _earlier(workspace: Workspace, name: str, columns: Sequence[str]) -> pl.DataFrame | None:
    try:
        found = next((each for each in workspace.lake.publications() if each.name == name), None)
        return None if found is None else KeptVersions(workspace.lake, workspace.vectors).open(found).read(columns)
    except FAULTS as error:
        log.info("the version that PostgreSQL holds is not kept, so all rows are compared there: %s", error)
        return None


def _groups(workspace: Workspace) -> dict[str, tuple[str, ...]]:
    """Every group that each principal has, groups of groups too, as searches count them."""
    direct = groups_by_member(workspace.lake.read(PRINCIPALS))
    members = direct.keys() - {PUBLIC}
    return {member: tuple(sorted(all_principals([member], direct) - {member})) for member in members}


def _groups_or_none(workspace: Workspace) -> dict[str, tuple[str, ...]]:
    """Whoever is said to be in no group has none."""
    try:
        return _groups(workspace)
    except FAULTS as error:
        log.error("who is in which group cannot be read, so nobody is: %s", error)
        return {}


def _target(workspace: Workspace) -> Target:
    # Imported here: nobody else needs its driver.
    try:
        from rag_pipeline.stores.postgres.delivery import PostgresTarget
    except ImportError as error:
        raise ExtraMissing(
            "delivering to PostgreSQL needs packages that are not installed: pip install 'rag-pipeline[postgres]'"
        ) from error
    postgres = workspace.settings.publish_to.postgres
    assert postgres is not None
    return PostgresTarget(
        workspace.pipeline.postgres_dsn,
        postgres.schema_name,
        readers=postgres.readers,
        approximate_from_rows=postgres.approximate_from_rows,
        timeout_seconds=postgres.timeout.total_seconds(),
    )


def compare_delivered(workspace: Workspace) -> list[Finding]:
    """What is published against what stands in PostgreSQL, row by row, for `verify`."""
    if not is_delivered_elsewhere(workspace):
        return []
    try:
        with workspace.lake.writing():
            published = _published(workspace)
            if published is None:
                return []
            compared = _target(workspace).compare(published)
    except FAULTS as error:
        return [Finding("postgres_cannot_be_compared", "mismatched", 1, (str(error),))]
    kinds: tuple[tuple[Kind, tuple[str, ...]], ...] = (
        ("ghost", compared.ghosts),
        ("missing", compared.missing),
        ("mismatched", compared.mismatched),
    )
    findings = [
        one for kind, ids in kinds for one in finding(f"postgres_{kind}", kind, pl.Series(ids, dtype=pl.String))
    ]
    return findings + [Finding("postgres_is_not_as_delivered", "mismatched", 1, (said,)) for said in compared.reasons]


def erase_elsewhere(workspace: Workspace) -> list[str]:
    """Have what was erased leave PostgreSQL, rows and index; what a person should know.

    Raises:
        DeliveryFailed: It is still there.
    """
    report = deliver_published(workspace)
    if report is None:
        return []
    if report.fault:
        raise DeliveryFailed(f"what was erased from the lake may still stand in PostgreSQL: {report.fault}")
    _target(workspace).clean()
    return ["PostgreSQL has lost it; its log of writes, replicas and backups have it for as long as they are kept."]
