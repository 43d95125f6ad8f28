"""From candidates to one ranking of hits, step by step.

Belongs here: the steps and their order: fuse, weigh, collapse, rerank, diversify, newer versions first, spread.
Does not belong here: finding candidates (`candidates.py`), the arithmetic of fusing (`fusion.py`), what a hit is
(`hits.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rag_pipeline.retrieval.candidates import Candidates
from rag_pipeline.retrieval.fusion import SCALE_DEPTH, fuse
from rag_pipeline.retrieval.hits import Elsewhere, Hit, body_of
from rag_pipeline.retrieval.plan import SearchPlan
from rag_pipeline.retrieval.ranked import Ranked, Ranking, in_order, place_of
from rag_pipeline.retrieval.rerank import Reader, blended
from rag_pipeline.retrieval.supersession import Versions, newer_first
from rag_pipeline.transforms.freshness import age_weight
from rag_pipeline.transforms.near_hits import Wording, is_near, wording_of
from rag_pipeline.transforms.said import shares_said

# So many of the best rows are compared by their words; what is equal to the letter is found at any depth.
NEAR_COMPARED = 60


_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What ranking has to know besides the candidates.

    Attributes:
        question: What is asked.
        letters_per_token: Of it, as the embedding model cuts it; asked of mode hybrid alone.
        published_at: When the index was published.
        now: What the age of documents is counted from, UTC.
        versions: Older and newer versions of documents, as the caller may know them.
        best_rows: The best row of each of some documents, for what the candidates lack.
        read: Reads texts for the plan's recipe; without it, or in another mode than hybrid, nothing is reranked.
        shown: By chunk_id, the columns that only a hit has, for candidates that were read without them.
    """

    question: str
    letters_per_token: Callable[[], float] = lambda: math.inf
    published_at: datetime = _NO_TIME
    now: datetime = _NO_TIME
    versions: Versions = field(default_factory=Versions)
    best_rows: Callable[[Sequence[str]], Mapping[str, Ranked]] = lambda _: {}
    read: Reader | None = None
    shown: Callable[[Sequence[str]], Mapping[str, Mapping[str, Any]]] = lambda _: {}


def ranked_hits(candidates: Candidates, plan: SearchPlan, around: Circumstances) -> list[Hit]:
    """One ranking from the candidates, best first, each text once, and what nearly equals it named by it."""
    ranking = fused(candidates, plan, around)
    kept = collapsed(ranking.ranked, around.versions)
    note = None
    if around.read is not None and plan.mode == "hybrid":
        kept, note = reranked(kept, around.read, plan)
    if plan.diversity:
        kept = diverse(kept, plan.diversity)
    kept = newer_first(kept, around.versions, around.best_rows, plan.k)
    if plan.per_document is not None:
        kept = spread(kept, plan.per_document)
    chosen = kept[: plan.k]
    shown = around.shown([one.row["chunk_id"] for one in chosen]) if chosen else {}
    return [
        _hit(one, rank, ranking.vector_weight, around.published_at, note, shown.get(one.row["chunk_id"], {}))
        for rank, one in enumerate(chosen, start=1)
    ]


def fused(candidates: Candidates, plan: SearchPlan, around: Circumstances) -> Ranking:
    """The rows of all retrievers, each once, by the score of the mode times the weights of quality and age."""
    rows, weight = _fused_rows(candidates, around, plan.recipe.vector_scale)
    half_lives = {rule.source: rule.half_life for rule in plan.rules if rule.half_life is not None}
    ranked: list[Ranked] = []
    for row in rows:
        scores = {"hybrid": row["fused"], "vector": 1 - row.get("vector_value", 0), "text": row.get("text_value", 0)}
        half_life = half_lives.get(row["source"])
        by_age = 1.0 if half_life is None else age_weight(row["source_modified_at"], around.now, half_life)
        # A cosine below zero would rise.
        score = min(scores[plan.mode], scores[plan.mode] * row["rank_weight"] * by_age)
        ranked.append(Ranked(row, score, age_weight=by_age))
    return Ranking(in_order(ranked), weight if plan.mode == "hybrid" else None)


def collapsed(ranked: Sequence[Ranked], versions: Versions) -> list[Ranked]:
    """The best row of each text and of its near copies, with the places of the others; all of them the caller may read.

    The same text under other permissions is a row of its own; one reader needs it once. Of two versions of a document
    the newer one is shown, whichever was found first.
    """
    kept: list[Ranked] = []
    by_hash: dict[str, Ranked] = {}
    compared: list[tuple[Wording, Ranked]] = []
    for at, one in enumerate(ranked):
        canonical = by_hash.get(one.row["text_hash"])
        if canonical is None and at < NEAR_COMPARED:
            wording = wording_of(body_of(one.row))
            canonical = next((known for other, known in compared if is_near(wording, other)), None)
            if canonical is None:
                compared.append((wording, one))
        if canonical is None:
            canonical = one
            kept.append(one)
        else:
            other = one.row
            if versions.is_newer(other["document_id"], canonical.row["document_id"]):
                canonical.row, canonical.age_weight, other = other, one.age_weight, canonical.row
            canonical.elsewhere.append(Elsewhere(other["document_id"], other["uri"], other["chunk_id"]))
        by_hash.setdefault(one.row["text_hash"], canonical)
    return kept


