"""What pipeline.yaml may hold.

Belongs here: every setting with its default, unit, allowed range and one sentence. The JSON schema for editors and
the configuration reference are generated from these classes.
Does not belong here: reading the file (`load.py`), the kinds of sources (`sources/`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, model_validator

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.contracts.modes import Mode
from rag_pipeline.settings.alerts import AlertSinkSettings, AlertsSettings
from rag_pipeline.settings.answers import AnswerCacheSettings, AnswersSettings, ChatModelSettings
from rag_pipeline.settings.engine import EngineSettings, LocalEngineSettings, RayEngineSettings
from rag_pipeline.settings.enrichments import (
    EnrichmentSettings,
    ExtractFieldSettings,
    FieldName,
    RulesSettings,
    check_enrichments,
)
from rag_pipeline.settings.hints import HintsSettings, HintStreamSettings
from rag_pipeline.settings.limits import LimitsSettings, Section
from rag_pipeline.settings.publishing import PostgresSettings, PublishToSettings
from rag_pipeline.settings.reranking import LateInteractionSettings, RerankSettings
from rag_pipeline.settings.serving import JwtSettings, ProxySettings, ServingSettings
from rag_pipeline.settings.sources import FilesSettings, PermissionRuleSettings, SourceSettings
from rag_pipeline.settings.sources.groups import SourceGroupsSettings
from rag_pipeline.settings.telemetry import LoggingSettings, TelemetrySettings
from rag_pipeline.settings.types import Cron, Duration, ModelAlias, Place, SourceName, Text, Timezone

OLD_TIMEOUT = "parse_timeout_seconds"


class EmbeddingModelSettings(Section):
    """One embedding model; becomes a partition of gold/embeddings and gold/index."""

    model: str = Field(min_length=1, max_length=4_096)
    """Name like `sentence-transformers/all-MiniLM-L6-v2`, or a folder."""
    kind: Literal["sentence-transformers", "static", "endpoint", "hashing"] = "sentence-transformers"
    """How it runs; `hashing` needs no weights and is for tests and dry runs."""
    folder: Place | None = None
    """Folder of the weights, looked at before the installed packages and the model hub."""
    revision: Text | None = None
    """Revision on the model hub."""
    document_prompt: Text | None = None
    """Put before every text that is embedded; none: what the model declares, if anything."""
    query_prompt: Text | None = None
    """Put before every query; none: what the model declares, if anything."""
    dimension: int | None = Field(default=None, gt=0, le=65_536)
    """Cut vectors to this width and normalise again; for `hashing` the width."""
    precision: Literal["fp32", "bf16", "int8"] = "fp32"
    """Arithmetic; another precision is another embedding space."""
    max_tokens: int | None = Field(default=None, gt=7, le=1_000_000)
    """Texts are cut after this many tokens; none: the model's own limit."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs."""
    backend: Literal["auto", "openvino", "torch"] = "auto"
    """What runs it; both give the same vectors within rounding."""
    base_url: Text | None = None
    """Address of an OpenAI-compatible endpoint, for kind `endpoint`."""
    api_key_variable: Text | None = None
    """Environment variable that holds the endpoint's key."""
    requests_per_minute: int | None = Field(default=None, gt=0, le=1_000_000)
    """Rate limit of the endpoint."""
    price_per_million_tokens: float | None = Field(default=None, ge=0, le=1_000_000)
    """For the cost estimate."""
    batch_texts: int = Field(default=64, gt=0, le=10_000)
    """Texts per request to the endpoint."""

    def spec(self, alias: str) -> EmbeddingModelSpec:
        return EmbeddingModelSpec(alias=alias, **self.model_dump())


class DeduplicationSettings(Section):
    """Which documents are left out of the index because another says the same to the same readers."""

    near: bool = True
    """Leave out documents of nearly the same wording too; equal ones always are."""
    similarity: float = Field(default=0.9, ge=0.6, le=1)
    """From this share of common five-word sequences on, two documents count as the same."""
    min_words: int = Field(default=50, ge=5, le=1_000_000)
    """Documents with fewer words are left out only if another is equal."""


