"""Reranking: a model reads the best hits beside the question, and its scores are blended with theirs.

Belongs here: the order that scores give, and that a model that fails costs the order and never the answer.
Does not belong here: running the model (`embedding/reranker.py`), the other steps of a ranking (`ranking.py`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from rag_pipeline.contracts.recipe import SearchRecipe
from rag_pipeline.contracts.reranking import RerankerSpec
from rag_pipeline.errors import EmbeddingSpaceMismatch, RagPipelineError
from rag_pipeline.telemetry.tracing import span

if TYPE_CHECKING:
    from rag_pipeline.embedding.reranker import RerankingModel

log = logging.getLogger(__name__)

# A model that cannot be opened, or fails, is tried again after so long, and not with every search.
RETRY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model said of texts: a score for each, None for those it did not come to, and why, for a person."""

    scores: Sequence[float | None]
    note: str | None = None


Reader = Callable[[Sequence[str]], Reading]


def blended(fused: Sequence[float], scores: Sequence[float | None], spec: RerankerSpec) -> list[float]:
    """New scores for the candidates, on the scale of the old ones; those without a score keep theirs.

    The model's scores are spread over the range of the old scores of the same candidates, so what was not scored, and
    stood below them, stays below them.

    Args:
        fused: Old scores, best first.
        scores: The model's; those that it came to are the first ones.
    """
    read = [score for score in scores if score is not None]
    if not read:
        return list(fused)
    scored_before = [old for old, score in zip(fused, scores, strict=True) if score is not None]
    least, width = min(scored_before), max(scored_before) - min(scored_before)
    lowest, spread = min(read), max(read) - min(read)
    new: list[float] = []
    for old, score in zip(fused, scores, strict=True):
        if score is None:
            new.append(old)
        else:
            share = (score - lowest) / spread if spread > 0 else 1.0
            new.append((1 - spec.weight) * old + spec.weight * (least + share * width))
    return new


class Rerankers:
    """Opens models as publications name them, once each; several threads may ask at once."""

    def __init__(self, cache_folder: Path) -> None:
        self._cache_folder = cache_folder
        self._opened: dict[str, RerankingModel] = {}
        self._failed_at: dict[str, float] = {}
        self._opening = Lock()
        self._is_closed = False

    def close(self) -> None:
        """Let go of the models and end their threads; none is opened afterwards."""
        with self._opening:
            self._is_closed = True
            models = list(self._opened.values())
            self._opened.clear()
        for model in models:
            model.close()

    def reader(self, recipe: SearchRecipe, query: str) -> Reader | None:
        """Reads texts for a query within the time that the recipe allows; None where nothing is reranked."""
        spec = recipe.rerank
        if spec is None:
            return None

        def read(texts: Sequence[str]) -> Reading:
            with span("rerank", model=spec.model, texts=len(texts)) as work:
                try:
                    scores = self._model(recipe, spec).scores(query, texts, spec.time_budget_seconds)
                except Exception as error:  # whatever it is, the first order is an answer
                    work.failed(error)
                    return self._failed(recipe, error, len(texts))
                done = sum(score is not None for score in scores)
                work.set(read=done)
            late = f"reranked {done} of {len(texts)} hits in the {spec.time_budget_seconds:g} s that it may take"
            return Reading(scores, None if done == len(texts) else late)

        return read

    def _model(self, recipe: SearchRecipe, spec: RerankerSpec) -> RerankingModel:
        name = recipe.reranker
        with self._opening:
            if name not in self._opened:
                failed_at = self._failed_at.get(name)
                if self._is_closed or (failed_at is not None and time.monotonic() - failed_at < RETRY_SECONDS):
                    raise _NotNow
                try:
                    self._opened[name] = self._open(recipe, spec)
                except Exception:
                    # Noted before the next one in line is let in, who would try the same.
                    self._failed_at[name] = time.monotonic()
                    raise
            return self._opened[name]

    def _open(self, recipe: SearchRecipe, spec: RerankerSpec) -> RerankingModel:
        from rag_pipeline.embedding.reranker import open_reranker

        model = open_reranker(spec, self._cache_folder)
        if model.fingerprint != recipe.reranker:
            raise EmbeddingSpaceMismatch(
                f"the reranking model {spec.model} here is {model.fingerprint}, and what was published "
                f"is {recipe.reranker}. Install the published one, or run: rag-pipeline run",
                published=recipe.reranker,
                found=model.fingerprint,
            )
        return model

    def _failed(self, recipe: SearchRecipe, error: Exception, count: int) -> Reading:
        if not isinstance(error, _NotNow):
            with self._opening:
                self._failed_at[recipe.reranker] = time.monotonic()
                # Not closed: searches that use it now finish with it, and its threads end with the last of them.
                self._opened.pop(recipe.reranker, None)
            said = error.message if isinstance(error, RagPipelineError) else f"{type(error).__name__}: {error}"
            log.warning("hits are not reranked: %s", said)
        return Reading([None] * count, "not reranked: the reranking model cannot be used (the log says why)")


class _NotNow(Exception):
    """It failed a moment ago, or nothing is opened any more."""
