"""How a plan looks in the UI.

Belongs here: its figures as metadata, and its tables.
Does not belong here: planning (`refresh/plan.py`).
"""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import dagster as dg

from rag_pipeline.shown import visible

if TYPE_CHECKING:
    from rag_pipeline.refresh.plan import Plan
    from rag_pipeline.transforms.readers import ReaderChange

# More in one value make a page that no browser shows well.
SHOWN_CHANGES = 200
UNKNOWN = "unknown"
# Lists have tables of their own.
_LISTS = {"sources", "models", "enrichments", "opens", "closes", "opens_to_public", "held_because", "faults"}


def plan_metadata(plan: "Plan") -> dict[str, Any]:
    """Every figure of a plan, each source and model, and the permissions that open or close."""
    figures = {
        # One by one: a plan names every change, and all of it would be copied to show its figures.
        f"rag/plan_{each.name}": UNKNOWN if (value := getattr(plan, each.name)) is None else value
        for each in fields(plan)
        if each.name not in _LISTS
    }
    return {
        "rag/plan_opens_to_public": len(plan.opens_to_public),
        "rag/plan_opens": len(plan.opens),
        "rag/plan_closes": len(plan.closes),
        **figures,
        "rag/plan_sources": _table([asdict(source) for source in plan.sources]),
        "rag/plan_models": _table([asdict(model) for model in plan.models]),
        "rag/plan_enrichments": _table([asdict(each) for each in plan.enrichments]),
        "rag/plan_opened": _changes(plan.opens),
        "rag/plan_closed": _changes(plan.closes),
        "rag/plan_said": visible(" ".join([*plan.held_because, *plan.faults])) or "nothing to say",
    }


def _changes(changes: "Sequence[ReaderChange]") -> dg.MetadataValue[Any]:
    rows = [
        {"reader": each.principal, "source": each.source, "document": each.uri, "is_new": each.is_new}
        for each in changes[:SHOWN_CHANGES]
    ]
    return _table(rows)


def _table(rows: list[dict[str, Any]]) -> dg.MetadataValue[Any]:
    if not rows:
        return dg.MetadataValue.text("none")

    def cell(value: Any) -> Any:
        if value is None:
            return UNKNOWN
        return visible(value) if isinstance(value, str) else value

    records = [dg.TableRecord({name: cell(value) for name, value in row.items()}) for row in rows]
    types = {bool: "bool", int: "int", float: "float"}
    columns = []
    for name in rows[0]:
        kinds = {type(record.data[name]) for record in records}
        kind = types.get(kinds.pop(), "string") if len(kinds) == 1 else "string"
        columns.append(dg.TableColumn(name, kind))
    return dg.MetadataValue.table(records, dg.TableSchema(columns=columns))
