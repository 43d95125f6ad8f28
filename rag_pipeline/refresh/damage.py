"""Which tables of the lake are damaged.

Belongs here: the list of tables there are, and looking at each.
Does not belong here: how a table is looked at (`stores/damage.py`), healing (`rebuild.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from rag_pipeline.contracts.catalog import tables_of
from rag_pipeline.contracts.tables import AUDITS, BRONZE, CHUNKS, DOCUMENTS, EMBEDDINGS, ENRICHMENTS
from rag_pipeline.errors import EmbeddingSpaceMismatch, LakeDamaged, TableMissing, TableOutdated
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.damage import ask_index, check_table, probe_index
from rag_pipeline.stores.failures import cure_command
from rag_pipeline.stores.kept import open_version
from rag_pipeline.stores.lake import INDEX_PATH
from rag_pipeline.stores.vectors import VectorStore, VectorTable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DamagedTable:
    """A table that cannot be read whole.

    Attributes:
        table: Its path in the lake, like `silver/chunks`.
        reason: What is the matter and where.
        next_step: The command that heals it; bronze is restored first.
    """

    table: str
    reason: str
    next_step: str


def damaged_tables(workspace: Workspace, *, thorough: bool, asking: bool = False) -> list[DamagedTable]:
    """Open every table there is, and name those that are damaged.

    Args:
        thorough: Read every file through and ask every index once; else files are only measured.
        asking: Ask every index once, though files are only measured.

    Raises:
        StoreUnavailable: The store did not answer.
    """
    lake = workspace.lake
    found = []
    for table in tables_of(workspace.settings.sources, stored_spaces(workspace)):
        error = _damage(partial(check_table, lake, table, thorough=thorough))
        if error is not None:
            found.append(_named(table.path, error))
    return found + damaged_indexes(workspace, thorough=thorough, asking=asking)


def lost_histories(workspace: Workspace) -> list[DamagedTable]:
    """Bronze tables that are gone as a whole although documents came from them.

    The next run takes the source in again, so nothing a reader sees is lost, but what it was before is.
    """
    lake = workspace.lake
    gone = [
        name for name in workspace.settings.sources if not unless_damaged(partial(lake.exists, BRONZE.of(name)), True)
    ]
    if not gone:
        return []
    known = unless_damaged(lambda: lake.read(DOCUMENTS, ["source"]), DOCUMENTS.empty())["source"]
    return [
        DamagedTable(
            path,
            f"the table at {lake.uri(path)} is gone, though documents came from it: the bytes of earlier revisions "
            "are lost. Restore the folder from a backup, or run, which takes the source in again as it is",
            cure_command(path),
        )
        for path in (BRONZE.of(name).path for name in gone if name in known)
    ]


def vanished_tables(workspace: Workspace) -> list[DamagedTable]:
    """Tables that are gone as a whole although what readers see was audited against them; a run makes them again."""
    lake = workspace.lake
    gone = _vanished_readings(workspace)
    last = unless_damaged(lake.last_publication, None)
    audit = None if last is None else unless_damaged(partial(lake.last_audit, last.space_fingerprint), None)
    if audit is None:
        return gone
    were = {
        DOCUMENTS.path: (DOCUMENTS, audit.documents_version >= 0),
        CHUNKS.path: (CHUNKS, audit.chunks_version >= 0),
        EMBEDDINGS.kind: (EMBEDDINGS.of(audit.space_fingerprint), audit.rows > 0),
    }
    return [
        DamagedTable(path, f"the table at {lake.uri(path)} is gone", "rag-pipeline run")
        for path, (table, was_there) in were.items()
        if was_there and not unless_damaged(partial(lake.exists, table), True)
    ] + gone


def _vanished_readings(workspace: Workspace) -> list[DamagedTable]:
    """silver/enrichments, where it is gone although documents or chunks say what was read."""
    lake = workspace.lake
    if not workspace.settings.enrichments or unless_damaged(partial(lake.exists, ENRICHMENTS), True):
        return []
    documents = unless_damaged(lambda: lake.read(DOCUMENTS, ["enriched"]), DOCUMENTS.empty())["enriched"]
    contexts = unless_damaged(lambda: lake.read(CHUNKS, ["context"]), CHUNKS.empty())["context"]
    if contexts.null_count() == len(contexts) and not any(
        any(json.loads(said).values()) for said in documents.drop_nulls()
    ):
        return []
    reason = (
        f"the table at {lake.uri(ENRICHMENTS.path)} is gone: restore the folder from a backup, or run, which has every "
        "text read again, and paid for where a chat model reads it"
    )
    return [DamagedTable(ENRICHMENTS.path, reason, "rag-pipeline run")]


def _damage(look: Callable[[], object]) -> LakeDamaged | None:
    try:
        look()
    except LakeDamaged as error:
        return error
    return None


def _named(path: str, error: LakeDamaged) -> DamagedTable:
    return DamagedTable(path, error.message, cure_command(path))


def unless_damaged(read: Callable[[], T], otherwise: T) -> T:
    """What `read` gives, or `otherwise` where it meets a table that is damaged; the damage is told elsewhere."""
    try:
        return read()
    except (LakeDamaged, TableMissing, TableOutdated):
        return otherwise


def stored_spaces(workspace: Workspace) -> list[str]:
    """Embedding spaces that have a table of vectors; known without their models, and without the log of audits."""
    lake = workspace.lake
    audited = unless_damaged(lambda: lake.read(AUDITS, ["space_fingerprint"]), AUDITS.empty())
    spaces = set(audited["space_fingerprint"])
    if lake.is_local:
        spaces |= {folder.parent.name for folder in Path(lake.root, EMBEDDINGS.kind).glob("*/_delta_log")}
    return sorted(spaces)


def damaged_indexes(workspace: Workspace, *, thorough: bool, asking: bool = False) -> list[DamagedTable]:
    """The published version and the newest of every index table; looked at through a connection of its own.

    What another connection has read before would hide the damage.
    """
    store = VectorStore(workspace.lake.uri(INDEX_PATH), workspace.pipeline.lake_options)
    last = unless_damaged(workspace.lake.last_publication, None)
    looks: list[Callable[[], VectorTable]] = []
    if last is not None:
        looks.append(lambda: open_version(store, last))
    for name, fingerprint in store.named():
        looks.append(lambda name=name, fingerprint=fingerprint: store.open(name, fingerprint))  # type: ignore[misc]
    probe = probe_index if thorough else ask_index if asking else VectorTable.count
    found: dict[str, DamagedTable] = {}
    for look in looks:
        error = _damage(lambda look=look: _looked_at(look, probe))  # type: ignore[misc]
        if error is not None:
            found.setdefault(error.message, _named(INDEX_PATH, error))
    return list(found.values())


def _looked_at(look: Callable[[], VectorTable], probe: Callable[[VectorTable], object]) -> None:
    try:
        table = look()
    except (TableMissing, TableOutdated, EmbeddingSpaceMismatch):
        # No damage of files; what it means for readers is said where readers are looked at.
        return
    probe(table)
