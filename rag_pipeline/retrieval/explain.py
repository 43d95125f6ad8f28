"""Why a document is a hit, or why it is none: only to a caller who may read it.

Belongs here: finding the document that is meant, and the first reason that applies.
Does not belong here: the search itself (`search.py`), how an explanation looks (`cli/explain.py`).

Of a document that the caller may not read the answer is the one for a document that does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import polars as pl

from rag_pipeline.contracts.filters import Condition, Filter
from rag_pipeline.contracts.holds import DELETION_HOLDS
from rag_pipeline.contracts.sources import DeclaredMetadata, SourceSpec
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.contracts.tables import BRONZE, CHUNKS, DOCUMENTS, DUPLICATES, QUARANTINE
from rag_pipeline.retrieval.hits import Hit
from rag_pipeline.stores.lake import (
    Lake,
)
from rag_pipeline.stores.selection import Selection
from rag_pipeline.transforms.permissions import allowed_principals

Reason = Literal[
    "hit", "below", "collapsed", "filtered", "not_found", "duplicate", "quarantined", "boilerplate", "not_published",
    "unknown",
]  # fmt: skip
# An ending like README.md may name many; a person asks of one.
MAX_NAMED = 5
# So many hits are looked through for the place of a document.
LOOKED_THROUGH = 200

Select = Callable[[Filter], Selection]


@dataclass(frozen=True, slots=True)
class Why:
    """What became of one document in a search.

    Attributes:
        reason: The first that applies.
        sentence: The same for a person.
        uri, document_id: None where the caller may not know of such a document.
        hit: Its best hit, whose rank may be far below; for `filtered` and `not_found` its best passage by itself.
        conditions: Limits of the search that it does not meet.
        into: Address of the hit or document that stands for it.
    """

    reason: Reason
    sentence: str
    uri: str | None = None
    document_id: str | None = None
    hit: Hit | None = None
    conditions: tuple[str, ...] = ()
    into: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The hits of a search, and what became of the documents that were asked about."""

    hits: tuple[Hit, ...]
    documents: tuple[Why, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the sources besides what the lake says of their documents.

    Attributes:
        unrecorded: Sources that said something which the lake does not hold.
        specs: The sources that pipeline.yaml configures now; None where only the lake is known.
        principals: Who asks, as the lake says it.
    """

    unrecorded: frozenset[str]
    specs: Mapping[str, SourceSpec] | None
    principals: frozenset[str]


def explain_named(
    named: str,
    chosen: Filter,
    k: int,
    ranked: Sequence[Hit],
    select: Select,
    lake: Lake,
    alone: Callable[[str], Hit | None],
    known: Known,
) -> list[Why]:
    """What became of the documents that a name means: an id, an address or its end, or a glob on that.

    Args:
        chosen: The filter of the search.
        ranked: Its hits, as many as are looked through; the first `k` were shown.
        select: Rows of the index by a filter.
        alone: The best passage of one document by itself, whatever else the search was limited to.
        known: Of which sources the lake's word on who may read what counts.
    """
    found = indexed(named, chosen.principals, select)
    if not found:
        return [unindexed(named, chosen.principals & known.principals, select, lake, known)]
    notes = _Notes(lake)
    return [_of_indexed(name, uri, chosen, k, ranked, select, alone, notes) for name, uri in found[:MAX_NAMED]]


def indexed(named: str, principals: frozenset[str], select: Select) -> list[tuple[str, str]]:
    """(document_id, uri) of the documents of the index that a name means and the caller may read."""
    asker = Filter(principals)
    for chosen in (replace(asker, document_ids=(named,)), replace(asker, paths=(named,))):
        rows = select(chosen).read(["document_id", "uri"]).unique("document_id").sort("uri", "document_id")
        if rows.height:
            return list(rows.select("document_id", "uri").iter_rows())
    return []


def _of_indexed(
    name: str,
    uri: str,
    chosen: Filter,
    k: int,
    ranked: Sequence[Hit],
    select: Select,
    alone: Callable[[str], Hit | None],
    notes: _Notes,
) -> Why:
    why = Why("not_found", "", uri, name)
    note = notes.on(name)
    own = next((hit for hit in ranked if hit.document_id == name), None)
    if own is not None and own.rank <= k:
        return replace(why, reason="hit", sentence=f"it is hit {own.rank}{note}", hit=own)
    canonical = next((hit for hit in ranked if name in {place.document_id for place in hit.elsewhere}), None)
    if canonical is not None:
        sentence = f"it says nearly the same as hit {canonical.rank}, {canonical.uri}, which names it{note}"
        return replace(why, reason="collapsed", sentence=sentence, into=canonical.uri, hit=canonical)
    if own is not None:
        sentence = f"it comes at rank {own.rank}, and the search ended at {k}{note}"
        return replace(why, reason="below", sentence=sentence, hit=own)
    unmet = tuple(unmet_conditions(name, chosen, select))
    best = alone(name)
    if unmet:
        sentence = f"it does not meet {', '.join(unmet)}{note}"
        return replace(why, reason="filtered", sentence=sentence, conditions=unmet, hit=best)
    said = "it is not among the best" if best is not None else "it has none of the words of the query"
    return replace(why, sentence=f"it is in the index, and {said}{note}", hit=best)


def unmet_conditions(document_id: str, chosen: Filter, select: Select) -> Iterator[str]:
    """The limits of a filter that no row of a document meets, each by itself, as a person types it."""
    mine = Filter(chosen.principals, document_ids=(document_id,))
    if chosen.document_ids is not None and document_id not in chosen.document_ids:
        yield "the documents that were asked for"
    for label, limited in _each_limit(chosen, mine):
        if not select(limited).read(["chunk_id"], limit=1).height:
            yield label


def _each_limit(chosen: Filter, mine: Filter) -> Iterator[tuple[str, Filter]]:
    if chosen.sources is not None:
        yield f"source {', '.join(chosen.sources)}", replace(mine, sources=chosen.sources)
    if chosen.media_types is not None:
        yield f"media type {', '.join(chosen.media_types)}", replace(mine, media_types=chosen.media_types)
    if chosen.languages is not None:
        yield f"language {', '.join(chosen.languages)}", replace(mine, languages=chosen.languages)
    if chosen.paths is not None:
        yield f"path {', '.join(chosen.paths)}", replace(mine, paths=chosen.paths)
    if chosen.modified_after is not None:
        moment = f"modified since {chosen.modified_after:%Y-%m-%d %H:%M}"
        yield moment, replace(mine, modified_after=chosen.modified_after)
    if chosen.modified_before is not None:
        moment = f"modified before {chosen.modified_before:%Y-%m-%d %H:%M}"
        yield moment, replace(mine, modified_before=chosen.modified_before)
    if chosen.least_quality is not None:
        yield f"quality of at least {chosen.least_quality:g}", replace(mine, least_quality=chosen.least_quality)
    if chosen.chunk_ids is not None:
        yield "the chunks that were asked for", replace(mine, chunk_ids=chosen.chunk_ids)
    for condition in chosen.conditions:
        yield _typed(condition), replace(mine, conditions=(condition,))


def _typed(condition: Condition) -> str:
    if condition.operator == "exists":
        return condition.field
    gap = " " if condition.operator == "in" else ""
    return f"{condition.field}{gap}{condition.operator}{gap}{','.join(condition.values)}"


def unindexed(named: str, principals: frozenset[str], select: Select, lake: Lake, known: Known) -> Why:
    """Why a document is not in the index, if the caller may read it by what the lake knows of it."""
    columns = ["document_id", "origin_id", "source", "uri", "allowed_principals"]
    document = _first(lake, DOCUMENTS, columns, named, principals)
    if document is not None and _may_read(lake, known, document["source"], document["origin_id"], principals):
        return _left_out(document, principals, select, lake)
    columns = ["document_id", "source", "uri", "allowed_principals", "stage", "reason_code", "detail"]
    refused = _first(lake, QUARANTINE, columns, named, principals)
    # What could not be fetched may have said who may read it.
    was_read = refused is not None and refused["stage"] != "fetch"
    if (
        refused is not None
        and was_read
        and _may_read(lake, known, refused["source"], refused["document_id"], principals)
    ):
        sentence = f"it is in quarantine since {refused['stage']}: {refused['reason_code']}. {refused['detail']}"
        return Why("quarantined", sentence, refused["uri"], refused["document_id"])
    return Why("unknown", f"there is no document {named!r} among those that may be read here")


def _left_out(document: dict[str, Any], principals: frozenset[str], select: Select, lake: Lake) -> Why:
    name = document["document_id"]
    why = Why(
        "not_published", "it was taken in, and the index that is published does not have it yet", document["uri"], name
    )
    mine = pl.col("document_id") == name
    copies = lake.read(DUPLICATES, where=mine)
    if copies.height:
        row = copies.row(0, named=True)
        kept = indexed(row["duplicate_of"], principals, select)
        if not kept:
            # The one that stands for it may have been closed since: that another one says the same tells what it says.
            return why
        into = kept[0][1]
        sentence = f"another document says the same; {into} stands for it"
        return replace(why, reason="duplicate", sentence=sentence, into=into)
    if not lake.read(CHUNKS, ["chunk_id", "document_id"], where=mine).height:
        sentence = "all of its paragraphs stand in many documents of its source, and are found in another one"
        return replace(why, reason="boilerplate", sentence=sentence)
    return why


def _first(
    lake: Lake, table: TableContract, columns: Sequence[str], named: str, principals: frozenset[str]
) -> dict[str, Any] | None:
    ends = pl.col("uri").str.ends_with(f"/{named.lstrip('/')}") | (pl.col("uri") == named)
    rows = lake.read(table, columns, where=(pl.col("document_id") == named) | ends)
    readable = rows.filter(pl.col("allowed_principals").list.set_intersection(sorted(principals)).list.len() > 0)
    return readable.sort("uri", "document_id").row(0, named=True) if readable.height else None


def _may_read(lake: Lake, known: Known, source: str, origin_id: str, principals: frozenset[str]) -> bool:
    """Whether bronze, where permissions arrive first, and the settings of now let the caller read an object."""
    if source in known.unrecorded or (known.specs is not None and source not in known.specs):
        return False
    columns = ["document_id", "revision", "batch", "change", "address", "declared"]
    columns += ["allowed_principals", "problem_code"]
    rows = lake.read(BRONZE.of(source), columns, where=pl.col("document_id") == origin_id)
    if not rows.height:
        return False
    last = rows.sort("revision", "batch").row(-1, named=True)
    if last["change"] == "deleted" or last["problem_code"] is not None:
        return False
    readers = set(last["allowed_principals"])
    if known.specs is not None:
        declared = DeclaredMetadata.from_json(last["declared"])
        readers &= set(allowed_principals(last["address"], declared, known.specs[source]))
    return bool(principals & readers)


class _Notes:
    """What a person should know of documents that are in the index."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        held = lake.read(DELETION_HOLDS)["held_ids"].explode().drop_nulls()
        self._held = set(held)

    def on(self, document_id: str) -> str:
        mine = pl.col("document_id") == document_id
        origins = self._lake.read(DOCUMENTS, ["document_id", "origin_id"], where=mine)["origin_id"]
        left_out = self._lake.read(CHUNKS, ["document_id", "left_out_hash"], where=mine)["left_out_hash"]
        notes = ""
        if self._held & set(origins):
            notes += "; it is lost at its source, and the deletion guard keeps it"
        if any(left_out):
            notes += "; parts of it stand in many documents and are found in another one"
        return notes
