"""Answers kept on a Redis or Valkey server, shared by all machines.

Belongs here: its keys, its time limits, and going on while it is gone.
Does not belong here: what is kept and under which key (`keeping.py`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import Any, TypeVar

from rag_pipeline.answering.keeping import Kept, Standing, fallen_of
from rag_pipeline.shown import without_secrets
from rag_pipeline.stores.redis_server import open_client

T = TypeVar("T")
LOG = logging.getLogger(__name__)
PREFIX = "rag-pipeline:answer:"
# It answers within a millisecond, or is no help.
TIMEOUT_SECONDS = 0.5
# So long it is left alone after a fault, or each question would wait for it.
REST_SECONDS = 10.0
# Answers that are looked through at once.
BATCH = 200
# A longer answer is none.
MOST_BYTES = 2**20
_RENEW = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0"
_SETTLE = "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('set', KEYS[1], ARGV[2]) end return 0"
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


class ServerCache:
    """Answers with a lifetime on a server, for any number of threads, processes and machines.

    Args:
        lake: Names the lake that they are made from; a server may hold those of several.

    Raises:
        SettingsError: The `redis` package is missing, or the address is none.
    """

    def __init__(self, url: str, lifetime_seconds: float, lake: str = "") -> None:
        self._client = open_client("answers.cache.url", url, TIMEOUT_SECONDS)
        self.place = without_secrets(url)
        self._answers = f"{PREFIX}{lake}:"
        self._looked_through = f"{PREFIX}looked-through:{lake}"
        self._lifetime_ms = int(lifetime_seconds * 1_000)
        self._rests_until = 0.0

    def get(self, key: str) -> Kept | None:
        raw = self._done(lambda: self._client.get(self._answers + key), None)
        return Kept.decoded(raw) if isinstance(raw, bytes) else None

    def put(self, key: str, kept: Kept) -> None:
        value = kept.encoded()
        if len(value) > MOST_BYTES:
            return

        def action() -> None:
            self._client.set(self._answers + key, value, px=self._lifetime_ms)
            seen = self._client.get(self._looked_through)
            if seen is not None and seen not in (kept.publication.encode(), _begun(kept.publication).encode()):
                # It comes late, and has to be looked at.
                self._client.delete(self._looked_through)

        self._done(action, None)

    def claim(self, key: str, owner: str, seconds: float) -> bool:
        return self._done(
            lambda: bool(self._client.set(_claim(key), owner, nx=True, px=int(seconds * 1_000))), otherwise=True
        )

    def renew(self, key: str, owner: str, seconds: float) -> None:
        self._done(lambda: self._client.eval(_RENEW, 1, _claim(key), owner, str(int(seconds * 1_000))), None)

    def release(self, key: str, owner: str) -> None:
        self._done(lambda: self._client.eval(_RELEASE, 1, _claim(key), owner), None)

    def erase(self, ids: Collection[str]) -> int | None:
        def action() -> int:
            return self._erased([key for key, kept in self._all() if kept is None or kept.is_of(ids)])

        return self._done(action, None)

    def erase_fallen(self, publication: str, standing: Standing) -> int | None:
        def older() -> dict[Any, tuple[str, ...] | None]:
            if self._client.get(self._looked_through) == publication.encode():
                return {}
            # Whoever keeps an answer of an older publication meanwhile takes this away, and the next look is another.
            self._client.set(self._looked_through, _begun(publication))
            return {
                key: None if kept is None else kept.chunk_ids
                for key, kept in self._all()
                if kept is None or kept.publication != publication
            }

        chunks = self._done(older, None)
        if chunks is None:
            return None
        # Outside of the server's care: what fails there is no fault of it.
        fallen = fallen_of(chunks, standing)

        def action() -> int:
            count = self._erased(fallen)
            self._client.eval(_SETTLE, 1, self._looked_through, _begun(publication), publication)
            return count

        return self._done(action, None)

    def _all(self) -> Iterator[tuple[Any, Kept | None]]:
        """The answers of this lake by their keys on the server."""
        keys = iter(self._client.scan_iter(match=f"{self._answers}*", count=1_000))
        while batch := list(islice(keys, BATCH)):
            for key, raw in zip(batch, self._client.mget(batch), strict=True):
                if isinstance(raw, bytes):
                    yield key, Kept.decoded(raw)

    def _erased(self, keys: list[Any]) -> int:
        for at in range(0, len(keys), BATCH):
            self._client.delete(*keys[at : at + BATCH])
        return len(keys)

    def close(self) -> None:
        self._client.close()

    def _done(self, action: Callable[[], T], otherwise: T) -> T:
        import redis

        if time.monotonic() < self._rests_until:
            return otherwise
        try:
            return action()
        except redis.ResponseError as error:
            # It is there, but full or asked wrongly.
            LOG.warning("kept answers on %s were not used: %s", self.place, error)
        except (redis.RedisError, OSError) as error:
            LOG.warning("kept answers on %s are not used for %g s: %s", self.place, REST_SECONDS, error)
            self._rests_until = time.monotonic() + REST_SECONDS
        return otherwise


def _begun(publication: str) -> str:
    return f"{publication} begun"


def _claim(key: str) -> str:
    return f"{PREFIX}claim:{key}"
