"""The check on what served searches found, against the weeks before.

Belongs here: what to say of it.
Does not belong here: what is unusual (`transforms/searches.py`), counting (`serving/searched.py`).
"""

import dagster as dg

from rag_pipeline.defs.check_rows import Subject
from rag_pipeline.transforms.searches import DAYS_COMPARED, rises


def searches_find_what_they_did(subject: Subject) -> dg.AssetCheckResult:
    """Whether searches of the last day found nothing, or nothing near, more often than is usual."""
    from rag_pipeline.stores.searches import read_searches

    workspace = subject.workspace
    space = workspace.space(subject.alias).fingerprint
    rows = read_searches(workspace.lake)
    found = rises(rows, space, workspace.now())
    said = "; ".join(
        f"{each.now:.0%} of the last day's {each.searches:,} searches {each.what}, usual are {each.usual:.0%}"
        for each in found
    )
    return dg.AssetCheckResult(
        passed=not found,
        description=said or "searches find what they did, as far as any were served",
        metadata={
            "rag/searches_known": sum(row.spaces[space].searches for row in rows if space in row.spaces),
            "rag/days_compared": DAYS_COMPARED,
            "rag/next_step": "rag-pipeline eval, then rag-pipeline status",
        },
    )
