"""Answers that are kept, and one call for equal questions in flight at once.

Belongs here: what is kept of an answer, its key, what a store of answers can do, and whose turn it is to ask the model.
Does not belong here: the stores (`embedded_cache.py`, `server_cache.py`).

The key holds the texts that the model was given, which are what its asker may read: no answer crosses rights, and what
changes or is withdrawn is another key.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Protocol, TypeVar

from rag_pipeline.answering.answer import Answer, Citation
from rag_pipeline.answering.prompt import normalised
from rag_pipeline.contracts.ids import digest
from rag_pipeline.endpoints.stop import Stop

K = TypeVar("K")
# Raise it when what is kept, or what an answer is made of, changes.
CACHE_VERSION = "3"
# Of the SHA-256 that what is kept begins with, hexadecimal: neither store notices a bit that has changed in a text.
SUM_CHARS = 64
# So long do others wait for a process that was killed while it asked.
CLAIM_SECONDS = 5.0
# A look at the store takes a tenth of a millisecond.
LOOK_SECONDS = 0.03


# Of some chunks, those that somebody may read in what is published now.
Standing = Callable[[Collection[str]], Collection[str]]


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of an answer: its text with marks, what it took, and what it was made from.

    Attributes:
        document_ids, chunk_ids: Of all texts that the model was given, cited or not.
        publication: Name of the publication that they were found in.
    """

    text: str
    tokens_in: int
    tokens_out: int
    tokens_estimated: bool
    document_ids: tuple[str, ...] = ()
    chunk_ids: tuple[str, ...] = ()
    publication: str = ""

    def is_of(self, ids: Collection[str]) -> bool:
        """Whether it was made from one of these documents or chunks."""
        return not set(ids).isdisjoint((*self.document_ids, *self.chunk_ids))

    def encoded(self) -> bytes:
        content = json.dumps(asdict(self)).encode()
        return _sum_of(content) + content

    @classmethod
    def decoded(cls, raw: bytes) -> Kept | None:
        """None for what is none, whoever wrote it, and for what is no more as it was written."""
        try:
            content = raw[SUM_CHARS:]
            if raw[:SUM_CHARS] != _sum_of(content):
                return None
            values = json.loads(content)
            kept = cls(**values | {name: tuple(values[name]) for name in ("document_ids", "chunk_ids")})
        except (ValueError, TypeError, KeyError, UnicodeDecodeError):
            return None
        return kept if isinstance(kept.text, str) else None


