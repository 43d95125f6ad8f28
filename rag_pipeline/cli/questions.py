"""`rag-pipeline questions`: have questions of evaluation written from what is published.

Belongs here: arguments, and how it is told what came of it.
Does not belong here: writing and verifying them (`refresh/questions.py`, `evaluation/`).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag_pipeline.cli.exit_codes import FOUND
from rag_pipeline.cli.options import QUESTIONS_OPTION, QUESTIONS_TO_OPTION, common_options, open_workspace
from rag_pipeline.cli.rendering import counted, emit, facts, show, table, talk
from rag_pipeline.errors import UsageError

if TYPE_CHECKING:
    from rag_pipeline.evaluation.chat_writer import Estimate
    from rag_pipeline.evaluation.diversity import Diversity
    from rag_pipeline.refresh.questions import Generated

# Enough for a figure that does not hang on one question, and few enough to be looked through in an hour.
DEFAULT_COUNT = 100
# An evaluation asks each of them in each run that changes something.
MOST_QUESTIONS = 2_000


@click.group()
def questions() -> None:
    """Have questions of evaluation written from what is published."""


@questions.command()
@QUESTIONS_TO_OPTION
@click.option(
    "--count",
    default=DEFAULT_COUNT,
    show_default=True,
    type=click.IntRange(1, MOST_QUESTIONS),
    help="How many questions of a program the file is to have; those that it has count.",
)
@click.option(
    "--as",
    "principals",
    multiple=True,
    default=("public",),
    show_default=True,
    metavar="PRINCIPAL",
    help="Who asks; only what they may read, or public may, is asked about. Give it again for each.",
)
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only this kind; give it again for more.")
@click.option(
    "--chat", metavar="ALIAS", help="Chat model of pipeline.yaml that writes and verifies them; else templates."
)
@click.option("--dry-run", is_flag=True, help="Only say what the chat model would cost at most.")
@click.option("--seed", default="", metavar="TEXT", help="Another text takes other passages.")
@common_options
def generate(
    file: Path | None,
    count: int,
    principals: tuple[str, ...],
    kinds: tuple[str, ...],
    chat: str | None,
    dry_run: bool,
    seed: str,
    as_json: bool,
) -> None:
    """Write questions from passages of what is published, verify each, and add them to a file for people to look at.

    Without --chat they ask by a heading, a rare phrase, a number, what is denied, a word that nobody wrote (which has
    no answer) and with a typing error. Drafts that were rejected stand beside, in a file .rejected.jsonl, with the
    reason. Nobody has confirmed a question until "standing" in its line says "confirmed"; "dropped" takes it out, and
    it is not written again.

    With --chat a model writes and verifies them, within what it may cost a day; what that is at most is said first.

    Ends with 1 where there was less to ask about than wanted, with 3 or 4 where the chat model failed.

    Example: rag-pipeline questions generate --to questions.jsonl --count 100
    """
    from rag_pipeline.refresh.questions import generate, told_before

    def tell(estimate: Estimate) -> None:
        price = "" if estimate.price is None else f", cost {estimate.price:.4f}"
        talk(
            f"{chat}: at most about {estimate.calls:,} calls, {estimate.tokens_in:,} tokens in, "
            f"{estimate.tokens_out:,} out{price}."
        )
        if dry_run:
            click.get_current_context().exit()

    if dry_run and chat is None:
        raise UsageError("--dry-run says what a chat model would cost; name one with --chat")
    with open_workspace() as workspace:
        found = generate(
            workspace, file, count=count, principals=principals, kinds=kinds, seed=seed, chat=chat,
            before=told_before(tell),
        )  # fmt: skip
    if as_json:
        emit(_record(found))
    else:
        _show(found, principals)
    if found.stopped is not None:
        talk(
            f"Error ({found.stopped.code}): {found.stopped.message}. What was written up to here is kept; the same "
            f"command goes on.",
            style="red",
        )
        click.get_current_context().exit(found.stopped.exit_code)
    if found.known + len(found.questions) < count:
        talk(
            f"{counted(found.readable, 'chunk')} that {', '.join(principals)} may read gave no more "
            f"questions; the file has {found.known + len(found.questions):,} of {count:,}.",
            style="yellow",
        )
        click.get_current_context().exit(FOUND)


@questions.command()
@QUESTIONS_OPTION
@common_options
def report(files: tuple[Path, ...], as_json: bool) -> None:
    """Show how diverse the questions of a program are: in their words, and over what is published.

    Ends with 1 where they are not diverse enough.

    Example: rag-pipeline questions report
    """
    from rag_pipeline.refresh.questions import written_diversity

    with open_workspace() as workspace:
        figures = written_diversity(workspace, files or None)
    if as_json:
        emit(_figures(figures))
    else:
        _show_diversity(figures)
    if _figures(figures)["problems"]:
        click.get_current_context().exit(FOUND)


def _figures(figures: Diversity) -> dict[str, Any]:
    from rag_pipeline.evaluation.diversity import problems_of

    return {**asdict(figures), "problems": problems_of(figures)}


def _show_diversity(figures: Diversity) -> None:
    named = {
        "Questions of a program": f"{figures.questions:,}",
        "Pairs of words that are different ones": _share(figures.distinct_pairs),
        "Shared with the question most alike": _share(figures.self_similarity),
        f"Of {figures.cells} subjects asked about": _share(figures.coverage),
        "About what there is little of": _share(figures.long_tail),
    }
    show(facts(list(named.items())))
    for problem in _figures(figures)["problems"]:
        talk(f"{problem[:1].upper()}{problem[1:]}.", style="yellow")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _record(found: Generated) -> dict[str, Any]:
    return {
        "file": str(found.file),
        "rejected_file": str(found.rejected_file),
        "added": len(found.questions),
        "known": found.known,
        "rejected": len(found.rejected),
        "kinds": found.kinds,
        "reasons": found.reasons,
        "is_asked": found.is_asked,
        "diversity": _figures(found.diversity),
        "questions": [asdict(question) for question in found.questions],
    }


def _show(found: Generated, principals: tuple[str, ...]) -> None:
    if found.kinds:
        rows = [[kind, str(number)] for kind, number in found.kinds.items()]
        show(table("Questions added", ["Kind", ("Questions", "right")], rows))
    if found.reasons:
        first = {each.reason: each for each in reversed(found.rejected)}
        rows = [
            [reason, str(number), first[reason].draft.question, first[reason].why]
            for reason, number in found.reasons.items()
        ]
        show(table("Rejected", ["Reason", ("Drafts", "right"), "For example", "Why"], rows))
    _show_diversity(found.diversity)
    talk(
        f"{counted(len(found.questions), 'question')} of what {', '.join(principals)} may read added to {found.file}"
        + (f", {counted(len(found.rejected), 'rejected draft')} in {found.rejected_file}." if found.rejected else ".")
    )
    if found.questions:
        talk('Look them through: set "standing" to "confirmed" or "dropped". Only confirmed ones decide a publication.')
    if found.questions and not found.is_asked:
        talk(f"No run asks them yet: name {found.file} in pipeline.yaml under evaluation.questions.", style="yellow")
