"""How everything stands, as the page of gold/publication shows it: sources, how good what readers see is, what it cost.

Belongs here: these figures as metadata, the same from a run, a job and the command line, since Dagster shows the
metadata of the last event only.
Does not belong here: the publication itself (`publication_events.py`), finding anything out (`refresh/`).
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from rag_pipeline.contracts.tables import QUARANTINE
from rag_pipeline.defs.describe import lines_of
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline.defs.traced import traced_facts
from rag_pipeline.defs.words import counted, figure
from rag_pipeline.errors import RagPipelineError

if TYPE_CHECKING:
    from rag_pipeline.contracts.sources import Capabilities
    from rag_pipeline.refresh.polls import PollStatus
    from rag_pipeline.refresh.workspace import Workspace

# A week of nights beside one another; `rag-pipeline costs` shows more.
DAYS_SHOWN = 7
_PLAIN = Prefix()
UNKNOWN = "not known"
# Of the evaluation that the publication was allowed by.
_QUALITY = ("ndcg", "recall", "span_ndcg")


def standing_facts(workspace: "Workspace", prefix: Prefix = _PLAIN) -> dict[str, Any]:
    """The metadata; what cannot be read is left out, since it is said elsewhere and moves nobody's pointer."""
    facts: dict[str, Any] = {}
    for part in (_quality, _sources, _costs, partial(traced_facts, prefix=prefix)):
        try:
            facts |= part(workspace)
        except RagPipelineError:
            continue
    return facts


def _quality(workspace: "Workspace") -> dict[str, Any]:
    """How good what readers see is; nothing where it was never asked."""
    last = workspace.lake.last_publication()
    if last is None:
        return {}
    # What is pointed to again keeps the figures under which it came to readers first.
    rows = [row for row in workspace.lake.publications() if row.place == last.place and row.figures.get("ndcg")]
    found = rows[-1].figures if rows else {}
    return {f"rag/served_{name}": figure(found[name]) for name in _QUALITY if isinstance(found.get(name), float)}


def _sources(workspace: "Workspace") -> dict[str, Any]:
    """A line for each source: what it holds, when it was asked and changed last, and what is the matter with it."""
    from rag_pipeline.refresh.holds import read_holds
    from rag_pipeline.refresh.polls import poll_statuses

    polls, _ = poll_statuses(workspace)
    refused = workspace.lake.read(QUARANTINE, ["source"])["source"]
    held: dict[str, int] = {}
    for hold in read_holds(workspace):
        held[hold.source] = held.get(hold.source, 0) + len(hold.held)
    lines = [_source_line(workspace, poll, int((refused == poll.source).sum()), held) for poll in polls]
    return {"rag/sources": lines_of(lines)} if lines else {}


def _source_line(workspace: "Workspace", poll: "PollStatus", refused: int, held: dict[str, int]) -> str:
    from rag_pipeline.transforms.freshness import content_age

    state = workspace.lake.bronze_state(poll.source, ["change", "source_modified_at"])
    live = state.filter(pl.col("change") != "deleted")
    newest = content_age(live["source_modified_at"], workspace.now()).newest
    matters = [
        "overdue" if poll.is_overdue else "",
        "does not answer" if poll.poll_error else "",
        f"{held[poll.source]:,} held by the deletion guard" if held.get(poll.source) else "",
        f"{refused:,} refused" if refused else "",
    ]
    said = ", ".join(filter(None, matters)) or "all is well"
    times = f"polled {_minute(poll.polled_at)}, newest content {_minute(newest)}"
    return f"**{poll.source}**: {said}; {counted(live.height, 'document')}, {times}"


def _minute(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment is not None else UNKNOWN


def _costs(workspace: "Workspace") -> dict[str, Any]:
    """What the last days cost; a run that changed nothing costs nothing and is not counted."""
    from rag_pipeline.refresh.costs import costs_by_day

    days = costs_by_day(workspace, DAYS_SHOWN)
    lines = []
    for day in days:
        price = UNKNOWN if day.price is None else f"{figure(day.price):g}"
        did = f"{counted(day.documents, 'document')}, {counted(day.texts, 'text')} embedded, {day.tokens:,} tokens"
        lines.append(f"**{day.what}**: price {price}, {figure(day.seconds):g} s; {did}")
    return {"rag/costs_by_day": lines_of(lines)} if lines else {}


def source_facts(workspace: "Workspace", name: str, listed: int) -> dict[str, Any]:
    """What the page of a source says of it when it has answered."""
    from rag_pipeline.refresh.lag import read_lags
    from rag_pipeline.transforms.freshness import content_age

    facts: dict[str, Any] = {"rag/listed_count": listed}
    try:
        state = workspace.lake.bronze_state(name, ["change", "source_modified_at"])
        lag = read_lags(workspace).get(name)
    except RagPipelineError:
        return facts
    live = state.filter(pl.col("change") != "deleted")
    facts["rag/documents"] = live.height
    # No age: a look that finds nothing changed says the same again.
    newest = content_age(live["source_modified_at"], workspace.now()).newest
    if newest is not None:
        facts["rag/newest_content"] = dg.MetadataValue.timestamp(newest)
    if lag is not None and lag.documents:
        figures = {"p50": lag.p50_seconds, "p95": lag.p95_seconds, "worst": lag.worst_seconds}
        facts |= {f"rag/lag_{label}_seconds": figure(value) for label, value in figures.items()}
    return facts


# What a source of some kind may tell, by the names of its capabilities.
_TOLD = {
    "is_complete": "what is deleted",
    "gives_permissions": "who may read each object",
    "gives_media_types": "what each object is",
    "gives_bytes": "the bytes with the listing",
    "knows_groups": "who is in which group",
}


def told_by(capabilities: "Capabilities") -> str:
    """In a sentence, what a source of a kind can tell of itself."""
    tells = [what for name, what in _TOLD.items() if getattr(capabilities, name)]
    leaves = [what for name, what in _TOLD.items() if not getattr(capabilities, name)]
    said = f"By {capabilities.listing}: {', '.join(tells) or 'that objects are there'}."
    return f"{said} Not: {', '.join(leaves)}." if leaves else said
