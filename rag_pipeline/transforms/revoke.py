"""What readers have to lose now, from what bronze and the settings say: pure decisions.

Belongs here: who may read an object now, and which rows of an index show more than that.
Does not belong here: reading and writing tables, moving the pointer (`refresh/revoke.py`); what a newer version of
an index takes away (`refresh/revocations.py`).

Nothing here needs a parser, a tokenizer, a model, a vector or a table of silver: a row of the index names its
document, and bronze names who may read that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from rag_pipeline.contracts.ids import MEMBER_MARK, digest
from rag_pipeline.contracts.sources import DeclaredMetadata, SourceSpec
from rag_pipeline.transforms.permissions import allowed_principals

# Columns of an index that decide what has to go.
SHOWN_COLUMNS = ("chunk_id", "document_id", "source", "uri", "allowed_principals")
# Columns of bronze that say who may read an object now.
READER_COLUMNS = ("document_id", "change", "address", "declared", "allowed_principals", "problem_code")
# No document has this metadata_hash, so the next refresh of the index takes such a row from silver again.
TAKEN_AWAY = "taken away"


@dataclass(frozen=True, slots=True)
class Readers:
    """Who may read the objects of one source now.

    Attributes:
        live: Principals by document_id in bronze, of the objects that are not deleted.
        ids_by_uri: document_ids of the objects that had that location at any time; only needed for parts.
    """

    live: Mapping[str, frozenset[str]]
    ids_by_uri: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Given:
    """One object as its source gives it now: who may read it, and the hash of its bytes."""

    principals: frozenset[str]
    bytes_hash: str


@dataclass(frozen=True, slots=True)
class RevocationPlan:
    """What one index has to lose.

    Attributes:
        gone: chunk_ids of rows whose document is gone.
        narrowed: chunk_id, allowed_principals and metadata_hash of rows that fewer may read than they say.
        documents: How many documents the two concern.
    """

    gone: tuple[str, ...]
    narrowed: pl.DataFrame
    documents: int

    @property
    def is_empty(self) -> bool:
        return not self.gone and self.narrowed.is_empty()


def readers_now(state: pl.DataFrame, spec: SourceSpec) -> dict[str, frozenset[str]]:
    """Principals by document_id of a source's live objects: what bronze says, and no more than the settings say now.

    A source that could not be listed has what it last declared, under the settings of today.

    Args:
        state: Last row of every document, READER_COLUMNS.
    """
    found: dict[str, frozenset[str]] = {}
    live = state.filter(pl.col("change") != "deleted").select(READER_COLUMNS)
    for document, _, address, declared, principals, problem in live.iter_rows():
        if problem is not None:
            # What could not be read may have held permissions: what bronze says of it stands.
            found[document] = frozenset(principals)
            continue
        now = allowed_principals(address, DeclaredMetadata.from_json(declared), spec)
        found[document] = frozenset(now).intersection(principals)
    return found


def plan_revocation(rows: pl.DataFrame, readers: Mapping[str, Readers]) -> RevocationPlan:
    """Compare what an index shows with who may read it now. It only takes away: nobody reads more afterwards.

    Args:
        rows: SHOWN_COLUMNS of the index.
        readers: By source; documents of a source that is not named are gone.
    """
    # Few audiences stand for many documents, and a list for each document would be most of the work.
    audiences: dict[frozenset[str], int] = {}
    audience_of: dict[str, int] = {}
    gone: set[str] = set()
    for document, source, uri in rows.select("document_id", "source", "uri").unique().iter_rows():
        limit = _readers_of(document, uri, readers.get(source))
        if limit is None:
            gone.add(document)
        else:
            audience_of[document] = audiences.setdefault(limit, len(audiences))
    documents = pl.DataFrame(
        {"document_id": list(audience_of), "audience": list(audience_of.values())},
        schema={"document_id": pl.String(), "audience": pl.Int64()},
    )
    limits = pl.DataFrame(
        {"audience": list(audiences.values()), "limit": [sorted(limit) for limit in audiences]},
        schema={"audience": pl.Int64(), "limit": pl.List(pl.String())},
    )
    both = rows.join(documents, on="document_id")
    # So are few pairs of what rows say and who may read them; nearly always all of them are as they should be.
    wide = _narrowed(both.select("audience", "allowed_principals").unique(), limits)["audience"]
    narrowed = _narrowed(both.filter(pl.col("audience").is_in(wide.implode())), limits)
    leaving = rows.filter(pl.col("document_id").is_in(pl.Series(sorted(gone), dtype=pl.String).implode()))
    return RevocationPlan(
        gone=tuple(leaving["chunk_id"].unique().sort()),
        narrowed=closed_rows(narrowed.select("chunk_id", allowed_principals="kept")),
        documents=len(gone) + narrowed["document_id"].n_unique(),
    )


def readers_as_given(rows: pl.DataFrame, given: Mapping[str, Given], input_keys: Mapping[str, str]) -> Readers:
    """Who may read the shown documents of one source by what the source itself gives, where nothing is recorded of it.

    A document stays with those who may read its object now, if that still has the bytes that silver parsed; any other
    is for nobody, since it may have lost its permissions, its wording or itself.

    Args:
        rows: `document_id` and `uri` of the index, of this source alone.
        given: By location.
        input_keys: Of silver, by document_id; they begin with the hash of the bytes.
    """
    live: dict[str, frozenset[str]] = {}
    for document, uri in rows.select("document_id", "uri").unique().iter_rows():
        places = [uri, *(prefix for prefix, _ in divisions(uri))]
        found = next((given[place] for place in places if place in given), None)
        is_same = found is not None and input_keys.get(document, "").startswith(f"{found.bytes_hash}:")
        live[document] = found.principals if found is not None and is_same else frozenset()
    return Readers(live, {})


def readers_as_shown(rows: pl.DataFrame, published: pl.DataFrame, otherwise: Readers) -> Readers:
    """Who may read the shown documents of one source that cannot be asked: no more than bronze says and readers have.

    A document that is not published is for nobody: bronze may not hold what its source said of it last.

    Args:
        rows: `document_id` and `uri` of an index, of this source alone.
        published: `document_id` and `allowed_principals` of what readers are pointed to.
        otherwise: By what bronze holds.
    """
    seen: dict[str, frozenset[str]] = {}
    for document, principals in published.select("document_id", "allowed_principals").unique().iter_rows():
        # Single rows may be closed for their wording alone, which silver knows of.
        seen[document] = seen.get(document, frozenset()).union(principals)
    live: dict[str, frozenset[str]] = {}
    for document, uri in rows.select("document_id", "uri").unique().iter_rows():
        limit = _readers_of(document, uri, otherwise)
        if limit is not None:
            live[document] = limit & seen.get(document, frozenset())
    return Readers(live, {})


def _narrowed(rows: pl.DataFrame, limits: pl.DataFrame) -> pl.DataFrame:
    """Those of rows that say more than the limit of their audience, with what is `kept` of it."""
    both = rows.join(limits, on="audience").with_columns(
        kept=pl.col("allowed_principals").list.set_intersection("limit").list.sort()
    )
    return both.filter(pl.col("kept").list.len() < pl.col("allowed_principals").list.n_unique())


def plan_closing(rows: pl.DataFrame, closing: Collection[str], readers: Mapping[str, Readers]) -> RevocationPlan:
    """Rows of some objects or documents, and single rows, which nobody may read until they are taken from silver again.

    Args:
        rows: SHOWN_COLUMNS of the index.
        closing: document_ids in bronze or silver, and chunk_ids.
    """
    shown = rows.filter(pl.col("allowed_principals").list.len() > 0)
    documents = {
        document
        for document, source, uri in shown.select("document_id", "source", "uri").unique().iter_rows()
        if document in closing or origin_of(document, uri, readers.get(source)) in closing
    }
    named = pl.Series(sorted({*documents, *closing}), dtype=pl.String).implode()
    chosen = shown.filter(pl.col("document_id").is_in(named) | pl.col("chunk_id").is_in(named))
    empty = pl.lit([], dtype=pl.List(pl.String()))
    rows_closed = closed_rows(chosen.select("chunk_id", allowed_principals=empty))
    return RevocationPlan((), rows_closed, chosen["document_id"].n_unique())


def with_closed(plan: RevocationPlan, closing: RevocationPlan, rows: pl.DataFrame) -> RevocationPlan:
    """A plan that closes the rows of another one besides.

    Args:
        rows: SHOWN_COLUMNS of the index, of which both were made.
    """
    closed = closing.narrowed.filter(~pl.col("chunk_id").is_in(pl.Series(plan.gone, dtype=pl.String).implode()))
    narrowed = pl.concat([closed, plan.narrowed.join(closed, on="chunk_id", how="anti")])
    chunks = pl.Series([*plan.gone, *narrowed["chunk_id"]], dtype=pl.String).implode()
    return RevocationPlan(plan.gone, narrowed, rows.filter(pl.col("chunk_id").is_in(chunks))["document_id"].n_unique())


def closed_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """chunk_id and allowed_principals, marked so that the next refresh of the index takes them from silver again."""
    return rows.with_columns(metadata_hash=pl.lit(TAKEN_AWAY))


def _readers_of(document: str, uri: str, readers: Readers | None) -> frozenset[str] | None:
    if readers is None:
        return None
    limit = readers.live.get(document)
    if limit is not None:
        return limit
    origin = origin_of(document, uri, readers)
    return readers.live.get(origin) if origin is not None else None


def origin_of(document: str, uri: str, readers: Readers | None) -> str | None:
    """The object in bronze that a part of a larger object came from; None: it is no part of an object known here."""
    for prefix, part in divisions(uri):
        for origin in readers.ids_by_uri.get(prefix, ()) if readers is not None else ():
            if digest("part", origin, part)[:32] == document:
                return origin
    return None


def divisions(uri: str) -> Iterable[tuple[str, str]]:
    """Every way to take a location apart into that of the object and the name of the part."""
    for at, letter in enumerate(uri):
        if letter == "#":
            yield uri[:at], uri[at + 1 :]
        elif uri.startswith(MEMBER_MARK, at):
            # Members of archives have addresses of their own, and the mark is part of their name.
            yield uri[:at], uri[at:]
