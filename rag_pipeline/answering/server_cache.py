"""Answers kept on a Redis or Valkey server, shared by all machines.

Belongs here: its keys, its time limits, and going on while it is gone.
Does not belong here: what is kept and under which key (`keeping.py`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from rag_pipeline.answering.keeping import Kept
from rag_pipeline.errors import SettingsError
from rag_pipeline.shown import without_secrets

T = TypeVar("T")
LOG = logging.getLogger(__name__)
PREFIX = "rag-pipeline:answer:"
# It answers within a millisecond, or is no help.
TIMEOUT_SECONDS = 0.5
# So long it is left alone after a fault, or each question would wait for it.
REST_SECONDS = 10.0
# A longer answer is none.
MOST_BYTES = 2**20
_RENEW = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0"
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


class ServerCache:
    """Answers with a lifetime on a server, for any number of threads, processes and machines.

    Raises:
        SettingsError: The `redis` package is missing, or the address is none.
    """

    def __init__(self, url: str, lifetime_seconds: float) -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise SettingsError(
                "answers.cache.url names a server, which needs the `redis` package: pip install 'rag-pipeline[redis]'"
            ) from error
        self._place = without_secrets(url)
        self._lifetime_ms = int(lifetime_seconds * 1_000)
        try:
            # By itself it tries a server that is silent for nine seconds.
            self._client = redis.Redis.from_url(
                url,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            raise SettingsError(f"answers.cache.url: {self._place} is no address of a server: {error}") from error
        self._rests_until = 0.0

    def get(self, key: str) -> Kept | None:
        raw = self._done(lambda: self._client.get(PREFIX + key), None)
        return Kept.decoded(raw) if isinstance(raw, bytes) else None

    def put(self, key: str, kept: Kept) -> None:
        value = kept.encoded()
        if len(value) <= MOST_BYTES:
            self._done(lambda: self._client.set(PREFIX + key, value, px=self._lifetime_ms), None)

    def claim(self, key: str, owner: str, seconds: float) -> bool:
        return self._done(
            lambda: bool(self._client.set(_claim(key), owner, nx=True, px=int(seconds * 1_000))), otherwise=True
        )

    def renew(self, key: str, owner: str, seconds: float) -> None:
        self._done(lambda: self._client.eval(_RENEW, 1, _claim(key), owner, str(int(seconds * 1_000))), None)

    def release(self, key: str, owner: str) -> None:
        self._done(lambda: self._client.eval(_RELEASE, 1, _claim(key), owner), None)

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
            LOG.warning("kept answers on %s were not used: %s", self._place, error)
        except (redis.RedisError, OSError) as error:
            LOG.warning("kept answers on %s are not used for %g s: %s", self._place, REST_SECONDS, error)
            self._rests_until = time.monotonic() + REST_SECONDS
        return otherwise


def _claim(key: str) -> str:
    return f"{PREFIX}claim:{key}"
