"""Erase documents from every layer and version of a lake, and prove it.

Belongs here: the order of what is taken, so that readers lose it first and a killed erasure is finished by the next.
Does not belong here: which documents (`erase_plan.py`), rewriting files (`stores/purge.py`), Dagster's records
(`defs/erased_records.py`).

The plan is in the lake from the first moment until the certificate is written; each step may be done again.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from rag_pipeline.answering.erasing import erase_kept
from rag_pipeline.contracts.alerts import ALERTS_FILE
from rag_pipeline.contracts.catalog import FIXED_TABLES
from rag_pipeline.contracts.erasures import (
    CERTIFICATES,
    ERASED_FILE,
    PENDING_FILE,
    RELEASED_AT,
    Erasure,
)
from rag_pipeline.contracts.feedback import FEEDBACK
from rag_pipeline.contracts.polls import POLLS_FILE
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.contracts.tables import (
    BRONZE,
    CHUNKS,
    DOCUMENTS,
    DUPLICATES,
    EMBEDDINGS,
    QUARANTINE,
)
from rag_pipeline.errors import LakeDamaged, RagPipelineError, StoreError, UsageError
from rag_pipeline.refresh.chunks import refresh_chunks
from rag_pipeline.refresh.deliver import deliver_published, erase_elsewhere
from rag_pipeline.refresh.documents import update_documents
from rag_pipeline.refresh.embeddings import refresh_embeddings
from rag_pipeline.refresh.enrichments import refresh_enrichments
from rag_pipeline.refresh.erase_copies import forget_copies
from rag_pipeline.refresh.erase_indexes import renew_indexes, settle_indexes
from rag_pipeline.refresh.erase_pieces import stored_sources
from rag_pipeline.refresh.erase_plan import Wanted, plan_erasure
from rag_pipeline.refresh.erase_proof import Certificate, certified, keeps_versions
from rag_pipeline.refresh.erase_remains import take_remains
from rag_pipeline.refresh.evaluation import refresh_evaluation
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.generations import living_aliases, served_alias
from rag_pipeline.refresh.heal import INDEX_FILES, remember_index
from rag_pipeline.refresh.index import refresh_index
from rag_pipeline.refresh.look import forget_settled
from rag_pipeline.refresh.memberships import erase_memberships
from rag_pipeline.refresh.publication import publish
from rag_pipeline.refresh.revoke import (
    RevokeReport,
    on_any_disk,
    take_from_published,
)
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.published import POINTER_SECONDS
from rag_pipeline.stores.alerts import AlertFile
from rag_pipeline.stores.backup import SNAPSHOT
from rag_pipeline.stores.byte_search import Needles, found_in_file
from rag_pipeline.stores.damage import ASIDE, set_damage_aside
from rag_pipeline.stores.erasures import erased_from, pending_erasure
from rag_pipeline.stores.lake_files import State, files_of, folders_of, looked_into, remove_files, tables_in
from rag_pipeline.stores.lake_format import RESTORING
from rag_pipeline.stores.lent_folders import remove_left_folders
from rag_pipeline.stores.purge import (
    delete_rows,
    forget_history,
    forget_versions,
    index_tables,
)
from rag_pipeline.stores.small_files import replace_file
from rag_pipeline.stores.whole_files import replace_content
from rag_pipeline.transforms.alerts import redacted
from rag_pipeline.transforms.revoke import SHOWN_COLUMNS, RevocationPlan

log = logging.getLogger(__name__)

# For a reader that is looking just then.
MARGIN_SECONDS = 0.2
# Takes the needles out of records that are not the lake's, and says of each what was done.
Scrub = Callable[[Needles], list[str]]


def begin_erasure(
    workspace: Workspace, wanted: Wanted, *, reason: str, erased_by: str, despite_versions: bool = False
) -> Erasure:
    """Decide what goes, and note it so that it will go whatever happens; nothing is taken yet.

    Args:
        despite_versions: Also where the bucket keeps what is removed, as the certificate then says.

    Raises:
        UsageError: There is no such document, another erasure is not finished, or the bucket keeps what is removed.
    """
    lake = workspace.lake
    with lake.writing():
        if pending_erasure(lake) is not None:
            raise UsageError("an erasure that was begun before is not finished; run: rag-pipeline erase --finish")
        if not despite_versions and keeps_versions(lake):
            raise UsageError(
                f"the bucket of {lake.root} keeps older versions of its objects, which this program can neither see "
                f"nor remove: what is erased would stay in them. Nothing was erased. Say --despite-versions "
                f"(despite_versions in the launchpad) to have it erased from the lake, and remove the older versions "
                f"below {lake.root} with the tools of the store afterwards; or let the bucket keep none, remove those "
                f"that there are, and erase then."
            )
        plan = plan_erasure(workspace, wanted, reason=reason, erased_by=erased_by)
        _write(workspace, PENDING_FILE, plan.encoded())
        return plan


def finish_erasure(workspace: Workspace, scrub: Scrub | None = None) -> Certificate | None:
    """Do all of an erasure that was begun, from wherever it stopped; None: none was begun.

    Args:
        scrub: Takes the pieces out of Dagster's records.

    Raises:
        RagPipelineError: A table cannot be read or written, or Dagster's records are in use. Readers have lost the
            documents if any of their tables could be written; called again it goes on.
    """
    lake = workspace.lake
    if pending_erasure(lake) is None:
        return None
    with lake.writing():
        plan = pending_erasure(lake)
        if plan is None:
            return None
        before = files_of(lake)
        notes: list[str] = []
        on_any_disk(workspace, lambda is_full: _take_from_readers(workspace, plan, is_full=is_full))
        deliver_published(workspace)
        _write(workspace, ERASED_FILE, erased_from(lake).plus(plan.tombstones).encoded())
        _take_from_tables(workspace, plan)
        unmade = _completed(workspace, _silver_again)
        for contract in (DOCUMENTS, CHUNKS):
            # To forget is a version of a table too, and audits note which one they compared.
            forget_history(lake, contract)
        outdated = renew_indexes(workspace, plan)
        # Without silver there is nothing to publish from; readers have what they had, less what goes.
        notes += unmade or _completed(workspace, _published_again)
        outdated = settle_indexes(workspace, plan, outdated)
        needles = Needles(plan.needles)
        take_remains(workspace, plan, needles, is_made=not unmade)
        notes += _forget_the_past(workspace, outdated)
        _take_small_files(workspace, needles)
        notes += forget_copies(workspace, plan)
        erase_kept(workspace.pipeline, plan.derived)
        notes += erase_elsewhere(workspace)
        remember_index(workspace)
        if scrub is not None:
            notes += scrub(needles)
        certificate = certified(workspace, plan, notes, before, is_scrubbed=scrub is not None)
        _certify(workspace, certificate)
        return certificate


def _forget_the_past(workspace: Workspace, outdated: Mapping[str, State]) -> list[str]:
    """Remove every version of before; what a person should know."""
    notes = []
    lake = workspace.lake
    if lake.last_publication() is not None:
        # Whoever looks at the pointer once a second has left the versions of before.
        time.sleep(POINTER_SECONDS + MARGIN_SECONDS)
    for name in index_tables(lake):
        forget_versions(lake, name, outdated)
    for contract in _tables(workspace):
        if contract in (DOCUMENTS, CHUNKS):
            continue
        try:
            forget_history(lake, contract)
            if contract.layer == BRONZE.layer:
                lake.read(contract, list(contract.key))
        except LakeDamaged as error:
            log.warning("an erasure could not look through %s: %s", contract.path, error)
            notes.append(f"{contract.path} is damaged: what it may hold was searched for as bytes alone.")
    return notes


def _certify(workspace: Workspace, certificate: Certificate) -> None:
    """Write the certificate, which ends the erasure.

    Raises:
        StoreError: A file still holds a piece, so that it has not ended.
    """
    if certificate.found:
        raise StoreError(
            f"erasure {certificate.erasure_id} is not done: {', '.join(certificate.found)} still hold a piece of what "
            f"was erased. End what uses them, or remove them, then run: rag-pipeline erase --finish"
        )
    name = f"{CERTIFICATES}/{certificate.erasure_id}"
    _write(workspace, f"{name}.txt", str(certificate).encode("utf-8", "replace"))
    _write(workspace, f"{name}.json", _lines_of(asdict(certificate)))
    workspace.lake.still_writing()
    remove_files(workspace.lake, [PENDING_FILE])


def finish_if_begun(workspace: Workspace, scrub: Scrub | None = None) -> str:
    """Finish what was begun, for a run, which goes on whatever hinders that; what did, for a person."""
    try:
        finish_erasure(workspace, scrub)
    except FAULTS as error:
        log.exception("an erasure that was begun is not finished")
        return f"an erasure that was begun is not finished: {error}"
    return ""


def release(workspace: Workspace, erasure_id: str) -> int:
    """Let what an erasure took come back with the next run, if the source still has it; how many documents those are.

    Raises:
        UsageError: No tombstone is of that erasure.
    """
    lake = workspace.lake
    with lake.writing():
        erased = erased_from(lake)
        left = erased.plus((), [erasure_id])
        count = len(erased.tombstones) - len(left.tombstones)
        if not count:
            known = ", ".join(sorted({each.erasure_id for each in left.tombstones})) or "none"
            raise UsageError(f"nothing was erased by {erasure_id}, or it was released; erasures that hold: {known}")
        # The certificate first: the tombstones are made anew from it where their file is lost.
        _note_release(workspace, f"{CERTIFICATES}/{erasure_id}.json")
        _write(workspace, ERASED_FILE, left.encoded())
        return count


def _note_release(workspace: Workspace, name: str) -> None:
    try:
        record = json.loads(_content(workspace, name))
        noted = {**record, RELEASED_AT: workspace.now().isoformat()}
    except (OSError, ValueError, TypeError) as error:
        log.warning("the certificate %s cannot be read, and does not say that it was released: %s", name, error)
        return
    _write(workspace, name, _lines_of(noted))


def _lines_of(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, indent=1) + "\n").encode()


def _content(workspace: Workspace, name: str) -> bytes:
    for _, path in looked_into(workspace.lake, [name]):
        return path.read_bytes()
    raise FileNotFoundError(name)


def _write(workspace: Workspace, name: str, content: bytes) -> None:
    if not workspace.lake.is_local:
        replace_content(workspace.lake, name, content)
        return
    path = Path(workspace.lake.root, name)
    try:
        replace_file(path, content)
        path.chmod(0o600)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror or error}. Make room, then run it again."
        ) from error


def _take_from_readers(workspace: Workspace, plan: Erasure, *, is_full: bool) -> None:
    def planned(table: Any) -> RevocationPlan:
        rows = table.read(SHOWN_COLUMNS)
        gone = rows.filter(pl.col("document_id").is_in(list(plan.derived)))
        empty = rows.select("chunk_id", "allowed_principals", pl.lit("").alias("metadata_hash")).clear()
        return RevocationPlan(tuple(gone["chunk_id"].unique().sort()), empty, gone["document_id"].n_unique())

    last = workspace.lake.last_publication()
    if last is not None:
        take_from_published(workspace, last, planned, RevokeReport(), is_full=is_full)


def _take_from_tables(workspace: Workspace, plan: Erasure) -> None:
    if plan.principals:
        erase_memberships(workspace, plan.principals)
    for name, ids in plan.documents.items():
        delete_rows(workspace.lake, BRONZE.of(name), "document_id", ids)
    for contract, column in (
        (DOCUMENTS, "document_id"),
        (QUARANTINE, "document_id"),
        (DUPLICATES, "document_id"),
        (DUPLICATES, "duplicate_of"),
        (CHUNKS, "document_id"),
        (FEEDBACK, "document_id"),
    ):
        try:
            delete_rows(workspace.lake, contract, column, plan.derived)
        except LakeDamaged:
            # What is damaged is made again from bronze, which has it no more; what is set aside goes too.
            set_damage_aside(workspace.lake, contract)
            delete_rows(workspace.lake, contract, column, plan.derived)


def _completed(workspace: Workspace, step: Callable[[Workspace], None]) -> list[str]:
    """Do what the next run would do too; what hinders that hinders no erasure."""
    try:
        step(workspace)
    except RagPipelineError as error:
        log.warning("the next run has to complete what an erasure left: %s", error)
        return [f"The next run completes what the others need ({error.code})."]
    return []


def _silver_again(workspace: Workspace) -> None:
    update_documents(workspace)
    refresh_chunks(workspace)
    refresh_enrichments(workspace, ask="no chat model")


def _published_again(workspace: Workspace) -> None:
    if workspace.lake.last_publication() is None:
        return
    for alias in living_aliases(workspace):
        refresh_embeddings(workspace, alias)
        refresh_index(workspace, alias)
    refresh_evaluation(workspace, served_alias(workspace))
    publish(workspace)


def _tables(workspace: Workspace) -> list[TableContract]:
    """Every Delta table that is there."""
    lake = workspace.lake
    spaces = tables_in(lake, EMBEDDINGS.kind)
    there = {f"{layer}/{name}" for layer in ("silver", "gold") for name in folders_of(lake, layer)}
    fixed = [table for table in FIXED_TABLES if table.path in there]
    return [*map(BRONZE.of, stored_sources(workspace)), *fixed, *map(EMBEDDINGS.of, spaces)]


def _take_small_files(workspace: Workspace, needles: Needles) -> None:
    """What is kept beside the tables and can be had again, or is damaged and cannot be searched."""
    lake = workspace.lake
    root = Path(lake.root)
    if lake.is_local:
        # Who restores holds the lock, so that what is made beside is the remainder of one that was killed.
        for folder in (root / ASIDE, root / SNAPSHOT, *root.parent.glob(f"{root.name}{RESTORING}*")):
            shutil.rmtree(folder, ignore_errors=True)
    forget_settled(workspace.pipeline)
    remove_left_folders()
    alerts = AlertFile(workspace.pipeline.lake_root, workspace.pipeline.dagster_home)
    if alerts.is_there:
        # What waits to be told is told; what is damaged goes with the rest.
        alerts.change(lambda state: redacted(state, needles.redacted))
    for name, path in looked_into(lake, sorted(files_of(lake, CERTIFICATES))):
        # The reason of an erasure of before may name what is erased now.
        if found_in_file(path, needles):
            _write(workspace, name, needles.redacted(path.read_text("utf-8", "replace")).encode())
    beside = [POLLS_FILE, ALERTS_FILE, INDEX_FILES]
    if lake.is_local:
        beside += [path.name for path in root.glob(".*.new")]
    for name, path in looked_into(lake, beside):
        if path.is_file() and found_in_file(path, needles):
            remove_files(lake, [name])
