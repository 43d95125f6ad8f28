"""What is answered to a caller, whichever way they came: over HTTP, from the page, or as an agent.

Belongs here: one function for each thing that can be asked; each takes the caller, and what is told hangs on them.
Does not belong here: establishing who asks (`identity.py`), requests and routes (`api.py`, `agents.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from rag_pipeline.answering.answer import AnswerEvent
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.endpoints.stop import Stop
from rag_pipeline.errors import BadRequest, NothingPublished, NotThere
from rag_pipeline.retrieval.explain import Why
from rag_pipeline.retrieval.pictures import Pictures, ShownPicture
from rag_pipeline.retrieval.readable import ReadableSources
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.serving.answers import Answers
from rag_pipeline.serving.callers import Caller
from rag_pipeline.serving.feedback import Feedback
from rag_pipeline.serving.hints import Hints
from rag_pipeline.serving.pictures import PictureQuestion, PicturesQuestion
from rag_pipeline.serving.questions import (
    AskQuestion,
    ExplainQuestion,
    FeedbackQuestion,
    HintQuestion,
    Question,
    SearchQuestion,
    WindowQuestion,
)
from rag_pipeline.serving.searched import Searched
from rag_pipeline.settings import Pipeline
from rag_pipeline.telemetry.tracing import span

log = logging.getLogger(__name__)


# What a hit knows of its own way: source, object, document, chunk, publication.
LINEAGE = (
    "source",
    "source_polled_at",
    "source_overdue",
    "source_modified_at",
    "uri",
    "document_id",
    "chunk_id",
    "start_char",
    "end_char",
    "published_at",
)


class Service:
    """Answers from what is published, for a caller; many threads may ask. Close it at the end."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.settings = pipeline.settings.serving
        self.searcher = Searcher.open(pipeline)
        self._sources = ReadableSources(pipeline)
        self._pictures = Pictures(pipeline)
        self.answers = Answers(pipeline, self.searcher)
        self._feedback = Feedback(pipeline, self.searcher)
        self._hints = Hints(pipeline)
        self._searched = Searched(pipeline, self.searcher)

    def close(self) -> None:
        """End its threads and let go of its models."""
        self._searched.leave()
        self.answers.close()
        self._sources.close()
        self._pictures.close()
        self.searcher.close()

    def try_out(self) -> dict[str, Any]:
        """Search once as everybody, which opens what is published and its model; raises what `search` does."""
        return {"hits": len(self.searcher.search("ready", principals=[PUBLIC], k=1))}

    def search(self, caller: Caller, asked: SearchQuestion) -> dict[str, Any]:
        """Hits that the caller may read, best first.

        Raises:
            BadRequest, BadQuery: What is asked is no search.
            Forbidden: The caller may not look as somebody else.
            NothingPublished: There is no index yet.
        """
        seeing, arguments = self._prepared(caller, asked)
        with span("search", mode=asked.mode, k=asked.k) as work:
            work.text("query", asked.query)
            try:
                hits = self.searcher.search(**arguments, principals=seeing.principals)
            except NothingPublished as error:
                raise _not_kept(error, asked) from error
            work.set(hits=len(hits))
        if asked.as_of is None and asked.space is None and asked.view_as is None:
            # What is looked at as it was, by another model or as somebody else, says nothing of readers of today.
            self._searched.count(hits)
        return {"hits": [hit.record() for hit in hits]}

    def explain(self, caller: Caller, asked: ExplainQuestion) -> dict[str, Any]:
        """The hits of a search, and what became of a document in it; raises what `search` does."""
        seeing, arguments = self._prepared(caller, asked)
        try:
            found = self.searcher.explain(**arguments, principals=seeing.principals, document=asked.document)
        except NothingPublished as error:
            raise _not_kept(error, asked) from error
        return {"hits": [hit.record() for hit in found.hits], "documents": [told_of(why) for why in found.documents]}

    def window(self, caller: Caller, asked: WindowQuestion) -> dict[str, Any]:
        """The text around a chunk.

        Raises:
            NotThere: There is no such chunk that the caller may read.
            BadRequest: The window is longer than the server gives.
        """
        if asked.max_tokens > self.settings.max_window_tokens:
            raise BadRequest(f"max_tokens is at most {self.settings.max_window_tokens:,} here; ask for fewer")
        seeing = self._seeing(caller, asked)
        found = self.searcher.around(
            asked.chunk_id, principals=seeing.principals, max_tokens=asked.max_tokens, by=asked.by
        )
        if found is None:
            raise NotThere(
                "there is no such chunk among those that may be read here; it may have changed or been revoked"
            )
        hit, window = found
        start = place_in(window.text, hit.text, hit.start_char - window.start_char)
        return {
            "chunk_id": hit.chunk_id,
            "document_id": hit.document_id,
            "uri": hit.uri,
            "title": hit.title,
            "citation": hit.citation,
            "page": hit.page,
            "line": hit.line,
            "media_type": hit.media_type,
            "text": window.text,
            "chunk_start": start,
            "chunk_end": start + len(hit.text),
            "token_count": window.token_count,
            # Row by row where it came from, of the very row that the caller may read.
            "lineage": {name: getattr(hit, name) for name in LINEAGE},
        }

    def sources(self, caller: Caller, asked: Question) -> dict[str, Any]:
        """The sources of which the caller may read anything, with counts and freshness of what they may read."""
        seeing = self._seeing(caller, asked)
        found, published = self._sources.read(seeing.principals)
        return {
            "sources": [asdict(source) for source in found],
            "embedding_model": published.alias,
            "embedding_models": self.searcher.spaces(),
            "published_at": published.published_at,
        }

    def pictures(self, caller: Caller, asked: PicturesQuestion) -> dict[str, Any]:
        """The pictures of a document that the caller may read; raises what `Pictures.of` does."""
        seeing = self._seeing(caller, asked)
        return {"pictures": [asdict(each) for each in self._pictures.of(asked.document, principals=seeing.principals)]}

    def picture(self, caller: Caller, asked: PictureQuestion) -> tuple[ShownPicture, bytes]:
        """A picture that the caller may see, with its bytes; raises what `Pictures.content` does."""
        seeing = self._seeing(caller, asked)
        return self._pictures.content(asked.address, principals=seeing.principals)

    def ask(self, caller: Caller, asked: AskQuestion, stop: Stop) -> Iterator[AnswerEvent]:
        """The events of an answer made from what the caller may read; raises what `Answers.begin` does."""
        return self.answers.begin(self._seeing(caller, asked), asked, stop)

    def feedback(self, caller: Caller, asked: FeedbackQuestion) -> dict[str, Any]:
        """Keep what the caller says of a hit or an answer that they may see; raises what `Feedback.take` does."""
        return self._feedback.take(self._seeing(caller, asked), asked)

    def hint(self, caller: Caller, asked: HintQuestion) -> dict[str, Any]:
        """Have some sources looked at soon; raises what `Hints.take` does."""
        return self._hints.take(self.known(caller), asked.sources, asked.addresses or ())

    def notify(self, caller: Caller, told: Any) -> dict[str, Any]:
        """Have the sources looked at that a notification is about; raises what `Hints.notify` does."""
        return self._hints.notify(self.known(caller), told)

    def _prepared(self, caller: Caller, asked: SearchQuestion) -> tuple[Caller, dict[str, Any]]:
        if asked.k > self.settings.max_hits:
            raise BadRequest(f"k is at most {self.settings.max_hits:,} here; ask for fewer hits")
        seeing, arguments = self._seeing(caller, asked), asked.arguments()
        if asked.view_as is not None and asked.as_of is not None:
            # Named as what somebody looks with, a group no longer tells since when they are in it.
            had = self.searcher.principals_of(caller.principals, at=arguments["as_of"])
            seeing = replace(seeing, principals=seeing.principals & had)
        return seeing, arguments

    def _seeing(self, caller: Caller, asked: Question) -> Caller:
        if asked.view_as is None:
            return caller
        seeing = self.known(caller).seeing_as(asked.view_as)
        log.info("caller=%r looks as %r", caller.name, sorted(seeing.principals))
        return seeing

    def known(self, caller: Caller) -> Caller:
        """The caller with the groups that sources put them in now, by which they may be an administrator, too."""
        principals = self.searcher.principals_of(caller.principals)
        is_administrator = caller.is_administrator or not principals.isdisjoint(self.settings.administrators)
        return replace(caller, principals=principals, is_administrator=is_administrator)


def told_of(why: Why) -> dict[str, Any]:
    """What became of a document, as plain values."""
    record = {name: getattr(why, name) for name in ("reason", "sentence", "uri", "document_id", "conditions", "into")}
    return record | {"hit": None if why.hit is None else why.hit.record()}


def place_in(text: str, part: str, expected: int) -> int:
    """Where a part begins in a text, nearest to where it is expected: what joins chunks is no part of the document."""
    found: list[int] = []
    at = text.find(part)
    while at >= 0:
        found.append(at)
        at = text.find(part, at + 1)
    return min(found, key=lambda start: abs(start - expected), default=0)


def _not_kept(error: NothingPublished, asked: SearchQuestion) -> Exception:
    """That nothing is published at all is a fault of the server, and that an older state is not kept none."""
    return error if asked.as_of is None else NotThere(error.message)
