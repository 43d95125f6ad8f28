"""The command group, and the edge where errors become a paragraph and an exit code.

Belongs here: the list of commands, and what happens to any error that leaves a command.
Does not belong here: the commands, one module per group beside this one.

Exit codes: 0 fine, 1 a finding, 2 usage or settings, 3 permanent, 4 try again, 130 or 143 stopped by a person or the
system (SIGINT, SIGTERM).
"""

from __future__ import annotations

import traceback
from typing import Any

import click

from rag_pipeline import __version__
from rag_pipeline.cli.alerts import alerts
from rag_pipeline.cli.ask import ask
from rag_pipeline.cli.backup import backup, restore
from rag_pipeline.cli.config import config
from rag_pipeline.cli.costs import costs
from rag_pipeline.cli.curate import curate
from rag_pipeline.cli.erase import erase
from rag_pipeline.cli.evaluate import evaluate
from rag_pipeline.cli.exit_codes import PERMANENT, STOPPED
from rag_pipeline.cli.feedback import feedback
from rag_pipeline.cli.groups import groups
from rag_pipeline.cli.init import init
from rag_pipeline.cli.inspect import status, trace, verify
from rag_pipeline.cli.inspect_file import inspect_file
from rag_pipeline.cli.maintain import maintain
from rag_pipeline.cli.metrics import metrics
from rag_pipeline.cli.models import models
from rag_pipeline.cli.options import CONFIG_OPTION, DEBUG_OPTION, is_debugging
from rag_pipeline.cli.pictures import pictures
from rag_pipeline.cli.plan import plan
from rag_pipeline.cli.quarantine import quarantine
from rag_pipeline.cli.questions import questions
from rag_pipeline.cli.rebuild import rebuild
from rag_pipeline.cli.rendering import talk
from rag_pipeline.cli.run import run
from rag_pipeline.cli.search import search
from rag_pipeline.cli.serve import mcp, serve, tokens
from rag_pipeline.cli.sources import sources
from rag_pipeline.cli.sql import sql
from rag_pipeline.contracts.notices import said_by
from rag_pipeline.errors import RagPipelineError
from rag_pipeline.shown import shown
from rag_pipeline.telemetry import logs

# What stands on a line of help beside the name and the sentence: the indent and the gap.
_BESIDE_CHARS = 4


class CommandLine(click.Group):
    """A group whose commands may raise any error of ours."""

    def make_context(self, *arguments: Any, **values: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **values)
        except click.ClickException as error:
            raise _shown(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with said_by(talk):
                return super().invoke(ctx)
        except RagPipelineError as error:
            _show_traceback(ctx)
            talk(f"Error ({error.code}): {error.message}", style="red")
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            talk("Stopped. What was committed stays; the next run goes on from there.")
            ctx.exit(STOPPED)
        except click.ClickException as error:
            raise _shown(error) from None
        except (click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            _show_traceback(ctx)
            talk(
                f"Error (unexpected): {type(error).__name__}: {error}. This is a fault of the program; what readers "
                f"see was left as it was. Run the command again with --debug and report what it prints.",
                style="red",
            )
            ctx.exit(PERMANENT)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        # In the order in which they are needed, which is how they are declared.
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        width = max(map(len, self.commands), default=0)
        for title, commands in GROUPS.items():
            rows = [
                (str(command.name).ljust(width), command.get_short_help_str(formatter.width - width - _BESIDE_CHARS))
                for command in commands
                if self.commands.get(str(command.name)) is command
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _shown(error: click.ClickException) -> click.ClickException:
    """The same complaint in a length that a person reads: it quotes what was typed."""
    vars(error)["message"] = shown(error.message)
    return error


def _show_traceback(ctx: click.Context) -> None:
    if is_debugging(ctx):
        for line in traceback.format_exc().splitlines():
            talk(line)


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"]})
@CONFIG_OPTION
@DEBUG_OPTION
@click.version_option(__version__, prog_name="rag-pipeline")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Refresh, search and inspect a retrieval index that is always what a rebuild would give.

    Everything is read from pipeline.yaml. Data goes to standard output (--json: one object per line), talk to
    standard error. Exit codes: 0 fine, 1 a finding, 2 usage or settings, 3 permanent, 4 try again.
    """
    if is_debugging(ctx):
        logs.set_up("text")


# By what a person wants to do, in the order in which it comes up.
GROUPS: dict[str, tuple[click.Command, ...]] = {
    "Set up": (init, config, sources, inspect_file),
    "Keep up to date": (plan, run, groups, status, quarantine, models),
    "Find": (search, ask, pictures, serve, mcp, tokens),
    "Measure": (evaluate, questions, feedback, curate),
    "Watch": (alerts, costs, metrics),
    "Look closer and repair": (verify, trace, sql, rebuild, maintain),
    "Take out and keep safe": (erase, backup, restore),
}
for commands in GROUPS.values():
    for command in commands:
        cli.add_command(command)
