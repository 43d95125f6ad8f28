"""pipeline.yaml: read, overridden by the environment, validated, frozen.

Belongs here: every setting with its default, unit, allowed range and one sentence. The JSON schema for editors and
the configuration reference are generated from these classes.
Does not belong here: opening anything. Loading settings touches one file and nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.contracts.sources import PermissionRule, SourceSpec
from rag_pipeline.errors import SettingsError

CONFIG_VARIABLE = "RAG_PIPELINE_CONFIG"
OVERRIDE_PREFIX = "RAG_PIPELINE__"
DEFAULT_CONFIG = "pipeline.yaml"
_CRON = re.compile(r"^(\S+\s+){4}\S+$")
_DURATION = re.compile(r"^(\d+)\s*(s|min|h|d)$")
_DURATION_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}


def _duration(value: object) -> object:
    if isinstance(value, str):
        match = _DURATION.match(value)
        if not match:
            raise ValueError("want a number and a unit, like 90s, 30min, 3h or 7d")
        return timedelta(**{_DURATION_UNITS[match[2]]: int(match[1])})
    return value


def _cron(value: str) -> str:
    if not _CRON.match(value.strip()):
        raise ValueError('want five cron fields, like "0 * * * *" (minute hour day month weekday)')
    return value.strip()


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    Field(json_schema_extra={"type": "string", "pattern": _DURATION.pattern, "format": None}),
]
Cron = Annotated[str, AfterValidator(_cron)]
SourceName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,62}$")]
ModelAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Principal = Annotated[str, Field(min_length=1, max_length=256)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PermissionRuleSettings(_Section):
    """Who may read the documents whose address matches a pattern."""

    pattern: str = Field(min_length=1)
    """Glob on the address below the location, like `hr/**`."""
    allowed_principals: tuple[Principal, ...]
    """Who may read them; an empty list is nobody."""


class SourceSettings(_Section):
    """Where documents come from; becomes the asset bronze/<name>."""

    kind: Literal["files"] = "files"
    """Kind of source: any folder or bucket that fsspec can open."""
    location: str = Field(min_length=1)
    """Folder or address, like `docs` or `s3://bucket/prefix`; a relative folder is relative to this file."""
    include: tuple[str, ...] = ("**/*",)
    """Globs of the objects to take; `**/*.md` also matches at the top."""
    exclude: tuple[str, ...] = ()
    """Globs of the objects to leave, decided after `include`."""
    allowed_principals: tuple[Principal, ...] = ()
    """Who may read its documents unless something more specific says otherwise; empty is nobody."""
    permission_rules: tuple[PermissionRuleSettings, ...] = ()
    """The first rule whose pattern matches decides; a sidecar or front matter decides before it."""
    use_sidecars: bool = True
    """Read `<name>.meta.yaml` beside a file for its title, author and permissions."""
    use_front_matter: bool = True
    """Read title, author and permissions from front matter."""
    max_document_bytes: int = Field(default=100 * 2**20, gt=0)
    """Larger objects are quarantined unread, bytes."""
    storage_options: dict[str, str] = Field(default_factory=dict)
    """Options of the fsspec filesystem; a value like `$NAME` is read from the environment."""
    schedule: Cron | None = None
    """When this source is refreshed by itself, as cron; none: with the others."""
    stale_after: Duration = timedelta(hours=3)
    """The freshness check turns red when the source was not polled for this long."""
    content_stale_after: Duration | None = None
    """A check turns red when the source's newest content is older than this; none: content may age."""
    owners: tuple[str, ...] = ()
    """Dagster owners of the asset, like `team:docs` or an e-mail address."""
    max_deleted_share: float = Field(default=1 / 3, ge=0, le=1)
    """The run refuses when more than this share of the source vanishes at once."""
    max_deleted_floor: int = Field(default=20, ge=0)
    """Sources with fewer documents than this are not held back."""


class EmbeddingModelSettings(_Section):
    """One embedding model; becomes a partition of gold/embeddings and gold/index."""

    model: str = Field(min_length=1)
    """Name like `sentence-transformers/all-MiniLM-L6-v2`, or a folder."""
    kind: Literal["sentence-transformers", "static", "endpoint", "hashing"] = "sentence-transformers"
    """How it runs; `hashing` needs no weights and is for tests and dry runs."""
    folder: str | None = None
    """Folder of the weights, looked at before the installed packages and the model hub."""
    revision: str | None = None
    """Revision on the model hub."""
    document_prompt: str | None = None
    """Put before every text that is embedded; none: what the model declares, if anything."""
    query_prompt: str | None = None
    """Put before every query; none: what the model declares, if anything."""
    dimension: int | None = Field(default=None, gt=0)
    """Cut vectors to this width and normalise again; for `hashing` the width."""
    precision: Literal["fp32", "bf16", "int8"] = "fp32"
    """Arithmetic; another precision is another embedding space."""
    max_tokens: int | None = Field(default=None, gt=7)
    """Texts are cut after this many tokens; none: the model's own limit."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs."""
    backend: Literal["auto", "openvino", "torch"] = "auto"
    """What runs it; both give the same vectors within rounding."""
    base_url: str | None = None
    """Address of an OpenAI-compatible endpoint, for kind `endpoint`."""
    api_key_variable: str | None = None
    """Environment variable that holds the endpoint's key."""
    requests_per_minute: int | None = Field(default=None, gt=0)
    """Rate limit of the endpoint."""
    price_per_million_tokens: float | None = Field(default=None, ge=0)
    """For the cost estimate."""
    batch_texts: int = Field(default=64, gt=0)
    """Texts per request to the endpoint."""

    def spec(self, alias: str) -> EmbeddingModelSpec:
        return EmbeddingModelSpec(alias=alias, **self.model_dump())


