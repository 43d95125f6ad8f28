"""`rag-pipeline init`: begin a pipeline in this folder.

Belongs here: the first pipeline.yaml, and what to type next.
Does not belong here: what the settings mean (`settings/sections.py`).
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin

import click
import yaml

from rag_pipeline.cli.options import common_options, config_path
from rag_pipeline.cli.rendering import emit, talk
from rag_pipeline.cli.shell import search_command
from rag_pipeline.errors import SettingsError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_NO_NAME = re.compile(r"[^a-z0-9_]+")
_HEAD = """\
# What to ingest, which models, where the lake is.
# Check it with: rag-pipeline config check
"""


@click.command()
@click.argument("location", default="docs", metavar="[LOCATION]")
@click.option("--name", help="What to call the source; else the name of its folder.")
@click.option(
    "--readers",
    multiple=True,
    metavar="PRINCIPAL",
    help="Who may read it, like public, a group or a person; give it again for each. [staff]",
)
@click.option("--kind", default="files", metavar="KIND", help="Kind of source, like files, git or sql. [files]")
@click.option(
    "--set",
    "fields",
    multiple=True,
    metavar="FIELD=VALUE",
    help="A field of the source, as in pipeline.yaml; give it again for each.",
)
@common_options
def init(
    location: str, name: str | None, readers: tuple[str, ...], kind: str, fields: tuple[str, ...], as_json: bool
) -> None:
    """Write a pipeline.yaml for the documents at LOCATION, a folder or an address that the kind opens. [docs]

    A folder of files that is not there is made. A pipeline.yaml that is there stays as it is (exit code 2). At a
    terminal it asks for fields that the kind needs.

    Example: rag-pipeline init https://host.example/docs.git --kind git --set ref=main --readers staff
    """
    from rag_pipeline.settings import find_config, load_pipeline

    path = find_config(config_path(), os.environ)
    name = name or _name_of(location)
    who = list(readers) or ["staff"]
    source: dict[str, Any] = {} if kind == "files" else {"kind": kind}
    source |= {"location": location, **_fields_of(kind, fields), "allowed_principals": who}
    settings = {
        "lake": "lake",
        "sources": {name: source},
        "embedding_models": {"minilm": {"model": "sentence-transformers/all-MiniLM-L6-v2"}},
        "serve": "minilm",
    }
    _write(path, _HEAD + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    try:
        load_pipeline(path)
    except SettingsError:
        path.unlink()
        raise
    folder = path.parent / location
    is_made = kind == "files" and "://" not in location and not folder.exists()
    if is_made:
        folder.mkdir(parents=True)
    if as_json:
        emit({"config": str(path), "source": name, "allowed_principals": who})
        return
    made = f"There was no folder {folder}, so it was made: put documents into it, then type:"
    talk(f"Wrote {path}. " + (made if is_made else "Next:"))
    talk("  rag-pipeline run")
    talk(f"  rag-pipeline {search_command('...', who[0])}")


def _fields_of(kind: str, given: tuple[str, ...]) -> dict[str, Any]:
    """The source's fields as they were given, and at a terminal those that the kind needs besides."""
    from rag_pipeline.settings.described import describe
    from rag_pipeline.settings.sources import settings_class

    known = settings_class(kind)
    # Whether there is such a kind, and such a field, is said when the file is read.
    declared = {} if known is None else known.model_fields
    values: dict[str, Any] = {}
    for each in given:
        field, mark, text = each.partition("=")
        if not mark or not field.strip():
            raise click.BadParameter(f"want FIELD=VALUE, got {each}", param_hint="--set")
        values[field.strip()] = _value_of(declared.get(field.strip()), text)
    if known is not None and sys.stdin.isatty():
        describe(known)
    for field, info in declared.items():
        if info.is_required() and field not in ("kind", "location", *values) and sys.stdin.isatty():
            values[field] = _value_of(info, click.prompt(f"{field} ({info.description})"))
    return values


def _value_of(info: FieldInfo | None, text: str) -> Any:
    """A value as YAML reads it; where a list is wanted, one text is a list of it."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        # A query may be no YAML, and is meant as it stands.
        value = text
    if info is not None and get_origin(info.annotation) is tuple:
        return value if isinstance(value, list) else [value]
    return text if info is not None and info.annotation is str else value


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SettingsError(
            f"{path} is there already and stays as it is; add to it, or begin another with --config"
        ) from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error}", path=str(path)) from error


def _name_of(location: str) -> str:
    """A source's name after the last part of its location."""
    last = location.rstrip("/\\").replace("\\", "/").rpartition("/")[2]
    last = last.removesuffix(".git")
    return _NO_NAME.sub("_", last.lower()).strip("_") or "docs"
