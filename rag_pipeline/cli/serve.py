"""`rag-pipeline serve`, `tokens` and `mcp`: search over HTTP and for agents, and who may ask.

Belongs here: arguments, and what is said before a server runs.
Does not belong here: the server (`serving/`).
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from rag_pipeline.cli.collecting import stay
from rag_pipeline.cli.options import common_options, open_pipeline, principals_option
from rag_pipeline.cli.rendering import emit, moment, show, table, talk
from rag_pipeline.errors import UsageError
from rag_pipeline.telemetry import logs

if TYPE_CHECKING:
    from rag_pipeline.settings import Pipeline


@click.command()
@click.option("--host", help="Address to listen at instead of serving.host; 0.0.0.0 is every one of this machine.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port instead of serving.port; 0 is any that is free.")
@click.option("--workers", type=click.IntRange(1, 256), help="Processes that answer, instead of serving.workers.")
@common_options
def serve(host: str | None, port: int | None, workers: int | None, as_json: bool) -> None:
    """Serve search over HTTP, with its page, until Ctrl-C or SIGTERM.

    Callers show a token that `rag-pipeline tokens add` made, one of an identity provider, or come through a proxy; the
    section `serving` of pipeline.yaml says which. What a run publishes is served at once, without a restart.

    Example: rag-pipeline serve
    """
    from rag_pipeline.serving.extra import require_extra

    require_extra("rag-pipeline serve")
    pipeline = _with(open_pipeline(), {"host": host, "port": port, "workers": workers})
    settings = pipeline.settings.serving
    logs.set_up(pipeline.settings.logging.format)
    if as_json:
        emit({"host": settings.host, "port": settings.port, "workers": settings.workers})
    place = f"http://{settings.host}:{settings.port}" if settings.port else f"{settings.host}, at the port named below"
    talk(f"Search page and API: {place} (stop with Ctrl-C)")
    for sentence in _cautions(pipeline):
        talk(sentence, style="yellow")
    from rag_pipeline.serving.server import serve as run_server

    stay()
    run_server(pipeline)


@click.command()
@principals_option("Who the agent asks for, like public, a group or a person; give it again for each.")
@common_options
def mcp(principals: tuple[str, ...], as_json: bool) -> None:  # noqa: ARG001 - every command has --json
    """Serve one agent over standard input and output (MCP): search, ask, read a window, list sources.

    It asks where the section `answers` of pipeline.yaml names a chat model. Programs that start MCP servers call it.
    Agents elsewhere reach the same tools at /mcp of `rag-pipeline serve`.

    Example: rag-pipeline mcp --as staff
    """
    from rag_pipeline.serving.extra import require_extra

    require_extra("rag-pipeline mcp")
    pipeline = open_pipeline()
    # Standard output belongs to the protocol.
    logs.set_up(pipeline.settings.logging.format, logging.WARNING)
    from rag_pipeline.serving.stdio import serve_agent

    stay()
    serve_agent(pipeline, principals)


@click.group()
def tokens() -> None:
    """Say who may ask the server: make, list and revoke bearer tokens."""


@tokens.command()
@click.argument("name")
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="A group of theirs; give it again for each.")
@click.option("--days", type=click.IntRange(1, 36_500), help="The token expires after so many days; else never.")
@common_options
def add(name: str, groups: tuple[str, ...], days: int | None, as_json: bool) -> None:
    """Make a token for NAME and print it, once: only its hash is kept.

    Its holder may read what NAME and the groups may read, and what is public.

    Example: rag-pipeline tokens add alice --group staff
    """
    from datetime import timedelta

    from rag_pipeline.serving.tokens import add_token

    pipeline = open_pipeline()
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    token, kept = add_token(pipeline.tokens_file, name, groups, expires_at)
    if as_json:
        emit({"token": token, **_record(kept)})
    else:
        click.echo(token)
    talk(f"Token {kept.token_id} of {kept.name}; it is shown this once. Send it as 'Authorization: Bearer TOKEN'.")


@tokens.command(name="list")
@common_options
def list_tokens(as_json: bool) -> None:
    """List tokens by their ids; the tokens themselves are nowhere.

    Example: rag-pipeline tokens list
    """
    from rag_pipeline.serving.tokens import read_tokens

    pipeline = open_pipeline()
    found = read_tokens(pipeline.tokens_file)
    if as_json:
        for token in found:
            emit(_record(token))
        return
    now = datetime.now(UTC)
    rows = [
        (
            token.token_id,
            token.name,
            ", ".join(token.groups),
            moment(datetime.fromisoformat(token.created_at)),
            "never" if token.expires_at is None else moment(datetime.fromisoformat(token.expires_at)),
            "expired" if token.is_expired(now) else "",
        )
        for token in found
    ]
    if not rows:
        talk(f"There are no tokens in {pipeline.tokens_file}; make one: rag-pipeline tokens add NAME")
        return
    show(table("", ["Token", "Name", "Groups", "Made", "Expires", ""], rows))


@tokens.command()
@click.argument("token_id")
@common_options
def revoke(token_id: str, as_json: bool) -> None:
    """Take a token away; a server that runs refuses it from its next request on.

    Example: rag-pipeline tokens revoke 1f0c9a3e
    """
    from rag_pipeline.serving.tokens import revoke_token

    gone = revoke_token(open_pipeline().tokens_file, token_id)
    if as_json:
        emit(_record(gone))
    talk(f"Token {gone.token_id} of {gone.name} is revoked.")


def _record(token: Any) -> dict[str, Any]:
    return {
        "token_id": token.token_id,
        "name": token.name,
        "groups": list(token.groups),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
    }


def _with(pipeline: Pipeline, options: dict[str, Any]) -> Pipeline:
    """The pipeline with what was typed instead of its settings."""
    from dataclasses import replace

    given = {name: value for name, value in options.items() if value is not None}
    if options.get("host") == "":
        raise UsageError("--host is empty; type an address, like 127.0.0.1")
    serving = pipeline.settings.serving.model_copy(update=given)
    return replace(pipeline, settings=pipeline.settings.model_copy(update={"serving": serving}))


def _cautions(pipeline: Pipeline) -> list[str]:
    """What a person should know who starts a server like this."""
    from rag_pipeline.serving.tokens import read_tokens

    settings = pipeline.settings.serving
    said = []
    if not (settings.anonymous or settings.jwt or settings.proxy or read_tokens(pipeline.tokens_file)):
        said.append("Nobody can ask yet: make a token (rag-pipeline tokens add NAME) or set serving.anonymous.")
    if settings.host not in ("127.0.0.1", "::1", "localhost"):
        said.append("Callers from other machines can connect, and HTTP hides nothing: put a proxy with TLS before it.")
    return said
