"""From the two legs of a search to one ranking of hits.

Belongs here: what a hit is, reading both legs, their order, each text once.
Does not belong here: who may ask and what is published (`search.py`), the arithmetic of fusing (`fusion.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from rag_pipeline.contracts.index import PLACE_COLUMNS, ROW_COLUMNS
from rag_pipeline.retrieval.fusion import fuse
from rag_pipeline.stores.vectors import VectorTable
from rag_pipeline.transforms.near_hits import Wording, is_near, wording_of

if TYPE_CHECKING:
    from rag_pipeline.embedding.vectors import Vectors

Mode = Literal["hybrid", "vector", "text"]
Legs = Mapping[str, list[dict[str, Any]]]
MODES: tuple[Mode, ...] = ("hybrid", "vector", "text")
# Each leg must look deeper than k, or a chunk that is good in both but first in none is never fused.
LEAST_DEPTH = 100
DEPTH_PER_HIT = 5
# So many of the best rows are compared by their words; what is equal to the letter is found at any depth.
NEAR_COMPARED = 60
# What only filters and the full-text index look at.
NOT_SHOWN = ("chunk_hash", "metadata_hash", "word_forms", "facts", "quality_score")
HIT_COLUMNS = [name for name in ROW_COLUMNS if name not in NOT_SHOWN]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another place that the caller may read, with the text of a hit or nearly the same."""

    document_id: str
    uri: str
    chunk_id: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One chunk that was found.

    Attributes:
        score: Higher is better; comparable within one search only. In mode hybrid the fused score, in mode vector
            the cosine similarity, in mode text BM25.
        vector_rank, text_rank: Place in each leg, from 1; None if that leg did not find it.
        vector_distance: Cosine distance, 0 is the same direction.
        text_score: BM25.
        vector_weight: What the vector leg counted in this search, in [0, 1], the text leg having the rest; None but in
            mode hybrid.
        rank_weight: What `score` was multiplied by: below 1 for documents that are ranked down for their quality.
        start_char, end_char: Span in the document's text, code points.
        published_at: When the index this was found in was published.
        source_polled_at: When its source was last polled with success; None: never, or not known.
        elsewhere: Where the same text, or nearly the same, was found as well; these are no hits of their own.
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
    vector_weight: float | None
    rank_weight: float
    published_at: datetime
    source_polled_at: datetime | None = None
    source_overdue: bool | None = None
    elsewhere: tuple[Elsewhere, ...] = ()

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


def body_of(row: Mapping[str, Any]) -> str:
    """Text of a row without its header."""
    return str(row["embedded_text"])[row["header_chars"] :]


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


def ranked_hits(
    legs: Legs, mode: Mode, k: int, published_at: datetime, *, per_document: int | None = None
) -> list[Hit]:
    """One ranking from the legs, best first, each text once, and what nearly equals it named by it.

    Args:
        per_document: So many hits of a document before any more of it; these fill up what is left of `k`.
    """
    rows, weight = _fused_rows(legs)
    scored: list[tuple[float, dict[str, Any]]] = []
    for row in rows:
        scores = {"hybrid": row["fused"], "vector": 1 - row.get("vector_value", 0), "text": row.get("text_value", 0)}
        # A cosine below zero would rise.
        scored.append((min(scores[mode], scores[mode] * row["rank_weight"]), row))
    scored.sort(key=lambda pair: (-pair[0], *_place(pair[1])))
    kept = _collapsed(scored)
    if per_document is not None:
        kept = _spread(kept, per_document)
    shown_weight = weight if mode == "hybrid" else None
    return [
        _hit(row, rank, score, shown_weight, published_at, places)
        for rank, (score, row, places) in enumerate(kept[:k], start=1)
    ]


Kept = tuple[float, dict[str, Any], list[Elsewhere]]


def _collapsed(scored: Sequence[tuple[float, dict[str, Any]]]) -> list[Kept]:
    """The best row of each text and of its near copies, with the places of the others; all of them the caller may read.

    The same text under other permissions is a row of its own; one reader needs it once.
    """
    kept: list[Kept] = []
    by_hash: dict[str, list[Elsewhere]] = {}
    compared: list[tuple[Wording, list[Elsewhere]]] = []
    for at, (score, row) in enumerate(scored):
        places = by_hash.get(row["text_hash"])
        if places is None and at < NEAR_COMPARED:
            wording = wording_of(body_of(row))
            places = next((known for other, known in compared if is_near(wording, other)), None)
        if places is None:
            places = []
            kept.append((score, row, places))
            if at < NEAR_COMPARED:
                compared.append((wording, places))
        else:
            places.append(Elsewhere(row["document_id"], row["uri"], row["chunk_id"]))
        by_hash.setdefault(row["text_hash"], places)
    return kept


def _spread(kept: Sequence[Kept], per_document: int) -> list[Kept]:
    first: list[Kept] = []
    more: list[Kept] = []
    counts: dict[str, int] = {}
    for one in kept:
        document = one[1]["document_id"]
        counts[document] = counts.get(document, 0) + 1
        (first if counts[document] <= per_document else more).append(one)
    return [*first, *more]


def _fused_rows(legs: Legs) -> tuple[list[dict[str, Any]], float]:
    """Rows of both legs, each once, with rank and value in each and the fused score; and the vector leg's weight."""
    rows: dict[str, dict[str, Any]] = {}
    scored: dict[str, list[tuple[str, float]]] = {}
    for leg, column in (("vector", "_distance"), ("text", "_score")):
        sign = 1 if leg == "vector" else -1
        # The store orders equal scores by chance. By place, a text that stands twice is cited where it stands first,
        # and equal searches give equal answers, also after a rebuild, which may give other ids.
        ordered = sorted(legs[leg], key=lambda row: (sign * row[column], *_place(row)))
        scored[leg] = [(row["chunk_id"], 1 - row[column] if leg == "vector" else row[column]) for row in ordered]
        for rank, row in enumerate(ordered, start=1):
            known = rows.setdefault(row["chunk_id"], row)
            known[f"{leg}_rank"], known[f"{leg}_value"] = rank, row[column]
    fused = fuse(scored["vector"], scored["text"])
    for name, row in rows.items():
        row["fused"] = fused.scores[name]
    return list(rows.values()), fused.vector_weight


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in PLACE_COLUMNS)


def _hit(
    row: Mapping[str, Any],
    rank: int,
    score: float,
    vector_weight: float | None,
    published_at: datetime,
    elsewhere: Sequence[Elsewhere],
) -> Hit:
    plain = ("chunk_id", "document_id", "source", "uri", "title", "page", "line", "start_char", "end_char")
    return Hit(
        **{name: row[name] for name in plain},
        rank=rank,
        score=float(score),
        section_path=tuple(row["section_path"]),
        text=body_of(row),
        token_count=row["token_count"],
        media_type=row["media_type"],
        allowed_principals=tuple(row["allowed_principals"]),
        source_modified_at=row["source_modified_at"],
        vector_rank=row.get("vector_rank"),
        vector_distance=row.get("vector_value"),
        text_rank=row.get("text_rank"),
        text_score=row.get("text_value"),
        vector_weight=vector_weight,
        rank_weight=row["rank_weight"],
        published_at=published_at,
        elsewhere=tuple(elsewhere),
    )
