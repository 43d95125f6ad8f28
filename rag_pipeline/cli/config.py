"""`rag-pipeline config`: is pipeline.yaml valid, and what may it hold.

Belongs here: checking settings and what they name without a network, and the schema for editors.
Does not belong here: reading settings (`settings.py`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rag_pipeline.cli.exit_codes import FOUND
from rag_pipeline.cli.options import common_options, open_pipeline
from rag_pipeline.cli.rendering import counted, emit, facts, show, talk
from rag_pipeline.shown import without_secrets

if TYPE_CHECKING:
    from rag_pipeline.settings import Pipeline


@click.group()
def config() -> None:
    """Check pipeline.yaml, or print its schema."""


@config.command()
@common_options
def check(as_json: bool) -> None:
    """Validate pipeline.yaml, its environment, and that the folders and files it names are there; no network.

    Exit code 1 if one is not there. Sources that are local folders are listed: patterns that match nothing, and
    sources that overlap with different permissions, are named.

    Example: rag-pipeline config check
    """
    pipeline = open_pipeline()
    settings = pipeline.settings
    # Options that name an environment variable are only looked up when asked for.
    _ = pipeline.lake_options
    from rag_pipeline.cli.places import missing_places
    from rag_pipeline.sources.review import review

    missing = missing_places(pipeline)
    warnings = review(pipeline)
    summary = {
        "valid": True,
        "path": str(pipeline.path),
        "lake": without_secrets(pipeline.lake_root),
        "sources": list(settings.sources),
        "embedding_models": list(settings.embedding_models),
        "serve": settings.serve,
        "missing": [asdict(place) for place in missing],
        "warnings": warnings,
    }
    if as_json:
        emit(summary)
    else:
        _show(pipeline)
        for place in missing:
            talk(f"{place.field}: {place.problem}", style="red")
        for warning in warnings:
            talk(f"Warning: {warning}", style="yellow")
    click.get_current_context().exit(FOUND if missing else 0)


def _show(pipeline: Pipeline) -> None:
    settings = pipeline.settings
    show(
        facts(
            [
                ("Lake", without_secrets(pipeline.lake_root)),
                ("Sources", f"{counted(len(settings.sources), 'source')}: {', '.join(settings.sources)}"),
                ("Embedding models", ", ".join(settings.embedding_models)),
                ("Serves", settings.serve),
                *([("Answers", settings.answers.model)] if settings.answers is not None else []),
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
