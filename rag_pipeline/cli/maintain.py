"""`rag-pipeline maintain`: housekeeping now.

Belongs here: arguments, and what was done.
Does not belong here: housekeeping (`refresh/maintenance.py`, `defs/run_records.py`).
"""

from __future__ import annotations

from dataclasses import asdict

import click

from rag_pipeline.cli.exit_codes import FOUND
from rag_pipeline.cli.options import common_options, open_workspace
from rag_pipeline.cli.rendering import counted, emit, facts, show


@click.command()
@common_options
def maintain(as_json: bool) -> None:
    """Compact small files, remove what nothing needs any more, and check that models still give the same vectors.

    Runs do it themselves when a day has passed. Exit code 1: a model drifted, or an index failed its audit,
    which the next run mends.

    Example: rag-pipeline maintain
    """
    from rag_pipeline.refresh.maintenance import maintain as tidy_up
    from rag_pipeline.settings.pipelines import records_home

    with open_workspace() as workspace:
        report = tidy_up(workspace)
        forgotten = 0
        home = records_home(workspace.pipeline)
        if home.is_dir():
            from rag_pipeline.defs.instance import opened_instance
            from rag_pipeline.defs.prefix import Prefix
            from rag_pipeline.defs.run_records import forget_runs, own_runs

            with opened_instance(home) as instance:
                before = workspace.now() - workspace.settings.run_records_retention
                forgotten = forget_runs(instance, before, own_runs(workspace.pipeline, Prefix()))
    if as_json:
        emit(asdict(report) | {"runs_forgotten": forgotten})
    else:
        show(
            facts(
                [
                    ("Tables", f"{report.tables:,}, {report.compacted:,} of them compacted"),
                    ("Unused vectors", f"{report.vectors_unused:,} kept, {report.vectors_removed:,} removed"),
                    ("Old revisions", f"{report.revisions_removed:,} removed from bronze"),
                    ("Run records", f"{counted(forgotten, 'run')} forgotten"),
                    ("Drifted models", ", ".join(report.drifted) or "none"),
                    ("Indexes at fault", ", ".join(report.at_fault) or "none"),
                ]
            )
        )
    click.get_current_context().exit(FOUND if report.drifted or report.at_fault else 0)
