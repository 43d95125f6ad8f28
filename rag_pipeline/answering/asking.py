"""The client of a chat model of a pipeline, with its budget.

Belongs here: where what it costs is counted.
Does not belong here: asking (`endpoints/chat.py`), counting (`endpoints/budget.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rag_pipeline.contracts.ids import digest
from rag_pipeline.endpoints.budget import DailyBudget
from rag_pipeline.endpoints.chat import ChatClient
from rag_pipeline.errors import BudgetReached
from rag_pipeline.settings import Pipeline


def chat_client(pipeline: Pipeline, alias: str) -> ChatClient:
    """A client of one of `chat_models`, which is asked within what it may cost a day.

    Raises:
        SettingsError: The `openai` package or the key is missing.
    """
    spec = pipeline.settings.chat_models[alias].spec(alias)
    if spec.budget_per_day is None and spec.tokens_per_day is None:
        return ChatClient(spec)
    return ChatClient(spec, budget=DailyBudget(spec, _spending_file(pipeline)))


def reached_budget(
    pipeline: Pipeline, alias: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> BudgetReached | None:
    """What is said to whoever asks one of `chat_models`, while it may cost no more today; None: it may.

    What was spent is known of this machine alone. Nothing is written.
    """
    spec, file = pipeline.settings.chat_models[alias].spec(alias), _spending_file(pipeline)
    # A bound of nothing is how a model is switched off.
    if not (spec.budget_per_day or spec.tokens_per_day) or not file.is_file():
        return None
    try:
        DailyBudget(spec, file, now).check()
    except BudgetReached as reached:
        return reached
    return None


def _spending_file(pipeline: Pipeline) -> Path:
    return pipeline.cache_folder / "spending" / f"{digest('lake', pipeline.lake_root)[:16]}.sqlite"
