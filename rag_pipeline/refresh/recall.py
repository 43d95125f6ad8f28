"""How deep the approximate index of one table has to be searched, measured against exact search.

Belongs here: the figure, and what follows from it. Quality never blocks: an index that finds too little is searched
deeper, then exactly, and published with a warning.
Does not belong here: the searches (`stores/vectors.py`), what does block (`index.py`).
"""

from __future__ import annotations

import logging

import numpy as np

from rag_pipeline.contracts.log_rows import Audit
from rag_pipeline.contracts.sink import Sink
from rag_pipeline.errors import StoreError
from rag_pipeline.retrieval.plan import LEAST_DEPTH
from rag_pipeline.stores.retrievers import EXACT, REFINE_FACTOR
from rag_pipeline.stores.selection import rows_with

log = logging.getLogger(__name__)

# Enough queries that losing one true neighbour in twenty is seen, few enough to take some seconds at most.
RECALL_QUERIES = 32
# What no reader notices: the rows that are lost lie at the end of a ranking of a hundred.
LEAST_RECALL = 0.95
# Ten times the candidates cost about three times the time; beyond that exact search is hardly dearer.
FACTORS = (REFINE_FACTOR, 3 * REFINE_FACTOR, 10 * REFINE_FACTOR)
# Distances of one vector, computed by different kernels, differ by rounding only.
ROUNDING = 1e-6


def depth_of_search(table: Sink) -> dict[str, object]:
    """The refine factor that finds enough, as `{"search": figures}` for an audit; empty without approximate index."""
    if not table.has_vector_index:
        return {}
    tried: dict[str, float] = {}
    factor = EXACT
    for candidate in FACTORS:
        try:
            recall = recall_of_index(table, candidate)
        except StoreError as error:
            # Exact search needs no file of the index.
            log.warning("the approximate index of %s cannot be searched: %s", table.name, error.message)
            recall = 0.0
        tried[str(candidate)] = round(recall, 4)
        if recall >= LEAST_RECALL:
            factor = candidate
            break
    if factor != REFINE_FACTOR:
        log.warning("recall of index table %s is low: %s; it is searched %s", table.name, tried, words_for(factor))
    return {"search": {"refine_factor": factor, "recall": tried, "depth": LEAST_DEPTH, "least": LEAST_RECALL}}


def is_measured(audit: Audit, table: Sink) -> bool:
    """Whether an audit says how deep its table has to be searched, which older audits do not."""
    return not table.has_vector_index or bool(audit.search)


def words_for(refine_factor: int) -> str:
    """How vectors are searched, for a person."""
    return "exactly" if refine_factor == EXACT else f"with refine factor {refine_factor}"


def recall_of_index(table: Sink, refine_factor: int) -> float:
    """Share of the true nearest rows that a search finds at the depth of readers, evenly spread rows as queries.

    A row as near as the last of the true ones counts, whichever of equal rows it is.
    """
    names = table.read(["chunk_id"])["chunk_id"].sort()
    step = max(1, len(names) // RECALL_QUERIES)
    chosen = names.gather_every(step).head(RECALL_QUERIES)
    found = wanted = 0
    for vector in rows_with(table, "chunk_id", chosen, ["vector"])["vector"]:
        query = np.asarray(vector, dtype=np.float32)
        exact = table.distances(query, LEAST_DEPTH, EXACT)
        if not len(exact):
            continue
        near = table.distances(query, LEAST_DEPTH, refine_factor)
        wanted += len(exact)
        found += int((near <= exact[-1] + ROUNDING).sum())
    return min(1.0, found / max(1, wanted))
