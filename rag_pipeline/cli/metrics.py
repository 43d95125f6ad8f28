"""`rag-pipeline metrics`: the last run in figures for Prometheus.

Belongs here: arguments, and where the text goes.
Does not belong here: the figures (`refresh/run_metrics.py`).
"""

from __future__ import annotations

from pathlib import Path

import click

from rag_pipeline.cli.options import common_options, open_workspace
from rag_pipeline.cli.rendering import emit, talk


@click.command()
@click.option(
    "--file", "target", type=click.Path(path_type=Path, dir_okay=False), help="Write them there, in one go, instead."
)
@common_options
def metrics(target: Path | None, as_json: bool) -> None:
    """Print the last run and how sources stand as metrics that Prometheus reads.

    Written to a file that ends with .prom, they are read by node_exporter (--collector.textfile.directory). The metrics
    of serving are under /metrics of the server.

    Example: rag-pipeline metrics
    """
    from rag_pipeline.errors import StoreError
    from rag_pipeline.refresh.run_metrics import run_metrics
    from rag_pipeline.stores.small_files import replace_file
    from rag_pipeline.transforms.metric_lines import metric_text

    with open_workspace() as workspace:
        found = run_metrics(workspace)
    if target is not None:
        try:
            replace_file(target, metric_text(found).encode())
        except OSError as error:
            raise StoreError(f"the metrics cannot be written to {target}: {error.strerror or error}") from error
        talk(f"{sum(len(each.values) for each in found):,} values are in {target}.")
    elif as_json:
        for each in found:
            for labels, value in each.values.items():
                emit({"name": each.name, "labels": dict(labels), "value": value})
    else:
        click.echo(metric_text(found), nl=False)
