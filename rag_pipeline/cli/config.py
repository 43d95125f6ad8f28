"""`rag-pipeline config`: is pipeline.yaml valid, and what may it hold.

Belongs here: checking settings without opening anything, and the schema for editors.
Does not belong here: reading settings (`settings.py`).
"""

from __future__ import annotations

import json

import click

from rag_pipeline.cli.options import common_options, open_pipeline
from rag_pipeline.cli.rendering import counted, emit, facts, show


@click.group()
def config() -> None:
    """Check pipeline.yaml, or print its schema."""


@config.command()
@common_options
def check(as_json: bool) -> None:
    """Validate pipeline.yaml and its environment; opens no source and no lake.

    Example: rag-pipeline config check
    """
    pipeline = open_pipeline()
    settings = pipeline.settings
    # Options that name an environment variable are only looked up when asked for.
    _ = pipeline.lake_options
    for name in settings.sources:
        pipeline.source_spec(name)
    summary = {
        "valid": True,
        "path": str(pipeline.path),
        "lake": pipeline.lake_root,
        "sources": list(settings.sources),
        "embedding_models": list(settings.embedding_models),
        "serve": settings.serve,
    }
    if as_json:
        emit(summary)
        return
    show(
        facts(
            [
                ("Lake", pipeline.lake_root),
                ("Sources", f"{counted(len(settings.sources), 'source')}: {', '.join(settings.sources)}"),
                ("Embedding models", ", ".join(settings.embedding_models)),
                ("Serves", settings.serve),
            ],
            title=f"{pipeline.path} is valid",
        )
    )


@config.command()
def schema() -> None:
    """Print the JSON schema of pipeline.yaml, for editors.

    Example: rag-pipeline config schema > pipeline.schema.json
    """
    from rag_pipeline.settings import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
