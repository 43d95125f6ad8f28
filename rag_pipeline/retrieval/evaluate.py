"""Ask every question of one version of an index, in every mode, as the askers would.

Belongs here: which hit answers which question, leaks, latency.
Does not belong here: the arithmetic (`transforms/metrics.py`), keeping results and gates (`refresh/evaluation.py`).

The outcome depends on the version of the table, the questions and the plan's fingerprint alone; only latency varies.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING

from rag_pipeline.contracts.evaluation import ExpectedDocument, Question, QuestionResult
from rag_pipeline.contracts.filters import Filter, among
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.retrieval.addresses import Addresses
from rag_pipeline.retrieval.candidates import Candidates, best_row_of_each, find_candidates
from rag_pipeline.retrieval.fit import mode_at
from rag_pipeline.retrieval.groups import groups_of
from rag_pipeline.retrieval.hits import Hit
from rag_pipeline.retrieval.plan import MAX_HITS, MODES, SearchPlan
from rag_pipeline.retrieval.ranked import Ranked
from rag_pipeline.retrieval.ranking import Circumstances, ranked_hits
from rag_pipeline.retrieval.rerank import Reader, Reading
from rag_pipeline.retrieval.supersession import read_successions
from rag_pipeline.stores.selection import Selection, first_rows, rows_with
from rag_pipeline.stores.vectors import VectorTable
from rag_pipeline.transforms.freshness import content_age
from rag_pipeline.transforms.metrics import ndcg_at, recall_at, reciprocal_rank_at

if TYPE_CHECKING:
    from rag_pipeline.embedding.vectors import Vectors

# Enough to see what came instead.
FOUND_SHOWN = 5
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


CanonicalDocuments = Callable[[Iterable[str]], Iterable[str]]
# A score for each text, from a question and the texts.
Score = Callable[[str, Sequence[str]], Sequence[float | None]]


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """A document of silver.

    Attributes:
        stands_for: The document whose equal copy is in the index, mostly itself.
        input_key: What it was parsed from; empty: not known.
    """

    document_id: str
    uri: str
    stands_for: str
    input_key: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """Results of all questions in all modes, how long each hybrid search took, and reranking alone.

    Attributes:
        groups: By question, what it belongs to: languages and sources of its answers, its own language.
    """

    results: tuple[QuestionResult, ...]
    latencies_ms: tuple[float, ...]
    rerank_seconds: tuple[float, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A question with what would answer it in this table; `reason` says why it cannot be judged."""

    documents: list[frozenset[str]]
    quotes: list[str | None]
    reason: str | None
    can_judge_spans: bool
    is_stale: bool


def evaluate(
    table: VectorTable,
    embed_query: Callable[[str], Vectors],
    questions: Sequence[Question],
    known: Iterable[KnownDocument] = (),
    canonical: CanonicalDocuments = lambda _: (),
    *,
    plan: SearchPlan,
    letters_per_token: Callable[[str], float] = lambda _: math.inf,
    score: Score | None = None,
    scales: Sequence[float] = (),
) -> Answers:
    """Ask all questions of a table as it was opened.

    Args:
        embed_query: Of the model whose space the table is in.
        known: Documents of silver: an expected document that is left out as a copy counts where its copy is found.
        canonical: Documents that keep the boilerplate left out of given ones: a quote counts where it is kept.
        plan: How is searched; its `k` hits count, and every mode is asked for.
        letters_per_token: Of a question, as that model cuts it.
        score: The reranking model of the plan's recipe.
        scales: Other weights of the vector retriever that mode hybrid is tried with, for a fit.
    """
    corpus = _Corpus(table, known, canonical)
    results: list[QuestionResult] = []
    latencies: list[float] = []
    reading: list[float] = []
    groups: dict[str, tuple[str, ...]] = {}
    asking = _Asking(table, embed_query, letters_per_token, replace(plan, mode="hybrid"), corpus.newest)
    with asking.threads:
        if questions:
            # Weights and index files are loaded by the first search; that is no reader's latency.
            asking.ask(questions[0])
        for question in questions:
            started = time.perf_counter()
            candidates, around = asking.ask(question)
            if score is not None:
                around = replace(around, read=_once(score, question.question, reading))
            ranked_hits(candidates, asking.plan, around)
            latencies.append((time.perf_counter() - started) * 1_000)
            judged = corpus.judge(question)
            groups[question.id] = corpus.groups_of(question, judged)
            for mode in MODES:
                hits = _hits(candidates, replace(plan, mode=mode), around)
                results.append(_result(corpus, question, judged, mode, hits, plan.k))
            for scale in scales:
                other = replace(asking.plan, recipe=replace(plan.recipe, vector_scale=scale))
                hits = _hits(candidates, other, around)
                results.append(_result(corpus, question, judged, mode_at(scale), hits, plan.k))
    return Answers(tuple(results), tuple(latencies), tuple(reading), groups)


