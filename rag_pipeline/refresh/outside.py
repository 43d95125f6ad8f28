"""What can fail between two runs without any source: what chat models may cost today, and the stream of hints.

Belongs here: looking at both, and what they are called.
Does not belong here: telling (`alerts/outside.py`), counting (`endpoints/budget.py`), reading hints (`hints_taken.py`).

Reading it opens no table, so that a run which finds nothing to do looks too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rag_pipeline.answering.asking import reached_budget
from rag_pipeline.contracts.alerts import BUDGET_PREFIX, HINTS_PREFIX
from rag_pipeline.endpoints.budget import day_ends_at
from rag_pipeline.refresh.hints_taken import stream_problem
from rag_pipeline.settings import Pipeline, Settings
from rag_pipeline.shown import without_secrets


@dataclass(frozen=True, slots=True)
class Outside:
    """How one of them stands.

    Attributes:
        key: Names it with its bound or address, so that another bound or server is another thing.
        name: Alias of the chat model, or the stream.
        problem: What is wrong, in a sentence; empty: nothing is.
        until: When it ends by itself; None: when somebody mends it.
    """

    key: str
    kind: Literal["budget", "hints"]
    name: str
    problem: str = ""
    until: datetime | None = None


def outside_keys(settings: Settings) -> Collection[str]:
    """Keys of all that pipeline.yaml names."""
    stream = _stream(settings)
    return {_budget_key(settings, alias) for alias in settings.chat_models} | ({stream.key} if stream else set())


def look_outside(pipeline: Pipeline, now: datetime) -> list[Outside]:
    """How each stands now.

    A budget is listed while it is reached alone: another machine may have spent what this one has not, so none can say
    that it is not.
    """
    settings = pipeline.settings
    found = []
    for alias in settings.chat_models:
        reached = reached_budget(pipeline, alias, lambda: now)
        if reached is not None:
            found.append(Outside(_budget_key(settings, alias), "budget", alias, reached.message, day_ends_at(now)))
    stream = _stream(settings)
    if stream is not None:
        found.append(Outside(stream.key, "hints", stream.name, stream_problem(pipeline)))
    return found


def _budget_key(settings: Settings, alias: str) -> str:
    spec = settings.chat_models[alias].spec(alias)
    return f"{BUDGET_PREFIX}{alias}:{spec.budget_per_day}:{spec.tokens_per_day}"


def _stream(settings: Settings) -> Outside | None:
    if settings.hints is None or settings.hints.stream is None:
        return None
    place = f"{settings.hints.stream.key} of {without_secrets(settings.hints.stream.url)}"
    return Outside(f"{HINTS_PREFIX}{place}", "hints", place)
