"""Indexes of new files alone, which hold nothing of what was erased, and readers on them.

Belongs here: writing each table anew, and the records of that.
Does not belong here: what is erased (`erase.py`), files and versions (`stores/purge.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from rag_pipeline.contracts.erasures import Erasure
from rag_pipeline.contracts.log_rows import MADE_FROM_PASSED, Audit, Publication
from rag_pipeline.errors import StoreError
from rag_pipeline.refresh.revoke import reduced_audit, said_of_search, was_sound
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.lake_files import State
from rag_pipeline.stores.purge import compact_index, index_files, index_tables, rewrite_index


def renew_indexes(workspace: Workspace, plan: Erasure) -> Mapping[str, State]:
    """Have every index begin with new files, and readers on them; which files there were before."""
    lake = workspace.lake
    before = index_files(lake)
    last = lake.last_publication()
    for name in index_tables(lake):
        is_served = last is not None and last.table_name == name
        version = last.table_version if last is not None and is_served else None
        rows = lake.audits(pl.col("table_name") == name)
        of: Publication | Audit | None = last if is_served else (rows[-1] if rows else None)
        is_sound = of is not None and _was_sound(workspace, of, version)
        if not rewrite_index(lake, name, version, plan.derived):
            continue
        if of is None or name not in dict(workspace.vectors.named()):
            continue
        workspace.vectors.open(name, of.space_fingerprint).index()
        record_renewed(workspace, plan, of, last if is_served else None, is_sound=is_sound)
    return before


def record_renewed(
    workspace: Workspace, plan: Erasure, of: Publication | Audit, last: Publication | None, *, is_sound: bool
) -> None:
    """Note that the newest version of a table has the rows of one before, and point readers to it if they were there.

    Args:
        last: The publication, if it is of this table.
    """
    table = workspace.vectors.open(of.table_name, of.space_fingerprint)
    findings = {**said_of_search(of), MADE_FROM_PASSED: is_sound}
    audit = reduced_audit(workspace, of, table, table.read(["document_id"]), findings)
    if last is not None:
        renewed = replace(
            last,
            sequence=last.sequence + 1,
            table_version=table.version,
            rows=audit.rows,
            documents=audit.documents,
            figures={**last.figures, "audit_id": audit.audit_id},
            published_at=workspace.now(),
            run_id=workspace.run_id,
            note=f"erasure {plan.erasure_id}: the same rows in new files",
        )
        workspace.lake.append_publication(renewed)
    workspace.lake.append_audit(audit)


def is_on_newest(workspace: Workspace) -> bool:
    """Whether readers are on the newest version of their table."""
    last = workspace.lake.last_publication()
    return last is None or workspace.vectors.open(last.table_name, last.space_fingerprint).version == last.table_version


def _was_sound(workspace: Workspace, of: Publication | Audit, version: int | None) -> bool:
    try:
        return was_sound(workspace, workspace.vectors.open(of.table_name, of.space_fingerprint, version=version))
    except StoreError:
        return False


def settle_indexes(workspace: Workspace, plan: Erasure, before: Mapping[str, State]) -> Mapping[str, State]:
    """Have readers on the newest version of their table, and no table with anything left to compact.

    Returns:
        The files of which none is part of the newest versions.
    """
    if not is_on_newest(workspace):
        # What came after was refused; what readers have is the newest again.
        before = renew_indexes(workspace, plan)
    for name in index_tables(workspace.lake):
        compact_index(workspace.lake, name)
    last = workspace.lake.last_publication()
    if last is not None and not is_on_newest(workspace):
        record_renewed(workspace, plan, last, last, is_sound=True)
    return before
