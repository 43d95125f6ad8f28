"""What an erasure takes.

Belongs here: which documents are meant, and what was made of them.
Does not belong here: what is searched for afterwards (`erase_pieces.py`), taking it (`erase.py`).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from rag_pipeline.contracts.erasures import Erasure, Tombstone, place_hash, principal_hash
from rag_pipeline.contracts.ids import MEMBER_MARK
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.contracts.tables import BRONZE, CHUNKS, DOCUMENTS
from rag_pipeline.errors import LakeDamaged, UsageError
from rag_pipeline.refresh.contexts import KEY_COLUMNS
from rag_pipeline.refresh.damage import unless_damaged
from rag_pipeline.refresh.erase_pieces import pieces_of, stored_sources
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.purge import index_rows, index_tables

log = logging.getLogger(__name__)

_STATE = ["document_id", "revision", "batch", "address", "uri", "title", "bytes_hash", "allowed_principals", "change"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person wants erased: exactly one of the first three is given.

    Attributes:
        document: document_id in bronze or silver, or a uri.
        place: Source and address.
        principal: Documents that nobody but this principal may read, their remarks and memberships.
        by_content: Documents of equal bytes go too, and such are refused under any name.
    """

    document: str = ""
    place: tuple[str, str] | None = None
    principal: str = ""
    by_content: bool = False

    def __str__(self) -> str:
        if self.place is not None:
            return f"at {self.place[1]} of source {self.place[0]}"
        return f"that only {self.principal} may read" if self.principal else f"with the id or uri {self.document}"


def plan_erasure(workspace: Workspace, wanted: Wanted, *, reason: str, erased_by: str) -> Erasure:
    """Everything that an erasure has to know before it begins.

    Raises:
        UsageError: There is no such document in the lake, or the principal is everybody.
        StoreError: A table of bronze cannot be read.
    """
    found = look_up(workspace, wanted)
    return plan_of(
        workspace,
        found.states,
        found.documents,
        reason=reason,
        erased_by=erased_by,
        by_content=wanted.by_content,
        principals=(wanted.principal,) if wanted.principal else (),
    )


def is_planned(plan: Erasure, wanted: Wanted) -> bool:
    """Whether an erasure that was begun is the one that is wanted, so that nothing will be left of it to be found."""
    if wanted.by_content and not any(each.by_content for each in plan.tombstones):
        return False
    if wanted.place is not None:
        return place_hash(*wanted.place) in {each.place for each in plan.tombstones}
    if wanted.principal:
        return wanted.principal in plan.principals
    return wanted.document in {*plan.derived, *plan.uris}


@dataclass(frozen=True, slots=True)
class Found:
    """Documents that are meant, before anything of them is read.

    Attributes:
        states: What bronze says of all documents, by source.
        documents: document_id in bronze, by source.
        parts: As of an erasure.
    """

    states: dict[str, pl.DataFrame]
    documents: dict[str, set[str]]
    uris: tuple[str, ...]
    parts: int


def look_up(workspace: Workspace, wanted: Wanted) -> Found:
    """Which documents are meant.

    Raises:
        UsageError: There is no such document in the lake, or the principal is everybody.
        StoreError: A table of bronze cannot be read.
    """
    if wanted.principal == PUBLIC:
        raise UsageError(f"{PUBLIC} is everybody and nobody in particular, so nothing was erased; name the documents")
    states, unread = bronze_states(workspace)
    if wanted.place is not None and wanted.place[0] in unread:
        raise unread[wanted.place[0]]
    parents = _parents(workspace, wanted.document) | {wanted.document}
    documents = {name: _chosen(name, rows, wanted, parents) for name, rows in states.items()}
    documents = {name: ids for name, ids in documents.items() if ids}
    if not documents and not wanted.principal:
        for error in unread.values():
            # It may be there.
            raise error
        raise UsageError(
            f"there is no document {wanted} in the lake {workspace.lake.root}, so nothing was erased. To see what "
            f'there is: rag-pipeline sql "SELECT document_id, source, uri FROM silver.documents"'
        )
    if wanted.by_content:
        documents = _with_equal(states, documents)
    uris = tuple(_rows_of(states, documents)["uri"].unique().sort())
    ids = {each for found in documents.values() for each in found}
    return Found(states, documents, uris, len(_derived(workspace, ids, uris) - ids))


