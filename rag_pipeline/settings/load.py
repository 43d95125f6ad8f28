"""pipeline.yaml: read, overridden by the environment, validated, frozen.

Belongs here: finding and reading the file, settings with the folder they are relative to, and what only that
folder can tell: folders inside one another, two aliases of one model.
Does not belong here: the settings themselves (`sections.py`); opening anything else than this one file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.contracts.groups import GroupsSpec
from rag_pipeline.contracts.reranking import RerankerSpec
from rag_pipeline.contracts.sources import PermissionRule, SourceSpec
from rag_pipeline.errors import SettingsError
from rag_pipeline.settings.bounded_yaml import read_text, read_yaml
from rag_pipeline.settings.credentials import OPENS, check_lake_credentials
from rag_pipeline.settings.hints import HINTS, check_hints_apart, hints_folder
from rag_pipeline.settings.places import below, beyond, local_path, rejected_beside, resolved, steps_to, user_expanded
from rag_pipeline.settings.problems import problem_of
from rag_pipeline.settings.sections import Settings
from rag_pipeline.settings.sources import FilesSettings, WithFiles, WithPatterns
from rag_pipeline.settings.types import VARIABLE
from rag_pipeline.shown import keep_secret, secrets_of, without_secrets

CONFIG_VARIABLE = "RAG_PIPELINE_CONFIG"
OVERRIDE_PREFIX = "RAG_PIPELINE__"
DEFAULT_CONFIG = "pipeline.yaml"
LAKE, CACHE, DAGSTER_HOME = "lake", "cache", "Dagster home"

# Delta takes a path for a URL: it stops the process at a bracket, and undoes or drops the others.
_UNFIT_FOR_A_LAKE = re.compile(r"[\[\]%\\\x00-\x1f\x7f\ud800-\udfff]")
# How a model is run, paced and paid changes no vector, so it makes no other table either.
_NO_PART_OF_A_SPACE = {
    "alias",
    "device",
    "backend",
    "api_key_variable",
    "requests_per_minute",
    "price_per_million_tokens",
    "batch_texts",
}


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
    def postgres_dsn(self) -> str:
        """Where PostgreSQL is that is delivered to; empty: nothing is delivered."""
        postgres = self.settings.publish_to.postgres
        return "" if postgres is None else self._expanded("publish_to.postgres", {"dsn": postgres.dsn})["dsn"]

    @property
    def cache_folder(self) -> Path:
        if self.settings.cache is not None:
            return Path(self._located(self.settings.cache))
        return user_cache_folder(self.environment)

    @property
    def counted_alias(self) -> str:
        """The model whose tokenizer and limit the chunker keeps to."""
        return self.settings.chunking.tokens_of or next(iter(self.settings.embedding_models))

    @property
    def question_files(self) -> tuple[Path, ...]:
        """Files of questions that every version of an index is evaluated on."""
        return tuple(self.folder / user_expanded(name) for name in self.settings.evaluation.questions)

    @property
    def own_folders(self) -> dict[str, str]:
        """The folders that the pipeline itself writes to, by what each is. None of them is ever a source."""
        own = {LAKE: self.lake_root, CACHE: str(self.cache_folder), DAGSTER_HOME: str(self.dagster_home)}
        hints = hints_folder(self.settings.hints, self.folder)
        return own if hints is None else own | {HINTS: str(hints)}

    @property
    def tokens_file(self) -> Path:
        """File of the bearer tokens that the server takes, whether it is there yet or not."""
        return Path(self._located(self.settings.serving.tokens))

    @property
    def dagster_home(self) -> Path:
        """Where runs are recorded, whether it is there yet or not."""
        return Path(self.environment.get("DAGSTER_HOME") or self.folder / ".dagster")

    def source_spec(self, name: str) -> SourceSpec:
        """Spec of a source; what is the pipeline's own below it is among what it excludes."""
        source = self.settings.sources[name]
        own = tuple(self._own_globs(name))
        rules = tuple(PermissionRule(r.pattern, r.allowed_principals) for r in source.permission_rules)
        spec = SourceSpec(
            name=name,
            kind=source.kind,
            location=self.location(name),
            uri_prefix=source.location,
            allowed_principals=source.allowed_principals,
            permission_rules=rules,
            max_document_bytes=source.max_document_bytes,
            cache_folder=str(self.cache_folder),
            groups=self.groups_spec(name),
        )
        if isinstance(source, WithFiles):
            spec = replace(spec, use_sidecars=source.use_sidecars, use_front_matter=source.use_front_matter)
        if isinstance(source, WithPatterns):
            spec = replace(
                spec,
                include=source.include,
                exclude=(*source.exclude, *own),
                own_globs=tuple(glob for glob in own if glob not in source.exclude),
            )
        if not isinstance(source, FilesSettings):
            location = spec.location
            if self._is_in_environment(name):
                location = self._located(self._expanded(f"sources.{name}", {"location": location})["location"])
            return replace(spec, location=location, fields=self._read_fields(f"sources.{name}", source.own_fields))
        return replace(spec, storage_options=self._expanded(f"sources.{name}.storage_options", source.storage_options))

    def groups_spec(self, name: str) -> GroupsSpec | None:
        """Where a source's groups are read, if it knows any; nothing of the environment is looked at for that."""
        groups = self.settings.sources[name].groups
        if groups is None:
            return None
        return GroupsSpec(
            prefix=f"{name}:" if groups.prefix is None else groups.prefix,
            member_prefix=groups.member_prefix,
            file=None if groups.file is None else self._located(groups.file),
            fields=groups.own_fields,
        )

    @property
    def groups_files(self) -> tuple[str, ...]:
        """Files that say who is in which group, whether they are there yet or not; no source takes them in."""
        given = (source.groups for source in self.settings.sources.values())
        return tuple(self._located(groups.file) for groups in given if groups is not None and groups.file is not None)

    def location(self, name: str) -> str:
        """Where a source is: an absolute path, an address, or `$NAME` where the environment says it."""
        location = self.settings.sources[name].location
        return location if self._is_in_environment(name) else self._located(location)

    def _is_in_environment(self, name: str) -> bool:
        # A folder may have any name, and `files` is there since before other kinds were.
        source = self.settings.sources[name]
        return not isinstance(source, FilesSettings) and source.location.startswith("$")

    def _read_fields(self, where: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """A kind's own fields; a text `$NAME`, alone or in a mapping, is read from the environment."""
        read = dict(fields)
        for key, value in fields.items():
            if isinstance(value, str) and VARIABLE.fullmatch(value):
                read[key] = self._expanded(where, {key: value})[key]
            elif isinstance(value, dict):
                texts = {name: text for name, text in value.items() if isinstance(text, str)}
                read[key] = value | self._expanded(f"{where}.{key}", texts)
        return read

    def _own_globs(self, name: str) -> Iterator[str]:
        questions = [str(path) for each in self.question_files for path in (each, rejected_beside(each))]
        files = (str(self.path), str(self.tokens_file), *self.groups_files, *questions)
        whole = steps_to(self.location(name))
        for place in (*files, *self.own_folders.values()):
            steps = beyond(whole, place)
            if steps:
                # What a source writes otherwise than the system does, a star stands for.
                literal = re.sub(r"[*?\[]", r"[\g<0>]", "/".join(steps))
                literal = re.sub(r"%|[\ud800-\udfff]+", "*", literal)
                yield literal if place in files else f"{literal}/**"

    def source_around(self, file: Path) -> str | None:
        """Name of a source in whose folder a file lies; None: it lies in none."""
        place = str(file.absolute())
        return next((name for name in self.settings.sources if beyond(steps_to(self.location(name)), place)), None)

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

    @property
    def reranker_spec(self) -> RerankerSpec | None:
        """Spec of the reranking model, with a relative folder made relative to pipeline.yaml; None: there is none."""
        rerank = self.settings.rerank or self.settings.late_interaction
        if rerank is not None and rerank.folder is not None:
            rerank = rerank.model_copy(update={"folder": str(self.folder / user_expanded(rerank.folder))})
        return None if rerank is None else rerank.spec()

    def _located(self, location: str) -> str:
        if "://" in location or "::" in location:
            return location
        return str((self.folder / user_expanded(location)).absolute())

    def _expanded(self, where: str, options: Mapping[str, str]) -> dict[str, str]:
        expanded = {}
        for key, value in options.items():
            if value.startswith("$"):
                if not VARIABLE.fullmatch(value):
                    raise SettingsError(
                        f"{where}.{key} begins with $, and what follows is not the name of a variable; put "
                        "the value into a variable, and write $ and its name"
                    )
                if value[1:] not in self.environment:
                    raise SettingsError(
                        f"{where}.{key} reads the environment variable {value[1:]}, which is not set",
                        variable=value[1:],
                    )
                value = self.environment[value[1:]]
                keep_secret([value])
            elif OPENS.search(key):
                keep_secret([value])
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
        SettingsError: The file is missing, too large, not YAML, holds a key twice, an unknown key or a bad value; the
            message names every such field with its path and what is allowed. Or a source or the hints lie in a folder
            that the pipeline writes to, the lake's path cannot be used, its credentials stand in the file, or two
            aliases are one model.
    """
    environment = os.environ if environment is None else environment
    config = find_config(path, environment)
    try:
        text = read_text(config)
    except FileNotFoundError as error:
        raise SettingsError(
            f"there is no {config}; name one with --config or the variable {CONFIG_VARIABLE}, or begin one "
            f"with: rag-pipeline init FOLDER",
            path=str(config),
        ) from error
    except (ValueError, OSError) as error:
        raise SettingsError(f"{config} cannot be read as text: {error}", path=str(config)) from error
    data = read_yaml(text, str(config))
    if not isinstance(data, dict):
        raise SettingsError(f"{config} must hold a mapping with sources, embedding_models and serve", path=str(config))
    try:
        keep_secret(_secrets_in(data))
        check_lake_credentials(data, str(config))
        data = _overridden(data, environment)
        keep_secret(_secrets_in(data))
        settings = Settings.model_validate(data)
    except ValidationError as error:
        problems = "; ".join(problem_of(dict(detail)) for detail in error.errors())
        raise SettingsError(f"{config}: {problems}", path=str(config)) from error
    pipeline = Pipeline(settings, config, dict(environment))
    check_lake_root(pipeline.lake_root)
    _check_sources_apart(pipeline)
    check_hints_apart(pipeline.own_folders, config)
    _check_models_differ(pipeline)
    return pipeline


def check_lake_root(root: str) -> None:
    """Refuse a folder whose path the tables' library cannot use.

    Raises:
        SettingsError: It holds a bracket, a percent sign, a backslash, a control character or bytes that are no
            UTF-8, in its name or in what its links lead to.
    """
    path = local_path(root)
    if path is None:
        return
    for shown in (path.absolute().as_posix(), resolved(path).as_posix()):
        unfit = _UNFIT_FOR_A_LAKE.search(shown)
        if unfit:
            raise SettingsError(
                f"the lake's folder {shown!r} holds the character {unfit.group()!r}, with which its tables cannot be "
                f"written or read. Choose another `lake`, or rename the folder; spaces and letters of any language "
                f"are fine.",
                path=shown,
            )


def _check_sources_apart(pipeline: Pipeline) -> None:
    for name in pipeline.settings.sources:
        for what, folder in pipeline.own_folders.items():
            location = pipeline.location(name)
            shown = without_secrets(location)
            steps = below(folder, location)
            # People keep Dagster's home beside their documents, where its folders are left out one by one.
            if steps is None or (steps and what == DAGSTER_HOME):
                continue
            raise SettingsError(
                f"sources.{name}.location {shown} {'lies in' if steps else 'is also'} the {what} {folder}, which "
                f"the pipeline writes to: it would read its own files as documents. Move one of the two. A {what} "
                f"below a source is fine: it is left out of the source.",
                source=name,
                location=shown,
                folder=folder,
            )


def _check_models_differ(pipeline: Pipeline) -> None:
    known: dict[tuple[tuple[str, Any], ...], str] = {}
    for alias in pipeline.settings.embedding_models:
        values = asdict(pipeline.model_spec(alias)).items()
        first = known.setdefault(tuple(item for item in values if item[0] not in _NO_PART_OF_A_SPACE), alias)
        if first != alias:
            raise SettingsError(
                f"embedding_models.{first} and embedding_models.{alias} are the same model under two aliases: both "
                f"would write one index table, and retiring either would remove it. Remove one.",
                alias=alias,
            )


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
            # An alias puts one mapping in two places, and only one of them is overridden.
            target[key] = target = dict(nested)
        target[keys[-1]] = read_yaml(environment[variable], variable)
    return data


def _secrets_in(data: Any, key: str = "") -> Iterator[str]:
    """Passwords in whatever the settings name as a place, well written or not."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _secrets_in(value, str(name))
    elif isinstance(data, list):
        for value in data:
            yield from _secrets_in(value, key)
    elif isinstance(data, str) and ("://" in data or key in ("lake", "location")):
        yield from secrets_of(data)


def json_schema() -> dict[str, Any]:
    """JSON schema of pipeline.yaml, for editors."""
    from rag_pipeline.settings.described import describe

    describe(Settings)
    schema = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "pipeline.yaml", **schema}