def _once(score: Score, question: str, seconds: list[float]) -> Reader:
    """Reads the texts of one question once, however often they are ranked; how long it took goes into `seconds`."""
    known: dict[str, float | None] = {}

    def read(texts: Sequence[str]) -> Reading:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            started = time.perf_counter()
            known.update(zip(new, score(question, new), strict=True))
            seconds.append(time.perf_counter() - started)
        return Reading([known[text] for text in texts])

    return read


class _Asking:
    """Asks questions of one table as readers ask it; `plan` is of mode hybrid, whose candidates serve all modes."""

    def __init__(
        self,
        table: VectorTable,
        embed_query: Callable[[str], Vectors],
        letters_per_token: Callable[[str], float],
        plan: SearchPlan,
        now: datetime,
    ) -> None:
        self.threads = ThreadPoolExecutor(2)
        self.plan = plan
        self._table = table
        self._embed_query = embed_query
        self._letters_per_token = letters_per_token
        self._now = now
        self._successions = read_successions(table, plan.rules)

    def ask(self, question: Question) -> tuple[Candidates, Circumstances]:
        """Candidates of both retrievers, and what ranking them needs."""
        text = question.question
        chosen = Filter(frozenset({*question.principals, PUBLIC}))
        embed = cache(lambda: self._embed_query(text))

        def best_rows(document_ids: Sequence[str]) -> dict[str, Ranked]:
            few = Selection(self._table, among(chosen, document_ids))
            rows = best_row_of_each(self.threads, few, embed, text, self.plan)
            return {name: Ranked(row, 0.0) for name, row in rows.items()}

        candidates = find_candidates(self.threads, Selection(self._table, chosen), embed, text, self.plan)
        versions = self._successions.seen_by(chosen.principals)
        letters = partial(self._letters_per_token, text)
        return candidates, Circumstances(text, letters, now=self._now, versions=versions, best_rows=best_rows)


def _hits(candidates: Candidates, plan: SearchPlan, around: Circumstances) -> list[Hit]:
    """All hits of one mode; ranks are looked at beyond `k`."""
    needed: Candidates = {
        retriever: rows if retriever in plan.retrievers else [] for retriever, rows in candidates.items()
    }
    return ranked_hits(needed, replace(plan, k=min(MAX_HITS, 2 * plan.depth)), around)


def _result(corpus: _Corpus, question: Question, judged: _Judged, mode: str, hits: list[Hit], k: int) -> QuestionResult:
    """Figures of one question; ranks reach beyond k, figures do not."""
    # Copies of one document are one document: a reader sees the one they may see.
    first: dict[str, int] = {}
    rank = 0
    for hit in hits:
        names = {corpus.name_of(document) for document in _documents(hit)}
        rank += names.isdisjoint(first)
        first |= {name: rank for name in names if name not in first}
    wanted = dict.fromkeys(frozenset(corpus.name_of(d) for d in documents) for documents in judged.documents)
    document_ranks = [min((first[n] for n in names if n in first), default=None) for names in wanted]
    span_ranks = [_span_rank(hits, *pair) for pair in zip(judged.documents, judged.quotes, strict=True)]
    scored = bool(question.expected) and not judged.is_stale
    ranks = document_ranks if scored else []
    spans = span_ranks if scored and judged.can_judge_spans else []
    asker = {*question.principals, PUBLIC}
    return QuestionResult(
        question_id=question.id,
        question_hash=question.question_hash,
        question=question.question,
        kind=question.kind,
        mode=mode,
        status="scored" if scored else "stale" if question.expected else "no-answer",
        reason=judged.reason,
        document_rank=_best(ranks),
        span_rank=_best(spans),
        recall=recall_at(ranks, k) if ranks else None,
        mrr=reciprocal_rank_at(ranks, k) if ranks else None,
        ndcg=ndcg_at(ranks, k) if ranks else None,
        span_recall=recall_at(spans, k) if spans else None,
        span_mrr=reciprocal_rank_at(spans, k) if spans else None,
        span_ndcg=ndcg_at(spans, k) if spans else None,
        leaks=sum(not asker & corpus.readers.get(name, frozenset()) for hit in hits for name in _documents(hit)),
        found=tuple(dict.fromkeys(hit.uri for hit in hits))[:FOUND_SHOWN],
    )


def _documents(hit: Hit) -> list[str]:
    """The documents that a hit shows: its own, and those whose texts are nearly the same."""
    return [hit.document_id, *(place.document_id for place in hit.elsewhere)]


def _best(ranks: Sequence[int | None]) -> int | None:
    return min((rank for rank in ranks if rank is not None), default=None)


def _span_rank(hits: list[Hit], documents: frozenset[str], quote: str | None) -> int | None:
    for hit in hits:
        if not documents.isdisjoint(_documents(hit)) and (quote is None or quote in normalised(hit.text)):
            return hit.rank
    return None


