"""Taking change hints over HTTP into the folder that the pipeline looks into.

Belongs here: who may give one, and for which sources.
Does not belong here: what becomes of it (`stores/hints.py`, `defs/hints.py`), routes (`api.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from rag_pipeline.errors import Forbidden, NotThere, StoreError
from rag_pipeline.serving.callers import Caller
from rag_pipeline.settings import Pipeline
from rag_pipeline.settings.hints import hints_folder
from rag_pipeline.stores.hints import HintFolder

log = logging.getLogger(__name__)


class Hints:
    """Leaves one mark for each source, however many hints come for it."""

    def __init__(self, pipeline: Pipeline) -> None:
        settings = pipeline.settings
        folder = hints_folder(settings.hints, pipeline.folder)
        self._sources = frozenset(settings.sources)
        self._givers = frozenset(() if settings.hints is None else settings.hints.allowed_principals)
        self._folder = None if folder is None else HintFolder(folder, self._sources)

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
        if self._folder is None:
            raise NotThere("no hints are taken here: pipeline.yaml names no folder for them; schedules look at all")
        if caller.way == "anonymous" or not caller.principals & self._givers:
            raise Forbidden("you may not give hints; hints.allowed_principals names who may")
        named = sorted(set(sources))
        if not self._sources.issuperset(named):
            raise NotThere("a source that is named is none of this pipeline, so no hint was taken; mend its name")
        try:
            for name in named:
                self._folder.give(name, addresses)
        except OSError as error:
            raise StoreError(f"the folder of hints {self._folder.folder} cannot be written: {error}") from error
        log.info("caller=%r gave a hint for %s", caller.name, ", ".join(named))
        return {"sources": named}
