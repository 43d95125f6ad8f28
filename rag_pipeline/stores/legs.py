"""The two legs of a search, as LanceDB calls on one opened table.

Belongs here: how rows are found by vector and by words, and how deep the approximate index is searched.
Does not belong here: opening and writing tables (`vectors.py`), fusing the legs (`retrieval/`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

# One-bit codes need their best candidates compared again in full precision: recall@10 0.65 -> 0.997.
REFINE_FACTOR = 10
# Instead of a factor: compare every row that passes the filter, and leave the approximate index aside.
EXACT = 0
# A filter that leaves fewer rows than this is searched exactly: faster, and no partition can hide a row.
EXACT_BELOW_MATCHES = 1_000
# More partitions than any table here has: the codes are cheap to scan, and skipping some loses filtered rows.
ALL_PARTITIONS = 100_000


def refine_factor_of(record: str) -> int:
    """How vectors are searched by the figures of a publication or the findings of an audit, which are JSON."""
    return int(json.loads(record).get("search", {}).get("refine_factor", REFINE_FACTOR))


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
    """Rows of a LanceDB table that pass `where` and share words with `text`, by BM25 in `_score`."""
    from lancedb.query import MatchQuery

    words = MatchQuery(text, "embedded_text")  # type: ignore[call-arg]
    query = handle.search(words, query_type="fts")
    query = query.where(where, prefilter=True).select([*columns, "_score"]).limit(limit)
    return pl.DataFrame(pl.from_arrow(query.to_arrow()))
