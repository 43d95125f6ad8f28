"""The job that tells an operator where a document is, and why readers do not find it.

Belongs here: what a person fills in, and the answer as metadata of the run.
Does not belong here: finding out (`refresh/document_trace.py`, `retrieval/explain.py`).

It is told by addresses, figures and times, and holds nothing of what a document says: whoever opens Dagster need not be
one of its readers.
"""

from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from rag_pipeline.defs.describe import rows_table
from rag_pipeline.defs.operators import Operator, operator_job
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline.defs.resources import as_dagster_failure
from rag_pipeline.defs.traced import TRACE_JOB, TRACE_OP
from rag_pipeline.defs.words import HAPPENED
from rag_pipeline.settings import Pipeline, load_pipeline
from rag_pipeline.shown import visible

if TYPE_CHECKING:
    from rag_pipeline.refresh.document_trace import DocumentTrace
    from rag_pipeline.refresh.workspace import Workspace


class TraceConfig(Operator):
    """Which document, and in which search."""

    document: str = Field(
        description="The document: its id, its address below the source's location, or the end of its address."
    )
    question: str = Field("", description="A question that should have found it; empty: only where it is is told.")
    principals: list[str] = Field(
        default_factory=list, description="Who asked that question: name and groups; none: somebody who may read it."
    )


def trace_job(pipeline: Pipeline, prefix: Prefix) -> dg.JobDefinition:
    """The job; `pipeline.yaml` is read anew by each run."""

    # No pool and not the resource of runs: looking waits for nobody and takes nothing from readers.
    @dg.op(name=prefix.name(TRACE_OP), description="Where a document is, layer by layer; nothing is changed.")
    def trace_op(context: dg.OpExecutionContext, config: TraceConfig) -> None:
        from rag_pipeline.refresh.document_trace import trace_documents
        from rag_pipeline.refresh.workspace import Workspace

        with as_dagster_failure(), Workspace(load_pipeline(str(pipeline.path)), run_id=context.run_id) as workspace:
            found = trace_documents(workspace, config.document.strip())
            context.add_output_metadata(_told(workspace, config, found))

    return operator_job(
        trace_op,
        TRACE_JOB,
        prefix,
        "Tell where a document is, from its source through every layer to what readers find, and why they do not find "
        "it: not listed, gone, in quarantine, a duplicate, not published yet, for nobody. Fill in document under "
        "Config; with a question, it is told at which place that finds it. Nothing is changed.",
    )


def _told(workspace: "Workspace", config: TraceConfig, found: "list[DocumentTrace]") -> dict[str, Any]:
    """Metadata of the run: the answer first, then each document as a table of its layers."""
    if not found:
        return {HAPPENED: _unheard_of(workspace, config.document.strip()), "rag/documents": 0}
    told: dict[str, Any] = {HAPPENED: " ".join(map(_sentence, found)), "rag/documents": len(found)}
    for number, each in enumerate(found, start=1):
        rows = [{"layer": stage.layer, "holds": visible(stage.holds)} for stage in each.stages]
        label = "rag/way" if len(found) == 1 else f"rag/way_{number}"
        told[label] = rows_table(rows, ("layer", "holds"))
        told[label.replace("way", "document_id")] = each.document_id
    if config.question.strip():
        told |= _in_search(workspace, config, found[0])
    return told


def _sentence(trace: "DocumentTrace") -> str:
    if not trace.why:
        return f"{visible(trace.uri)} is in the index that readers search, for {', '.join(sorted(trace.readers))}."
    return f"{visible(trace.uri)} is not found: {visible(trace.why)}."


def _unheard_of(workspace: "Workspace", named: str) -> str:
    from rag_pipeline.refresh.document_trace import erased_places

    erased = erased_places(workspace, named)
    if erased:
        return f"It was erased from {', '.join(erased)}, and stays out; the certificates lie in erasures of the lake."
    return (
        f"No source has ever listed {visible(named)!r}: look at location, include and exclude of its source in "
        f"pipeline.yaml (rag-pipeline config check), and at the spelling; an address is below the source's location."
    )


def _in_search(workspace: "Workspace", config: TraceConfig, trace: "DocumentTrace") -> dict[str, Any]:
    """What becomes of the document in a search."""
    from rag_pipeline.errors import RagPipelineError
    from rag_pipeline.retrieval.search import Searcher

    principals = [name for name in config.principals if name.strip()] or list(trace.readers)
    if not principals:
        return {"rag/in_search": "Nobody may read it, so nobody's search finds it."}
    try:
        with Searcher.open(workspace.pipeline) as searcher:
            whys = searcher.explain(config.question, principals=principals, document=trace.uri).documents
    except RagPipelineError as error:
        return {"rag/in_search": f"It could not be searched: {error.message}"}
    asked = f"Asked as {', '.join(principals)}: "
    return {"rag/in_search": visible(asked + "; ".join(why.sentence for why in whys) + ".")}
