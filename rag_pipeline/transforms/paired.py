"""Whether one way of doing is better than another beyond chance, from what both did on the same questions.

Belongs here: the test, and judging a choice on questions that took no part in it.
Does not belong here: asking the questions (`retrieval/evaluate.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from rag_pipeline.contracts.ids import digest

# With fewer questions a half says next to nothing of the other.
LEAST_QUESTIONS = 50
LEVEL = 0.05
_SPLITS = 10
_FLIPS = 4_000


def chance_of(differences: Sequence[float]) -> float:
    """How often a mean difference as large as this, or larger, would come by chance, in (0, 1].

    The test flips signs: were both ways as good, each difference could as well be the other way round. The flips are
    always the same, so equal questions give equal verdicts.

    Source: the paired randomization test; Smucker, Allan and Carterette, CIKM 2007.
    """
    values = np.asarray([value for value in differences if value], dtype=np.float64)
    if not len(values) or values.sum() <= 0:
        return 1.0
    signs = np.random.default_rng(0).choice((-1.0, 1.0), size=(_FLIPS, len(values)))
    # Sums of the same numbers in another order differ in the last bits.
    as_large = int((signs @ values >= values.sum() - 1e-9).sum())
    return (as_large + 1) / (_FLIPS + 1)


def held_out(by_choice: Mapping[float, Mapping[str, float]], safe: float) -> dict[str, float]:
    """What each question would gain over the safe choice, were the choice made on other questions than it.

    The questions are halved again and again, each time by another order; the choice that is best on one half is judged
    on the other, and what that gives is averaged.

    Args:
        by_choice: Figures by choice and question; each choice has the same questions.
        safe: The choice that is taken without any questions.
    """
    names = sorted(by_choice[safe])
    gains = dict.fromkeys(names, 0.0)
    for split in range(_SPLITS):
        order = sorted(names, key=lambda name: digest("half", str(split), name))
        middle = len(order) // 2
        for chosen_on, judged_on in ((order[:middle], order[middle:]), (order[middle:], order[:middle])):
            choice = best_choice(by_choice, safe, chosen_on)
            for name in judged_on:
                gains[name] += (by_choice[choice][name] - by_choice[safe][name]) / _SPLITS
    return gains


def best_choice(by_choice: Mapping[float, Mapping[str, float]], safe: float, names: Sequence[str]) -> float:
    """The choice with the best sum over some questions; of equal ones the one next to the safe choice."""

    def rank(choice: float) -> tuple[float, float]:
        total = math.fsum(by_choice[choice][name] for name in names)
        return round(total, 9), -abs(math.log(choice / safe))

    return max(sorted(by_choice), key=rank)
