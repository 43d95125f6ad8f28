"""`rag-pipeline ask`: an answer with citations, for one caller.

Belongs here: arguments, how an answer looks while it is written, the exit code.
Does not belong here: answering (`answering/`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from rich.text import Text

from rag_pipeline.cli.exit_codes import FOUND, PERMANENT
from rag_pipeline.cli.options import common_options, open_pipeline, principals_option
from rag_pipeline.cli.rendering import clean, counted, emit, one_line, show, talk
from rag_pipeline.cli.search import limits_of
from rag_pipeline.contracts.modes import MODES
from rag_pipeline.errors import ChatUnavailable, UsageError

if TYPE_CHECKING:
    from rag_pipeline.answering.answer import Answer, AnswerEvent
    from rag_pipeline.contracts.modes import Mode

_VERDICTS = {
    "unsupported": "The answer cites no document; do not rely on it.",
    "no_information": "The documents that {who} may read do not say.",
    "cut_short": "The answer ended at its limit of tokens; raise `chat_models.NAME.max_answer_tokens`.",
}


@click.command()
@click.argument("question")
@principals_option("Who asks, like public, a group or a person; give it again for each.")
@click.option("--k", default=None, type=click.IntRange(1, 100), help="Hits that the answer is made from.")
@click.option("--mode", default="hybrid", show_default=True, type=click.Choice(MODES), help="As in a search.")
@click.option("--source", "sources", multiple=True, metavar="NAME", help="Only this source; give it again for more.")
@click.option("--path", "paths", multiple=True, metavar="GLOB", help="Only addresses that end like this, as hr/**.")
@click.option(
    "--filter",
    "conditions",
    multiple=True,
    metavar="CONDITION",
    help="What a document's metadata must say, as in a search.",
)
@common_options
@click.pass_context
def ask(
    ctx: click.Context,
    question: str,
    principals: tuple[str, ...],
    k: int | None,
    mode: Mode,
    sources: tuple[str, ...],
    paths: tuple[str, ...],
    conditions: tuple[str, ...],
    as_json: bool,
) -> None:
    """Answer a question from what a caller may read, with citations, or say that it does not stand there.

    Ends with 1 when there is no answer or one without support, with 3 or 4 when the model gave none.

    Example: rag-pipeline ask "how many weeks of parental leave are there?" --as public
    """
    pipeline = open_pipeline()
    for name in sources:
        if name not in pipeline.settings.sources:
            allowed = ", ".join(sorted(pipeline.settings.sources))
            raise UsageError(f"there is no source {name!r}; allowed: {allowed}", source=name)
    from dataclasses import replace

    from rag_pipeline.answering.answer import Finished
    from rag_pipeline.answering.answerer import Answerer

    limits = replace(limits_of(conditions, paths, (), (), None, None, None), sources=sources or None)
    with Answerer.open(pipeline) as answerer:
        for event in answerer.stream(question, principals, k=k, mode=mode, filters=limits):
            if isinstance(event, Finished):
                _end(event.answer, principals, as_json=as_json)
                ctx.exit(_exit_code(event.answer))
            if not as_json:
                _written(event)


def _written(event: AnswerEvent) -> None:
    """A piece of the answer, at once."""
    from rag_pipeline.answering.answer import AnswerCitation, AnswerText

    piece = event.text if isinstance(event, AnswerText) else ""
    if isinstance(event, AnswerCitation):
        mark = f"[{event.number}]"
        # click takes colour away off a terminal, and leaves it where NO_COLOR asks for none.
        piece = click.style(mark, fg="cyan", bold=True) if _is_coloured() else mark
        click.echo(piece, nl=False)
    elif piece:
        click.echo(clean(piece), nl=False)
    sys.stdout.flush()


def _is_coloured() -> bool:
    import os

    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _end(answer: Answer, principals: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        emit(answer.record())
    else:
        click.echo()
        for citation in answer.citations:
            place = f", {one_line(citation.place)}" if citation.place else ""
            title = one_line(citation.title or citation.uri)
            show(
                Text.assemble(
                    (f"[{citation.number}] ", "bold cyan"), title, (f"  {one_line(citation.uri)}{place}", "dim")
                )
            )
    if answer.problem is not None:
        talk(f"Error ({answer.problem_code}): {answer.problem}", style="red")
    elif answer.verdict in _VERDICTS:
        talk(_VERDICTS[answer.verdict].format(who=", ".join(principals)), style="yellow")
    if answer.struck:
        talk(f"{counted(answer.struck, 'citation')} of what was not given taken out.", style="yellow")
    if not as_json:
        talk(_figures(answer), style="dim")


def _figures(answer: Answer) -> str:
    about = "about " if answer.tokens_estimated else ""
    cost = "" if not answer.cost else f", cost {answer.cost:.6f}"
    kept = ", from the cache" if answer.from_cache else ""
    return (
        f"{answer.model}: {about}{answer.tokens_in:,} tokens in, {answer.tokens_out:,} out{cost}, "
        f"{answer.latency_seconds:.1f} s{kept}"
    )


def _exit_code(answer: Answer) -> int:
    if answer.verdict == "failed":
        return ChatUnavailable.exit_code if answer.problem_code == ChatUnavailable.code else PERMANENT
    return 0 if answer.verdict == "answered" else FOUND
