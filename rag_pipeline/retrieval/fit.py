"""Fitting what the vector retriever counts to a pipeline's own questions, where that is better beyond chance.

Belongs here: the scales that are tried, and the verdict from how the questions came out at each.
Does not belong here: asking the questions (`evaluate.py`), keeping the fit (`refresh/evaluation.py`).

The rule of `fusion.py` stands; a fit multiplies its weight. A rule of more numbers, fitted on so few questions, goes
wrong on others (docs/decisions.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rag_pipeline.contracts.evaluation import QuestionResult
from rag_pipeline.contracts.recipe import SearchRecipe
from rag_pipeline.transforms.metrics import mean
from rag_pipeline.transforms.paired import LEAST_QUESTIONS, LEVEL, best_choice, chance_of, held_out

# The weight as the rule has it, for pipelines without questions.
SAFE_SCALE = 1.0
SCALES = (0.25, 0.5, 0.7, SAFE_SCALE, 1.4, 2.0, 2.8)
_PREFIX = "hybrid*"


@dataclass(frozen=True, slots=True)
class Fit:
    """What questions say of the weight of the vector retriever.

    Attributes:
        scale: What the rule's weight is multiplied by; 1 where nothing else is better beyond chance.
        gain: Of nDCG at k, held out: on questions that took no part in choosing; None: too few questions.
        chance: How often as much would come by chance; None: too few questions.
        questions: That could be scored.
    """

    scale: float = SAFE_SCALE
    gain: float | None = None
    chance: float | None = None
    questions: int = 0


def mode_at(scale: float) -> str:
    """The name of results at a scale, beside those of the modes."""
    return f"{_PREFIX}{scale:g}"


def other_scales(recipe: SearchRecipe, questions: int) -> tuple[float, ...]:
    """The scales that an evaluation by a recipe tries beside its own; none where questions are too few for a fit."""
    if recipe.vector_scale != SAFE_SCALE or questions < LEAST_QUESTIONS:
        return ()
    return tuple(scale for scale in SCALES if scale != SAFE_SCALE)


def fitted(recipe: SearchRecipe, fit: Fit) -> SearchRecipe:
    """A recipe with the weight that was fitted."""
    return replace(recipe, vector_scale=fit.scale)


def fit_of(results: Iterable[QuestionResult]) -> Fit:
    """The verdict from results at all scales; the safe scale if they are not there."""
    by_scale: dict[float, dict[str, float]] = {scale: {} for scale in SCALES}
    for result in results:
        mode = mode_at(SAFE_SCALE) if result.mode == "hybrid" else result.mode
        if result.status == "scored" and mode.startswith(_PREFIX) and result.ndcg is not None:
            by_scale[float(mode.removeprefix(_PREFIX))][result.question_id] = result.ndcg
    names = set.intersection(*(set(figures) for figures in by_scale.values()))
    if len(names) < LEAST_QUESTIONS:
        return Fit(questions=len(names))
    compared = {scale: {name: figures[name] for name in names} for scale, figures in by_scale.items()}
    gains = held_out(compared, SAFE_SCALE)
    ordered = [gains[name] for name in sorted(gains)]
    chance = chance_of(ordered)
    scale = best_choice(compared, SAFE_SCALE, sorted(names)) if chance < LEVEL else SAFE_SCALE
    return Fit(scale, mean(ordered), chance, len(names))
