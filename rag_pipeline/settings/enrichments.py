"""What is read out of documents by rules and models: the section `enrichments` of pipeline.yaml.

Belongs here: the kinds of enrichments with their bounds.
Does not belong here: reading texts (`transforms/enrichments.py`, `enrichment/`).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from rag_pipeline.contracts.enrichments import NO_LABEL
from rag_pipeline.contracts.filters import MAX_VALUE_CHARS, fact_name
from rag_pipeline.settings.limits import Section
from rag_pipeline.settings.types import ModelAlias, SourceName

# A label set that is larger is no set of labels, and each of them stands in every prompt.
MOST_LABELS = 200
_NAME = re.compile(r"\w[\w.]{0,62}")
# Who may read is never for a model to say, so no name may look as if it did.
_PERMISSIONS = "principals"


def _field_name(value: str) -> str:
    if not _NAME.fullmatch(value) or fact_name(value) != value:
        raise ValueError("want the name of a metadata field: small letters, digits, underscores and dots, at most 63")
    if _PERMISSIONS in value:
        raise ValueError("an enrichment never says who may read a document; want another name")
    return value


def _label(value: str) -> str:
    if not value.strip() or value != value.strip() or "\n" in value:
        raise ValueError("want a label of one line without blanks around it")
    if value.casefold() == NO_LABEL:
        raise ValueError(f"{NO_LABEL!r} is what a text without any label gets; want another name")
    return value


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


FieldName = Annotated[str, Field(min_length=1, max_length=63), AfterValidator(_field_name)]
Label = Annotated[str, Field(min_length=1, max_length=MAX_VALUE_CHARS), AfterValidator(_label)]
Phrase = Annotated[str, Field(min_length=2, max_length=1_000)]
Phrases = Annotated[
    tuple[Phrase, ...],
    BeforeValidator(_listed),
    Field(min_length=1, max_length=1_000, json_schema_extra={"type": ["array", "string"]}),
]
Description = Annotated[str, Field(max_length=1_000)]
MediaType = Annotated[str, Field(min_length=3, max_length=255)]


class CommonEnrichmentSettings(Section):
    """What every kind of enrichment has."""

    sources: tuple[SourceName, ...] = ()
    """Sources whose documents are read; empty: all."""
    media_types: tuple[MediaType, ...] = ()
    """Media types that are read, like `text/markdown`; empty: all."""

    # What decides no reading, but which documents are read, where it goes and how fast.
    aside: ClassVar[frozenset[str]] = frozenset(
        {"sources", "media_types", "field", "into", "concurrency", "most_seconds", "labelled", "least_agreement"}
    )

    def decisive(self) -> str:
        """Everything of it that decides what is read out of a text."""
        return self.model_dump_json(exclude=set(self.aside) | {"model", "prompt"})

    def fields_of(self, name: str) -> tuple[str, ...]:
        """Metadata names that the entry of this name says something of."""
        raise NotImplementedError


class _ClassifyingSettings(CommonEnrichmentSettings):
    field: FieldName | None = None
    """Metadata field of the label; none: the name of the enrichment."""
    many: bool = False
    """Whether a document may have several of the labels; else it has the first or likeliest."""
    labelled: str | None = Field(default=None, min_length=1, max_length=4_096)
    """CSV file with the columns `uri` and `label`: what a person said of some documents; relative to this file."""
    least_agreement: float = Field(default=0.8, ge=0, le=1)
    """Share of these documents that must have the person's label; below it the check `labels_agree` turns yellow."""

    def fields_of(self, name: str) -> tuple[str, ...]:
        return (self.field or name,)


class RulesSettings(_ClassifyingSettings):
    """Labels by words that stand in a document."""

    kind: Literal["rules"] = "rules"
    """Kind of enrichment."""
    labels: dict[Label, Phrases] = Field(min_length=1, max_length=MOST_LABELS)
    """Words or phrases by label: one of them in title or text gives it, whatever the case of its letters."""


