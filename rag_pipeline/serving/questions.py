"""What may be asked of the API, and its answers: the models that OpenAPI shows.

Belongs here: fields with their bounds and examples, and a request as arguments of a search.
Does not belong here: answering (`service.py`), routes (`api.py`).
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rag_pipeline.contracts.feedback import Verdict
from rag_pipeline.contracts.filters import Filter, parse_condition, parse_moment
from rag_pipeline.contracts.modes import Mode
from rag_pipeline.errors import BadRequest
from rag_pipeline.settings.types import SourceName

# A page of text; a question is a line or two.
MOST_QUESTION_CHARS = 4_000
MOST_COMMENT_CHARS = 2_000
MOST_VALUE_CHARS = 1_000
MOST_VALUES = 100

Value = Annotated[str, Field(min_length=1, max_length=MOST_VALUE_CHARS)]
Values = Annotated[list[Value], Field(max_length=MOST_VALUES)]
_ASKED = "how do I restore a backup?"


class Question(BaseModel):
    """A request's body: no field but its own."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    view_as: Values | None = Field(default=None, examples=[["public"]])
    """For administrators: answer as if they had these of their own principals alone."""


class Limited(Question):
    """What is asked, and what else must hold of what is found."""

    query: str = Field(min_length=1, max_length=MOST_QUESTION_CHARS, pattern=r"\S", examples=[_ASKED])
    """What is asked, in plain words."""
    mode: Mode = "hybrid"
    """`vector` finds by meaning, `text` by words, `hybrid` by both."""
    sources: Values | None = None
    """Only these sources."""
    filters: Values = Field(default_factory=list)
    """What a document's own metadata must say: `status=Final`, `year>=2020`, `status in Draft,Final`, `status`."""
    paths: Values | None = Field(default=None, examples=[["**/*.md"]])
    """Only addresses that end like one of these globs."""
    languages: Values | None = Field(default=None, examples=[["en"]])
    """Only documents of these languages."""
    media_types: Values | None = Field(default=None, examples=[["text/markdown"]])
    """Only documents of these media types."""
    since: Value | None = Field(default=None, examples=["3y"])
    """Only what was modified since: `30d`, `12h`, `2026-03-01`."""
    before: Value | None = Field(default=None, examples=["2030-01-01"])
    """Only what was modified before."""
    min_quality: float | None = Field(default=None, ge=0, le=1)
    """Only documents of this quality."""

    def limits(self, *, with_sources: bool = False) -> Filter:
        """The same as a filter, without who asks; a search takes sources beside it.

        Raises:
            BadRequest: A condition or a time is none.
        """
        now = datetime.now(UTC)
        try:
            return Filter(
                frozenset(),
                sources=_listed(self.sources) if with_sources else None,
                media_types=_listed(self.media_types),
                languages=_listed(None if self.languages is None else [code.lower() for code in self.languages]),
                paths=_listed(self.paths),
                modified_after=None if self.since is None else parse_moment(self.since, now),
                modified_before=None if self.before is None else parse_moment(self.before, now),
                least_quality=self.min_quality,
                conditions=tuple(map(parse_condition, self.filters)),
            )
        except ValueError as error:
            raise BadRequest(str(error)) from error


class SearchQuestion(Limited):
    """What is searched."""

    k: int = Field(default=10, ge=1, le=10_000)
    """Most hits; the server has a bound of its own, `serving.max_hits`."""
    per_document: int | None = Field(default=None, ge=1, le=10_000)
    """So many hits of one document before any more of it."""
    diversity: float = Field(default=0.0, ge=0, le=1)
    """How much a hit counts less for words that better hits have already."""
    rerank: bool = True
    """Let the reranking model read, where one is published."""
    as_of: Value | None = None
    """Search what readers had then, where it is kept, with the permissions of today: `2026-03-01`, `3d`."""
    space: Value | None = None
    """Search the index of another embedding model, one of `embedding_models` of `/v1/sources`; not beside `as_of`."""

    def arguments(self) -> dict[str, Any]:
        """The same as keyword arguments of a search, without who asks.

        Raises:
            BadRequest: A condition or a time is none.
        """
        return {
            "query": self.query,
            "k": self.k,
            "mode": self.mode,
            "sources": self.sources,
            "limits": self.limits(),
            "per_document": self.per_document,
            "diversity": self.diversity,
            "rerank": self.rerank,
            "as_of": moment_of(self.as_of),
            "space": self.space,
        }


