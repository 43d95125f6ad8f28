"""pipeline.yaml: read, overridden by the environment, validated, frozen.

Belongs here: finding and reading the file, and settings with the folder they are relative to.
Does not belong here: the settings themselves (`sections.py`); opening anything else than this one file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.contracts.sources import PermissionRule, SourceSpec
from rag_pipeline.errors import SettingsError
from rag_pipeline.settings.sections import SECTIONS, Settings

CONFIG_VARIABLE = "RAG_PIPELINE_CONFIG"
OVERRIDE_PREFIX = "RAG_PIPELINE__"
DEFAULT_CONFIG = "pipeline.yaml"


@dataclass(frozen=True)
class Pipeline:
    """Settings with the folder they are relative to.

    Attributes:
        path: The pipeline.yaml they came from.
    """

    settings: Settings
    path: Path
    environment: Mapping[str, str]

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def lake_root(self) -> str:
        return self._located(self.settings.lake)

    @property
    def lake_options(self) -> dict[str, str]:
        return self._expanded("lake_options", self.settings.lake_options)

    @property
    def cache_folder(self) -> Path:
        if self.settings.cache is not None:
            return self.folder / self.settings.cache
        return user_cache_folder(self.environment)

    @property
    def counted_alias(self) -> str:
        """The model whose tokenizer and limit the chunker keeps to."""
        return self.settings.chunking.tokens_of or next(iter(self.settings.embedding_models))

    @property
    def question_files(self) -> tuple[Path, ...]:
        """Files of questions that every version of an index is evaluated on."""
        return tuple(self.folder / Path(name).expanduser() for name in self.settings.evaluation.questions)

    def source_spec(self, name: str) -> SourceSpec:
        source = self.settings.sources[name]
        rules = tuple(PermissionRule(r.pattern, r.allowed_principals) for r in source.permission_rules)
        return SourceSpec(
            name=name,
            kind=source.kind,
            location=self._located(source.location),
            uri_prefix=source.location,
            include=source.include,
            exclude=source.exclude,
            allowed_principals=source.allowed_principals,
            permission_rules=rules,
            use_sidecars=source.use_sidecars,
            use_front_matter=source.use_front_matter,
            max_document_bytes=source.max_document_bytes,
            storage_options=self._expanded(f"sources.{name}.storage_options", source.storage_options),
        )

    def model_spec(self, alias: str) -> EmbeddingModelSpec:
        """Spec of a model, with a relative folder made relative to pipeline.yaml.

        Raises:
            SettingsError: No such alias.
        """
        models = self.settings.embedding_models
        if alias not in models:
            raise SettingsError(
                f"there is no embedding model {alias!r}; allowed: {', '.join(sorted(models))}", alias=alias
            )
        model = models[alias]
        if model.folder is not None:
            model = model.model_copy(update={"folder": str(self.folder / model.folder)})
        return model.spec(alias)

    def _located(self, location: str) -> str:
        if "://" in location or "::" in location:
            return location
        return str((self.folder / Path(location).expanduser()).absolute())

    def _expanded(self, where: str, options: Mapping[str, str]) -> dict[str, str]:
        expanded = {}
        for key, value in options.items():
            if value.startswith("$"):
                if value[1:] not in self.environment:
                    raise SettingsError(
                        f"{where}.{key} reads the environment variable {value[1:]}, which is not set",
                        variable=value[1:],
                    )
                value = self.environment[value[1:]]
            expanded[key] = value
        return expanded


def user_cache_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Where converted models are kept unless pipeline.yaml says otherwise."""
    variables = os.environ if environment is None else environment
    return Path(variables.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rag_pipeline"


def find_config(path: str | Path | None, environment: Mapping[str, str]) -> Path:
    """The pipeline.yaml to use: the argument, else the variable RAG_PIPELINE_CONFIG, else ./pipeline.yaml."""
    return Path(path or environment.get(CONFIG_VARIABLE) or DEFAULT_CONFIG).absolute()


def load_pipeline(path: str | Path | None = None, environment: Mapping[str, str] | None = None) -> Pipeline:
    """Read and validate pipeline.yaml.

    Args:
        path: The file; see `find_config`.
        environment: Variables; `RAG_PIPELINE__LAKE=x` overrides `lake`, `RAG_PIPELINE__SOURCES__DOCS__LOCATION=x`
            overrides `sources.docs.location`, and so on; values are read as YAML.

    Raises:
        SettingsError: The file is missing, not YAML, or holds an unknown key or a bad value; the message names
            every such field with its path and what is allowed.
    """
    environment = os.environ if environment is None else environment
    config = find_config(path, environment)
    try:
        data = yaml.safe_load(config.read_text("utf-8"))
    except FileNotFoundError as error:
        raise SettingsError(
            f"there is no {config}; name one with --config or the variable {CONFIG_VARIABLE}, or copy the smallest "
            f"form from the README",
            path=str(config),
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{config} cannot be read as YAML: {error}", path=str(config)) from error
    if not isinstance(data, dict):
        raise SettingsError(f"{config} must hold a mapping with sources, embedding_models and serve", path=str(config))
    try:
        settings = Settings.model_validate(_overridden(data, environment))
    except ValidationError as error:
        problems = "; ".join(_problem(dict(detail)) for detail in error.errors())
        raise SettingsError(f"{config}: {problems}", path=str(config)) from error
    return Pipeline(settings, config, dict(environment))


def _overridden(data: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    for variable in sorted(environment):
        if not variable.startswith(OVERRIDE_PREFIX):
            continue
        keys = variable.removeprefix(OVERRIDE_PREFIX).lower().split("__")
        target = data
        for key in keys[:-1]:
            nested = target.setdefault(key, {})
            if not isinstance(nested, dict):
                raise SettingsError(f"{variable} names a field inside {key}, which is not a mapping", variable=variable)
            target = nested
        try:
            target[keys[-1]] = yaml.safe_load(environment[variable])
        except yaml.YAMLError as error:
            raise SettingsError(f"{variable} is not a YAML value: {error}", variable=variable) from error
    return data


def _problem(detail: dict[str, Any]) -> str:
    path = ".".join(str(part) for part in detail["loc"] if part != "[key]")
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        message = f"unknown key; allowed: {', '.join(_allowed_keys(detail['loc'][:-1]))}"
    elif detail["type"] == "string_pattern_mismatch":
        message = f"{detail['input']!r} does not match {detail['ctx']['pattern']}"
    else:
        message = f"{message} (got {detail['input']!r})" if not isinstance(detail["input"], dict) else message
    return f"{path}: {message}" if path else message


def _allowed_keys(path: tuple[int | str, ...]) -> list[str]:
    section: Any = Settings
    for part in path:
        section = SECTIONS.get(str(part), section)
    return sorted(section.model_fields)


def json_schema() -> dict[str, Any]:
    """JSON schema of pipeline.yaml, for editors."""
    schema = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "pipeline.yaml", **schema}
