"""The job that tells the people who own sources what to look at.

Belongs here: what a person fills in, and the report as metadata of the run.
Does not belong here: finding it (`refresh/curation.py`).

It is told by addresses and figures, and holds nothing of what a document says: whoever opens Dagster need not be one of
its readers. `rag-pipeline curate` shows the sentences, too.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from rag_pipeline.contracts.curation import KINDS
from rag_pipeline.defs.describe import rows_table
from rag_pipeline.defs.operators import Operator, operator_job
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline.defs.resources import as_dagster_failure
from rag_pipeline.defs.words import HAPPENED, counted
from rag_pipeline.settings import Pipeline, load_pipeline

if TYPE_CHECKING:
    from rag_pipeline.contracts.curation import Curation

# What a table in the UI shows without becoming a file.
_MOST_ROWS = 50


class CurateConfig(Operator):
    """What counts as old."""

    old_days: int = Field(730, ge=1, description="Documents that were last modified longer ago are told.")


def curate_job(pipeline: Pipeline, prefix: Prefix) -> dg.JobDefinition:
    """The job; `pipeline.yaml` is read anew by each run."""

    # No pool and not the resource of runs: looking waits for nobody and takes nothing from readers.
    @dg.op(name=prefix.name("curate_documents"), description="What somebody should look at; nothing is changed.")
    def curate_op(context: dg.OpExecutionContext, config: CurateConfig) -> None:
        from rag_pipeline.refresh.curation import curation
        from rag_pipeline.refresh.workspace import Workspace

        with as_dagster_failure(), Workspace(load_pipeline(str(pipeline.path)), run_id=context.run_id) as workspace:
            report = curation(workspace, old=timedelta(days=config.old_days))
        context.add_output_metadata(curation_metadata(report))

    return operator_job(
        curate_op,
        "curate",
        prefix,
        "Tell which documents somebody should look at, by owner of the source: contradicted by newer ones, said twice, "
        "of low quality, disliked by readers, old, found by no question or by many. Nothing is changed.",
    )


def curation_metadata(report: "Curation") -> dict[str, Any]:
    """Counts first, then a table of each kind."""
    told: dict[str, Any] = {
        HAPPENED: f"{counted(len(report.findings), 'finding')} among {counted(report.documents, 'document')}; "
        f"{report.compared:,} of {counted(report.chunks, 'chunk')} were compared with others."
    }
    for kind in KINDS:
        rows = [
            {
                "owners": ", ".join(each.owners),
                "source": each.source,
                "uri": each.uri,
                "what": each.detail,
                "other": each.other_uri or "",
            }
            for each in report.findings
            if each.kind == kind
        ]
        told[f"rag/{kind}_count"] = len(rows)
        if rows:
            told[f"rag/{kind}"] = rows_table(rows[:_MOST_ROWS])
    return told
