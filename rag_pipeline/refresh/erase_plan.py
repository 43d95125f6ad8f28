"""What an erasure takes, and what is searched for afterwards.

Belongs here: which documents are meant, what was made of them, and pieces of them that no other document holds.
Does not belong here: taking it (`erase.py`).
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl

from rag_pipeline.contracts.catalog import FIXED_TABLES
from rag_pipeline.contracts.erasures import Erasure, Tombstone, place_hash
from rag_pipeline.contracts.ids import MEMBER_MARK
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.contracts.tables import AUDITS, BRONZE, DOCUMENTS, PUBLICATIONS
from rag_pipeline.errors import LakeDamaged, UsageError
from rag_pipeline.refresh.damage import unless_damaged
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.byte_search import evenly
from rag_pipeline.stores.purge import index_rows, index_tables

log = logging.getLogger(__name__)

# A shorter piece is found by chance.
LEAST_TITLE_BYTES = 6
LEAST_PIECE_CHARS = 20
# So many of one document show whether it is there; of all together, so that a search of everything ends.
PIECES_OF_TEXT = 24
PIECES_OF_BYTES = 12
MOST_PIECES = 400
_PIECE_BYTES = 40
_LEAST_DISTINCT = 10
# A number or a date stands anywhere by chance, and is no word that could be taken out.
_FIGURES = re.compile(rb"[\d\s.,:;/_+TZ-]*")
# Columns of logs that say something in words; what stands in others is how the program finds its way.
FREE_COLUMNS = ("note", "figures", "findings", "detail", "reason")
# Words that the program, its tables and Dagster write themselves, beside the names of tables and columns.
_FIXED_WORDS = (
    "publish rollback vanished refused dagster Dagster DagsterEvent EventLogEntry SUCCESS FAILURE STARTED "
    "SKIPPED ERROR WARNING parquet commitInfo metaData protocol operation operationMetrics operationParameters "
    "engineInfo schema schemaString partitionBy partitionValues partitionColumns modificationTime dataChange "
    "numRecords minValues maxValues nullCount DELETE CREATE TABLE OPTIMIZE VACUUM START UPDATE overwrite "
    "append string integer boolean timestamp"
)
_STATE = ["document_id", "revision", "batch", "address", "uri", "title", "bytes_hash", "allowed_principals", "change"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person wants erased: exactly one of the first three is given.

    Attributes:
        document: document_id in bronze or silver, or a uri.
        place: Source and address.
        principal: Documents that nobody but this principal may read, and their remarks.
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
        principal=wanted.principal,
    )


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
    states = bronze_states(workspace)
    parents = _parents(workspace, wanted.document) | {wanted.document}
    documents = {name: _chosen(name, rows, wanted, parents) for name, rows in states.items()}
    documents = {name: ids for name, ids in documents.items() if ids}
    if not documents and not wanted.principal:
        raise UsageError(
            f"there is no document {wanted} in the lake {workspace.lake.root}, so nothing was erased. To see what "
            f'there is: rag-pipeline sql "SELECT document_id, source, uri FROM silver.documents"'
        )
    if wanted.by_content:
        documents = _with_equal(states, documents)
    uris = tuple(_rows_of(states, documents)["uri"].unique().sort())
    ids = {each for found in documents.values() for each in found}
    return Found(states, documents, uris, len(_derived(workspace, ids, uris) - ids))


def bronze_states(workspace: Workspace) -> dict[str, pl.DataFrame]:
    """What bronze says of all documents that it has or had, by source.

    Raises:
        StoreError: A table of bronze cannot be read.
    """
    return {name: workspace.lake.read(BRONZE.of(name), _STATE) for name in stored_sources(workspace)}


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
    principal: str = "",
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
        tombstones=tuple(_tombstones(erasure_id, states, documents, at, by_content=by_content)),
        needles=tuple(_needles(workspace, documents, derived, known_pieces)),
        shared=tuple(sorted({each for found in sharing for each in found})),
        principal=principal,
    )


def _with_equal(states: dict[str, pl.DataFrame], documents: dict[str, set[str]]) -> dict[str, set[str]]:
    """With all documents whose bytes are, or were, those of one of them."""
    named = [states[name].filter(pl.col("document_id").is_in(list(ids))) for name, ids in documents.items()]
    hashes = {each for rows in named for each in rows["bytes_hash"].drop_nulls()}
    equal = {
        name: set(rows.filter(pl.col("bytes_hash").is_in(list(hashes)))["document_id"]) for name, rows in states.items()
    }
    found = {name: documents.get(name, set()) | ids for name, ids in equal.items()}
    return {name: ids for name, ids in found.items() if ids}


def stored_sources(workspace: Workspace) -> list[str]:
    """Sources that bronze has a table of, whether they are configured or not."""
    return sorted(path.parent.name for path in Path(workspace.lake.root, BRONZE.layer).glob("*/_delta_log"))


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


def _needles(
    workspace: Workspace, documents: dict[str, set[str]], derived: set[str], known_pieces: Iterable[bytes]
) -> list[bytes]:
    """Pieces of what is erased that nothing else in the lake holds."""
    lake = workspace.lake
    ids = {each for found in documents.values() for each in found}
    candidates: dict[bytes, None] = {}

    def take(pieces: Iterable[bytes]) -> None:
        candidates.update(dict.fromkeys(pieces))

    for name in documents:
        columns = ["title", "uri", "address", "raw"]
        for frame in lake.stream_where(BRONZE.of(name), [*columns, "document_id"], "document_id", ids):
            for title, uri, address, raw in frame.select(columns).iter_rows():
                take(_whole(title, uri, address))
                take(_of_bytes(raw or b""))
    columns = ["title", "content_title", "uri", "text"]
    for frame in _readable(lake.stream_where(DOCUMENTS, [*columns, "document_id"], "document_id", derived)):
        for title, content_title, uri, text in frame.select(columns).iter_rows():
            take(_whole(title, content_title, uri))
            take(_of_text(text))
    for name in index_tables(lake):
        none: list[dict[str, Any]] = []
        for row in unless_damaged(partial(index_rows, lake, name, ["title", "embedded_text"], derived), none):
            take(_whole(row["title"]))
            take(evenly(list(_of_text(row["embedded_text"])), 2))
    take(known_pieces)
    left = evenly(list(candidates), MOST_PIECES)
    for content in chain([_own_words(workspace)], _said_by_logs(workspace), _others(workspace, ids, derived)):
        left = [piece for piece in left if piece not in content]
    return left


def _readable(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """As far as the table can be read: what is damaged is made again, or is for verify to name."""
    try:
        yield from frames
    except LakeDamaged as error:
        log.warning("what an erasure searches for was taken from less: %s", error)


def _whole(*values: str | None) -> Iterator[bytes]:
    for value in values:
        raw = (value or "").strip().encode("utf-8", "surrogatepass")
        if len(raw) >= LEAST_TITLE_BYTES and not _FIGURES.fullmatch(raw):
            yield raw


def _of_text(text: str) -> list[bytes]:
    lines = (line.strip() for line in re.split(r"\n|(?<=[.!?]) ", text))
    pieces = [line for line in lines if len(line) >= LEAST_PIECE_CHARS]
    return [line[:200].encode("utf-8", "surrogatepass") for line in evenly(pieces, PIECES_OF_TEXT)]


def _of_bytes(raw: bytes) -> Iterator[bytes]:
    starts = range(0, max(1, len(raw) - _PIECE_BYTES), _PIECE_BYTES)
    for start in evenly(starts, PIECES_OF_BYTES):
        piece = raw[start : start + _PIECE_BYTES]
        if len(set(piece)) >= _LEAST_DISTINCT:
            yield piece


def _own_words(workspace: Workspace) -> bytes:
    """Names of sources, models, tables and columns, and fixed words: none of them may be taken out of a record."""
    settings = workspace.pipeline.settings
    named = [name for table in FIXED_TABLES for name in (table.layer, table.name, *table.columns)]
    return "\0".join([*settings.sources, *settings.embedding_models, *named, _FIXED_WORDS]).encode()


def _said_by_logs(workspace: Workspace) -> Iterator[bytes]:
    """What readers find their index and model by."""
    for contract in (PUBLICATIONS, AUDITS):
        columns = [name for name, kind in contract.schema.items() if kind == pl.String and name not in FREE_COLUMNS]
        rows = workspace.lake.read(contract, columns).unique()
        yield "\0".join(value for row in rows.iter_rows() for value in row if value).encode("utf-8", "surrogatepass")


def _others(workspace: Workspace, ids: set[str], derived: set[str]) -> Iterator[bytes]:
    """What every other document holds, as bytes and as text."""
    lake = workspace.lake
    for name in stored_sources(workspace):
        for frame in _readable(lake.stream(BRONZE.of(name), ["document_id", "title", "uri", "declared", "raw"])):
            for document, title, uri, declared, raw in frame.iter_rows():
                if document not in ids:
                    yield (
                        "\0".join([title or "", uri, declared]).encode("utf-8", "surrogatepass") + b"\0" + (raw or b"")
                    )
    for frame in _readable(lake.stream(DOCUMENTS, ["document_id", "title", "uri", "text"])):
        for document, title, uri, text in frame.iter_rows():
            if document not in derived:
                yield "\0".join([title or "", uri, text]).encode("utf-8", "surrogatepass")
