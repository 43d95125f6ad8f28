"""Where hits come from, as the page of gold/publication shows it: a few documents, and the way to ask about another.

Belongs here: the way of a few documents as metadata, and links to the launchpad of the job that tells any other's.
Does not belong here: that job (`traces.py`), finding out (`refresh/document_trace.py`).
"""

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import dagster as dg

from rag_pipeline.defs.describe import lines_of, plain
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline.defs.specs import PUBLICATION_KEY

if TYPE_CHECKING:
    from rag_pipeline.refresh.document_trace import DocumentTrace
    from rag_pipeline.refresh.workspace import Workspace

TRACE_JOB = "trace"
TRACE_OP = "trace_document"
# Each costs a look into every layer, and a page is read at a glance.
MOST_SHOWN = 3


def traced_facts(workspace: "Workspace", prefix: Prefix) -> dict[str, Any]:
    """Of a few sources the document that changed last: from its source to the rows that readers search."""
    from rag_pipeline.refresh.document_trace import newest_hits

    # One each, since the UI hides what is longer behind a click; by number, since a long name pushes the text aside.
    traces = enumerate(newest_hits(workspace, MOST_SHOWN), start=1)
    ways = {f"rag/way_of_hit_{number}": _way(trace, prefix) for number, trace in traces}
    other = dg.MetadataValue.md(f"[where is it, and why is it not found?]({_launchpad(prefix, '')})")
    return {**ways, "rag/way_of_another": other} if ways else {}


def _way(trace: "DocumentTrace", prefix: Prefix) -> dg.MetadataValue:
    asked = f"**{plain(trace.uri)}** [{trace.document_id[:12]}]({_launchpad(prefix, trace.document_id)})"
    return lines_of([asked, *(f"{stage.layer}: {plain(stage.holds)}" for stage in trace.stages)])


def _launchpad(prefix: Prefix, document: str) -> str:
    """The launchpad of the job with the document filled in, from the page of the asset.

    It is relative: the UI may stand below a path of a proxy, which the page knows and no run does.
    """
    config = f'ops: {{{prefix.name(TRACE_OP)}: {{config: {{document: "{document}"}}}}}}'
    up = "../" * (len(prefix.key(PUBLICATION_KEY).path))
    return f"{up}guess/{prefix.name(TRACE_JOB)}/playground/setup?config={quote(config, safe='')}"
