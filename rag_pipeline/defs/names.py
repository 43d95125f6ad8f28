"""Names that are told from more than one place.

Belongs here: keys and names that a look before a run needs, and so nothing that takes long to import.
Does not belong here: the keys of all other assets (`specs.py`).
"""

import dagster as dg

REFRESH_JOB = "refresh"
ANSWERS_CHECK = "source_answers"
POLLED_CHECK = "polled_in_time"
DATA_VERSION_TAG = "dagster/data_version"
# Materializations have no description of their own that a step could give; this stands first among their facts.
HAPPENED = "rag/what_happened"
LAUNCHED_BY_TAG = "rag/launched_by"
# On a run that change hints asked for: it may look at what they name alone.
HINTS_TAG = "rag/hints"


def source_key(source: str) -> dg.AssetKey:
    """The source itself: materialized when it answers, so that its freshness is that of polling."""
    return dg.AssetKey(["source", source])
