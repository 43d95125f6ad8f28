"""Search for a caller: what they may read, found by meaning and by words.

Belongs here: who asks, and the steps of a search in their order: published, candidates, ranking, windows.
Does not belong here: the steps themselves, Dagster: search starts without it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rag_pipeline.contracts.filters import Filter, among
from rag_pipeline.contracts.sources import SourceSpec
from rag_pipeline.errors import BadQuery
from rag_pipeline.retrieval.arguments import checked_principals, checked_window, chosen_of, is_text
from rag_pipeline.retrieval.as_of import Then, moment_of, seen_today
from rag_pipeline.retrieval.asked import Asked
from rag_pipeline.retrieval.at_source import Indexed, SourceCheck
from rag_pipeline.retrieval.candidates import (
    HIT_COLUMNS,
    MOST_FOUND_AGAIN,
    RANKED_COLUMNS,
    best_row_of_each,
    find_candidates,
    shown_of,
)
from rag_pipeline.retrieval.explain import LOOKED_THROUGH, Explanation, Known, explain_named
from rag_pipeline.retrieval.freshness import PollMarks
from rag_pipeline.retrieval.hits import Hit as Hit
from rag_pipeline.retrieval.memberships import CallersGroups
from rag_pipeline.retrieval.opening import parts_of
from rag_pipeline.retrieval.plan import MAX_HITS, SearchPlan, SourceRules
from rag_pipeline.retrieval.plan import MODES as MODES
from rag_pipeline.retrieval.plan import Mode as Mode
from rag_pipeline.retrieval.published import Pointer
from rag_pipeline.retrieval.query_models import QueryModels
from rag_pipeline.retrieval.ranked import Ranked
from rag_pipeline.retrieval.ranking import Circumstances, ranked_hits
from rag_pipeline.retrieval.reading import ReadChunks, read_around, read_chunks
from rag_pipeline.retrieval.rerank import Rerankers
from rag_pipeline.retrieval.served_from import FromLake, ServedFrom
from rag_pipeline.retrieval.spaces import Spaces
from rag_pipeline.retrieval.windows import WINDOW_COLUMNS, Window, WindowBy, merged_windows, window_around
from rag_pipeline.settings import Pipeline
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.selection import Selection
from rag_pipeline.stores.vectors import VectorStore

if TYPE_CHECKING:
    from rag_pipeline.embedding.vectors import Vectors

T = TypeVar("T")
# Callers who are answered at the same time; beyond that they wait. The store's own threads do the work, one a core.
VECTOR_RETRIEVERS = 16
STATE_COLUMNS = ["document_id", "source", "content_hash", "allowed_principals"]


class Searcher:
    """Answers searches from whatever is published; follows the pointer by itself.

    Every call names who asks. The filter runs inside the store before ranking, in every retriever. Many threads may ask
    one Searcher; `close` it, or use it in a `with`, to end its threads and let go of its models.
    """

    def __init__(
        self,
        lake: Lake,
        vectors: VectorStore | None,
        cache_folder: Path,
        stale_after: Mapping[str, timedelta] | None = None,
        rules: Iterable[SourceRules] = (),
        check: SourceCheck | None = None,
        specs: Mapping[str, SourceSpec] | None = None,
        spaces: Spaces | None = None,
        served_from: ServedFrom | None = None,
    ) -> None:
        self._lake = lake
        self._marks = PollMarks(lake, stale_after or {})
        self._known_sources = frozenset(stale_after or {})
        self._pointer = Pointer(lake, vectors)
        self._models = QueryModels(cache_folder)
        self._rerankers = Rerankers(cache_folder)
        self._threads = ThreadPoolExecutor(VECTOR_RETRIEVERS)
        self._check = check
        self._specs = specs
        self._spaces = spaces
        self._rules = tuple(rules)
        self._groups = CallersGroups(lake, self._pointer.look_again)
        self._served_from = served_from or FromLake(self._pointer, self._groups)

    @classmethod
    def open(cls, target: str | Path | Pipeline, *, environment: Mapping[str, str] | None = None) -> Searcher:
        """Open a pipeline for search.

        Args:
            target: A pipeline.yaml, or the address of a lake.

        Raises:
            SettingsError: pipeline.yaml is not valid, or the lake's path cannot be used.
        """
        return cls(**parts_of(target, environment))

    def close(self) -> None:
        """End the threads and let go of the models; the Searcher is not to be asked anything afterwards."""
        self._threads.shutdown()
        self._models.close()
        self._rerankers.close()
        self._served_from.close()

    def __enter__(self) -> Searcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def principals_of(self, principals: Iterable[str], *, at: datetime | date | None = None) -> frozenset[str]:
        """Who asks, with `public` and all groups that sources put them in now; raises `BadQuery` where nobody does.

        Args:
            at: Without the groups that they came into later.
        """
        if at is None:
            return self._served_from.principals_of(checked_principals(principals))
        return self._groups.of(principals, moment_of(at))

    def search(
        self,
        query: str,
        *,
        principals: Iterable[str],
        k: int = 10,
        mode: Mode = "hybrid",
        sources: Sequence[str] | None = None,
        limits: Filter | None = None,
        per_document: int | None = None,
        diversity: float = 0.0,
        rerank: bool = True,
        as_of: datetime | date | None = None,
        verify: bool = False,
        space: str | None = None,
    ) -> list[Hit]:
        """Chunks that answer `query` and that the caller may read, best first.

        Args:
            query: What is asked, in plain words; no query language.
            principals: Who asks: the caller's own name and groups. `public` and the groups that sources know are
                added. Without any, the call is refused.
            k: Most hits to return, 1 to 10,000.
            mode: `vector` finds by meaning, `text` by words, `hybrid` by both, fused by their scores.
            sources: Search only in these sources.
            limits: What else must hold of a hit. Who asks is `principals`, whatever it says.
            per_document: So many hits of one document before any more of it, at least 1; None: as they come.
            diversity: How much a hit counts less for words that better hits have already, 0 to 1.
            rerank: Let the reranking model read the best hits of mode hybrid, where one is published.
            verify: Read the documents of the hits at their sources again, and say of each hit whether it is as it was
                indexed (`at_source`). Needs the pipeline, not the lake alone.
            as_of: Search what readers had then, where it is kept, with the permissions of today: nothing is found that
                the caller may not read now, nor what they could not read then. A day is its end; UTC.
            space: Search the index of another embedding model, by its alias in pipeline.yaml, as far as it has the
                documents that are published now. Needs the pipeline, not the lake alone.

        Raises:
            BadQuery: Nobody asks, nothing is asked, the mode is unknown, `k` is out of range, a text is none, or a
                source or field is named that nothing the caller may read has.
            NothingPublished: There is no index yet, or what readers had at `as_of` is not kept.
            EmbeddingSpaceMismatch: The published space's model is not the one that can be opened here.
        """
        principals = checked_principals(principals)
        plan = SearchPlan(k, mode, per_document, diversity, rules=self._rules)
        asked = Asked(query, chosen_of(frozenset(principals), sources, limits), plan, rerank, as_of, space)
        hits = self._answered(as_of, principals, asked.chosen, lambda then: self._search(then, asked), space)
        return self.verified(hits, principals=principals, as_of=as_of) if verify else hits

    def chunk(self, chunk_id: str, *, principals: Iterable[str]) -> dict[str, Any] | None:
        """One indexed chunk with all its columns, or None if there is none that the caller may read.

        Raises:
            BadQuery: Nobody asks, or the id is no text.
        """
        return self.chunks([chunk_id], principals=principals).rows.get(chunk_id)

    def chunks(self, chunk_ids: Sequence[str], *, principals: Iterable[str]) -> ReadChunks:
        """Those of some indexed chunks that the caller may read, all of one publication; raises what `chunk` does."""
        if not all(map(is_text, chunk_ids)):
            raise BadQuery(f"chunk ids must be strings, not {chunk_ids!r}")
        own = checked_principals(principals)
        return self._served_from.answered(own, lambda served, names: read_chunks(served, names, chunk_ids))

    def around(
        self, chunk_id: str, *, principals: Iterable[str], max_tokens: int = 1_000, by: WindowBy = "section"
    ) -> tuple[Hit, Window] | None:
        """A chunk and the text around it, of one publication; None: there is none that the caller may read.

        Raises:
            BadQuery: Nobody asks, or an argument is out of its range, as in `windows`.
        """
        checked_window(by, max_tokens)
        own = checked_principals(principals)
        found = self._served_from.answered(
            own, lambda served, names: read_around(served, names, chunk_id, max_tokens, by)
        )
        return None if found is None else (self._marks.mark(found[:1])[0], found[1])

    def window(self, hit: Hit, *, principals: Iterable[str], max_tokens: int = 1_000) -> str:
        """The text around a hit inside its section, stitched from neighbouring chunks up to a budget of tokens.

        Small chunks are found well and large ones read well; this gives the large one without storing it twice. It is
        empty if the hit is not published any more, or if the caller may not read it.
        """
        chosen = Filter(frozenset(checked_principals(principals)), document_ids=(hit.document_id,))
        found = self._answered(
            None, chosen.principals, chosen, lambda then: Selection(then.served.table, then.chosen).read(HIT_COLUMNS)
        )
        return window_around(found.sort("start_char").to_dicts(), hit.chunk_id, max_tokens)

    def explain(
        self,
        query: str,
        *,
        principals: Iterable[str],
        document: str | None = None,
        k: int = 10,
        mode: Mode = "hybrid",
        sources: Sequence[str] | None = None,
        limits: Filter | None = None,
        per_document: int | None = None,
        diversity: float = 0.0,
        rerank: bool = True,
        as_of: datetime | date | None = None,
        space: str | None = None,
    ) -> Explanation:
        """The hits of a search, which say how their scores came about, and what became of one document in it.

        Args:
            document: An id, an address or its end, or a glob on that. Of what the caller may not read the answer is
                the same as of what does not exist.

        Raises:
            BadQuery: As `search` does, or `document` is no text.
        """
        principals = checked_principals(principals)
        plan = SearchPlan(k, mode, per_document, diversity, rules=self._rules)
        asked = Asked(query, chosen_of(frozenset(principals), sources, limits), plan, rerank, as_of, space)
        if document is not None and (not is_text(document) or not document.strip()):
            raise BadQuery(f"the document must be a string, its id or the end of its address, not {document!r}")
        # From rows of the same depth: the first hits are those of the search itself.
        longer = replace(asked, plan=replace(plan, k=min(MAX_HITS, max(k, LOOKED_THROUGH))))
        single = replace(asked, plan=replace(plan, k=1), rerank=False)

        unrecorded = self._marks.unrecorded() | self._served_from.publication().unrecorded
        # PostgreSQL may say other groups than the lake, which counts for what the lake alone knows.
        known = Known(unrecorded, self._specs, self._groups.of(principals))

        def action(then: Then) -> Explanation:
            ranked = self._search(then, longer)

            def alone(name: str) -> Hit | None:
                mine = Filter(then.chosen.principals, document_ids=(name,), closed_ids=then.chosen.closed_ids)
                return next(iter(self._search(replace(then, chosen=mine), single)), None)

            def select(limited: Filter) -> Selection:
                limited = replace(limited, closed_ids=then.chosen.closed_ids)
                return Selection(then.served.table, limited, self._known_sources)

            whys = explain_named(document, then.chosen, k, ranked, select, self._lake, alone, known) if document else []
            return Explanation(tuple(ranked[:k]), tuple(whys))

        return self._answered(as_of, principals, asked.chosen, action, space)

    def verified(
        self, hits: Sequence[Hit], *, principals: Iterable[str], as_of: datetime | date | None = None
    ) -> list[Hit]:
        """The hits, each with what its source says now: `same`, `changed`, `gone` or `unknown`.

        Nothing is read of a document that the caller may not read.

        Raises:
            BadQuery: Nobody asks, or the Searcher was opened without its pipeline and knows no source.
        """
        if self._check is None:
            raise BadQuery("sources can only be read again with their pipeline.yaml; open it instead of the lake")
        principals = checked_principals(principals)
        chosen = Filter(frozenset(principals), document_ids=tuple({hit.document_id for hit in hits}))
        rows = self._answered(
            as_of, principals, chosen, lambda then: Selection(then.served.table, then.chosen).read(STATE_COLUMNS)
        )
        found = self._check.check(
            Indexed(document, source, content, frozenset(readers))
            for document, source, content, readers in rows.unique("document_id").select(STATE_COLUMNS).iter_rows()
        )
        return [replace(hit, at_source=found.get(hit.document_id, "unknown")) for hit in hits]

    def windows(
        self,
        hits: Sequence[Hit],
        *,
        principals: Iterable[str],
        max_tokens: int = 1_000,
        by: WindowBy = "section",
        as_of: datetime | date | None = None,
    ) -> list[Window]:
        """The texts around all hits of a page, read at once; hits that are neighbours share one window.

        A hit that is not there any more, or that the caller may not read, has none.

        Args:
            max_tokens: Budget of each hit, at least 1.
            by: `section` stays in the section of the hit, `tokens` takes neighbours whatever section they stand in.
            as_of: As in the search that found the hits.

        Raises:
            BadQuery: Nobody asks, or an argument is out of its range.
        """
        checked_window(by, max_tokens)
        principals = checked_principals(principals)
        documents = tuple(sorted({hit.document_id for hit in hits}))
        chosen = Filter(frozenset(principals), document_ids=documents)
        if not documents:
            return []
        rows = self._answered(
            as_of, principals, chosen, lambda then: Selection(then.served.table, then.chosen).read(WINDOW_COLUMNS)
        )
        return merged_windows(rows.to_dicts(), hits, max_tokens, by)

    def published(self, *, as_of: datetime | date | None = None) -> Mapping[str, Any]:
        """The row of the publication that searches are answered from now, or that readers had at a time.

        Raises:
            NothingPublished: There is none, or what readers had then is not kept.
        """
        if as_of is None:
            return self._served_from.publication().row()
        return self._pointer.at(moment_of(as_of)).then.publication.row()

    def spaces(self) -> list[str]:
        """Embedding models whose index can be searched, by their aliases."""
        return [] if self._spaces is None else self._spaces.names()

    def _answered(
        self,
        as_of: datetime | date | None,
        own: Collection[str],
        chosen: Filter,
        action: Callable[[Then], T],
        space: str | None = None,
    ) -> T:
        """The result of an action on what is published now, or was then, or on another model's index of it.

        What was, and other models, the lake alone knows.
        """
        if space is None and as_of is None:
            return self._served_from.answered(
                own, lambda served, names: action(Then(served, replace(chosen, principals=names)))
            )
        chosen = replace(chosen, principals=self._groups.of(own))
        if space is not None:
            if self._spaces is None:
                raise BadQuery("other embedding models are known from pipeline.yaml with its lake alone; open that")
            beside = partial(self._spaces.beside, alias=space, chosen=chosen)
            return self._pointer.answered(lambda now: action(beside(now)))
        assert as_of is not None
        moment = moment_of(as_of)
        had_at = partial(self._groups.of, own)
        seen = partial(seen_today, chosen=chosen, moment=moment, had_at=had_at)
        return self._pointer.answered(lambda now: action(seen(now, self._pointer.at(moment))))

    def _search(self, then: Then, asked: Asked) -> list[Hit]:
        served, chosen, query, plan = then.served, then.chosen, asked.query, asked.plan

        @cache
        def embed_query() -> Vectors:
            return self._models.of(served.publication).embed_query(query)

        selection = Selection(served.table, chosen, self._known_sources)
        is_few = plan.k <= MOST_FOUND_AGAIN
        columns = RANKED_COLUMNS if is_few else HIT_COLUMNS
        candidates = find_candidates(self._threads, selection, embed_query, query, plan, columns)
        plan = replace(plan, recipe=served.publication.recipe)

        def best_rows(document_ids: Sequence[str]) -> dict[str, Ranked]:
            few = Selection(served.table, among(chosen, document_ids), self._known_sources)
            rows = best_row_of_each(self._threads, few, embed_query, query, plan)
            return {name: Ranked(row, 0.0) for name, row in rows.items()}

        around = Circumstances(
            question=query,
            letters_per_token=lambda: self._models.of(served.publication).letters_per_token(query),
            published_at=served.publication.published_at,
            now=datetime.now(UTC),
            versions=served.successions(self._rules).seen_by(chosen.principals, chosen.closed_ids),
            best_rows=best_rows,
            read=self._rerankers.reader(plan.recipe, query) if asked.rerank else None,
            shown=partial(shown_of, selection) if is_few else lambda _: {},
        )
        return self._marks.mark(then.shown(ranked_hits(candidates, plan, around)))
