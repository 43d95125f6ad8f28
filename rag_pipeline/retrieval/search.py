"""Search for a caller: what they may read, found by meaning and by words.

Belongs here: following the published pointer, the two legs, the permission filter, hits.
Does not belong here: LanceDB calls (`stores/vectors.py`), fusing (`fusion.py`), Dagster: search starts without it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.contracts.index import PLACE_COLUMNS, ROW_COLUMNS
from rag_pipeline.errors import BadQuery, EmbeddingSpaceMismatch
from rag_pipeline.retrieval.arguments import checked_names, checked_principals, is_text
from rag_pipeline.retrieval.freshness import PollMarks
from rag_pipeline.retrieval.fusion import reciprocal_rank_fusion
from rag_pipeline.retrieval.pointer import Pointer, Served
from rag_pipeline.settings import Pipeline, load_pipeline, user_cache_folder
from rag_pipeline.settings.load import check_lake_root
from rag_pipeline.stores.lake import INDEX_PATH, Lake
from rag_pipeline.stores.vectors import VectorStore, VectorTable, permission_filter, sql_string

if TYPE_CHECKING:
    from rag_pipeline.embedding.open import EmbeddingModel
    from rag_pipeline.embedding.vectors import Vectors

Mode = Literal["hybrid", "vector", "text"]
Legs = Mapping[str, list[dict[str, Any]]]
MAX_HITS = 10_000
MODES: tuple[Mode, ...] = ("hybrid", "vector", "text")
# Each leg must look deeper than k, or a chunk that is good in both but first in none is never fused.
LEAST_DEPTH = 100
DEPTH_PER_HIT = 5
# White space between two chunks is hardly ever wider, and a block that is left out never narrower.
WIDEST_GAP_CHARS = 10
HIT_COLUMNS = [name for name in ROW_COLUMNS if name not in ("chunk_hash", "metadata_hash", "word_forms")]


@dataclass(frozen=True, slots=True)
class Hit:
    """One chunk that was found.

    Attributes:
        score: Higher is better; comparable within one search only. In mode hybrid the fused score, in mode vector
            the cosine similarity, in mode text BM25.
        vector_rank, text_rank: Place in each leg, from 1; None if that leg did not find it.
        vector_distance: Cosine distance, 0 is the same direction.
        text_score: BM25.
        rank_weight: What `score` was multiplied by: below 1 for documents that are ranked down for their quality.
        start_char, end_char: Span in the document's text, code points.
        published_at: When the index this was found in was published.
        source_polled_at: When its source was last polled with success; None: never, or not known.
        source_overdue: The source was not polled with success for longer than its `stale_after`; None: not known.
    """

    rank: int
    score: float
    chunk_id: str
    document_id: str
    source: str
    uri: str
    title: str | None
    section_path: tuple[str, ...]
    text: str
    page: int | None
    line: int | None
    start_char: int
    end_char: int
    token_count: int
    media_type: str
    allowed_principals: tuple[str, ...]
    source_modified_at: datetime | None
    vector_rank: int | None
    vector_distance: float | None
    text_rank: int | None
    text_score: float | None
    rank_weight: float
    published_at: datetime
    source_polled_at: datetime | None = None
    source_overdue: bool | None = None

    @property
    def citation(self) -> str:
        """Where the text stands, for a person: address, page or line, section."""
        place = f", page {self.page}" if self.page else f", line {self.line}" if self.line else ""
        section = f" ({' > '.join(self.section_path)})" if self.section_path else ""
        return f"{self.uri}{place}{section}"

    def record(self) -> dict[str, Any]:
        """Plain values with stable keys, for JSON."""
        record = asdict(self)
        record["citation"] = self.citation
        return record


class Searcher:
    """Answers searches from whatever is published; follows the pointer by itself.

    Every call names who asks. The filter runs inside the store before ranking, in every leg.
    """

    def __init__(
        self,
        lake: Lake,
        vectors: VectorStore,
        cache_folder: Path,
        stale_after: Mapping[str, timedelta] | None = None,
    ) -> None:
        self._lake = lake
        self._marks = PollMarks(lake, stale_after or {})
        self._vectors = vectors
        self._cache_folder = cache_folder
        self._pointer = Pointer(lake, vectors)
        self._models: dict[str, EmbeddingModel] = {}
        self._threads = ThreadPoolExecutor(2)

    @classmethod
    def open(cls, target: str | Path | Pipeline, *, environment: Mapping[str, str] | None = None) -> Searcher:
        """Open a pipeline for search.

        Args:
            target: A pipeline.yaml, or the address of a lake.

        Raises:
            SettingsError: pipeline.yaml is not valid, or the lake's path cannot be used.
        """
        stale_after: dict[str, timedelta] = {}
        if isinstance(target, Pipeline):
            stale_after = {name: source.stale_after for name, source in target.settings.sources.items()}
            root, options, cache = target.lake_root, target.lake_options, target.cache_folder
        elif str(target).endswith((".yaml", ".yml")):
            return cls.open(load_pipeline(target, environment))
        else:
            root, options, cache = str(target), {}, user_cache_folder(environment)
            check_lake_root(root)
        lake = Lake(root, options)
        return cls(lake, VectorStore(lake.uri(INDEX_PATH), options), cache, stale_after)

    def search(
        self,
        query: str,
        *,
        principals: Iterable[str],
        k: int = 10,
        mode: Mode = "hybrid",
        sources: Sequence[str] | None = None,
    ) -> list[Hit]:
        """Chunks that answer `query` and that the caller may read, best first.

        Args:
            query: What is asked, in plain words; no query language.
            principals: Who asks: the caller's own name and groups. `public` is always added. Without any,
                the call is refused.
            k: Most hits to return, 1 to 10,000.
            mode: `vector` finds by meaning, `text` by words, `hybrid` by both, fused by reciprocal rank.
            sources: Search only in these sources.

        Raises:
            BadQuery: Nobody asks, nothing is asked, the mode is unknown, `k` is out of range, or a text is none.
            NothingPublished: There is no index yet.
            EmbeddingSpaceMismatch: The published space's model is not the one that can be opened here.
        """
        names = checked_principals(principals)
        if not is_text(query) or not query.strip():
            raise BadQuery("the query is empty or no text; ask something")
        if mode not in MODES:
            raise BadQuery(f"there is no search mode {mode!r}; allowed: {', '.join(MODES)}", mode=mode)
        if not isinstance(k, int) or not 1 <= k <= MAX_HITS:
            raise BadQuery(f"k is {k!r}, want a whole number from 1 to {MAX_HITS:,}", k=k)
        where = permission_filter(names)
        if sources is not None:
            chosen = checked_names("sources", sources)
            where += f" AND source IN ({', '.join(sql_string(name) for name in sorted(chosen)) or 'NULL'})"
        return self._pointer.answered(lambda served: self._search(served, query, where, k, mode))

    def chunk(self, chunk_id: str, *, principals: Iterable[str]) -> dict[str, Any] | None:
        """One indexed chunk with all its columns, or None if there is none that the caller may read.

        Raises:
            BadQuery: Nobody asks, or the id is no text.
        """
        if not is_text(chunk_id):
            raise BadQuery(f"the chunk id {chunk_id!r} is no text")
        where = f"chunk_id = {sql_string(chunk_id)} AND {permission_filter(checked_principals(principals))}"
        rows = self._pointer.answered(lambda served: served.table.read(list(ROW_COLUMNS), where, limit=1))
        return rows.row(0, named=True) if rows.height else None

    def window(self, hit: Hit, *, principals: Iterable[str], max_tokens: int = 1_000) -> str:
        """The text around a hit inside its section, stitched from neighbouring chunks up to a budget of tokens.

        Small chunks are found well and large ones read well; this gives the large one without storing it twice. It is
        empty if the hit is not published any more, or if the caller may not read it.
        """
        permitted = permission_filter(checked_principals(principals))
        where = f"document_id = {sql_string(hit.document_id)} AND {permitted}"
        found = self._pointer.answered(lambda served: served.table.read(HIT_COLUMNS, where))
        rows = found.sort("start_char").to_dicts()
        here = next((i for i, row in enumerate(rows) if row["chunk_id"] == hit.chunk_id), None)
        if here is None:
            return ""
        first = last = here
        budget = max_tokens - rows[here]["token_count"]
        grew = True
        while grew:
            grew = False
            for at in (last + 1, first - 1):
                fits = 0 <= at < len(rows) and rows[at]["token_count"] <= budget
                if fits and rows[at]["section_path"] == rows[here]["section_path"]:
                    first, last = min(first, at), max(last, at)
                    budget -= rows[at]["token_count"]
                    grew = True
        return _stitched(rows[first : last + 1])

    def published(self) -> Mapping[str, Any]:
        """The publication that searches are answered from now."""
        return self._pointer.answered(lambda served: served.publication)

    def _search(self, served: Served, query: str, where: str, k: int, mode: Mode) -> list[Hit]:
        def embed_query() -> Vectors:
            return self._model(served.publication).embed_query(query)

        legs = read_legs(self._threads, served.table, embed_query, query, where, search_depth(k), mode)
        return self._marks.mark(ranked_hits(legs, mode, k, served.publication["published_at"]))

    def _model(self, publication: Mapping[str, Any]) -> EmbeddingModel:
        fingerprint = publication["space_fingerprint"]
        if fingerprint not in self._models:
            from rag_pipeline.embedding.open import open_model

            # One query is computed sooner on a processor than a GPU library is loaded; the vectors are the same.
            spec = replace(EmbeddingModelSpec(**json.loads(publication["model_spec"])), device="cpu")
            model = open_model(spec, self._cache_folder)
            if model.space.fingerprint != fingerprint:
                raise EmbeddingSpaceMismatch(
                    f"the published index is of embedding space {fingerprint}, but model {spec.model} here is "
                    f"{model.space.fingerprint}; its answers would mean nothing, so nothing was searched. Install "
                    f"the weights the index was made with, or publish an index of this model.",
                    published=fingerprint,
                    found=model.space.fingerprint,
                )
            self._models[fingerprint] = model
        return self._models[fingerprint]


def _body(row: Mapping[str, Any]) -> str:
    return str(row["embedded_text"])[row["header_chars"] :]


def _stitched(rows: Sequence[Mapping[str, Any]]) -> str:
    """Neighbouring chunks as one text; what is missing between two is white space, or boilerplate and shown as such."""
    parts = [_body(rows[0])]
    for before, row in pairwise(rows):
        gap = row["start_char"] - before["end_char"]
        joint = "\n\n" if gap <= WIDEST_GAP_CHARS else "\n\n[…]\n\n"
        parts += ["" if gap == 0 else " " if gap == 1 else joint, _body(row)]
    return "".join(parts)


def search_depth(k: int) -> int:
    """How many hits each leg looks for when `k` are wanted."""
    return max(LEAST_DEPTH, DEPTH_PER_HIT * k)


def read_legs(
    threads: ThreadPoolExecutor,
    table: VectorTable,
    embed_query: Callable[[], Vectors],
    query: str,
    where: str,
    depth: int,
    mode: Mode,
) -> Legs:
    """Both rankings of one query, or the one that the mode needs; the two legs run at the same time.

    Args:
        where: The caller's permission filter, and any other.
        depth: Most rows of each leg.
    """
    by_vector = by_text = None
    if mode != "text":
        by_vector = threads.submit(lambda: table.nearest(embed_query(), where, depth, HIT_COLUMNS))
    if mode != "vector":
        by_text = threads.submit(table.matching, query, where, depth, HIT_COLUMNS)
    return {
        "vector": by_vector.result().to_dicts() if by_vector else [],
        "text": by_text.result().to_dicts() if by_text else [],
    }


def ranked_hits(legs: Legs, mode: Mode, k: int, published_at: datetime) -> list[Hit]:
    """One ranking from the legs, best first, each text once."""
    rows: dict[str, dict[str, Any]] = {}
    rankings: list[list[str]] = []
    for leg, column in (("vector", "_distance"), ("text", "_score")):
        sign = 1 if leg == "vector" else -1
        # The store orders equal scores by chance. By place, a text that stands twice is cited where it stands first,
        # and equal searches give equal answers, also after a rebuild, which may give other ids.
        ordered = sorted(legs[leg], key=lambda row: (sign * row[column], *_place(row)))
        rankings.append([row["chunk_id"] for row in ordered])
        for rank, row in enumerate(ordered, start=1):
            known = rows.setdefault(row["chunk_id"], row)
            known[f"{leg}_rank"], known[f"{leg}_value"] = rank, row[column]
    scored: list[tuple[float, dict[str, Any]]] = []
    for chunk_id, fused in reciprocal_rank_fusion(rankings):
        row = rows[chunk_id]
        score = {"hybrid": fused, "vector": 1 - row.get("vector_value", 0), "text": row.get("text_value", 0)}[mode]
        # A cosine below zero would rise.
        scored.append((min(score, score * row["rank_weight"]), row))
    scored.sort(key=lambda pair: (-pair[0], *_place(pair[1])))
    hits: list[Hit] = []
    seen: set[str] = set()
    for score, row in scored:
        # The same text under other permissions is a row of its own; one reader needs it once.
        if row["text_hash"] in seen:
            continue
        seen.add(row["text_hash"])
        hits.append(_hit(row, len(hits) + 1, score, published_at))
        if len(hits) == k:
            break
    return hits


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in PLACE_COLUMNS)


def _hit(row: Mapping[str, Any], rank: int, score: float, published_at: datetime) -> Hit:
    plain = ("chunk_id", "document_id", "source", "uri", "title", "page", "line", "start_char", "end_char")
    return Hit(
        **{name: row[name] for name in plain},
        rank=rank,
        score=float(score),
        section_path=tuple(row["section_path"]),
        text=_body(row),
        token_count=row["token_count"],
        media_type=row["media_type"],
        allowed_principals=tuple(row["allowed_principals"]),
        source_modified_at=row["source_modified_at"],
        vector_rank=row.get("vector_rank"),
        vector_distance=row.get("vector_value"),
        text_rank=row.get("text_rank"),
        text_score=row.get("text_value"),
        rank_weight=row["rank_weight"],
        published_at=published_at,
    )
