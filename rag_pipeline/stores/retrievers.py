"""The two retrievers of a search, as LanceDB calls on one opened table.

Belongs here: how rows are found by vector and by words, and how deep the approximate index is searched.
Does not belong here: opening and writing tables (`vectors.py`), fusing the retrievers (`retrieval/`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from rag_pipeline.contracts.index import PLACE_COLUMNS
from rag_pipeline.contracts.log_rows import Audit, Publication
from rag_pipeline.stores.quoting import sql_string
from rag_pipeline.transforms.word_forms import asked_beginnings, asked_identifiers, asked_words

# One-bit codes need their best candidates compared again in full precision: four for each of the hundred rows that a
# retriever looks for. At 100,000 rows recall@10 stays 1.0 under filters that leave all, 10, 1 and 0.1 %, for two thirds
# of the processor time that ten take.
REFINE_FACTOR = 4
# Instead of a factor: compare every row that passes the filter, and leave the approximate index aside.
EXACT = 0
# A filter that leaves fewer rows than this is searched exactly: faster, and no partition can hide a row.
EXACT_BELOW_MATCHES = 1_000
# A filter for each set of groups that callers have, and for what they limit a search to; some kilobytes each.
MOST_COUNTED = 256
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
    """How many rows of an opened table pass a filter: counted once at each version, since no version changes.

    Many threads may ask.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._counts: dict[tuple[int, str], int] = {}

    def count(self, where: str) -> int:
        """Rows of the version that the table is at."""
        key = (int(self._handle.version), where)
        found = self._counts.get(key)
        if found is None:
            found = int(self._handle.count_rows(where))
            if len(self._counts) >= MOST_COUNTED:
                self._counts = {}
            self._counts[key] = found
        return found


def factor_under(passing: Passing, where: str, trained: int | None) -> int:
    """How an opened table is searched under a filter.

    Args:
        trained: The refine factor to search its vector index with, which may be EXACT; None: it has no such index.

    Returns:
        That factor, or EXACT where there is no index, or few rows pass.
    """
    if trained in (None, EXACT) or passing.count(where) <= EXACT_BELOW_MATCHES:
        return EXACT
    return trained


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


def _words_query(text: str) -> Any:
    from lancedb.query import BooleanQuery, MatchQuery, Occur

    asked = ((asked_identifiers(text), IDENTIFIERS_BOOST), (asked_beginnings(text), BEGINNINGS_BOOST))
    words = [MatchQuery(asked_words(text), "embedded_text")]  # type: ignore[call-arg]
    words += [MatchQuery(forms, "word_forms", boost=boost) for forms, boost in asked if forms]  # type: ignore[call-arg]
    return BooleanQuery([(Occur.SHOULD, query) for query in words]) if len(words) > 1 else words[0]
