"""The client of a chat model of a pipeline, with its budget.

Belongs here: where what it costs is counted.
Does not belong here: asking (`endpoints/chat.py`), counting (`endpoints/budget.py`).
"""

from __future__ import annotations

from rag_pipeline.contracts.ids import digest
from rag_pipeline.endpoints.budget import DailyBudget
from rag_pipeline.endpoints.chat import ChatClient
from rag_pipeline.settings import Pipeline


def chat_client(pipeline: Pipeline, alias: str) -> ChatClient:
    """A client of one of `chat_models`, which is asked within what it may cost a day.

    Raises:
        SettingsError: The `openai` package or the key is missing.
    """
    spec = pipeline.settings.chat_models[alias].spec(alias)
    if spec.budget_per_day is None and spec.tokens_per_day is None:
        return ChatClient(spec)
    file = pipeline.cache_folder / "spending" / f"{digest('lake', pipeline.lake_root)[:16]}.sqlite"
    return ChatClient(spec, budget=DailyBudget(spec, file))