def _sum_of(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


class AnswerCache(Protocol):
    """A store of answers. None of its calls raises for what is wrong with the store: then nothing is kept there."""

    def get(self, key: str) -> Kept | None: ...

    def put(self, key: str, kept: Kept) -> None: ...

    def claim(self, key: str, owner: str, seconds: float) -> bool:
        """Whether the owner may ask the model; true also where the store cannot tell."""
        ...

    def renew(self, key: str, owner: str, seconds: float) -> None: ...

    def release(self, key: str, owner: str) -> None: ...

    def erase(self, ids: Collection[str]) -> int | None:
        """Erase what was made from one of these documents or chunks; how much that was, None: it cannot be told."""
        ...

    def erase_fallen(self, publication: str, standing: Standing) -> int | None:
        """Erase what was made from chunks that stand no more; None: it cannot be told.

        What was made from the publication of that name, or was looked at since it is there, is not looked at again.
        """
        ...

    def close(self) -> None: ...


def fallen_of(chunks: Mapping[K, Collection[str] | None], standing: Standing) -> list[K]:
    """Keys of the answers that were made from a chunk that stands no more.

    Args:
        chunks: Those of each answer by its key; None: it is none, whoever wrote it.
    """
    stand = frozenset(standing({name for names in chunks.values() for name in names or ()}) if chunks else ())
    return [key for key, names in chunks.items() if names is None or not stand.issuperset(names)]


def key_of(question: str, given: Sequence[Citation], prompt: str, model: str) -> str:
    """The key of an answer.

    Args:
        given: In their order, which decides what a number means.
        prompt, model: Fingerprints.
    """
    texts = [
        digest(*citation.chunk_ids, citation.title or "", citation.uri, citation.place, citation.text)
        for citation in given
    ]
    return digest("answer", CACHE_VERSION, normalised(question), prompt, model, *texts)


def kept_of(answer: Answer, given: Sequence[Citation], publication: str) -> Kept | None:
    """What is kept of an answer; None: another asker deserves another try.

    Args:
        given: All that the model was given.
    """
    if answer.verdict not in ("answered", "no_information") or answer.struck:
        return None
    return Kept(
        answer.text,
        answer.tokens_in,
        answer.tokens_out,
        answer.tokens_estimated,
        tuple(dict.fromkeys(citation.document_id for citation in given)),
        tuple(dict.fromkeys(name for citation in given for name in citation.chunk_ids)),
        publication,
    )


class Turn:
    """One asker's turn.

    Attributes:
        kept: An answer that is there already; None: ask the model.
    """

    def __init__(self, kept: Kept | None) -> None:
        self.kept = kept
        self.result: Kept | None = None


class _Flight:
    """A call under way in this process."""

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.result: Kept | None = None


class Turns:
    """Whose turn it is, within this process and among all that share a store."""

    def __init__(self, cache: AnswerCache) -> None:
        self._cache = cache
        self._flights: dict[str, _Flight] = {}
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, key: str, patience_seconds: float, stop: Stop | None = None) -> Iterator[Turn]:
        """A turn for a key; whoever asks the model sets its `result`, or leaves it None and the next one asks.

        Args:
            patience_seconds: So long is another one waited for, who asks the same.
            stop: Ends the waiting.

        Raises:
            CallStopped: `stop` was set while another one was waited for.
        """
        deadline = time.monotonic() + patience_seconds
        stop = stop or Stop()
        flight: _Flight | None = None
        while flight is None:
            with self._lock:
                other = self._flights.get(key)
                if other is None:
                    flight = self._flights[key] = _Flight()
            if other is not None:
                if not self._has_landed(other, deadline, stop):
                    yield Turn(self._cache.get(key))
                    return
                if other.result is not None:
                    yield Turn(other.result)
                    return
        try:
            with self._claimed(key, deadline, stop) as kept:
                turn = Turn(kept)
                flight.result = kept
                yield turn
                if kept is None and turn.result is not None:
                    flight.result = turn.result
                    self._cache.put(key, turn.result)
        finally:
            with self._lock:
                del self._flights[key]
            flight.landed.set()

    def _has_landed(self, flight: _Flight, deadline: float, stop: Stop) -> bool:
        """Wait for another one; whether they were done in time."""
        while not flight.landed.wait(min(LOOK_SECONDS, max(0.0, deadline - time.monotonic()))):
            stop.check()
            if time.monotonic() >= deadline:
                return False
        return True

    @contextmanager
    def _claimed(self, key: str, deadline: float, stop: Stop) -> Iterator[Kept | None]:
        """The answer that is kept, or nothing with the claim to ask for it, which is held until the end."""
        owner = secrets.token_hex(8)
        while (kept := self._cache.get(key)) is None:
            if self._cache.claim(key, owner, CLAIM_SECONDS):
                break
            if time.monotonic() >= deadline:
                yield None
                return
            stop.wait(LOOK_SECONDS)
        else:
            yield kept
            return
        # Its last owner may have put it there between the look and the claim.
        kept = self._cache.get(key)
        ended = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(key, owner, ended), daemon=True)
        renewing.start()
        try:
            yield kept
        finally:
            ended.set()
            renewing.join()
            self._cache.release(key, owner)

    def _renew(self, key: str, owner: str, ended: threading.Event) -> None:
        while not ended.wait(CLAIM_SECONDS / 3):
            self._cache.renew(key, owner, CLAIM_SECONDS)
