"""Taking what callers say of hits, into gold/feedback.

Belongs here: that only a hit which the caller may see is remarked on, and writing the row.
Does not belong here: the table (`contracts/feedback.py`), routes (`api.py`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Lock
from typing import Any

from rag_pipeline.contracts.feedback import FEEDBACK, Remark
from rag_pipeline.contracts.ids import digest
from rag_pipeline.errors import LakeBusy, NotThere
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.serving.callers import Caller
from rag_pipeline.serving.questions import FeedbackQuestion
from rag_pipeline.settings import Pipeline
from rag_pipeline.stores.lake import Lake

# A run holds the lake for a commit at a time, mostly; whoever gave a remark does not wait for a long one.
LOCK_SECONDS = 5.0


class Feedback:
    """Writes remarks, one at a time in this process and one process at a time."""

    def __init__(self, pipeline: Pipeline, searcher: Searcher) -> None:
        self._lake = Lake(pipeline.lake_root, pipeline.lake_options, lock_timeout_seconds=LOCK_SECONDS)
        self._searcher = searcher
        self._one = Lock()

    def take(self, caller: Caller, asked: FeedbackQuestion) -> dict[str, Any]:
        """Keep a remark on a hit.

        Args:
            caller: Who asks, as who they see.

        Raises:
            NotThere: There is no such hit that the caller may see.
            LakeBusy: Something else has been writing for longer than a person waits.
        """
        row = self._searcher.chunk(asked.chunk_id, principals=caller.principals)
        if row is None:
            raise NotThere("there is no such hit among those that may be read here, so nothing was kept of it")
        now = datetime.now(UTC)
        remark = Remark(
            feedback_id=digest("feedback", caller.name, asked.chunk_id, asked.query, now.isoformat()),
            query=asked.query,
            mode=asked.mode,
            rank=asked.rank,
            chunk_id=asked.chunk_id,
            document_id=row["document_id"],
            uri=row["uri"],
            verdict=asked.verdict,
            comment=asked.comment,
            caller=caller.name,
            principals=tuple(sorted(caller.principals)),
            publication=self._searcher.published()["sequence"],
            given_at=now,
        )
        # Those behind one that waits for the lake would each wait as long again, and hold up searches meanwhile.
        if not self._one.acquire(timeout=LOCK_SECONDS):
            raise LakeBusy("remarks that came before are still being kept; say it again in a moment")
        try:
            with self._lake.writing():
                self._lake.append(FEEDBACK, FEEDBACK.frame([remark.row()]))
        finally:
            self._one.release()
        return {"feedback_id": remark.feedback_id}
