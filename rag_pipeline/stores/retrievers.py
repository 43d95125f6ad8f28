"""The two retrievers of a search, as LanceDB calls on one opened table.

Belongs here: how rows are found by vector and by words, and how deep the approximate index is searched.
Does not belong here: opening and writing tables (`vectors.py`), fusing the retrievers (`retrieval/`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.index import PLACE_COLUMNS
from rag_pipeline.contracts.log_rows import Audit, Publication
from rag_pipeline.stores.filters import one_of
from rag_pipeline.stores.quoting import sql_string
from rag_pipeline.transforms.word_forms import asked_beginnings, asked_identifiers, asked_words

# One-bit codes need their best candidates compared again in full precision: four for each of the hundred rows that a
# retriever looks for. At 100,000 rows recall@10 stays 1.0 under filters that leave all, 10, 1 and 0.1 %, for two thirds
# of the processor time that ten take.
REFINE_FACTOR = 4
# Instead of a factor: compare every row that passes the filter, and leave the approximate index aside.
EXACT = 0
# A filter that leaves no more rows than this is searched exactly, by their names: faster, and no partition hides a row.
EXACT_BELOW_MATCHES = 1_000
# Filters whose rows are remembered, one for each set of groups that callers have and for what they limit a search to;
# at most some 70 KB each.
MOST_KEPT = 256
# More partitions than any table here has: the codes are cheap to scan, and skipping some loses filtered rows.
ALL_PARTITIONS = 100_000
# Where a cut falls among equal rows, they are read on in steps that grow so fast that few are needed.
TIE_GROWTH = 8
# An identifier is found by its words as well; with more than half of their weight SciFact loses 0.016.
IDENTIFIERS_BOOST = 0.5
# What a word's beginning weighs beside the word: a document of a language without stemmer is found by both.
BEGINNINGS_BOOST = 0.6

Retriever = Callable[[int, Sequence[str]], pl.DataFrame]
Wide = Callable[[Sequence[str], Sequence[str]], pl.DataFrame]


def refine_factor_of(row: Publication | Audit) -> int:
    """How vectors are searched in the version that was published or audited."""
    return int(row.search.get("refine_factor", REFINE_FACTOR))


class Passing:
    """Which rows of an opened table pass a filter, where few do: looked up once at each version, since none changes.

    Many threads may ask.
    """

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self._ids: dict[tuple[int, str], str | None] = {}

    def narrow(self, where: str) -> str | None:
        """SQL that holds for the same rows and finds them by the index of their names; None where many rows pass.

        The condition itself stays in it, so that what a caller may not read is kept out by each statement alone.
        """
        key, known = self._key(where), self._ids
        if key not in known:
            query = self.handle.search().select(["chunk_id"]).where(where).limit(EXACT_BELOW_MATCHES + 1)
            found = query.to_arrow()["chunk_id"].to_pylist()
            if len(known) >= MOST_KEPT:
                # Not emptied: another thread may be looking.
                self._ids = known = {}
            known[key] = one_of("chunk_id", found) if len(found) <= EXACT_BELOW_MATCHES else None
        ids = known[key]
        return None if ids is None else f"({where}) AND {ids}"

    def narrow_if_known(self, where: str) -> str:
        """The same, but the filter as it is where many rows pass or nobody has looked yet."""
        ids = self._ids.get(self._key(where))
        return where if ids is None else f"({where}) AND {ids}"

    def _key(self, where: str) -> tuple[int, str]:
        # A filter may name thousands of documents that are closed to its caller.
        return int(self.handle.version), digest(where)


def best_rows(retriever: Retriever, wide: Wide, score: str, limit: int, columns: Sequence[str]) -> pl.DataFrame:
    """The best `limit` rows of a retriever, best first, equal ones by where they stand.

    Which of equal rows a store gives first hangs on how its table was written. So where the cut falls among equal rows,
    all of them are read, without their text, before any is dropped.

    Args:
        retriever: Rows of the retriever, for a number of rows and the columns to read besides `score`.
        wide: Rows by chunk_ids, and the columns to read; has to filter as the retriever does.
        score: `_distance`, smallest first, or `_score`, largest first.
    """
    order = [score, *PLACE_COLUMNS]
    descending = [score == "_score", *(False for _ in PLACE_COLUMNS)]
    shown = [*columns, score]
    names = [*columns, *(name for name in PLACE_COLUMNS if name not in columns)]
    rows = retriever(limit + 1, names).sort(order, descending=descending)
    if rows.height <= limit or rows[score][limit - 1] != rows[score][limit]:
        return rows.head(limit).select(shown)
    tied, wanted = rows[score][limit], limit + 1
    while rows.height == wanted and rows[score][-1] == tied:
        wanted *= TIE_GROWTH
        rows = retriever(wanted, PLACE_COLUMNS).sort(order, descending=descending)
    chosen = rows.head(limit).select("chunk_id", score)
    found = wide(chosen["chunk_id"].to_list(), names).join(chosen, on="chunk_id")
    return found.sort(order, descending=descending).select(shown)


def by_ids(handle: Any, where: str, chunk_ids: Sequence[str], columns: Sequence[str]) -> pl.DataFrame:
    """Rows of a LanceDB table that pass `where` and have one of the ids, in no particular order."""
    names = ", ".join(sql_string(name) for name in chunk_ids)
    query = handle.search().select(list(columns)).limit(None).where(f"({where}) AND chunk_id IN ({names})")
    return pl.DataFrame(pl.from_arrow(query.to_arrow()))


def by_vector(
    handle: Any, vector: np.ndarray, where: str, limit: int, columns: Sequence[str], refine_factor: int
) -> pl.DataFrame:
    """Rows of a LanceDB table that pass `where`, by cosine distance in `_distance`.

    Args:
        refine_factor: EXACT where there is no approximate index.
    """
    query = handle.search(vector, vector_column_name="vector").distance_type("cosine")
    query = query.where(where, prefilter=True).select([*columns, "_distance"]).limit(limit)
    if refine_factor == EXACT:
        query = query.bypass_vector_index()
    else:
        query = query.nprobes(ALL_PARTITIONS).refine_factor(refine_factor)
    return pl.DataFrame(pl.from_arrow(query.to_arrow()))


def by_words(handle: Any, text: str, where: str, limit: int, columns: Sequence[str]) -> pl.DataFrame:
    """Rows of a LanceDB table that pass `where` and share words or forms of words with `text`, by BM25 in `_score`."""
    query = handle.search(_words_query(text), query_type="fts")
    query = query.where(where, prefilter=True).select([*columns, "_score"]).limit(limit)
    return pl.DataFrame(pl.from_arrow(query.to_arrow()))


def nearest_rows(
    passing: Passing, vector: np.ndarray, where: str, limit: int, columns: Sequence[str], trained: int | None
) -> pl.DataFrame:
    """The best rows of `by_vector`: by the approximate index, or exactly where there is none or few rows pass.

    Args:
        trained: The refine factor to search the vector index with, which may be EXACT; None: there is no such index.
    """
    few = passing.narrow(where) if trained not in (None, EXACT) else None
    factor = EXACT if trained is None or few else trained
    retriever = partial(by_vector, passing.handle, vector, few or where, refine_factor=factor)
    return best_rows(retriever, partial(by_ids, passing.handle, where), "_distance", limit, columns)


def matching_rows(passing: Passing, text: str, where: str, limit: int, columns: Sequence[str]) -> pl.DataFrame:
    """The best rows of `by_words`."""
    retriever = partial(by_words, passing.handle, text, passing.narrow_if_known(where))
    return best_rows(retriever, partial(by_ids, passing.handle, where), "_score", limit, columns)


def _words_query(text: str) -> Any:
    from lancedb.query import BooleanQuery, MatchQuery, Occur

    asked = ((asked_identifiers(text), IDENTIFIERS_BOOST), (asked_beginnings(text), BEGINNINGS_BOOST))
    words = [MatchQuery(asked_words(text), "embedded_text")]  # type: ignore[call-arg]
    words += [MatchQuery(forms, "word_forms", boost=boost) for forms, boost in asked if forms]  # type: ignore[call-arg]
    return BooleanQuery([(Occur.SHOULD, query) for query in words]) if len(words) > 1 else words[0]
