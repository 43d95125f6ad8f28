"""The one list of the lake's Delta tables.

Belongs here: which tables there are; SQL, status, documentation, healing and maintenance walk this list.
Does not belong here: what a table holds (`tables.py`, `evaluation.py`, `holds.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

from rag_pipeline.contracts.evaluation import EVALUATIONS, QUESTION_RESULTS
from rag_pipeline.contracts.feedback import FEEDBACK
from rag_pipeline.contracts.holds import DELETION_HOLDS
from rag_pipeline.contracts.memberships import MEMBERSHIPS, PRINCIPALS
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.contracts.tables import (
    AUDITS,
    BOILERPLATE,
    BRONZE,
    CANARIES,
    CHUNKS,
    DOCUMENTS,
    DUPLICATES,
    EMBEDDINGS,
    ENRICHMENTS,
    PUBLICATIONS,
    QUARANTINE,
    SIGNATURES,
    SIMILAR_PAIRS,
    UNUSED_EMBEDDINGS,
)

TABLES = (
    BRONZE,
    MEMBERSHIPS,
    PRINCIPALS,
    DOCUMENTS,
    QUARANTINE,
    DELETION_HOLDS,
    DUPLICATES,
    SIGNATURES,
    SIMILAR_PAIRS,
    BOILERPLATE,
    CHUNKS,
    ENRICHMENTS,
    EMBEDDINGS,
    AUDITS,
    EVALUATIONS,
    QUESTION_RESULTS,
    PUBLICATIONS,
    UNUSED_EMBEDDINGS,
    CANARIES,
    FEEDBACK,
)
# Rows are only ever added to these, so files of a table whose log is lost still say what was in it; what those held
# stands nowhere else.
LOGS = (AUDITS, PUBLICATIONS, EVALUATIONS, QUESTION_RESULTS, CANARIES, FEEDBACK)
# Those that there is one of in each lake.
FIXED_TABLES = tuple(table for table in TABLES if not table.each)


def tables_of(sources: Iterable[str], spaces: Iterable[str]) -> list[TableContract]:
    """Every table that a lake may have, lower layers first.

    Args:
        spaces: Fingerprints of embedding spaces.
    """
    bronze = [BRONZE.of(name) for name in sources]
    return [*bronze, *FIXED_TABLES, *(EMBEDDINGS.of(space) for space in spaces)]
