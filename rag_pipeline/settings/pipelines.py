"""Several pipelines of one Dagster code location: the file that names them.

Belongs here: what that file may hold, and where commands keep the records of one of them.
Does not belong here: a pipeline's own settings (`load.py`), its definitions (`rag_pipeline/defs/many.py`).
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rag_pipeline.contracts.ids import digest
from rag_pipeline.errors import SettingsError
from rag_pipeline.settings.bounded_yaml import read_text, read_yaml
from rag_pipeline.settings.load import Pipeline

PIPELINES_VARIABLE = "RAG_PIPELINE_PIPELINES"
# A part of Dagster's keys, and of the names of its jobs.
_NAME = re.compile(r"[A-Za-z0-9_]{1,60}")
_EXAMPLE = "want a mapping like `pipelines: {search: search/pipeline.yaml}`"
# Enough of a digest to tell the pipelines of one file apart, in a name that is short.
_DIGEST_CHARS = 12


def read_pipelines(path: Path) -> dict[str, Path]:
    """The pipeline.yaml of each pipeline by its name, in the order of the file; none of them is opened.

    Raises:
        SettingsError: The file is missing or says something else, a name does not fit, or two name one pipeline.yaml.
    """
    try:
        read = read_yaml(read_text(path), str(path))
    except (ValueError, OSError) as error:
        raise SettingsError(
            f"{path}, which {PIPELINES_VARIABLE} names, cannot be read: {error}", path=str(path)
        ) from error
    named = read.get("pipelines") if isinstance(read, dict) else None
    if not isinstance(named, dict) or not named or set(read) != {"pipelines"}:
        raise SettingsError(f"{path}: {_EXAMPLE} and nothing else", path=str(path))
    return _checked(named, path)


def _checked(named: dict[Any, Any], path: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, config in named.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise SettingsError(
                f"{path}: pipelines: {str(name)[:80]!r} is no name: want 1 to 60 letters without accents, digits and "
                f"underscores",
                path=str(path),
            )
        if not isinstance(config, str) or not config:
            raise SettingsError(f"{path}: pipelines.{name}: want the path of its pipeline.yaml", path=str(path))
        found[name] = (path.absolute().parent / config).resolve()
    twice = {config for config in found.values() if list(found.values()).count(config) > 1}
    if twice:
        raise SettingsError(f"{path}: two pipelines have the same file {min(twice)}", path=str(path))
    return found


def records_home(pipeline: Pipeline, environment: Mapping[str, str] | None = None) -> Path:
    """Where commands record the runs of a pipeline: in its Dagster home, unless that is one of several pipelines.

    A command calls assets by their plain names. In the records of several pipelines they would be one pipeline's for
    another's, and alerts would tell what others are to know.
    """
    environment = pipeline.environment if environment is None else environment
    shared = environment.get("DAGSTER_HOME")
    if not shared:
        return pipeline.folder / ".dagster"
    if not environment.get(PIPELINES_VARIABLE):
        return Path(shared)
    told = digest("commands", str(pipeline.path.resolve()))[:_DIGEST_CHARS]
    return Path(shared) / "commands" / f"{pipeline.folder.name}-{told}"