class BoilerplateSettings(Section):
    """Which paragraphs are left out of the index because they stand in many documents of their source."""

    leave_out: bool = True
    """Leave them out of all documents but one for each set of principals."""
    min_documents: int = Field(default=5, ge=2, le=1_000_000_000)
    """A paragraph in fewer documents than this is no boilerplate."""
    min_share: float = Field(default=0.2, ge=0, le=1)
    """Nor is one in this share of the source's documents or less."""


class ThresholdSettings(Section):
    """When the checks on silver turn yellow; shares are of the documents or chunks of one source."""

    max_quarantined_share: float = Field(default=0.2, ge=0, le=1)
    """Objects that were refused."""
    max_low_quality_share: float = Field(default=0.1, ge=0, le=1)
    """Documents that score below `low_quality_score`."""
    low_quality_score: float = Field(default=0.5, ge=0, le=1)
    """Quality score below which a document counts as low for that check."""
    max_duplicate_share: float = Field(default=0.5, ge=0, le=1)
    """Documents left out because another says the same."""
    max_hard_split_share: float = Field(default=0.02, ge=0, le=1)
    """Chunks that end inside a sentence, since it alone was over the limit."""
    max_short_chunk_share: float = Field(default=0.5, ge=0, le=1)
    """Chunks of fewer than `short_chunk_tokens`."""
    short_chunk_tokens: int = Field(default=8, ge=0, le=1_000_000)
    """Tokens, header included, below which a chunk counts as short."""
    max_parse_seconds: float = Field(default=20, gt=0, le=86_400)
    """Parsing the slowest document of a run."""


class ChunkSizeSettings(Section):
    """How large chunks are."""

    max_tokens: int | None = Field(default=None, gt=7, le=1_000_000)
    """Limit of a chunk with its header, in tokens; none: the model's limit."""
    target_tokens: int | None = Field(default=None, gt=7, le=1_000_000)
    """Fill chunks up to this many tokens; none: the chunker's default."""
    min_tokens: int | None = Field(default=None, ge=0, le=1_000_000)
    """Avoid chunks below this many tokens; none: the chunker's default."""
    header_max_tokens: int | None = Field(default=None, ge=0, le=1_000_000)
    """Longest context header, in tokens; none: the chunker's default."""
    with_header: bool | None = None
    """Put title and section path before the text that is embedded; none: the chunker's default, which is to."""


class ChunkingSettings(ChunkSizeSettings):
    """How documents are cut."""

    tokens_of: str | None = None
    """Alias of the embedding model whose tokenizer and limit count; none: the first model."""
    media_types: dict[str, ChunkSizeSettings] = Field(default_factory=dict)
    """Other sizes for some media types, like `text/x-python`."""
    sources: dict[SourceName, ChunkSizeSettings] = Field(default_factory=dict)
    """Other sizes for some sources; they decide before the media type does."""


class EvaluationSettings(Section):
    """How every version of an index is evaluated before it may be published."""

    questions: tuple[Place, ...] = ()
    """Files of questions, JSONL, relative to this file; none: nothing is evaluated or held to it."""
    tolerance: float = Field(default=0.02, ge=0, le=1)
    """Publication refuses an index whose nDCG at k is below the published one's by more than this."""
    k: int = Field(default=10, gt=0, le=100)
    """Hits that count."""
    mode: Mode = "hybrid"
    """Search mode whose figures decide; the others are measured beside it."""
    fit_weight: bool = True
    """With 50 questions or more, let them decide what vectors count in mode hybrid, if held-out questions are answered
    better beyond chance."""