def reranked(kept: Sequence[Ranked], read: Reader, plan: SearchPlan) -> tuple[list[Ranked], str | None]:
    """The best rows as a model that read them orders them, before the others; and what a person should know of it."""
    spec = plan.recipe.rerank
    best = kept[: spec.candidates] if spec is not None else ()
    if spec is None or len(best) < 2:
        return list(kept), None
    reading = read([str(one.row["embedded_text"]) for one in best])
    scores = blended([one.score for one in best], reading.scores, spec)
    for one, score, said in zip(best, scores, reading.scores, strict=True):
        # Ranked down for its quality or age it was, and stays.
        weighed = one.score + (score - one.score) * (
            one.row["rank_weight"] * one.age_weight if score > one.score else 1
        )
        one.score, one.rerank_score = weighed, said
    return in_order(kept), reading.note


def diverse(kept: Sequence[Ranked], diversity: float) -> list[Ranked]:
    """The best rows anew: each time the one that is best, less what it shares in words with those before it.

    A score is at most that of the hit before, so that scores still fall.

    Source: maximal marginal relevance; Carbonell and Goldstein, SIGIR 1998.
    """
    waiting = [(one, wording_of(body_of(one.row)).words) for one in kept[:NEAR_COMPARED]]
    best = max((one.score for one, _ in waiting), default=0.0)
    if best <= 0:
        return list(kept)
    shared = [0.0] * len(waiting)
    order = list(range(len(waiting)))
    chosen: list[Ranked] = []
    while order:
        at = max(order, key=lambda i: ((1 - diversity) * waiting[i][0].score / best - diversity * shared[i], -i))
        order.remove(at)
        one, words = waiting[at]
        one.score = min(one.score, chosen[-1].score) if chosen else one.score
        chosen.append(one)
        for i in order:
            union = len(words | waiting[i][1])
            shared[i] = max(shared[i], len(words & waiting[i][1]) / union if union else 0.0)
    rest = list(kept[NEAR_COMPARED:])
    for one in rest:
        one.score = min(one.score, chosen[-1].score)
    return [*chosen, *rest]


def spread(kept: Sequence[Ranked], per_document: int) -> list[Ranked]:
    """So many of each document, and then the others."""
    first: list[Ranked] = []
    more: list[Ranked] = []
    counts: dict[str, int] = {}
    for one in kept:
        document = one.row["document_id"]
        counts[document] = counts.get(document, 0) + 1
        (first if counts[document] <= per_document else more).append(one)
    return [*first, *more]


def _fused_rows(candidates: Candidates, around: Circumstances, scale: float) -> tuple[list[dict[str, Any]], float]:
    """Rows of both retrievers, each once, with rank and value in each and fused score; and the weight of vectors."""
    rows: dict[str, dict[str, Any]] = {}
    scored: dict[str, list[tuple[str, float]]] = {}
    for retriever, column in (("vector", "_distance"), ("text", "_score")):
        sign = 1 if retriever == "vector" else -1
        # The store orders equal scores by chance. By place, a text that stands twice is cited where it stands first,
        # and equal searches give equal answers, also after a rebuild, which may give other ids.
        ordered = sorted(candidates[retriever], key=lambda row: (sign * row[column], *place_of(row)))
        scored[retriever] = [
            (row["chunk_id"], 1 - row[column] if retriever == "vector" else row[column]) for row in ordered
        ]
        for rank, row in enumerate(ordered, start=1):
            known = rows.setdefault(row["chunk_id"], row)
            known[f"{retriever}_rank"], known[f"{retriever}_value"] = rank, row[column]
    letters_per_token = around.letters_per_token() if all(scored.values()) else math.inf
    fused_scores = fuse(
        scored["vector"], scored["text"], _said(rows, scored, around.question), scale, letters_per_token
    )
    for name, row in rows.items():
        row["fused"] = fused_scores.scores[name]
    return list(rows.values()), fused_scores.vector_weight


def _said(
    rows: Mapping[str, Mapping[str, Any]], scored: Mapping[str, Sequence[tuple[str, float]]], question: str
) -> dict[str, float]:
    """How much of the question the texts of the first candidates say; nothing where a retriever found none."""
    if not all(scored.values()):
        return {}
    names = list(dict.fromkeys(name for retriever in scored.values() for name, _ in retriever[:SCALE_DEPTH]))
    return dict(zip(names, shares_said(question, [rows[name]["embedded_text"] for name in names]), strict=True))


def _hit(
    one: Ranked,
    rank: int,
    vector_weight: float | None,
    published_at: datetime,
    note: str | None,
    shown: Mapping[str, Any],
) -> Hit:
    row = {**one.row, **shown}
    plain = ("chunk_id", "document_id", "source", "uri", "title", "page", "line", "start_char", "end_char")
    return Hit(
        **{name: row[name] for name in plain},
        rank=rank,
        score=float(one.score),
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
        elsewhere=tuple(one.elsewhere),
        rerank_score=one.rerank_score,
        rerank_note=note,
        superseded_by=one.superseded_by,
        age_weight=one.age_weight,
        raised_above=one.raised_above,
    )
