"""A client of a Redis or Valkey server that nobody waits for.

Belongs here: opening it.
Does not belong here: what is kept there (`answering/server_cache.py`) or read there (`hint_stream.py`).
"""

from __future__ import annotations

from typing import Any

from rag_pipeline.errors import SettingsError
from rag_pipeline.shown import without_secrets


def open_client(setting: str, url: str, timeout_seconds: float) -> Any:
    """A client that tries once and gives up in time; nothing is asked yet.

    Args:
        setting: What names the server in pipeline.yaml, like `answers.cache.url`.

    Raises:
        SettingsError: The `redis` package is missing, or the address is none.
    """
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise SettingsError(
            f"{setting} names a server, which needs the `redis` package: pip install 'rag-pipeline[redis]'"
        ) from error
    try:
        # By itself it tries a server that is silent for nine seconds.
        return redis.Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise SettingsError(f"{setting}: {without_secrets(url)} is no address of a server: {error}") from error
