"""Options that every command has or that several have, and opening a pipeline with them.

Belongs here: `--config`, `--json`, `--debug`, who asks, files of questions, and the workspace of a command.
Does not belong here: options of one command.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rag_pipeline.refresh.workspace import Workspace
    from rag_pipeline.settings import Pipeline

_CONFIG_KEY = "rag_pipeline.config"
_DEBUG_KEY = "rag_pipeline.debug"

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _remember(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value:
        ctx.meta[_CONFIG_KEY if parameter.name == "config" else _DEBUG_KEY] = value


CONFIG_OPTION: Decorator = click.option(
    "--config",
    metavar="PATH",
    expose_value=False,
    is_eager=True,
    callback=_remember,
    help="The pipeline.yaml; else the variable RAG_PIPELINE_CONFIG, else ./pipeline.yaml.",
)
DEBUG_OPTION: Decorator = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_remember,
    help="Show the traceback of an error, and log.",
)
_JSON_OPTION: Decorator = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")

# Where questions are added to.
QUESTIONS_TO_OPTION: Decorator = click.option(
    "--to",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of questions, JSONL; else the one that pipeline.yaml names under evaluation.questions.",
)
# Where questions are read from.
QUESTIONS_OPTION: Decorator = click.option(
    "--questions",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Questions, JSONL; else those that pipeline.yaml names. Give it again for more files.",
)


class _Principal(click.types.StringParamType):
    """A reader's name; where none is given, the message has an example to type."""

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str:  # noqa: ARG002 - click's
        return "Say for whom, like --as public."


def principals_option(help_text: str) -> Decorator:
    """`--as`, as the argument `principals`: whoever searches says for whom."""
    return click.option(
        "--as", "principals", multiple=True, required=True, type=_Principal(), metavar="PRINCIPAL", help=help_text
    )


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --json (as the argument `as_json`), --config and --debug to a command."""

    @_JSON_OPTION
    @CONFIG_OPTION
    @DEBUG_OPTION
    @functools.wraps(function)
    def command(*arguments: Any, **values: Any) -> Any:
        return function(*arguments, **values)

    return command


def is_debugging(ctx: click.Context) -> bool:
    """Whether --debug was given anywhere on the line."""
    return bool(ctx.meta.get(_DEBUG_KEY))


def config_path() -> str | None:
    """The value of --config, if it was given."""
    path: str | None = click.get_current_context().meta.get(_CONFIG_KEY)
    return path


def open_pipeline() -> Pipeline:
    """The pipeline that the command line names.

    Raises:
        SettingsError: pipeline.yaml is missing or not valid.
    """
    from rag_pipeline.settings import load_pipeline

    return load_pipeline(config_path())


def open_workspace() -> Workspace:
    """A workspace on that pipeline, under a run id of its own."""
    from rag_pipeline.refresh.workspace import Workspace

    return Workspace(open_pipeline(), run_id=f"cli-{uuid.uuid4().hex[:12]}")