class NearestSettings(_ClassifyingSettings):
    """Labels by the nearest of some prototype texts, in the space of an embedding model of the pipeline."""

    kind: Literal["nearest"]
    """Kind of enrichment."""
    labels: dict[Label, Phrases] = Field(min_length=1, max_length=MOST_LABELS)
    """Prototype texts by label: a sentence or some that a document of that label might begin with."""
    model: ModelAlias | None = None
    """Alias of one of `embedding_models`; none: the one that is served."""
    threshold: float = Field(default=0.3, ge=-1, le=1)
    """Cosine similarity to the nearest prototype below which a label is not given."""
    most_chars: int = Field(default=2_000, ge=100, le=1_000_000)
    """Characters of the document's beginning that count; what the model cannot read of them does not."""


class _ChatSettings(CommonEnrichmentSettings):
    model: ModelAlias
    """Alias of one of `chat_models`."""
    prompt: str | None = Field(default=None, min_length=1, max_length=4_096)
    """File whose text says what the model is to do, instead of what it is told else; relative to this file."""
    concurrency: int = Field(default=4, ge=1, le=64)
    """Texts that the model reads at once."""
    most_seconds: float = Field(default=600, ge=1, le=86_400)
    """How long one run asks for; what is left is read by the next ones, and indexed without meanwhile."""


class _DocumentChatSettings(_ChatSettings):
    most_chars: int = Field(default=20_000, ge=100, le=10_000_000)
    """Characters of the document's beginning that the model reads."""


class ClassifySettings(_ClassifyingSettings, _DocumentChatSettings):
    """Labels by a chat model."""

    kind: Literal["classify"]
    """Kind of enrichment."""
    labels: dict[Label, Description] = Field(min_length=1, max_length=MOST_LABELS)
    """What each label means, by label; the model can say no other, or that none fits."""


class ExtractFieldSettings(Section):
    """One field that a chat model extracts."""

    type: Literal["text", "number", "integer", "boolean", "date"] = "text"
    """What its value is; a date is `YYYY-MM-DD`."""
    description: Description = ""
    """What it is, for the model."""
    values: tuple[Label, ...] = Field(default=(), max_length=MOST_LABELS)
    """Of a text: the only ones it may be; empty: any."""
    many: bool = False
    """Whether there may be several."""

    @model_validator(mode="after")
    def _only_texts_have_values(self) -> Self:
        if self.values and self.type != "text":
            raise ValueError(f"values are for type text, and this is {self.type}")
        return self


class ExtractSettings(_DocumentChatSettings):
    """Fields by a chat model: each becomes a metadata field of its name."""

    kind: Literal["extract"]
    """Kind of enrichment."""
    fields: dict[FieldName, ExtractFieldSettings] = Field(min_length=1, max_length=50)
    """What is extracted, by name."""

    def fields_of(self, name: str) -> tuple[str, ...]:  # noqa: ARG002 - each field has a name of its own
        return tuple(self.fields)


class SummariseSettings(_DocumentChatSettings):
    """A summary of each document by a chat model."""

    kind: Literal["summarise"]
    """Kind of enrichment."""
    into: Literal["metadata", "header"] = "metadata"
    """Where it goes: into a metadata field, or into the header of each chunk, where it is embedded and searched."""
    field: FieldName | None = None
    """Metadata field of the summary; none: the name of the enrichment."""
    most_answer_chars: int = Field(default=500, ge=50, le=2_000)
    """Longest summary, in characters; what the embedding model cannot read of it beside a chunk is left out."""

    def fields_of(self, name: str) -> tuple[str, ...]:
        return (self.field or name,) if self.into == "metadata" else ()

    @property
    def writes_header(self) -> bool:
        """Whether it is put into headers."""
        return self.into == "header"


class _ChunkChatSettings(_ChatSettings):
    """What a chat model writes of each chunk, put into the chunk's header."""

    @property
    def writes_header(self) -> bool:
        """Whether it is put into headers."""
        return True

    def fields_of(self, name: str) -> tuple[str, ...]:  # noqa: ARG002 - it says something of chunks alone
        return ()


class ContextSettings(_ChunkChatSettings):
    """A sentence by a chat model that situates each chunk in its document, put into the chunk's header."""

    kind: Literal["context"]
    """Kind of enrichment."""
    most_answer_chars: int = Field(default=300, ge=50, le=2_000)
    """Longest sentence, in characters; what the embedding model cannot read of it beside a chunk is left out."""