class AskQuestion(Limited):
    """What is to be answered."""

    k: int | None = Field(default=None, ge=1, le=100)
    """Hits that the answer is made from; none: as `answers` in pipeline.yaml says."""
    stream: bool = True
    """Send the answer as it is written, as server-sent events; else at once, as JSON."""


class ExplainQuestion(SearchQuestion):
    """A search, and a document to be told of."""

    document: Value | None = Field(default=None, examples=["backup.md"])
    """Its id, its address or the end of it; none: the hits alone."""


class WindowQuestion(Question):
    """The text around a chunk."""

    chunk_id: Value = Field(examples=["0f" * 16])
    """As a hit names it."""
    max_tokens: int = Field(default=1_000, ge=1, le=1_000_000)
    """Budget; the server has a bound of its own, `serving.max_window_tokens`."""
    by: Literal["section", "tokens"] = "section"
    """Whether the text ends with the section of the chunk."""


class RemarkedAnswer(BaseModel):
    """An answer that something is said of, by what `/v1/ask` told of it."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    chunk_ids: list[Value] = Field(max_length=MOST_VALUES)
    """`chunk_id` of each of its citations; an empty list where it cites nothing."""
    plan_fingerprint: str = Field(pattern=r"^[0-9a-f]{16}$", examples=["5b3a9c0f1d2e4876"])
    """Its `plan_fingerprint`."""
    model: Value
    """Its `model`."""


class FeedbackQuestion(Question):
    """What the caller says of a hit, or of an answer: either `chunk_id` or `answer` is given."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": _ASKED, "chunk_id": "0f" * 16, "rank": 1, "verdict": "up", "comment": "says it all"},
                {
                    "query": _ASKED,
                    "answer": {"chunk_ids": ["0f" * 16], "plan_fingerprint": "5b3a9c0f1d2e4876", "model": "local"},
                    "verdict": "down",
                    "comment": "the steps are of the old version",
                },
            ]
        }
    )

    query: str = Field(min_length=1, max_length=MOST_QUESTION_CHARS, pattern=r"\S", examples=[_ASKED])
    """What was searched or asked."""
    mode: Mode = "hybrid"
    """How."""
    chunk_id: Value | None = None
    """The hit."""
    answer: RemarkedAnswer | None = None
    """The answer."""
    rank: int | None = Field(default=None, ge=1, le=10_000)
    """Place of the hit."""
    verdict: Verdict
    """`up`: it answers the question; `down`: it does not."""
    comment: str = Field(default="", max_length=MOST_COMMENT_CHARS)
    """In the caller's own words."""

    @model_validator(mode="after")
    def _is_on_one_thing(self) -> Self:
        if (self.chunk_id is None) == (self.answer is None):
            raise ValueError("say either chunk_id, of a hit, or answer")
        if self.answer is not None and self.rank is not None:
            raise ValueError("rank is the place of a hit; an answer has none")
        return self


class FeedbackAnswer(BaseModel):
    """That it was kept."""

    feedback_id: str