def bronze_states(workspace: Workspace) -> tuple[dict[str, pl.DataFrame], dict[str, LakeDamaged]]:
    """What bronze says of all documents that it has or had, by source; and why that of others cannot be read.

    A source whose table is damaged hinders nobody from erasing what another one brought.
    """
    states: dict[str, pl.DataFrame] = {}
    unread: dict[str, LakeDamaged] = {}
    for name in stored_sources(workspace):
        try:
            states[name] = workspace.lake.read(BRONZE.of(name), _STATE)
        except LakeDamaged as error:
            log.warning("what bronze of %s holds is not looked at by an erasure: %s", name, error)
            unread[name] = error
    return states, unread


def _rows_of(states: dict[str, pl.DataFrame], documents: dict[str, set[str]]) -> pl.DataFrame:
    rows = [states[name].filter(pl.col("document_id").is_in(list(ids))) for name, ids in documents.items()]
    return pl.concat(rows or [_nothing()])


def plan_of(
    workspace: Workspace,
    states: dict[str, pl.DataFrame],
    documents: dict[str, set[str]],
    *,
    reason: str,
    erased_by: str,
    by_content: bool,
    principals: tuple[str, ...] = (),
    known_pieces: Iterable[bytes] = (),
) -> Erasure:
    """Everything that an erasure of some documents has to know before it begins.

    Args:
        known_pieces: Further ones to search for, unless another document has them.
    """
    ids = {each for found in documents.values() for each in found}
    rows = _rows_of(states, documents)
    uris = tuple(rows["uri"].unique().sort())
    derived = _derived(workspace, ids, uris)
    hashes = set(rows["bytes_hash"].drop_nulls())
    sharing = (
        state.filter(pl.col("bytes_hash").is_in(list(hashes)) & ~pl.col("document_id").is_in(list(ids)))["document_id"]
        for state in states.values()
    )
    pieces = pieces_of(workspace, documents, derived, known_pieces)
    texts, wordings = _own_hashes(workspace, derived)
    erasure_id = uuid.uuid4().hex[:16]
    at = workspace.now().isoformat()
    return Erasure(
        erasure_id=erasure_id,
        reason=reason,
        erased_by=erased_by,
        began_at=at,
        documents={name: tuple(sorted(found)) for name, found in documents.items()},
        derived=tuple(sorted(derived)),
        uris=uris,
        tombstones=(
            *_tombstones(erasure_id, states, documents, at, by_content=by_content),
            # Sources that know groups, now or later, go on to name whoever it was, and so does an older backup.
            *(Tombstone(erasure_id, principal_hash(each), (), by_content=False, erased_at=at) for each in principals),
        ),
        needles=pieces.needles,
        shared=tuple(sorted({each for found in sharing for each in found})),
        principals=principals,
        blobs=pieces.blobs,
        texts=tuple(sorted(texts)),
        wordings=tuple(sorted(wordings)),
    )


def _own_hashes(workspace: Workspace, derived: Collection[str]) -> tuple[set[str], set[str]]:
    """Hashes that are those of what is erased alone, as far as is known.

    text_hash of chunks, and what readings go by: content_hash of documents, and keys of chunks.
    """
    texts = unless_damaged(lambda: _own(workspace, CHUNKS, "text_hash", derived), None)
    if texts is None:
        none: list[dict[str, Any]] = []
        texts = {
            row["text_hash"]
            for name in index_tables(workspace.lake)
            for row in unless_damaged(partial(index_rows, workspace.lake, name, ["text_hash"], derived), none)
        }
    # What was read of a document goes by its text, or by what is shown of a chunk.
    read = ((DOCUMENTS, "content_hash"), *((CHUNKS, column) for column in KEY_COLUMNS))
    nothing: set[str] = set()
    return texts, nothing.union(*(unless_damaged(partial(_own, workspace, *by, derived), nothing) for by in read))


def _own(workspace: Workspace, contract: TableContract, column: str, derived: Collection[str]) -> set[str]:
    """Values of a column that rows of some documents have, and no others."""
    columns = ["document_id", column]

    def read(by: str, values: Iterable[str]) -> pl.DataFrame:
        found = workspace.lake.stream_where(contract, columns, by, values)
        return pl.concat([contract.empty().select(columns), *found])

    mine = set(read("document_id", derived)[column].drop_nulls())
    others = read(column, mine).filter(~pl.col("document_id").is_in(list(derived)))
    return mine - set(others[column])


