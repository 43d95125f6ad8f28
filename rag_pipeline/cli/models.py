"""`rag-pipeline models`: embedding spaces, and the pointer that readers follow.

Belongs here: listing spaces, publishing one, going back.
Does not belong here: what must hold before the pointer moves (`refresh/publication.py`).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from rag_pipeline.cli.options import common_options, open_workspace
from rag_pipeline.cli.records import record_retirement, recorded_publications
from rag_pipeline.cli.rendering import emit, show, table, talk, verdict
from rag_pipeline.errors import EmbeddingError

if TYPE_CHECKING:
    from rag_pipeline.refresh.publication import PublicationReport
    from rag_pipeline.refresh.status import SpaceStatus
    from rag_pipeline.refresh.workspace import Workspace


@click.group()
def models() -> None:
    """List embedding models, publish one, or go back to what was published before."""


@models.command(name="list")
@common_options
def list_models(as_json: bool) -> None:
    """List every embedding model, its space, and how far its index is.

    Example: rag-pipeline models list
    """
    from rag_pipeline.refresh.status import space_statuses

    with open_workspace() as workspace:
        rows = [_model_row(workspace, space) for space in space_statuses(workspace)]
    if as_json:
        for row in rows:
            emit(row)
        return
    columns = ["Alias", "Model", "Space", ("Rows", "right"), "Index", "Role"]
    show(table("", columns, [_cells(row) for row in rows]))  # type: ignore[arg-type]
    for row in rows:
        if row["problem"]:
            talk(f"{row['alias']}: {row['problem']}", style="yellow")


@models.command()
@click.argument("alias")
@click.option("--note", default="", help="Why; kept in the publication log.")
@click.option("--override-gate", is_flag=True, help="Publish although the evaluation says no; --note has to say why.")
@common_options
def publish(alias: str, note: str, override_gate: bool, as_json: bool) -> None:
    """Point readers to the newest audited index of ALIAS, unless it is worse than what they see.

    Example: rag-pipeline models publish minilm
    """
    from rag_pipeline.refresh.publication import publish as move_pointer

    with open_workspace() as workspace, recorded_publications(workspace, "models publish"):
        _say(move_pointer(workspace, alias, note=note, by_hand=True, override_gate=override_gate), as_json)


@models.command()
@click.option(
    "--to", metavar="ALIAS", help="Embedding model to go back to, instead of the publication before this one."
)
@click.option("--note", default="", help="Why; kept in the publication log.")
@common_options
def rollback(to: str | None, note: str, as_json: bool) -> None:
    """Point readers back to what was published before; another model's index is shown as it is now.

    Example: rag-pipeline models rollback --note "answers got worse"
    """
    from rag_pipeline.refresh.publication import rollback as move_back

    with open_workspace() as workspace, recorded_publications(workspace, "models rollback"):
        _say(move_back(workspace, to=to, note=note), as_json)


@models.command()
@click.argument("alias")
@common_options
def retire(alias: str, as_json: bool) -> None:
    """Drop the index of ALIAS, which nobody reads; its vectors stay for their retention time.

    Example: rag-pipeline models retire minilm-old
    """
    from rag_pipeline.refresh.generations import retire as drop_index

    with open_workspace() as workspace:
        report = drop_index(workspace, alias)
        record_retirement(workspace, report)
    if as_json:
        emit(report)
    else:
        talk(f"The index of {report.alias} is gone; its vectors are kept, so building it again embeds nothing.")


def _say(report: PublicationReport, as_json: bool) -> None:
    if as_json:
        emit(report)
        return
    held = " Runs leave them there until: rag-pipeline models publish ALIAS" if report.is_held else ""
    moved = "Readers now see" if report.moved else "Nothing changed; readers already see"
    talk(
        f"{moved} the index of {report.alias}, version {report.table_version}: {report.rows:,} chunks of "
        f"{report.documents:,} documents.{held}"
    )


def _model_row(workspace: Workspace, space: SpaceStatus) -> dict[str, Any]:
    from rag_pipeline.refresh.generations import index_cure, is_held

    settings = workspace.settings.embedding_models.get(space.alias)
    configured: str | None = None
    problem = "" if settings is not None else "no longer in pipeline.yaml"
    if settings is not None:
        try:
            configured = workspace.space(space.alias).fingerprint
        except EmbeddingError as error:
            problem = error.message
    if space.index_problem and not problem:
        problem = f"its index cannot be searched: {space.index_problem.rstrip('.')}."
        problem += f" {index_cure(space.alias, problem)}" if settings is not None else ""
    if configured and space.space_fingerprint and configured != space.space_fingerprint:
        problem = (
            f"configured as embedding space {configured}, but its index is of {space.space_fingerprint}; give the "
            f"changed model a new alias, or restore the old one"
        )
    return {
        **asdict(space),
        "model": None if settings is None else settings.model,
        "kind": None if settings is None else settings.kind,
        "configured_fingerprint": configured,
        "is_served": space.alias == workspace.settings.serve,
        "is_held": space.is_published and is_held(workspace),
        "problem": problem,
    }


def _cells(row: dict[str, Any]) -> list[Any]:
    published = "published (an older version, held by a rollback)" if row["is_held"] else "published"
    roles = [name for name, holds in ((published, row["is_published"]), ("served", row["is_served"])) if holds]
    index: Text | str = "none yet"
    if row["index_problem"]:
        index = Text("not there", style="red" if row["is_published"] else "yellow")
    elif row["audit_passed"] is False:
        index = verdict(False, no="audit failed")
    elif row["audited_at"] is not None:
        index = verdict(True, yes="current") if row["is_current"] else Text("behind silver", style="yellow")
    space = row["space_fingerprint"] or row["configured_fingerprint"]
    return [row["alias"], row["model"], space, row["rows"], index, ", ".join(roles)]