class HintQuestion(BaseModel):
    """What is worth a look now; no more is said, since the sources themselves say what changed."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    sources: list[SourceName] = Field(min_length=1, max_length=MOST_VALUES, examples=[["handbook"]])
    """Their names, as in pipeline.yaml."""
    addresses: list[Value] | None = Field(default=None, max_length=MOST_VALUES, examples=[["rota/may.md"]])
    """Of the objects that changed, below the location of the one source that is named; none: all of it is looked at."""

    @model_validator(mode="after")
    def _are_of_one_source(self) -> Self:
        if self.addresses and len(set(self.sources)) != 1:
            raise ValueError("addresses are those of one source; name that one alone")
        return self


class HintAnswer(BaseModel):
    """The sources that are looked at by the next run, which the pipeline asks for within seconds."""

    sources: list[str] = Field(examples=[["handbook"]])


class FoundPlace(BaseModel):
    """Another place that has the text of a hit, or a newer version of its document."""

    document_id: str
    uri: str
    chunk_id: str | None = None
    title: str | None = None


class FoundHit(BaseModel):
    """One chunk that was found; the Python class `Hit` says what each field is."""

    rank: int
    score: float
    chunk_id: str
    document_id: str
    source: str
    uri: str
    title: str | None
    section_path: list[str]
    text: str
    page: int | None
    line: int | None
    start_char: int
    end_char: int
    token_count: int
    media_type: str
    allowed_principals: list[str]
    source_modified_at: datetime | None
    vector_rank: int | None
    vector_distance: float | None
    text_rank: int | None
    text_score: float | None
    vector_weight: float | None
    rank_weight: float
    published_at: datetime
    source_polled_at: datetime | None
    source_overdue: bool | None
    elsewhere: list[FoundPlace]
    rerank_score: float | None
    rerank_note: str | None
    superseded_by: list[FoundPlace]
    age_weight: float
    at_source: str | None
    raised_above: str | None
    citation: str


class SearchAnswer(BaseModel):
    """Hits, best first."""

    hits: list[FoundHit]


class Told(BaseModel):
    """What became of one document in a search."""

    reason: str
    sentence: str
    uri: str | None
    document_id: str | None
    hit: FoundHit | None
    conditions: list[str]
    into: str | None


class ExplainAnswer(SearchAnswer):
    """Hits, and what became of the document that was asked about."""

    documents: list[Told]


class LineageAnswer(BaseModel):
    """Where a chunk came from: from its source to the publication that it was read in."""

    source: str
    source_polled_at: datetime | None
    source_overdue: bool | None
    source_modified_at: datetime | None
    uri: str
    document_id: str
    chunk_id: str
    start_char: int
    end_char: int
    published_at: datetime


class WindowAnswer(BaseModel):
    """The text around a chunk, and where the chunk stands in it (code points, half-open)."""

    chunk_id: str
    document_id: str
    uri: str
    title: str | None
    citation: str
    page: int | None
    line: int | None
    media_type: str
    text: str
    chunk_start: int
    chunk_end: int
    token_count: int
    lineage: LineageAnswer


class SourceAnswer(BaseModel):
    """One source, with what the caller may read of it."""

    source: str
    documents: int
    chunks: int
    newest_modified_at: datetime | None
    polled_at: datetime | None
    is_overdue: bool | None
    languages: list[str]
    media_types: list[str]


class SourcesAnswer(BaseModel):
    """Sources of which the caller may read anything, and what is published."""

    sources: list[SourceAnswer]
    embedding_model: str
    embedding_models: list[str]
    published_at: datetime


class CallerAnswer(BaseModel):
    """Who asks, as the server understands it."""

    name: str
    principals: list[str]
    is_administrator: bool
    answers: bool


class Problem(BaseModel):
    """A problem as RFC 9457 describes it; `code` is stable, and docs/errors.md lists it."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str


def moment_of(text: str | None) -> datetime | date | None:
    """A time as it was typed; a day alone stays a day.

    Raises:
        BadRequest: It is none.
    """
    if text is None:
        return None
    try:
        found = parse_moment(text, datetime.now(UTC))
    except ValueError as error:
        raise BadRequest(str(error)) from error
    is_day = len(text.strip()) in (len("2026-03-01"), len("20260301")) and found.time() == datetime.min.time()
    return found.date() if is_day else found


def _listed(values: list[str] | None) -> tuple[str, ...] | None:
    """No values are no limit."""
    return tuple(values) if values else None
