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

import polars as pl

from rag_pipeline.contracts.delivery import Delivered, DeliveryReport, Published, Target
from rag_pipeline.contracts.memberships import PRINCIPALS
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.errors import DeliveryFailed, ExtraMissing
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.kept import open_version
from rag_pipeline.transforms.memberships import all_principals, groups_by_member
from rag_pipeline.transforms.verify import Finding, Kind, finding

log = logging.getLogger(__name__)


def is_delivered_elsewhere(workspace: Workspace) -> bool:
    """Whether pipeline.yaml names a place; a trial delivers nothing."""
    return workspace.settings.publish_to.postgres is not None and not workspace.is_trial


def deliver_published(workspace: Workspace) -> DeliveryReport | None:
    """Bring each place to what readers of the lake see; None: there is no place, or nothing is published.

    A fault of a place is no fault of the run, and stands in the report.
    """
    if not is_delivered_elsewhere(workspace):
        return None
    began = time.monotonic()
    rows = 0
    delivered, fault = Delivered(), ""
    try:
        with workspace.lake.writing():
            published = _published(workspace)
            if published is None:
                return None
            rows = published.rows
            delivered = _target(workspace).deliver(published, workspace.lake.still_writing)
    except FAULTS as error:
        fault = str(error)
        log.error("what is published could not be delivered: %s", error)
    report = DeliveryReport(delivered, time.monotonic() - began, rows, fault)
    if not delivered.is_nothing:
        log.info("delivered to PostgreSQL: %s", delivered)
    workspace.delivery = report
    return report


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
        groups=_groups(workspace),
    )


def _groups(workspace: Workspace) -> dict[str, tuple[str, ...]]:
    """Every group that each principal has, groups of groups too, as searches count them."""
    direct = groups_by_member(workspace.lake.read(PRINCIPALS))
    members = direct.keys() - {PUBLIC}
    return {member: tuple(sorted(all_principals([member], direct) - {member})) for member in members}


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
