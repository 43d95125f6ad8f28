"""Taking what callers say of hits and answers, into gold/feedback.

Belongs here: that only what the caller may see is remarked on, and writing the row.
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
from rag_pipeline.serving.questions import FeedbackQuestion, RemarkedAnswer
from rag_pipeline.settings import Pipeline
from rag_pipeline.stores.lake import Lake

# A run holds the lake for a commit at a time, mostly; whoever gave a remark does not wait for a long one.
LOCK_SECONDS = 5.0


class Feedback:
    """Writes remarks, one at a time in this process and one process at a time."""

    def __init__(self, pipeline: Pipeline, searcher: Searcher) -> None:
        self._lake = Lake(pipeline.lake_root, pipeline.lake_options, lock_timeout_seconds=LOCK_SECONDS)
        self._models = frozenset(pipeline.settings.chat_models)
        self._searcher = searcher
        self._one = Lock()

    def take(self, caller: Caller, asked: FeedbackQuestion) -> dict[str, Any]:
        """Keep a remark on a hit, or on an answer by what it cites.

        Args:
            caller: Who asks, as who they see.

        Raises:
            NotThere: There is no such hit that the caller may see, the answer cites one, or its model is none of ours.
            LakeBusy: Something else has been writing for longer than a person waits.
        """
        about = self._of_hit(caller, asked.chunk_id) if asked.answer is None else self._of_answer(caller, asked.answer)
        now = datetime.now(UTC)
        on = asked.chunk_id or asked.model_dump_json(include={"answer"})
        remark = Remark(
            feedback_id=digest("feedback", caller.name, on, asked.query, now.isoformat()),
            query=asked.query,
            mode=asked.mode,
            rank=asked.rank,
            verdict=asked.verdict,
            comment=asked.comment,
            caller=caller.name,
            principals=tuple(sorted(caller.principals)),
            publication=self._searcher.published()["sequence"],
            given_at=now,
            **about,
        )
        self._keep(remark)
        return {"feedback_id": remark.feedback_id}

    def _of_hit(self, caller: Caller, chunk_id: str | None) -> dict[str, Any]:
        row = None if chunk_id is None else self._searcher.chunk(chunk_id, principals=caller.principals)
        if row is None:
            raise NotThere("there is no such hit among those that may be read here, so nothing was kept of it")
        return {name: row[name] for name in ("chunk_id", "document_id", "uri")}

    def _of_answer(self, caller: Caller, answer: RemarkedAnswer) -> dict[str, Any]:
        if answer.model not in self._models:
            raise NotThere("no model of that name answers here, so nothing was kept of its answer")
        cited = tuple(dict.fromkeys(answer.chunk_ids))
        rows = [self._searcher.chunk(chunk_id, principals=caller.principals) for chunk_id in cited]
        if None in rows:
            raise NotThere(
                "what the answer cites is not all among what may be read here now, so nothing was kept of it; ask again"
            )
        return {
            "chunk_id": None,
            "document_id": None,
            "uri": None,
            "cited_chunk_ids": cited,
            "cited_document_ids": tuple(dict.fromkeys(row["document_id"] for row in rows if row is not None)),
            "plan_fingerprint": answer.plan_fingerprint,
            "chat_model": answer.model,
        }

    def _keep(self, remark: Remark) -> None:
        # Those behind one that waits for the lake would each wait as long again, and hold up searches meanwhile.
        if not self._one.acquire(timeout=LOCK_SECONDS):
            raise LakeBusy("remarks that came before are still being kept; say it again in a moment")
        try:
            with self._lake.writing():
                self._lake.append(FEEDBACK, FEEDBACK.frame([remark.row()]))
        finally:
            self._one.release()
