"""`rag-pipeline feedback`: what people said of hits and answers, and making questions of evaluation of it.

Belongs here: listing, accepting and dismissing remarks.
Does not belong here: which question a remark becomes (`refresh/remarks.py`), taking remarks (`serving/feedback.py`).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag_pipeline.cli.options import QUESTIONS_TO_OPTION, common_options, open_workspace
from rag_pipeline.cli.rendering import SHORT_ID_CHARS, counted, emit, moment, one_line, show, table, talk
from rag_pipeline.shown import bounded

if TYPE_CHECKING:
    from rag_pipeline.contracts.feedback import Remark

# The whole of it is in the JSON.
CELL_CHARS = 160


@click.group()
def feedback() -> None:
    """See what people said of hits and answers, and make questions of evaluation of it."""


@feedback.command(name="list")
@click.option("--all", "with_decided", is_flag=True, help="Also those that were accepted or dismissed.")
@common_options
def list_remarks(with_decided: bool, as_json: bool) -> None:
    """List remarks that nothing was decided on, newest first.

    Example: rag-pipeline feedback list
    """
    from rag_pipeline.refresh.remarks import read_remarks

    with open_workspace() as workspace:
        remarks = read_remarks(workspace, with_decided=with_decided)
    if as_json:
        for remark in remarks:
            emit(remark.row())
        return
    if not remarks:
        talk("Nobody said anything yet." if with_decided else "There is nothing to decide; --all lists every remark.")
        return
    columns = ["Remark", "When", "Who", "Says", "Question", "Of", "Comment"]
    show(table("", columns + ["Decided"] * with_decided, (_cells(remark, with_decided) for remark in remarks)))
    talk(f"{counted(len(remarks), 'remark')}. Make one a question: rag-pipeline feedback accept REMARK")


@feedback.command()
@click.argument("remark_id")
@QUESTIONS_TO_OPTION
@click.option(
    "--document",
    "documents",
    multiple=True,
    metavar="DOCUMENT",
    help="What answers the question instead: an address, the end of one, or an id. Give it again for more.",
)
@common_options
def accept(remark_id: str, file: Path | None, documents: tuple[str, ...], as_json: bool) -> None:
    """Make the question of a remark one of evaluation, asked for whoever made the remark.

    The beginning of the id is enough. What the remark calls right is expected: the document of its hit, or those that
    the answer cites. A remark that calls it wrong needs --document.

    Example: rag-pipeline feedback accept 0123456789ab
    """
    from rag_pipeline.refresh.remarks import accept as accept_remark

    with open_workspace() as workspace:
        found = accept_remark(workspace, remark_id, file, documents)
    if as_json:
        emit({"added": found.was_added, "file": str(found.file), "question": asdict(found.question)})
        return
    if found.was_added:
        talk(f"Added to {found.file} as {found.question.id}. See how it is answered: rag-pipeline eval")
    else:
        talk(f"It is asked already, as {found.question.id}; no question was added.")
    if not found.is_asked:
        talk(f"No run asks it yet: name {found.file} in pipeline.yaml under evaluation.questions.", style="yellow")


@feedback.command()
@click.argument("remark_id")
@common_options
def dismiss(remark_id: str, as_json: bool) -> None:
    """Take a remark off the list; it stays in gold/feedback.

    Example: rag-pipeline feedback dismiss 0123456789ab
    """
    from rag_pipeline.refresh.remarks import dismiss as dismiss_remark

    with open_workspace() as workspace:
        remark = dismiss_remark(workspace, remark_id)
    if as_json:
        emit({"feedback_id": remark.feedback_id, "decision": "dismissed"})
        return
    talk(f"Dismissed what {remark.caller} said of {bounded(one_line(remark.query), CELL_CHARS)}.")


def _cells(remark: Remark, with_decided: bool) -> list[Any]:
    about = remark.uri or f"answer of {remark.chat_model}, citing {counted(len(remark.documents), 'document')}"
    texts = (remark.query, about, remark.comment)
    cells = [remark.feedback_id[:SHORT_ID_CHARS], moment(remark.given_at), remark.caller, remark.verdict]
    cells += [bounded(one_line(text), CELL_CHARS) for text in texts]
    return cells + [remark.decision or "open"] * with_decided
