"""Taking change hints over HTTP into the folder that the pipeline looks into.

Belongs here: who may give one, and for which sources.
Does not belong here: what becomes of it (`stores/hints.py`, `defs/hints.py`), routes (`api.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue, RootModel

from rag_pipeline.contracts.hints import Hint, address_of, buckets_of, hints_of
from rag_pipeline.errors import Forbidden, NotThere, StoreError
from rag_pipeline.serving.callers import Caller
from rag_pipeline.settings import Pipeline
from rag_pipeline.settings.hints import hints_folder
from rag_pipeline.stores.hints import HintFolder

log = logging.getLogger(__name__)


class ValidationAnswer(BaseModel):
    """What Event Grid of Azure wants to read back before it sends notifications."""

    validationResponse: str


class Notification(RootModel[dict[str, JsonValue] | list[dict[str, JsonValue]]]):
    """What an object store says by itself, as it says it: one object of JSON, or a list of such."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"bucket": "wiki", "name": "rota/may.md"}]})


class Hints:
    """Leaves one mark for each source, however many hints come for it."""

    def __init__(self, pipeline: Pipeline) -> None:
        settings = pipeline.settings
        folder = hints_folder(settings.hints, pipeline.folder)
        self._sources = frozenset(settings.sources)
        self._givers = frozenset(() if settings.hints is None else settings.hints.allowed_principals)
        self._buckets = buckets_of({name: source.location for name, source in settings.sources.items()})
        self._folder = None if folder is None else HintFolder(folder, self._sources, self._buckets)

    def take(self, caller: Caller, sources: Sequence[str], addresses: Sequence[str] = ()) -> dict[str, Any]:
        """Have some sources looked at soon.

        Args:
            caller: Who asks, with all that they are.
            addresses: Of objects in them; none: all of them is looked at.

        Raises:
            NotThere: No hints are taken here, or a source is none of pipeline.yaml.
            Forbidden: The caller may not give any.
            StoreError: The folder cannot be written.
        """
        folder = self._open_to(caller)
        named = sorted(set(sources))
        if not self._sources.issuperset(named):
            raise NotThere("a source that is named is none of this pipeline, so no hint was taken; mend its name")
        return self._given(caller, folder, {Hint(name, each) for name in named for each in addresses or (None,)})

    def notify(self, caller: Caller, told: Any) -> dict[str, Any]:
        """Have those sources looked at soon that a notification of an object store is about; it may be about none.

        Args:
            told: One JSON value, as the store sends it.

        Raises:
            NotThere: No hints are taken here.
            Forbidden: The caller may not give any.
            StoreError: The folder cannot be written.
        """
        folder = self._open_to(caller)
        code = validation_code(told)
        if code:
            return {"validationResponse": code}
        hints = {hint for hint in hints_of(told, self._buckets) if hint.source in self._sources}
        return self._given(caller, folder, hints)

    def _open_to(self, caller: Caller) -> HintFolder:
        if self._folder is None:
            raise NotThere("no hints are taken here: pipeline.yaml names no folder for them; schedules look at all")
        if caller.way == "anonymous" or not caller.principals & self._givers:
            raise Forbidden("you may not give hints; hints.allowed_principals names who may")
        return self._folder

    def _given(self, caller: Caller, folder: HintFolder, hints: Collection[Hint]) -> dict[str, Any]:
        named = sorted({hint.source for hint in hints})
        try:
            folder.give_all(Hint(hint.source, address_of(hint.address)) for hint in hints)
        except OSError as error:
            raise StoreError(f"the folder of hints {folder.folder} cannot be written: {error}") from error
        log.info("caller=%r gave a hint for %s", caller.name, ", ".join(named) or "nothing")
        return {"sources": named}


def validation_code(told: Any) -> str:
    """What Event Grid wants to read back before it sends anything; empty: it is no such question."""
    for each in told if isinstance(told, list) else [told]:
        if isinstance(each, dict) and each.get("eventType") == "Microsoft.EventGrid.SubscriptionValidationEvent":
            data = each.get("data")
            code = data.get("validationCode") if isinstance(data, dict) else None
            return code if isinstance(code, str) else ""
    return ""
