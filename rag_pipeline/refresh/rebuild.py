"""Heal damaged tables: set aside what cannot be read, and make again what it held from the layers below.

Belongs here: which table is made from what, and the order.
Does not belong here: moving files (`stores/damage.py`), the steps themselves.

Readers stay on what is published until a new version is audited and published: the index gets a new version beside
the one that is served, and vectors that are stored, in gold/embeddings or in the index, are not computed again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from rag_pipeline.contracts.catalog import FIXED_TABLES, LOGS
from rag_pipeline.contracts.holds import DELETION_HOLDS
from rag_pipeline.contracts.memberships import MEMBERSHIPS, PRINCIPALS
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.contracts.tables import BRONZE, CHUNKS, DOCUMENTS, EMBEDDINGS
from rag_pipeline.errors import LakeDamaged, TableMissing, UsageError
from rag_pipeline.refresh.chunks import refresh_chunks
from rag_pipeline.refresh.damage import damaged_tables, stored_spaces
from rag_pipeline.refresh.documents import update_documents
from rag_pipeline.refresh.embeddings import refresh_embeddings
from rag_pipeline.refresh.enrichments import refresh_enrichments
from rag_pipeline.refresh.evaluation import refresh_evaluation
from rag_pipeline.refresh.generations import living_aliases, served_alias
from rag_pipeline.refresh.index import refresh_index
from rag_pipeline.refresh.memberships import open_memberships, poll_memberships
from rag_pipeline.refresh.publication import PublicationReport, publish
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.damage import rows_set_aside, set_damage_aside, set_manifests_aside
from rag_pipeline.stores.failures import cure, table_argument
from rag_pipeline.stores.index_schema import table_name
from rag_pipeline.stores.lake import INDEX_PATH

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild did.

    Attributes:
        tables: That were rebuilt, by their path in the lake.
        files_set_aside: Damaged files that were taken out of them, into `.damaged` in the lake.
        vectors_saved: Taken from the index instead of being computed.
        embeddings_computed: Vectors that were nowhere any more.
        published: What readers see now.
    """

    tables: list[str]
    files_set_aside: int
    vectors_saved: int
    embeddings_computed: int
    published: PublicationReport


def rebuildable() -> dict[str, str]:
    """Path in the lake by the name that a person types."""
    return {table_argument(path): path for path in _places()}


def _places() -> list[str]:
    """What can be rebuilt, lower layers first; all tables of vectors are one."""
    return [*(table.path for table in FIXED_TABLES), EMBEDDINGS.kind, INDEX_PATH]


def rebuild(workspace: Workspace, names: Iterable[str] = ()) -> RebuildReport:
    """Rebuild the named tables, or all that are damaged, bring everything above them up to date, and publish.

    Raises:
        UsageError: There is no such table.
        LakeDamaged: Bronze is damaged, which cannot be made again; or the record of what the deletion guard holds is,
            and was not named.
    """
    lake = workspace.lake
    with lake.writing():
        chosen = _chosen(workspace, list(names))
        files = 0
        for path in chosen:
            files += _heal_index(workspace) if path == INDEX_PATH else _heal_tables(workspace, path)
        if not {MEMBERSHIPS.path, PRINCIPALS.path}.isdisjoint(chosen):
            poll_memberships(workspace)
            open_memberships(workspace)
        saved = _save_vectors(workspace) if EMBEDDINGS.kind in chosen else 0
        if INDEX_PATH in chosen:
            for alias in living_aliases(workspace):
                if alias == served_alias(workspace) or lake.last_audit(workspace.space(alias).fingerprint):
                    workspace.vectors.restart(workspace.space(alias))
        update_documents(workspace)
        refresh_chunks(workspace)
        # What a chat model has to read again is for the next run: nothing that heals waits for a server.
        refresh_enrichments(workspace, ask="no chat model")
        computed = 0
        for alias in living_aliases(workspace):
            computed += refresh_embeddings(workspace, alias).computed
            refresh_index(workspace, alias)
        refresh_evaluation(workspace, served_alias(workspace))
        published = publish(workspace)
    return RebuildReport(chosen, files, saved, computed, published)