class QuestionsSettings(_ChunkChatSettings):
    """Questions that each chunk answers, by a chat model, put into the chunk's header."""

    kind: Literal["questions"]
    """Kind of enrichment."""
    most_questions: int = Field(default=3, ge=1, le=10)
    """How many questions there are at most."""
    most_answer_chars: int = Field(default=300, ge=50, le=2_000)
    """How long all of them may be together; what the embedding model cannot read of it beside a chunk is left out."""


class TranslateSettings(_ChunkChatSettings):
    """A translation of each chunk by a chat model, put into the chunk's header."""

    kind: Literal["translate"]
    """Kind of enrichment."""
    language: str = Field(pattern=r"^[a-z]{2}$")
    """Language that is translated into, as ISO 639-1 code; documents in it are not read."""
    most_answer_chars: int = Field(default=6_000, ge=50, le=100_000)
    """Longest translation, in characters; what the embedding model cannot read of it beside a chunk is left out."""


ENRICHMENT_KINDS: dict[str, type[CommonEnrichmentSettings]] = {
    "rules": RulesSettings,
    "nearest": NearestSettings,
    "classify": ClassifySettings,
    "extract": ExtractSettings,
    "summarise": SummariseSettings,
    "context": ContextSettings,
    "questions": QuestionsSettings,
    "translate": TranslateSettings,
}
WritingSettings = SummariseSettings | ContextSettings | QuestionsSettings | TranslateSettings


def _kind_of(value: Any) -> str:
    return str(value.get("kind", "rules") if isinstance(value, dict) else getattr(value, "kind", "rules"))


EnrichmentSettings = Annotated[
    Annotated[RulesSettings, Tag("rules")]
    | Annotated[NearestSettings, Tag("nearest")]
    | Annotated[ClassifySettings, Tag("classify")]
    | Annotated[ExtractSettings, Tag("extract")]
    | Annotated[SummariseSettings, Tag("summarise")]
    | Annotated[ContextSettings, Tag("context")]
    | Annotated[QuestionsSettings, Tag("questions")]
    | Annotated[TranslateSettings, Tag("translate")],
    Discriminator(_kind_of),
]


def writes_header_of(entry: CommonEnrichmentSettings, source: str, media_type: str) -> bool:
    """Whether chunks of such documents get into their header what an entry writes."""
    return (
        getattr(entry, "writes_header", False)
        and (not entry.sources or source in entry.sources)
        and (not entry.media_types or media_type in entry.media_types)
    )


def _check_headers(enrichments: dict[str, Any]) -> None:
    """Raise ValueError where two entries of one kind write the headers of chunks."""
    writers: dict[str, str] = {}
    for name, entry in enrichments.items():
        if getattr(entry, "writes_header", False):
            first = writers.setdefault(entry.kind, name)
            if first != name:
                raise ValueError(f"enrichments.{name}: a header has one {entry.kind}, and enrichments.{first} gives it")


def check_enrichments(
    enrichments: dict[str, Any], sources: dict[str, Any], embedding_models: dict[str, Any], chat_models: dict[str, Any]
) -> None:
    """What one entry alone cannot tell.

    Raises:
        ValueError: An entry names a model or source that there is not, two say something of one field, or two write
            the header of chunks.
    """
    owner: dict[str, str] = {}
    _check_headers(enrichments)
    for name, entry in enrichments.items():
        models = chat_models if isinstance(entry, _ChatSettings) else embedding_models
        what = "a chat model; chat_models" if isinstance(entry, _ChatSettings) else "an embedding model; allowed"
        model = getattr(entry, "model", None)
        if model is not None and model not in models:
            listed = ", ".join(sorted(models)) or "none is listed"
            raise ValueError(f"enrichments.{name}.model: {model!r} is not {what}: {listed}")
        for source in entry.sources:
            if source not in sources:
                allowed = ", ".join(sorted(sources))
                raise ValueError(f"enrichments.{name}.sources: {source!r} is not a source; allowed: {allowed}")
        for field in entry.fields_of(name):
            if field in owner:
                raise ValueError(f"enrichments.{name} and enrichments.{owner[field]} both fill {field!r}; rename one")
            owner[field] = name