class Settings(Section):
    """Everything pipeline.yaml may hold."""

    lake: Place = "data/lake"
    """Folder of all tables, or an object store's prefix like `s3://bucket/prefix`."""
    lake_options: dict[str, str] = Field(default_factory=dict)
    """Options of the object store; a value like `$NAME` is read from the environment, and credentials always are."""
    sources: dict[SourceName, SourceSettings] = Field(min_length=1)
    """What to ingest, by name."""
    embedding_models: dict[ModelAlias, EmbeddingModelSettings] = Field(min_length=1)
    """Embedding models, by alias."""
    serve: str
    """Alias of the model whose index scheduled runs publish."""
    publish_to: PublishToSettings = PublishToSettings()
    """Where what is published is delivered, too; nowhere unless a place is named."""
    serve_from: Literal["lake", "postgres"] = "lake"
    """Where searches read what is published: in the lake, or in PostgreSQL, to which it is delivered."""
    deduplication: DeduplicationSettings = DeduplicationSettings()
    """Which documents are left out of the index because another says the same to the same readers."""
    boilerplate: BoilerplateSettings = BoilerplateSettings()
    """Which paragraphs are left out of the index because they stand in many documents of their source."""
    chunking: ChunkingSettings = ChunkingSettings()
    """How documents are cut."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """How every version of an index is evaluated before it may be published."""
    rerank: RerankSettings | None = None
    """What reads the best hits again; none: they stay as they were found."""
    late_interaction: LateInteractionSettings | None = None
    """What compares the best hits token by token, instead of `rerank`; none: nothing does."""
    chat_models: dict[ModelAlias, ChatModelSettings] = Field(default_factory=dict)
    """Chat models, by alias."""
    enrichments: dict[FieldName, EnrichmentSettings] = Field(default_factory=dict, max_length=50)
    """What rules and models read out of documents, by name."""
    answers: AnswersSettings | None = None
    """How questions are answered out of the index; none: it is searched only."""
    serving: ServingSettings = ServingSettings()
    """How `rag-pipeline serve` answers."""
    telemetry: TelemetrySettings = TelemetrySettings()
    """Where spans of what is under way are sent; nowhere unless a collector is named."""
    logging: LoggingSettings = LoggingSettings()
    """How `run` and `serve` log."""
    thresholds: ThresholdSettings = ThresholdSettings()
    """When the checks on silver turn yellow."""
    alerts: AlertsSettings = AlertsSettings()
    """Who is told when something is wrong, or is well again."""
    ocr: Literal["off", "missing", "always"] = "off"
    """Whether pictures of text are read: where text is missing, that is files that are pictures, pages of a PDF without
    text and documents of pictures alone (`missing`), or those beside text, too (`always`). Needs the extra `ocr`. A
    change parses again what it concerns, and nothing else."""
    quarantined_documents: Literal["hide", "keep_last_good"] = "hide"
    """Whether the last good version of a document stays visible while its newest cannot be parsed. One whose bytes
    cannot be had is for nobody meanwhile: they may say who may read it."""
    embeddings_retention: Duration = timedelta(days=90)
    """How long a vector is kept after its last use, so that what comes back costs no embedding."""
    run_records_retention: Duration = timedelta(days=30)
    """How long Dagster's records of a run are kept; those of an asset's last run always are."""
    hourly_schedule: Cron = "7 * * * *"
    """When sources without a schedule of their own are refreshed and published."""
    nightly_schedule: Cron = "23 2 * * *"
    """When everything is refreshed, verified and maintained."""
    timezone: Timezone = "UTC"
    """Where the schedules' hours are counted, like `Europe/Berlin`."""
    automation: bool = False
    """Whether schedules and the sensor run from the start; else they wait to be switched on in the UI."""
    hints: HintsSettings | None = None
    """Where others say that a source is worth a look before its schedule comes round; none: nobody does."""
    worker_processes: int | None = Field(default=None, ge=0, le=1_024)
    """Processes that parse and chunk; none: one per core, with engine `ray` of the whole cluster."""
    limits: LimitsSettings = LimitsSettings()
    """What one document may cost before it is quarantined."""
    engine: EngineSettings = LocalEngineSettings()
    """Where documents are parsed, cut and embedded."""
    cache: Place | None = None
    """Folder for converted models, safe to delete; none: `rag_pipeline` in the user's cache folder."""

    @model_validator(mode="before")
    @classmethod
    def _timeout_is_a_limit(cls, data: object) -> object:
        # It stood here before there were other limits.
        if not isinstance(data, dict) or OLD_TIMEOUT not in data:
            return data
        others = {key: value for key, value in data.items() if key != OLD_TIMEOUT}
        limits = others.get("limits") or {}
        if not isinstance(limits, dict):
            return others
        if "parse_timeout_seconds" in limits:
            raise ValueError(f"{OLD_TIMEOUT} is the old name of limits.{OLD_TIMEOUT}; keep that one")
        return others | {"limits": {**limits, OLD_TIMEOUT: data[OLD_TIMEOUT]}}

    @model_validator(mode="after")
    def _aliases_exist(self) -> Settings:
        known = ", ".join(sorted(self.embedding_models))
        if self.serve not in self.embedding_models:
            raise ValueError(f"serve: {self.serve!r} is not an embedding model; allowed: {known}")
        if self.serve_from == "postgres" and self.publish_to.postgres is None:
            raise ValueError("serve_from: postgres needs publish_to.postgres, which says where that is")
        if self.answers is not None and self.answers.model not in self.chat_models:
            chats = ", ".join(sorted(self.chat_models)) or "none is listed"
            raise ValueError(f"answers.model: {self.answers.model!r} is not a chat model; chat_models: {chats}")
        if self.rerank is not None and self.late_interaction is not None:
            raise ValueError("rerank and late_interaction: one of the two may order the hits; remove the other")
        counted = self.chunking.tokens_of
        if counted is not None and counted not in self.embedding_models:
            raise ValueError(f"chunking.tokens_of: {counted!r} is not an embedding model; allowed: {known}")
        for name in self.chunking.sources:
            if name not in self.sources:
                allowed = ", ".join(sorted(self.sources))
                raise ValueError(f"chunking.sources: {name!r} is not a source; allowed: {allowed}")
        return self

    @model_validator(mode="after")
    def _engine_has_workers(self) -> Settings:
        if self.engine.kind != "local" and self.worker_processes == 0:
            raise ValueError("worker_processes: 0 means this very process, where engine names others; leave it out")
        return self

    @model_validator(mode="after")
    def _enrichments_fit(self) -> Settings:
        check_enrichments(self.enrichments, self.sources, self.embedding_models, self.chat_models)
        return self

    @model_validator(mode="after")
    def _sinks_name_sources(self) -> Settings:
        for sink, settings in self.alerts.sinks.items():
            for name in settings.sources:
                if name not in self.sources:
                    allowed = ", ".join(sorted(self.sources))
                    raise ValueError(f"alerts.sinks.{sink}.sources: {name!r} is not a source; allowed: {allowed}")
        return self


SECTIONS: dict[str, type[Section]] = {
    "sources": FilesSettings,
    "embedding_models": EmbeddingModelSettings,
    "deduplication": DeduplicationSettings,
    "boilerplate": BoilerplateSettings,
    "chunking": ChunkingSettings,
    "media_types": ChunkSizeSettings,
    "evaluation": EvaluationSettings,
    "rerank": RerankSettings,
    "late_interaction": LateInteractionSettings,
    "chat_models": ChatModelSettings,
    "answers": AnswersSettings,
    "cache": AnswerCacheSettings,
    "hints": HintsSettings,
    "stream": HintStreamSettings,
    "limits": LimitsSettings,
    "engine": RayEngineSettings,
    "serving": ServingSettings,
    "jwt": JwtSettings,
    "proxy": ProxySettings,
    "thresholds": ThresholdSettings,
    "alerts": AlertsSettings,
    "sinks": AlertSinkSettings,
    "publish_to": PublishToSettings,
    "postgres": PostgresSettings,
    "permission_rules": PermissionRuleSettings,
    "groups": SourceGroupsSettings,
    "enrichments": RulesSettings,
    "fields": ExtractFieldSettings,
}
"""The class of what stands under a key, for messages that name the keys allowed there."""
