"""What a question is answered from: windows around the best hits that its asker may read, up to a budget.

Belongs here: which texts, in which order, from one published version.
Does not belong here: finding and permissions (`retrieval/search.py`), the words of the prompt (`prompt.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rag_pipeline.answering.answer import Citation
from rag_pipeline.contracts.documents import place_named
from rag_pipeline.contracts.filters import Filter
from rag_pipeline.contracts.ids import fingerprint
from rag_pipeline.contracts.log_rows import Publication
from rag_pipeline.contracts.modes import Mode
from rag_pipeline.errors import RetrievalError
from rag_pipeline.retrieval.hits import Hit
from rag_pipeline.retrieval.plan import SearchPlan, SourceRules
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.retrieval.windows import Window
from rag_pipeline.telemetry.tracing import span

# Publications are seconds apart; whoever meets five in a row has a clock or a lake that is broken.
MOST_TRIES = 5


@dataclass(frozen=True, slots=True)
class ContextPlan:
    """How texts are chosen; `pipeline.yaml` says it under `answers`.

    Attributes:
        least_relevance: Cosine similarity below which a hit that vectors found is left out; None: none is.
    """

    context_tokens: int = 3_000
    most_windows: int = 6
    least_relevance: float | None = None
    rules: tuple[SourceRules, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and whose."""

    question: str
    principals: frozenset[str]
    k: int
    mode: Mode
    filters: Filter | None


@dataclass(frozen=True, slots=True)
class Context:
    """What is given to the model.

    Attributes:
        fingerprint: Names how it was found, and in which version of which index.
        publication: Name of the publication that it was found in.
    """

    citations: tuple[Citation, ...]
    fingerprint: str
    publication: str


def context_of(searcher: Searcher, asked: Asked, plan: ContextPlan) -> Context:
    """The texts for a question, all of one published version.

    Raises:
        BadQuery: As `Searcher.search` does.
        NothingPublished: There is no index yet.
        RetrievalError: The index moved on between search and reading, time and again.
    """
    for _ in range(MOST_TRIES):
        before = searcher.published()
        with span("search", mode=asked.mode, k=asked.k) as work:
            hits = searcher.search(
                asked.question, principals=asked.principals, k=asked.k, mode=asked.mode, limits=asked.filters
            )
            work.set(hits=len(hits))
        hits = _relevant(hits, plan.least_relevance)
        each = max(1, plan.context_tokens // plan.most_windows)
        windows = searcher.windows(hits, principals=asked.principals, max_tokens=each)
        if searcher.published() == before:
            published = Publication.of(before)
            given = tuple(_given(hits, windows, plan))
            return Context(given, _fingerprint(published, asked, plan), published.name)
    raise RetrievalError("what is published changed while the question was answered, each time; ask again")


def _relevant(hits: Sequence[Hit], least: float | None) -> list[Hit]:
    """Hits that are near enough to the question; what words alone found stands only beside one that is."""
    if least is None or all(hit.vector_distance is None for hit in hits):
        return list(hits)
    near = [hit for hit in hits if hit.vector_distance is None or 1 - hit.vector_distance >= least]
    return near if any(hit.vector_distance is not None for hit in near) else []


def _given(hits: Iterable[Hit], windows: Iterable[Window], plan: ContextPlan) -> list[Citation]:
    """The best windows that fit the budget, numbered; the first is always among them."""
    by_rank = {hit.rank: hit for hit in hits}
    left = plan.context_tokens
    found: list[Citation] = []
    for window in windows:
        if found and (window.token_count > left or len(found) == plan.most_windows):
            continue
        left -= window.token_count
        found.append(_citation(len(found) + 1, by_rank[window.ranks[0]], window))
    return found


def _citation(number: int, hit: Hit, window: Window) -> Citation:
    at = place_named(hit.page, hit.line)
    return Citation(
        number=number,
        document_id=hit.document_id,
        chunk_id=hit.chunk_id,
        title=hit.title,
        source=hit.source,
        uri=hit.uri,
        place=", ".join(part for part in (at, " > ".join(hit.section_path)) if part),
        text=window.text,
        page=hit.page,
        line=hit.line,
        section_path=hit.section_path,
        start_char=window.start_char,
        end_char=window.end_char,
        chunk_ids=window.chunk_ids,
    )


def _fingerprint(published: Publication, asked: Asked, plan: ContextPlan) -> str:
    search = SearchPlan(asked.k, asked.mode, recipe=published.recipe, rules=plan.rules)
    return fingerprint(
        "answer context",
        search.fingerprint,
        asked.mode,
        published.space_fingerprint,
        published.table_name,
        str(published.table_version),
        repr((plan.context_tokens, plan.most_windows, plan.least_relevance)),
    )
