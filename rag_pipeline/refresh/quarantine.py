"""Have the next run try again what was refused.

Belongs here: reading quarantine, choosing rows as a person names them, releasing them.
Does not belong here: deciding what is refused (`documents.py`), parsing again: the next run does that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from rag_pipeline.contracts.tables import QUARANTINE
from rag_pipeline.errors import UsageError
from rag_pipeline.refresh.workspace import Workspace

# What could not be fetched is fetched again by every run; there is nothing to release.
TRIED_BY_EVERY_RUN = "fetch"
# A shorter beginning of an id would name several documents.
LEAST_ID_CHARS = 6


@dataclass(frozen=True, slots=True)
class RetryReport:
    """What the next run tries again.

    Attributes:
        released: document_id of each.
        tried_by_every_run: Documents that could not be fetched, for which nothing was to be done.
    """

    released: tuple[str, ...]
    tried_by_every_run: int


def quarantined(workspace: Workspace) -> list[dict[str, Any]]:
    """Rows of quarantine in the order of their addresses."""
    return workspace.lake.read(QUARANTINE).sort("source", "uri", "document_id").to_dicts()


def chosen_rows(rows: Sequence[dict[str, Any]], document_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Rows by document_id or the beginning of one, as the list shows it.

    Raises:
        UsageError: None begins so, or several do.
    """
    chosen = []
    for wanted in document_ids:
        found = [row for row in rows if row["document_id"].startswith(wanted)]
        if len(found) != 1 or len(wanted) < LEAST_ID_CHARS:
            what = "not in quarantine" if not found else "not the beginning of one document's id"
            raise UsageError(f"{what}: {wanted}; see which are: rag-pipeline quarantine list", document_id=wanted)
        chosen += found
    return chosen


def retry_quarantined(workspace: Workspace, document_ids: Sequence[str] = ()) -> RetryReport:
    """Have the next run try documents again: those named, or all.

    Raises:
        UsageError: A document is not in quarantine.
    """
    with workspace.lake.writing():
        rows = quarantined(workspace)
        chosen = chosen_rows(rows, document_ids) if document_ids else rows
        released = [row["document_id"] for row in chosen if row["stage"] != TRIED_BY_EVERY_RUN]
        schema = {name: QUARANTINE.schema[name] for name in ("document_id", "next_attempt_at")}
        frame = pl.DataFrame({"document_id": released, "next_attempt_at": workspace.now()}, schema=schema)
        workspace.lake.update(QUARANTINE, frame)
    return RetryReport(tuple(released), len(chosen) - len(released))
