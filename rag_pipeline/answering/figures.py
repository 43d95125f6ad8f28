"""What an Answerer did since it was opened, for metrics.

Belongs here: counts and money. Does not belong here: how they are exported (`serving/`).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from rag_pipeline.answering.answer import Answer


@dataclass(frozen=True, slots=True)
class AnswerFigures:
    """Counts.

    Attributes:
        verdicts: Answers by verdict.
        called: Answers that the model was asked for.
        from_cache: Answers that were kept, or that another one was asked for at the same time.
        cost, cost_saved: In the currency of the prices; saved by what was kept.
    """

    verdicts: Mapping[str, int]
    called: int
    from_cache: int
    struck: int
    tokens_in: int
    tokens_out: int
    cost: float
    cost_saved: float

    @property
    def hit_rate(self) -> float | None:
        """Share of answers that needed no call although there were texts to answer from; None before the first."""
        asked = self.called + self.from_cache
        return self.from_cache / asked if asked else None


class Counting:
    """Counts answers, from any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._verdicts: Counter[str] = Counter()
        self._cost = self._saved = 0.0

    def add(self, answer: Answer, *, called: bool) -> None:
        with self._lock:
            self._verdicts[answer.verdict] += 1
            self._counts["called"] += called
            self._counts["from_cache"] += answer.from_cache
            self._counts["struck"] += answer.struck
            self._counts["tokens_in"] += answer.tokens_in
            self._counts["tokens_out"] += answer.tokens_out
            self._cost += answer.cost or 0.0
            self._saved += answer.cost_saved or 0.0

    def figures(self) -> AnswerFigures:
        with self._lock:
            names = ("called", "from_cache", "struck", "tokens_in", "tokens_out")
            counts = {name: self._counts[name] for name in names}
            return AnswerFigures(dict(self._verdicts), **counts, cost=self._cost, cost_saved=self._saved)
