"""`rag-pipeline init`: begin a pipeline in this folder.

Belongs here: the first pipeline.yaml, and what to type next.
Does not belong here: what the settings mean (`settings/sections.py`).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import click
import yaml

from rag_pipeline.cli.options import common_options, config_path
from rag_pipeline.cli.rendering import emit, talk
from rag_pipeline.cli.shell import search_command
from rag_pipeline.errors import SettingsError

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
@common_options
def init(location: str, name: str | None, readers: tuple[str, ...], as_json: bool) -> None:
    """Write a pipeline.yaml for the documents at LOCATION, a folder or an address that fsspec opens. [docs]

    A folder that is not there is made. A pipeline.yaml that is there stays as it is (exit code 2).

    Example: rag-pipeline init handbook --readers staff
    """
    from rag_pipeline.settings import find_config, load_pipeline

    path = find_config(config_path(), os.environ)
    name = name or _name_of(location)
    who = list(readers) or ["staff"]
    settings = {
        "lake": "lake",
        "sources": {name: {"location": location, "allowed_principals": who}},
        "embedding_models": {"minilm": {"model": "sentence-transformers/all-MiniLM-L6-v2"}},
        "serve": "minilm",
    }
    _write(path, _HEAD + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    try:
        load_pipeline(path)
    except SettingsError:
        path.unlink()
        raise
    is_made = "://" not in location and not (folder := path.parent / location).exists()
    if is_made:
        folder.mkdir(parents=True)
    if as_json:
        emit({"config": str(path), "source": name, "allowed_principals": who})
        return
    talk(f"Wrote {path}. " + (f"Put documents into {folder}, then type:" if is_made else "Next:"))
    talk("  rag-pipeline run")
    talk(f"  rag-pipeline {search_command('...', who[0])}")


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
    return _NO_NAME.sub("_", last.lower()).strip("_") or "docs"
