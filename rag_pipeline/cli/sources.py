"""`rag-pipeline sources`: which sources there are, what each can tell, and whether one answers.

Belongs here: looking at sources without the lake.
Does not belong here: taking in what they hold (`run.py`).
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from rag_pipeline.cli.exit_codes import FOUND
from rag_pipeline.cli.options import common_options, open_pipeline
from rag_pipeline.cli.rendering import counted, emit, facts, one_line, show, table, talk
from rag_pipeline.errors import DocumentError
from rag_pipeline.shown import without_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag_pipeline.contracts.sources import FetchedObject, SourceObject
    from rag_pipeline.refresh.inspection import Inspection
    from rag_pipeline.refresh.workspace import Workspace

# As many as fit a screen beside the rest.
SHOWN_OBJECTS = 10
# One broken file among the first says little about a source, and each costs a request.
TRIED_OBJECTS = 3
# Enough to see that the text is the right one.
SHOWN_CHARS = 300

# What a source can tell, in the words of the table; of groups where its settings ask for them.
TOLD = {
    "sees_deletions": "deletions",
    "gives_permissions": "permissions",
    "gives_media_types": "media types",
    "gives_bytes": "content",
    "tells_groups": "groups",
}


@click.group()
def sources() -> None:
    """List the sources and what each can tell, or try one."""


@sources.command("list")
@common_options
def list_sources(as_json: bool) -> None:
    """List the sources of pipeline.yaml and what their kinds can tell; nothing is contacted.

    Example: rag-pipeline sources list
    """
    from rag_pipeline.sources import kind_named

    rows: list[dict[str, Any]] = []
    for name, source in open_pipeline().settings.sources.items():
        can = kind_named(source.kind).capabilities
        rows.append(
            {
                "source": name,
                "kind": source.kind,
                "location": without_secrets(source.location),
                "listing": can.listing,
                "sees_deletions": can.is_complete,
                "gives_permissions": can.gives_permissions,
                "gives_media_types": can.gives_media_types,
                "gives_bytes": can.gives_bytes,
                "tells_groups": source.groups is not None,
            }
        )
    if as_json:
        for row in rows:
            emit(row)
        return
    columns = ["Source", "Kind", "Location", "Listing", "Tells"]
    shown = [
        [row["source"], row["kind"], row["location"], row["listing"], ", ".join(_told(row)) or "no more"]
        for row in rows
    ]
    show(table(counted(len(rows), "source"), columns, shown))


def _told(row: dict[str, Any]) -> list[str]:
    """What a listing says of its objects, beside that they are there."""
    return [word for key, word in TOLD.items() if row[key]]


@sources.command()
@click.argument("name")
@click.option("--address", help="The object to fetch; else the first that can be read, of the first few.")
@common_options
def test(name: str, address: str | None, as_json: bool) -> None:
    """Try the source NAME: list it, fetch one object, show its permissions, text and chunks.

    The lake is not touched. Exit code 1: each object that was fetched is refused.

    Example: rag-pipeline sources test docs
    """
    from rag_pipeline.contracts.sources import Samples
    from rag_pipeline.refresh.inspection import inspect_bytes
    from rag_pipeline.refresh.workspace import Workspace

    pipeline = open_pipeline()
    if name not in pipeline.settings.sources:
        known = ", ".join(sorted(pipeline.settings.sources))
        raise click.BadParameter(f"there is no source {name}; there are {known}", param_hint="NAME")
    with Workspace(pipeline, run_id="inspect") as workspace:
        source = workspace.source(name)
        sampled = source.sample(SHOWN_OBJECTS) if address is None and isinstance(source, Samples) else None
        listed = source.list() if sampled is None else sampled
        items = _chosen(listed, address)
        if as_json:
            for each in islice(listed, SHOWN_OBJECTS):
                emit(_described(each))
        else:
            _show_listing(name, listed, is_sample=sampled is not None)
        for item in items:
            try:
                fetched = source.fetch(item)
                found = inspect_bytes(workspace, name, fetched.raw, item.address, fetched.declared.media_type)
                refused = found.refused
            except DocumentError as error:
                found, refused = None, error
            if found is not None and (refused is None or item is items[-1]):
                _say_fetched(workspace, name, item, fetched, found, as_json=as_json)
            if refused is None:
                return
            talk(f"{one_line(item.address)} is refused ({refused.code}): {refused.message}", style="red")
        click.get_current_context().exit(FOUND if items else 0)


def _chosen(listed: Sequence[SourceObject], address: str | None) -> list[SourceObject]:
    """What is fetched until one is no refused document."""
    if address is None:
        return list(islice((each for each in listed if each.problem is None), TRIED_OBJECTS))
    found = next((each for each in listed if each.address == address), None)
    if found is None:
        raise click.BadParameter(f"the source lists no {address}", param_hint="--address")
    return [found]


def _described(item: SourceObject) -> dict[str, Any]:
    return {
        "address": item.address,
        "uri": item.uri,
        "size_bytes": item.size_bytes,
        "modified_at": item.modified_at,
        "problem": None if item.problem is None else item.problem.code,
    }


def _show_listing(name: str, listed: Sequence[SourceObject], *, is_sample: bool) -> None:
    rows = [
        (one_line(each.address), each.size_bytes, each.modified_at, each.problem.code if each.problem else "")
        for each in islice(listed, SHOWN_OBJECTS)
    ]
    more = f", the first {SHOWN_OBJECTS}" if len(listed) > SHOWN_OBJECTS else ""
    lists = "lists, among others," if is_sample else "lists"
    title = f"Source {name} {lists} {counted(len(listed), 'object')}{more}"
    show(table(title, ["Address", ("Bytes", "right"), "Modified", "Problem"], rows))


def _say_fetched(
    workspace: Workspace, name: str, item: SourceObject, fetched: FetchedObject, found: Inspection, *, as_json: bool
) -> None:
    from rag_pipeline.transforms.permissions import allowed_principals

    readers = allowed_principals(item.address, fetched.declared, workspace.pipeline.source_spec(name))
    texts = [part.document.text[:SHOWN_CHARS] for part in found.documents]
    chunks = sum(len(part.chunks) for part in found.documents)
    if as_json:
        refused = None if found.refused is None else found.refused.code
        emit(
            _described(item)
            | {"allowed_principals": readers, "media_type": found.media_type, "refused": refused}
            | {"texts": texts, "chunks": [_texts(part.document.text, part.chunks) for part in found.documents]}
        )
    else:
        pairs = [
            ("Address", one_line(item.address)),
            ("Readers", ", ".join(readers) or "nobody"),
            ("Media type", found.media_type),
            ("Bytes", len(fetched.raw)),
            ("Chunks", chunks),
            *(("Text", one_line(text)) for text in texts[:1]),
        ]
        show(facts(pairs, title="Fetched"))


def _texts(text: str, chunks: Sequence[Any]) -> list[str]:
    return [text[chunk.start_char : chunk.end_char] for chunk in chunks]