def _chosen(workspace: Workspace, names: list[str]) -> list[str]:
    """Paths to rebuild, lower layers first."""
    known = rebuildable()
    sources = {f"bronze.{name}": BRONZE.of(name).path for name in workspace.settings.sources}
    for name in names:
        if name in sources:
            place = workspace.lake.uri(sources[name])
            raise LakeDamaged(
                f"{name} cannot be rebuilt; nothing was changed. {cure(sources[name], place)}", table=sources[name]
            )
        if name not in known:
            raise UsageError(f"there is no table {name!r} to rebuild; allowed: {', '.join(known)}", table=name)
    damaged = damaged_tables(workspace, thorough=True)
    for found in damaged:
        if found.table.startswith("bronze/"):
            raise LakeDamaged(f"{found.reason} Nothing was changed.", table=found.table)
    wanted = {known[name] for name in names} or {_short(found.table) for found in damaged}
    if DELETION_HOLDS.path in wanted and not names:
        # No other table says what the deletion guard held, so a person decides to go on without it.
        raise LakeDamaged(
            f"{table_argument(DELETION_HOLDS.path)} is damaged, and what the deletion guard held stands nowhere else; "
            f"nothing was changed. Restore {workspace.lake.uri(DELETION_HOLDS.path)} from a backup; or look whether "
            f"each source is whole, then run: rag-pipeline rebuild {table_argument(DELETION_HOLDS.path)}",
            table=DELETION_HOLDS.path,
        )
    return [path for path in known.values() if path in wanted]


def _short(path: str) -> str:
    """A table as it is named here: all tables of vectors are one."""
    return EMBEDDINGS.kind if path.startswith(f"{EMBEDDINGS.kind}/") else path


def _heal_tables(workspace: Workspace, path: str) -> int:
    """Set aside what is damaged of a Delta table, and everything that may have lost a part of what it says."""
    lake = workspace.lake
    files = 0
    for table in _tables(workspace, path):
        aside = set_damage_aside(lake, table)
        files += len(aside.files) + aside.whole
        if aside.whole and table in LOGS:
            rows = rows_set_aside(lake, table)
            if rows.height:
                lake.append(table, rows)
        elif aside and table == CHUNKS:
            # A document whose chunks are there in part would count as cut.
            lake.clear(CHUNKS)
        elif aside and table == DOCUMENTS:
            _drop_parts(workspace)
    return files


def _tables(workspace: Workspace, path: str) -> list[TableContract]:
    if path == EMBEDDINGS.kind:
        return [EMBEDDINGS.of(space) for space in stored_spaces(workspace)]
    return [table for table in FIXED_TABLES if table.path == path]


def _drop_parts(workspace: Workspace) -> None:
    """Remove documents of containers: one whose parts are there in part would count as parsed."""
    rows = workspace.lake.read(DOCUMENTS, ["document_id", "origin_id"])
    parts = rows.filter(pl.col("document_id") != pl.col("origin_id"))["document_id"].to_list()
    workspace.lake.merge(DOCUMENTS, DOCUMENTS.empty(), parts)


def _heal_index(workspace: Workspace) -> int:
    """Set aside what keeps versions of the index from being opened."""
    return sum(
        set_manifests_aside(workspace.lake, workspace.vectors, name, space) for name, space in workspace.vectors.named()
    )


def _save_vectors(workspace: Workspace) -> int:
    """Put vectors that the indexes hold into gold/embeddings where they are missing; how many those were."""
    saved = 0
    for space in stored_spaces(workspace):
        try:
            table = workspace.vectors.open(table_name(space), space)
            rows = [pl.DataFrame(pl.from_arrow(batch)) for batch in table.stream(["text_hash", "vector"])]
        except (LakeDamaged, TableMissing) as error:
            log.warning("no vectors could be taken from the index of space=%s: %s", space, error)
            continue
        if rows:
            saved += _add_vectors(workspace, space, pl.concat(rows).unique("text_hash").sort("text_hash"))
    return saved


def _add_vectors(workspace: Workspace, space: str, found: pl.DataFrame) -> int:
    known = workspace.lake.embedded_hashes(space)
    new = found.join(known, on="text_hash", how="anti")
    if new.height:
        batch = 0 if known.is_empty() else int(str(known["batch"].max())) + 1
        rows = new.select(
            "text_hash",
            pl.col("vector").cast(pl.List(pl.Float32)),
            pl.lit(batch, dtype=EMBEDDINGS.schema["batch"]).alias("batch"),
            pl.lit(workspace.now()).cast(EMBEDDINGS.schema["embedded_at"]).alias("embedded_at"),
            pl.lit(workspace.run_id).alias("run_id"),
        )
        workspace.lake.append(EMBEDDINGS.of(space), rows)
    return new.height
