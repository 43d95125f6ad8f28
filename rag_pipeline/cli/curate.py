"""`rag-pipeline curate`: what the people who own sources should look at.

Belongs here: arguments, and showing the report by kind.
Does not belong here: finding it (`refresh/curation.py`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from rag_pipeline.cli.options import common_options, open_workspace
from rag_pipeline.cli.rendering import counted, emit, one_line, show, table, talk
from rag_pipeline.contracts.curation import KINDS
from rag_pipeline.errors import UsageError

if TYPE_CHECKING:
    from rag_pipeline.contracts.curation import Curated, Curation

# Two years: what was written before is worth a look, whatever it is.
OLD_DAYS = 730
# As many as somebody looks at in one sitting.
SHOWN = 10
TITLES = {
    "contradicted": "Said otherwise by a newer document",
    "says_the_same": "Said in other words by another document",
    "low_quality": "Of low quality",
    "disliked": "Readers say it misled them",
    "old": "Not modified for long",
    "never_found": "Found by no question of the evaluation",
    "found_often": "Found by many questions",
    "has_copies": "Kept in several places",
}


@click.command()
@click.option("--source", metavar="NAME", help="Only documents of this source.")
@click.option("--owner", metavar="OWNER", help="Only sources of this owner, as pipeline.yaml names them.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this; may be given several times.")
@click.option(
    "--old-days",
    type=click.IntRange(min=1),
    default=OLD_DAYS,
    show_default=True,
    help="Documents that were last modified longer ago are old.",
)
@click.option(
    "--most", type=click.IntRange(min=1), default=SHOWN, show_default=True, help="Rows of each kind; --json shows all."
)
@common_options
def curate(
    source: str | None, owner: str | None, kinds: tuple[str, ...], old_days: int, most: int, as_json: bool
) -> None:
    """Show which documents somebody should look at: contradicted by newer ones, said twice, old, poor, never found.

    It reads what is published, the last evaluation and the remarks of readers, and changes nothing.

    Example: rag-pipeline curate --source handbook
    """
    from rag_pipeline.refresh.curation import curation

    with open_workspace() as workspace:
        sources = workspace.settings.sources
        if source is not None and source not in sources:
            raise UsageError(f"there is no source {source!r}; allowed: {', '.join(sorted(sources))}", source=source)
        owners = sorted({name for each in sources.values() for name in each.owners})
        if owner is not None and owner not in owners:
            raise UsageError(f"no source has the owner {owner!r}; there are: {', '.join(owners) or 'none'}")
        report = curation(workspace, old=timedelta(days=old_days))
    chosen = [
        each
        for each in report.findings
        if source in (None, each.source) and (owner is None or owner in each.owners) and each.kind in (kinds or KINDS)
    ]
    if as_json:
        for each in chosen:
            emit(each)
        return
    for kind in KINDS:
        mine = [each for each in chosen if each.kind == kind]
        if mine:
            title = f"{TITLES[kind]}: {counted(len(mine), 'document')}"
            show(table(title, ["Source", "Document", "What"], (_cells(each) for each in mine[:most])))
    _tell(report, len(chosen))


def _cells(each: Curated) -> list[Any]:
    other = f" (in {one_line(each.other_uri)})" if each.other_uri is not None else ""
    example = f": {one_line(each.example)}" if each.example else ""
    return [each.source, one_line(each.uri), f"{each.detail}{other}{example}"]


def _tell(report: Curation, shown: int) -> None:
    looked = f"Looked through {counted(report.documents, 'document')}, {counted(report.chunks, 'chunk')}."
    if report.compared < report.chunks:
        looked += f" Only the newest {report.compared:,} chunks were compared with others."
    if not report.questions:
        looked += " What is found often or never is told once an evaluation has questions (docs/evaluation.md)."
    talk(looked if shown else f"Nothing stands out. {looked}")