class ChunkingSettings(_Section):
    """How documents are cut."""

    tokens_of: str | None = None
    """Alias of the embedding model whose tokenizer and limit count; none: the first model."""
    max_tokens: int | None = Field(default=None, gt=7)
    """Limit of a chunk with its header, in tokens; none: the model's limit."""
    target_tokens: int | None = Field(default=None, gt=7)
    """Fill chunks up to this many tokens; none: the chunker's default."""
    min_tokens: int | None = Field(default=None, ge=0)
    """Avoid chunks below this many tokens; none: the chunker's default."""
    header_max_tokens: int | None = Field(default=None, ge=0)
    """Longest context header, in tokens; none: the chunker's default."""
    with_header: bool = True
    """Put title and section path before the text that is embedded."""


class EvaluationSettings(_Section):
    """How every version of an index is evaluated before it may be published."""

    questions: tuple[str, ...] = ()
    """Files of questions, JSONL, relative to this file; none: nothing is evaluated or held to it."""
    tolerance: float = Field(default=0.02, ge=0, le=1)
    """Publication refuses an index whose nDCG at k is below the published one's by more than this."""
    k: int = Field(default=10, gt=0, le=100)
    """Hits that count."""
    mode: Literal["hybrid", "vector", "text"] = "hybrid"
    """Search mode whose figures decide; the others are measured beside it."""


class Settings(_Section):
    """Everything pipeline.yaml may hold."""

    lake: str = "data/lake"
    """Folder of all tables, or an object store's prefix like `s3://bucket/prefix`."""
    lake_options: dict[str, str] = Field(default_factory=dict)
    """Options of the object store; a value like `$NAME` is read from the environment."""
    sources: dict[SourceName, SourceSettings] = Field(min_length=1)
    """What to ingest, by name."""
    embedding_models: dict[ModelAlias, EmbeddingModelSettings] = Field(min_length=1)
    """Embedding models, by alias."""
    serve: str
    """Alias of the model whose index scheduled runs publish."""
    chunking: ChunkingSettings = ChunkingSettings()
    """How documents are cut."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """How every version of an index is evaluated before it may be published."""
    quarantined_documents: Literal["hide", "keep_last_good"] = "hide"
    """Whether the last good version of a document stays visible while its newest cannot be read."""
    embeddings_retention: Duration = timedelta(days=90)
    """How long a vector is kept after its last use, so that what comes back costs no embedding."""
    hourly_schedule: Cron = "7 * * * *"
    """When sources without a schedule of their own are refreshed and published."""
    nightly_schedule: Cron = "23 2 * * *"
    """When everything is refreshed, verified and maintained."""
    worker_processes: int | None = Field(default=None, ge=0)
    """Processes that parse and chunk; none: one per core."""
    parse_timeout_seconds: float = Field(default=60, gt=0)
    """A document that takes longer is quarantined."""
    cache: str | None = None
    """Folder for converted models, safe to delete; none: `rag_pipeline` in the user's cache folder."""

    @model_validator(mode="after")
    def _aliases_exist(self) -> Settings:
        known = ", ".join(sorted(self.embedding_models))
        if self.serve not in self.embedding_models:
            raise ValueError(f"serve: {self.serve!r} is no embedding model; allowed: {known}")
        counted = self.chunking.tokens_of
        if counted is not None and counted not in self.embedding_models:
            raise ValueError(f"chunking.tokens_of: {counted!r} is no embedding model; allowed: {known}")
        return self


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
                        f"{where}.{key} reads the environment variable {value[1:]}, which is not set", variable=value[1:]
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
    sections = {
        "sources": SourceSettings,
        "embedding_models": EmbeddingModelSettings,
        "chunking": ChunkingSettings,
        "evaluation": EvaluationSettings,
        "permission_rules": PermissionRuleSettings,
    }
    for part in path:
        section = sections.get(str(part), section)
    return sorted(section.model_fields)


def json_schema() -> dict[str, Any]:
    """JSON schema of pipeline.yaml, for editors."""
    schema = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "pipeline.yaml", **schema}