def _with_equal(states: dict[str, pl.DataFrame], documents: dict[str, set[str]]) -> dict[str, set[str]]:
    """With all documents whose bytes are, or were, those of one of them."""
    named = [states[name].filter(pl.col("document_id").is_in(list(ids))) for name, ids in documents.items()]
    hashes = {each for rows in named for each in rows["bytes_hash"].drop_nulls()}
    equal = {
        name: set(rows.filter(pl.col("bytes_hash").is_in(list(hashes)))["document_id"]) for name, rows in states.items()
    }
    found = {name: documents.get(name, set()) | ids for name, ids in equal.items()}
    return {name: ids for name, ids in found.items() if ids}


def _nothing() -> pl.DataFrame:
    return BRONZE.empty().select(_STATE)


def _parents(workspace: Workspace, document: str) -> set[str]:
    """Objects that a document of silver was made of."""
    facts = unless_damaged(
        lambda: workspace.lake.read(DOCUMENTS, ["document_id", "origin_id", "uri"]),
        DOCUMENTS.empty().select("document_id", "origin_id", "uri"),
    )
    return set(facts.filter((pl.col("document_id") == document) | (pl.col("uri") == document))["origin_id"])


def _chosen(name: str, rows: pl.DataFrame, wanted: Wanted, parents: set[str]) -> set[str]:
    last = rows.sort("document_id", "revision", "batch").unique("document_id", keep="last")
    if wanted.place is not None:
        source, address = wanted.place
        here = pl.col("address") == address
        # Where it lies now; else all that ever lay there.
        found = last.filter(here) if last.filter(here).height else rows.filter(here)
        return set(found["document_id"]) if name == source else set()
    if wanted.principal:
        # Whoever deletes a document says nothing of who could read it.
        alive = rows.filter(pl.col("change") != "deleted").sort("document_id", "revision", "batch")
        said = alive.unique("document_id", keep="last")
        return set(said.filter(pl.col("allowed_principals") == [wanted.principal])["document_id"])
    named = pl.col("document_id").is_in(list(parents)) | (pl.col("uri") == wanted.document)
    return set(last.filter(named)["document_id"])


def _derived(workspace: Workspace, ids: set[str], uris: Iterable[str]) -> set[str]:
    """Documents of silver and of the indexes that were made of some objects."""
    found = set(ids)
    facts = unless_damaged(
        lambda: workspace.lake.read(DOCUMENTS, ["document_id", "origin_id"]),
        DOCUMENTS.empty().select("document_id", "origin_id"),
    )
    is_mine = pl.col("origin_id").is_in(list(ids))
    found |= set(facts.filter(is_mine)["document_id"])
    # What lies now where one of them lay before.
    of_others = set(facts.filter(~is_mine)["document_id"])
    parts = tuple(f"{uri}{MEMBER_MARK}" for uri in uris)
    for name, space in workspace.vectors.named():
        shown = unless_damaged(
            partial(_shown, workspace, name, space),
            pl.DataFrame(schema={"document_id": pl.String(), "uri": pl.String()}),
        )
        # Of one that silver has lost only its location says whose part it is.
        found |= {document for document, uri in shown.iter_rows() if parts and uri.startswith(parts)}
    return found - of_others


def _shown(workspace: Workspace, name: str, space: str) -> pl.DataFrame:
    return workspace.vectors.open(name, space).read(["document_id", "uri"]).unique()


def _tombstones(
    erasure_id: str,
    states: dict[str, pl.DataFrame],
    documents: dict[str, set[str]],
    at: str,
    *,
    by_content: bool,
) -> Iterator[Tombstone]:
    for name, ids in documents.items():
        rows = states[name].filter(pl.col("document_id").is_in(list(ids))).sort("document_id", "revision", "batch")
        for (document,), mine in rows.group_by("document_id", maintain_order=True):
            contents = tuple(mine["bytes_hash"].drop_nulls().unique().sort())
            place = place_hash(name, mine["address"][-1])
            yield Tombstone(erasure_id, place, contents, by_content, at, str(document))
