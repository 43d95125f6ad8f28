"""Counting what searches found, for a check that says when they find less.

Belongs here: what counts, and leaving it in the lake now and then.
Does not belong here: the file (`stores/searches.py`), what is unusual (`transforms/searches.py`), metrics
(`metrics.py`), which are gone with the process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Lock

from rag_pipeline.contracts.searches import Found, Searches, added, found_by
from rag_pipeline.errors import LakeBusy, RagPipelineError, StoreError
from rag_pipeline.retrieval.search import Hit, Searcher
from rag_pipeline.settings import Pipeline
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.searches import add_searches

log = logging.getLogger(__name__)

# What a killed server loses at most. A day of one process is 300 lines, which are added up when they are many.
LEFT_EVERY_SECONDS = 300.0


class Searched:
    """What one process counts; no search waits for it, and none fails by it."""

    def __init__(self, pipeline: Pipeline, searcher: Searcher) -> None:
        self._searcher = searcher
        self._lake = Lake(pipeline.lake_root, pipeline.lake_options)
        self._counted: dict[str, Found] = {}
        self._counting, self._leaving = Lock(), Lock()
        self._left_at = time.monotonic()
        self._is_failing = False

    def count(self, hits: Sequence[Hit]) -> None:
        """Count one search in what is published."""
        try:
            space = str(self._searcher.published()["space_fingerprint"])
        except RagPipelineError:
            # It went away since it was searched; the next search says so.
            return
        found = found_by([hit.vector_distance for hit in hits])
        with self._counting:
            self._counted = added(self._counted, {space: found})
        if time.monotonic() - self._left_at >= LEFT_EVERY_SECONDS:
            self.leave()

    def leave(self) -> None:
        """Add what was counted to the file in the lake; what cannot be written now is kept for the next time."""
        if not self._leaving.acquire(blocking=False):
            return
        try:
            self._left_at = time.monotonic()
            with self._counting:
                counted, self._counted = self._counted, {}
            if counted:
                self._leave(counted)
        finally:
            self._leaving.release()

    def _leave(self, counted: dict[str, Found]) -> None:
        try:
            add_searches(self._lake, Searches(datetime.now(UTC), counted))
            self._is_failing = False
        except (LakeBusy, StoreError) as error:
            with self._counting:
                self._counted = added(counted, self._counted)
            if not self._is_failing and not isinstance(error, LakeBusy):
                # Once, and not for each search of a disk that is full.
                log.warning("what searches found is counted and cannot be left in the lake yet: %s", error)
                self._is_failing = True
