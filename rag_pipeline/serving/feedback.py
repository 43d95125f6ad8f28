"""Taking what callers say of hits and answers, into gold/feedback.

Belongs here: that only what the caller may see is remarked on, and writing the row.
Does not belong here: the table (`contracts/feedback.py`), routes (`api.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
_GONE = "there is no such hit among those that may be read here, so nothing was kept of it"
_NOT_ALL_THERE = (
    "what the answer cites is not all among what may be read here now, so nothing was kept of it; ask again"
)


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
        named = [asked.chunk_id] if asked.answer is None else asked.answer.chunk_ids
        ids = tuple(dict.fromkeys(name for name in named if name is not None))
        if asked.answer is not None and asked.answer.model not in self._models:
            raise NotThere("no model of that name answers here, so nothing was kept of its answer")
        # At once: a hit and all that an answer cites are looked up in one publication, which the row names.
        read = self._searcher.chunks(ids, principals=caller.principals)
        rows = [read.rows[name] for name in ids if name in read.rows]
        if len(rows) < len(ids):
            raise NotThere(_GONE if asked.answer is None else _NOT_ALL_THERE)
        now = datetime.now(UTC)
        on = asked.chunk_id or asked.model_dump_json(include={"answer"})
        about = _of_hit(rows[0]) if asked.answer is None else _of_answer(asked.answer, rows)
        remark = Remark(
            feedback_id=digest("feedback", caller.name, on, asked.query, now.isoformat()),
            query=asked.query,
            mode=asked.mode,
            rank=asked.rank,
            verdict=asked.verdict,
            comment=asked.comment,
            caller=caller.name,
            # With the groups of now: by one of them they may have seen it, and a question made of it asks as them.
            principals=tuple(sorted(self._searcher.principals_of(caller.principals))),
            publication=read.publication.sequence,
            given_at=now,
            **about,
        )
        self._keep(remark)
        return {"feedback_id": remark.feedback_id}

    def _keep(self, remark: Remark) -> None:
        # Those behind one that waits for the lake would each wait as long again, and hold up searches meanwhile.
        if not self._one.acquire(timeout=LOCK_SECONDS):
            raise LakeBusy("remarks that came before are still being kept; say it again in a moment")
        try:
            with self._lake.writing():
                self._lake.append(FEEDBACK, FEEDBACK.frame([remark.row()]))
        finally:
            self._one.release()


def _of_hit(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("chunk_id", "document_id", "uri")}


def _of_answer(answer: RemarkedAnswer, cited: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "chunk_id": None,
        "document_id": None,
        "uri": None,
        "cited_chunk_ids": tuple(row["chunk_id"] for row in cited),
        "cited_document_ids": tuple(dict.fromkeys(row["document_id"] for row in cited)),
        "plan_fingerprint": answer.plan_fingerprint,
        "chat_model": answer.model,
    }
