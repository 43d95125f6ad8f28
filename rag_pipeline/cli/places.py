"""The places on this machine that pipeline.yaml names and that are not there.

Belongs here: looking at folders and files of the settings, without the network or a lake.
Does not belong here: whether the settings are valid (`settings/`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rag_pipeline.embedding.locate import holds_model, missing_weights
from rag_pipeline.enrichment.recipes import named_files
from rag_pipeline.errors import ModelUnavailable
from rag_pipeline.settings.places import local_path
from rag_pipeline.sources.remote import filesystem_problem

if TYPE_CHECKING:
    from rag_pipeline.settings import Pipeline

WITHOUT_WEIGHTS = ("hashing", "endpoint")


@dataclass(frozen=True, slots=True)
class MissingPlace:
    """A place that is not there.

    Attributes:
        field: Path of the setting, like `sources.docs.location`.
        problem: What is wrong and what to do.
    """

    field: str
    problem: str


def missing_places(pipeline: Pipeline) -> list[MissingPlace]:
    """Every folder and file named in the settings that a run would not find."""
    return [
        *_sources(pipeline),
        *_models(pipeline),
        *_reranker(pipeline),
        *_questions(pipeline),
        *_enrichments(pipeline),
    ]


def _enrichments(pipeline: Pipeline) -> Iterator[MissingPlace]:
    for field, path in named_files(pipeline).items():
        if not path.is_file():
            yield MissingPlace(field, f"there is no file {path}. Write it, or leave the setting out.")


def _sources(pipeline: Pipeline) -> Iterator[MissingPlace]:
    for name, source in pipeline.settings.sources.items():
        if source.kind == "sql":
            database = local_path(pipeline.location(name))
            if database is not None and not source.location.startswith("$") and not database.is_file():
                yield MissingPlace(
                    f"sources.{name}.location", f"there is no database {database}. Correct the location."
                )
        if source.kind != "files":
            continue
        folder = local_path(pipeline.location(name))
        if folder is None:
            unopened = filesystem_problem(pipeline.location(name))
            if unopened:
                advice = "Correct the location, or install the package."
                yield MissingPlace(f"sources.{name}.location", f"{unopened}. {advice}")
            continue
        problem = _folder_problem(folder)
        if problem:
            advice = "Correct the location, or mount what should be there; until then nothing of it is taken away."
            yield MissingPlace(f"sources.{name}.location", f"{problem}. {advice}")


def _models(pipeline: Pipeline) -> Iterator[MissingPlace]:
    for alias, model in pipeline.settings.embedding_models.items():
        if model.kind in WITHOUT_WEIGHTS:
            continue
        advice = "Name the folder that holds the model's config.json or modules.json."
        spec = pipeline.model_spec(alias)
        if spec.folder is not None:
            folder = Path(spec.folder).expanduser()
            problem = _folder_problem(folder)
            if problem or not holds_model(folder):
                what = problem or f"there are no model files in {folder}"
                yield MissingPlace(f"embedding_models.{alias}.folder", f"{what}. {advice}")
        elif model.model.startswith(("/", "./", "../", "~")) and not holds_model(Path(model.model).expanduser()):
            yield MissingPlace(f"embedding_models.{alias}.model", f"there is no model in {model.model}. {advice}")
        elif (missing := missing_weights(spec)) is not None:
            yield MissingPlace(f"embedding_models.{alias}.model", missing)


def _reranker(pipeline: Pipeline) -> Iterator[MissingPlace]:
    """What lies on this machine is opened: what is in such a folder shows only then."""
    spec = pipeline.reranker_spec
    if spec is None or (spec.folder is None and not spec.model.startswith(("/", "./", "../", "~"))):
        return
    from rag_pipeline.embedding.reranker import open_reranker

    try:
        open_reranker(spec, pipeline.cache_folder)
    except ModelUnavailable as error:
        yield MissingPlace(f"{spec.section}.{'model' if spec.folder is None else 'folder'}", error.message)


def _questions(pipeline: Pipeline) -> Iterator[MissingPlace]:
    for position, path in enumerate(pipeline.question_files):
        if not path.is_file():
            yield MissingPlace(
                f"evaluation.questions.{position}", f"there is no file {path}. Correct the name, or remove it."
            )


def _folder_problem(folder: Path) -> str | None:
    if not folder.exists():
        return f"there is no folder {folder}"
    if not folder.is_dir():
        return f"{folder} is not a folder"
    return None if os.access(folder, os.R_OK | os.X_OK) else f"{folder} may not be read by this user"
