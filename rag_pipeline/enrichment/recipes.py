"""The enrichments of a pipeline.yaml with everything that their recipes are made of.

Belongs here: reading prompt files, naming recipes.
Does not belong here: which texts are read (`transforms/enrichments.py`), asking models (`asking.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rag_pipeline.contracts.enrichments import Enrichment, ExtractField, recipe_of
from rag_pipeline.contracts.ids import digest
from rag_pipeline.embedding.space import resolve
from rag_pipeline.enrichment.prompt import PART_RULES, RULES, TASKS
from rag_pipeline.enrichment.schema import schema_of, schema_of_fields, schema_of_written
from rag_pipeline.errors import RagPipelineError, SettingsError
from rag_pipeline.settings import Pipeline
from rag_pipeline.settings.enrichments import (
    ClassifySettings,
    CommonEnrichmentSettings,
    ExtractSettings,
    NearestSettings,
    RulesSettings,
    WritingSettings,
)


@dataclass(frozen=True, slots=True)
class Enrichments:
    """The enrichments of a pipeline.

    Attributes:
        all: In the order of pipeline.yaml, those with a problem too.
        problems: By name, why one cannot be used now; it reads nothing until it can, and the rest goes on.
    """

    all: tuple[Enrichment, ...] = ()
    problems: Mapping[str, str] = field(default_factory=dict)


def enrichments_of(pipeline: Pipeline) -> Enrichments:
    """All enrichments of a pipeline; one whose prompt or model is not there is among them, and hinders no other."""
    found, problems = [], {}
    for name, settings in pipeline.settings.enrichments.items():
        try:
            found.append(_enrichment(pipeline, name, settings))
        except RagPipelineError as error:
            problems[name] = error.message
            # No text was read by a recipe without a name.
            found.append(_shape(name, settings, recipe="", model=""))
    return Enrichments(tuple(found), problems)


def _enrichment(pipeline: Pipeline, name: str, settings: CommonEnrichmentSettings) -> Enrichment:
    if isinstance(settings, NearestSettings):
        model = settings.model or pipeline.settings.serve
        space = resolve(pipeline.model_spec(model), pipeline.cache_folder).space
        return _shape(
            name,
            settings,
            recipe_of("nearest", space.fingerprint, settings.decisive()),
            model,
            threshold=settings.threshold,
            most_chars=settings.most_chars,
            beginnings=recipe_of("beginning", space.fingerprint, str(settings.most_chars)),
        )
    if isinstance(settings, RulesSettings):
        return _shape(name, settings, recipe_of("rules", settings.decisive()), "")
    assert isinstance(settings, ClassifySettings | ExtractSettings | WritingSettings)
    return _by_chat(pipeline, name, settings)


def _by_chat(
    pipeline: Pipeline, name: str, settings: ClassifySettings | ExtractSettings | WritingSettings
) -> Enrichment:
    spec = pipeline.settings.chat_models[settings.model].spec(settings.model)
    language = getattr(settings, "language", "")
    instructions = TASKS[settings.kind].replace("{language}", language)
    if settings.prompt is not None:
        instructions = _prompt_in(name, named_files(pipeline)[f"enrichments.{name}.prompt"])
    extracted: tuple[ExtractField, ...] = ()
    if isinstance(settings, ExtractSettings):
        extracted = tuple(ExtractField(field, **each.model_dump()) for field, each in settings.fields.items())
        schema = schema_of_fields(extracted)
    elif isinstance(settings, ClassifySettings):
        schema = schema_of(list(settings.labels), takes_many=settings.many)
    else:
        most_answers = getattr(settings, "most_questions", 1)
        schema = schema_of_written(settings.kind, settings.most_answer_chars, most_answers)
    # Where the model is served, how long it may answer and what it costs changes no reading.
    rules = RULES + PART_RULES if settings.kind == "context" else RULES
    decisive = (spec.model, repr(spec.temperature), digest("prompt", instructions, rules), settings.decisive())
    return _shape(
        name,
        settings,
        recipe_of(settings.kind, *decisive, json.dumps(schema, ensure_ascii=False)),
        settings.model,
        asked_as=spec.fingerprint,
        most_chars=getattr(settings, "most_chars", 0),
        most_answer_chars=getattr(settings, "most_answer_chars", 0),
        most_answers=getattr(settings, "most_questions", 1),
        extracted=extracted,
        instructions=instructions,
        schema=schema,
        concurrency=settings.concurrency,
        most_seconds=settings.most_seconds,
    )


def _prompt_in(name: str, path: Path) -> str:
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise SettingsError(f"enrichments.{name}.prompt: {path} cannot be read as text: {error}") from error
    if not text.strip():
        raise SettingsError(f"enrichments.{name}.prompt: {path} is empty; write what to do, or leave it out")
    return text


def _shape(name: str, settings: CommonEnrichmentSettings, recipe: str, model: str, **more: Any) -> Enrichment:
    labels = getattr(settings, "labels", {})
    return Enrichment(
        name=name,
        kind=getattr(settings, "kind"),  # noqa: B009 - each kind has its own, of another type
        fields=settings.fields_of(name),
        recipe=recipe,
        model=model,
        sources=settings.sources,
        media_types=settings.media_types,
        labels=tuple((label, (texts,) if isinstance(texts, str) else texts) for label, texts in labels.items()),
        takes_many=getattr(settings, "many", False),
        writes_header=getattr(settings, "writes_header", False),
        not_language=getattr(settings, "language", ""),
        **more,
    )


def named_files(pipeline: Pipeline) -> dict[str, Path]:
    """Files of prompts and of people's labels by the path of the setting that names each, whether there or not."""
    named = {
        f"enrichments.{name}.{setting}": getattr(each, setting, None)
        for name, each in pipeline.settings.enrichments.items()
        for setting in ("prompt", "labelled")
    }
    return {setting: pipeline.folder / Path(file).expanduser() for setting, file in named.items() if file is not None}
