"""What an event says in words, and figures as a person reads them.

Belongs here: sentences on what a step did, rounding, the first rows of quarantine.
Does not belong here: which asset shows what (`bronze.py`, `silver.py`, `gold.py`).
"""

from collections.abc import Mapping
from typing import Any

from rag_pipeline.contracts.tables import QUARANTINE
from rag_pipeline.defs.describe import rows_table
from rag_pipeline.defs.names import HAPPENED as HAPPENED
from rag_pipeline.shown import bounded
from rag_pipeline.stores.lake import Lake

# A screenful of the UI; `rag-pipeline quarantine` lists all.
ROWS_SHOWN = 20
# A reason with its next step; longer ones break the table of the UI.
_CELL_CHARS = 300


def happened(changes: Mapping[str, int], now: str) -> dict[str, Any]:
    """Metadata that says in one sentence what a step did.

    Args:
        changes: Counts by what was done, like "added"; what did not happen is left out.
        now: How it stands afterwards.
    """
    did = ", ".join(f"{count:,} {what}" for what, count in changes.items() if count)
    return {HAPPENED: f"{did or 'Nothing changed'}; {now}."}


def counted(count: int, noun: str) -> str:
    """A count with its noun, in the plural where there are several or none."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def figure(value: float) -> float:
    """A figure to three decimals, a small one to three digits: what follows tells nobody anything."""
    return round(value, 3) if abs(value) >= 0.1 else float(f"{value:.3g}")


def figures(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata with every plain fraction rounded."""
    return {name: figure(value) if isinstance(value, float) else value for name, value in metadata.items()}


def quarantine_table(lake: Lake) -> dict[str, Any]:
    """The first rows of quarantine as metadata: address, reason, and what to do."""
    rows = lake.read(QUARANTINE, ["source", "uri", "reason_code", "detail", "last_seen_at"])
    first = rows.sort("last_seen_at", "uri", descending=[True, False]).head(ROWS_SHOWN).drop("last_seen_at")
    named = first.rename({"uri": "address", "reason_code": "reason", "detail": "what to do"})
    shown = [
        {name: bounded(row[name], _CELL_CHARS) for name in ("address", "reason", "what to do", "source")}
        for row in named.iter_rows(named=True)
    ]
    more = {"rag/rows_not_shown": rows.height - first.height} if rows.height > first.height else {}
    return {"rag/first_rows": rows_table(shown)} | more
