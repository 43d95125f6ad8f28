"""A reader that never stops asking, and what it saw."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from rag_pipeline.errors import NothingPublished
from rag_pipeline.retrieval.search import Hit, Mode, Searcher
from rag_pipeline.settings import Pipeline
from rag_pipeline_tests.crash.corpus import said_by

EVERYTHING = 10_000
POLL_SECONDS = 0.1
# What readers are shown is written in these folders of the lake. While nothing is, an answer is that of before.
SHOWN = ("gold/index", "gold/publications")
UNASKED_SECONDS = 1.0
FRESH_EVERY = 7


@dataclass(frozen=True)
class Seen:
    """One answer, as far as a reader can tell."""

    published_at: datetime
    rows: int
    state: frozenset[tuple[int, int]]


class Reader:
    """Asks for everything within 100 ms of any write that readers may see, by words and by meaning in turn.

    It asks once a second where nothing was written, too. A context manager.

    Attributes:
        seen: Every different answer.
        answers: How many there were.
        fault: The first error after something was published, or the first answer that is half of one.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.seen: set[Seen] = set()
        self.answers = 0
        self.fault: BaseException | None = None
        self._pipeline = pipeline
        self._shown = [Path(pipeline.lake_root, folder) for folder in SHOWN]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _poll(self) -> None:
        searcher = Searcher.open(self._pipeline)
        modes: tuple[Mode, ...] = ("text", "vector")
        known, asked = frozenset[tuple[str, int]](), 0.0
        try:
            while not self._stop.wait(POLL_SECONDS):
                written = self._written()
                if written == known and time.monotonic() < asked + UNASKED_SECONDS:
                    continue
                known, asked = written, time.monotonic()
                # Some readers have been there for long, others have just come.
                if self.answers % FRESH_EVERY == 0:
                    searcher = Searcher.open(self._pipeline)
                mode = modes[self.answers % len(modes)]
                try:
                    hits = searcher.search("lantern of document", principals={"public"}, k=EVERYTHING, mode=mode)
                except NothingPublished:
                    assert not self.answers, "what was published is gone"
                    continue
                self.seen.add(seen_in(hits))
                self.answers += 1
        except BaseException as error:
            self.fault = error

    def _written(self) -> frozenset[tuple[str, int]]:
        """When names in each folder last changed: every file that is committed, or taken away, is such a change."""
        found = set()
        for shown in self._shown:
            for folder, _, _ in os.walk(shown):
                with suppress(FileNotFoundError):
                    found.add((folder, Path(folder).stat().st_mtime_ns))
        return frozenset(found)


def seen_in(hits: list[Hit]) -> Seen:
    """What an answer says; fails if it is a mixture."""
    published = {hit.published_at for hit in hits}
    assert len(published) == 1, f"one answer from {len(published)} publications"
    parts: dict[tuple[int, int], list[int]] = defaultdict(list)
    wanted: dict[tuple[int, int], int] = {}
    for hit in hits:
        number, revision, part, count = said_by(hit.text)
        parts[number, revision].append(part)
        wanted[number, revision] = count
    assert len({number for number, _ in parts}) == len(parts), "a document in two revisions"
    for document, found in parts.items():
        assert sorted(found) == list(range(wanted[document])), f"document {document} in part: {found}"
    return Seen(published.pop(), len(hits), frozenset(parts))