def normalised(text: str) -> str:
    """Text with every run of white space as one space: line breaks are layout."""
    return " ".join(text.split())


class _Corpus:
    """The documents of one table: where they are, who may read them, what they say.

    Attributes:
        readers: Principals by document, from a plain scan: no index and no filter has a part in it.
    """

    def __init__(self, table: VectorTable, known: Iterable[KnownDocument], canonical: CanonicalDocuments) -> None:
        self._table = table
        self._canonical = canonical
        # Every document has exactly one first chunk.
        columns = ["document_id", "uri", "allowed_principals", "source_modified_at", "source", "language"]
        first = first_rows(table, columns)
        # What age is counted from, so that an evaluation does not hang on the day it is made.
        self.newest = content_age(first["source_modified_at"], datetime.now(UTC)).newest or _NO_TIME
        self._kinds = {row[0]: row[1:] for row in first.select("document_id", "source", "language").rows()}
        rows = first.select("document_id", "uri", "allowed_principals").rows()
        self.readers = {document: frozenset(principals) for document, _, principals in rows}
        known = list(known)
        self._inputs = {document.document_id: document.input_key for document in known}
        self._names = {document.document_id: document.stands_for for document in known}
        self._copies: dict[str, set[str]] = {}
        for document in self.readers:
            self._copies.setdefault(self.name_of(document), set()).add(document)
        self._addresses = Addresses([*((row[0], row[1]) for row in rows), *((d.document_id, d.uri) for d in known)])
        self._text = lru_cache(maxsize=1_024)(self._read_text)

    def name_of(self, document_id: str) -> str:
        """One name for a document and its equal copies."""
        return self._names.get(document_id, document_id)

    def groups_of(self, question: Question, judged: _Judged) -> tuple[str, ...]:
        """What a question's figures are looked at by, apart from all questions together."""
        kinds = [self._kinds[document] for documents in judged.documents for document in documents]
        return groups_of(question.question, kinds)

    def judge(self, question: Question) -> _Judged:
        """What would answer a question here."""
        asker = {*question.principals, PUBLIC}
        documents: list[frozenset[str]] = []
        for expected in question.expected:
            there = self._matching(expected)
            readable = frozenset(document for document in there if self.readers[document] & asker)
            if not readable:
                why = "its askers may not read" if there else "not in the index:"
                return _Judged([], [], f"{why} {expected.address}", can_judge_spans=False, is_stale=True)
            documents.append(readable)
        quotes = [None if expected.quote is None else normalised(expected.quote) for expected in question.expected]
        lost: list[str] = []
        for at, quote in enumerate(quotes):
            if quote is None or any(quote in self._text(document) for document in documents[at]):
                continue
            kept = {document for document in self._canonical(documents[at]) if document in self.readers}
            kept = {document for document in kept if self.readers[document] & asker and quote in self._text(document)}
            documents[at] |= kept
            lost += [] if kept else [quote]
        reason = f"its document no longer says: {lost[0]}" if lost else None
        if not lost or question.synthetic is None:
            return _Judged(documents, quotes, reason, any(quotes) and not lost, is_stale=False)
        if self._comes_from(question):
            # The source says what it said; that no chunk says it is a loss, and counts as one.
            return _Judged(documents, quotes, reason, can_judge_spans=True, is_stale=False)
        return _Judged([], [], f"its source text changed: {reason}", can_judge_spans=False, is_stale=True)

    def _comes_from(self, question: Question) -> bool:
        """Whether all documents that a question expects are parsed from what it was made from."""
        assert question.synthetic is not None
        inputs = question.synthetic.inputs
        if len(inputs) != len(question.expected):
            return False
        there = [self._matching(expected) for expected in question.expected]
        pairs = zip(inputs, there, strict=True)
        return all(made_from in {self._inputs.get(document) for document in names} for made_from, names in pairs)

    def _matching(self, expected: ExpectedDocument) -> frozenset[str]:
        named = self._addresses.of(expected)
        return frozenset().union(*(self._copies.get(self.name_of(document), set()) for document in named))

    def _read_text(self, document_id: str) -> str:
        columns = ["start_char", "end_char", "header_chars", "embedded_text"]
        rows = rows_with(self._table, "document_id", [document_id], columns).sort("start_char")
        parts: list[str] = []
        end = -1
        for start, stop, header, text in rows.iter_rows():
            parts += ["" if start == end else " ", text[header:]]
            end = stop
        return normalised("".join(parts))


def latency_of(answers: Answers) -> Mapping[str, float | None]:
    """p50 and p95 of a hybrid search in milliseconds."""
    from rag_pipeline.transforms.metrics import percentile

    return {f"latency_p{round(share * 100)}_ms": percentile(answers.latencies_ms, share) for share in (0.5, 0.95)}
