"""What is asked in an evaluation, how each question came out, and the two tables that keep it.

Belongs here: questions, results and figures as plain values, with the tables they are stored in.
Does not belong here: the arithmetic (`transforms/metrics.py`) or running searches (`retrieval/evaluate.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal, get_args

import polars as pl

from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.table import Column, RowRule, TableContract
from rag_pipeline.contracts.tables import UTC_TIME

# Raise it with any change to search or to the figures: results of two versions do not compare. It stands here so that
# whoever asks for it loads no search.
EVALUATOR_VERSION = "5"
Status = Literal["scored", "stale", "no-answer"]
# What a person said of a question that a program wrote.
Standing = Literal["open", "confirmed", "dropped"]
STANDINGS: tuple[Standing, ...] = get_args(Standing)
METRIC_NAMES = ("recall", "mrr", "ndcg", "span_recall", "span_mrr", "span_ndcg")


@dataclass(frozen=True, slots=True)
class ExpectedDocument:
    """A document that answers a question; exactly one of the three addresses is given.

    Attributes:
        uri_suffix: End of its uri, whole path segments.
        quote: Words of the document that hold the answer; white space is not compared.
    """

    uri_suffix: str | None = None
    uri: str | None = None
    document_id: str | None = None
    quote: str | None = None

    @property
    def address(self) -> str:
        """The address that was given."""
        return self.uri_suffix or self.uri or self.document_id or ""


@dataclass(frozen=True, slots=True)
class Synthetic:
    """Where a question comes from that a program wrote.

    Attributes:
        generator, verifier: What wrote it and what checked it, with their versions.
        made_on: Day, UTC, like 2026-03-01.
        readable_by: Who could read all of its source texts then.
        inputs: What each expected document was parsed from (`input_key` of silver/documents), in their order: it tells
            a source that changed from a text that was lost on the way.
        standing: `open` until a person says something else of it.
    """

    generator: str
    verifier: str
    made_on: str
    readable_by: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    standing: Standing = "open"


@dataclass(frozen=True, slots=True)
class Question:
    """One question of an evaluation, asked on behalf of `principals`.

    Attributes:
        expected: Documents that answer it; none: nothing may answer it, and it only serves as a leak check.
        kind: A label for people, like `fact` or `how-to`.
        synthetic: A program wrote it; None: a person did.
    """

    id: str
    question: str
    expected: tuple[ExpectedDocument, ...]
    principals: tuple[str, ...]
    kind: str = ""
    synthetic: Synthetic | None = None

    @property
    def is_confirmed(self) -> bool:
        """Whether a person wrote it or agreed to it."""
        return self.synthetic is None or self.synthetic.standing == "confirmed"

    @property
    def question_hash(self) -> str:
        """16 hex digits; equal for equal questions with equal answers and askers, in whatever order these stand."""
        answers = sorted(json.dumps([e.uri_suffix, e.uri, e.document_id, e.quote]) for e in self.expected)
        made_of = () if self.synthetic is None else ("synthetic", *self.synthetic.inputs)
        return digest("question", self.id, self.question, *answers, "", *sorted(set(self.principals)), *made_of)[:16]


@dataclass(frozen=True, slots=True)
class QuestionResult:
    """How one question came out in one search mode: a row of gold/question_results.

    Attributes:
        status: `scored`; `stale`, when an expected document is not there or not readable any more; `no-answer`.
        reason: Why it is stale, or why no span could be judged.
        document_rank: Place of the first expected document among distinct documents, from 1; may lie beyond k.
        span_rank: Place of the first chunk that holds an expected quote, from 1; may lie beyond k.
        recall, mrr, ndcg: At k, on documents; None unless scored.
        span_recall, span_mrr, span_ndcg: At k, on chunks that hold the quotes; None where there are no quotes.
        leaks: Hits that the asker may not read.
        found: Uris of the first distinct documents, best first.
    """

    question_id: str
    question_hash: str
    question: str
    kind: str
    mode: str
    status: Status
    reason: str | None
    document_rank: int | None
    span_rank: int | None
    recall: float | None
    mrr: float | None
    ndcg: float | None
    span_recall: float | None
    span_mrr: float | None
    span_ndcg: float | None
    leaks: int
    found: tuple[str, ...]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> QuestionResult:
        """From a row of the table, or from JSON."""
        values = {field.name: record[field.name] for field in fields(cls)}
        return cls(**values | {"found": tuple(values["found"])})

    def row(self, evaluation_id: str) -> dict[str, Any]:
        """As it stands in the table."""
        return {"evaluation_id": evaluation_id, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Metrics:
    """Means over the questions that could be scored, in one search mode; None where there are none.

    Attributes:
        questions: Questions scored on documents.
        spans: Questions scored on spans.
    """

    mode: str
    questions: int
    spans: int
    recall: float | None
    mrr: float | None
    ndcg: float | None
    span_recall: float | None
    span_mrr: float | None
    span_ndcg: float | None


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """A row of gold/evaluations: figures of one version on one set of questions. The contract says what each column is.

    Attributes:
        metrics: By search mode, then by group of questions; structs in the table.
        is_confirmed: False: of synthetic questions that no person confirmed; None: older than these.
    """

    evaluation_id: str
    audit_id: str
    alias: str
    space_fingerprint: str
    table_name: str
    table_version: int
    questions_hash: str
    evaluator_fingerprint: str
    k: int
    questions: int
    scored: int
    stale: int
    unanswerable: int
    leaks: int
    metrics: tuple[Metrics, ...]
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    evaluated_at: datetime
    run_id: str
    is_confirmed: bool | None = True

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> EvaluationRow:
        """From a row of the table."""
        return cls(**{**row, "metrics": tuple(Metrics(**one) for one in row["metrics"])})

    def row(self) -> dict[str, Any]:
        """As it stands in the table."""
        return {**asdict(self), "metrics": [asdict(one) for one in self.metrics]}


def _text(doc: str, *, nullable: bool = False) -> Column:
    return Column(pl.String(), doc, nullable)


def _count(doc: str, *, nullable: bool = False) -> Column:
    return Column(pl.Int64(), doc, nullable)


def _number(doc: str, *, nullable: bool = True) -> Column:
    return Column(pl.Float64(), doc, nullable)


_METRICS = pl.List(
    pl.Struct(
        {"mode": pl.String(), "questions": pl.Int64(), "spans": pl.Int64()} | dict.fromkeys(METRIC_NAMES, pl.Float64())
    )
)

EVALUATIONS = TableContract(
    layer="gold",
    name="evaluations",
    doc="One row per evaluation of one audited version of an index table on one set of questions; append-only.",
    key=("evaluation_id",),
    columns={
        "evaluation_id": _text("Digest of what was evaluated, on which questions and how."),
        "audit_id": _text("Audit that the evaluated version passed."),
        "alias": _text("Embedding model's name in pipeline.yaml."),
        "space_fingerprint": _text("Embedding space of the table."),
        "table_name": _text("Index table."),
        "table_version": _count("Version that was evaluated."),
        "questions_hash": _text("Digest of the questions; figures of different sets do not compare."),
        "evaluator_fingerprint": _text("How it was evaluated: version, k and the parameters of search."),
        "k": _count("Hits that count."),
        "questions": _count("Questions asked."),
        "scored": _count("Questions that count in the figures."),
        "stale": _count("Questions left out: an expected document is not there, or not readable by the asker."),
        "unanswerable": _count("Questions that nothing may answer; leak checks only."),
        "leaks": _count("Hits over all questions and modes that the asker may not read."),
        "metrics": Column(
            _METRICS,
            "Recall, MRR and nDCG at k by search mode, on documents and on quoted spans; then the same by language and "
            "source of the answers and by language of the questions, where there are several: `hybrid, language de`.",
        ),
        "latency_p50_ms": _number("Median time of a hybrid search, embedding the query included."),
        "latency_p95_ms": _number("95th percentile of the same."),
        "evaluated_at": Column(UTC_TIME, "When."),
        "run_id": _text("Run that evaluated."),
        "is_confirmed": Column(
            pl.Boolean(),
            "False: of synthetic questions that no person confirmed, which decide nothing; null: older than these.",
            nullable=True,
            later=True,
        ),
    },
)

QUESTION_RESULTS = TableContract(
    layer="gold",
    name="question_results",
    doc="One row per question and search mode of each evaluation, so that a change can be read question by question.",
    key=("evaluation_id", "question_id", "mode"),
    columns={
        "evaluation_id": _text("Evaluation it belongs to."),
        "question_id": _text("Id in the file of questions."),
        "question_hash": _text("Digest of question, expected answers and askers."),
        "question": _text("What was asked."),
        "kind": _text("Label from the file of questions."),
        "mode": _text("hybrid, vector or text."),
        "status": _text("scored, stale or no-answer."),
        "reason": _text("Why it is stale, or why no span could be judged.", nullable=True),
        "document_rank": _count("Rank of the first expected document among distinct documents.", nullable=True),
        "span_rank": _count("Rank of the first chunk that holds an expected quote.", nullable=True),
        "recall": _number("Share of the expected documents among the first k."),
        "mrr": _number("One over document_rank, 0 beyond k."),
        "ndcg": _number("nDCG at k on documents."),
        "span_recall": _number("Share of the expected quotes among the first k chunks."),
        "span_mrr": _number("One over span_rank, 0 beyond k."),
        "span_ndcg": _number("nDCG at k on chunks that hold an expected quote."),
        "leaks": _count("Hits that the asker may not read."),
        "found": Column(pl.List(pl.String()), "Uris of the first distinct documents, best first."),
    },
    rules=(
        RowRule(
            "scored_has_figures",
            (pl.col("status") == "scored") == pl.col("ndcg").is_not_null(),
            "a question has figures exactly when it is scored",
        ),
    ),
)
