"""Hints in a stream of a Redis or Valkey server.

Belongs here: reading on from where the last look stopped.
Does not belong here: what an entry says (`contracts/hints.py`), what becomes of it (`hints.py`).

The server is only read: any number of pipelines may read one stream, and how long it is kept is a matter of whoever
writes it (`XADD … MAXLEN`). How far it was read stands beside the marks, and is written after them. A process that is
killed between the two takes the same entries in again, which is a hint that came twice.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from rag_pipeline.contracts.hints import Hint, hints_of
from rag_pipeline.errors import StoreError
from rag_pipeline.shown import without_secrets
from rag_pipeline.stores.hints import MOST_BYTES, HintFolder
from rag_pipeline.stores.redis_server import open_client
from rag_pipeline.stores.small_files import replace_file

log = logging.getLogger(__name__)
T = TypeVar("T")

CURSOR_FILE = ".stream"
START = "0-0"
# It answers within milliseconds; a sensor that waits longer keeps others from their turn.
TIMEOUT_SECONDS = 2.0
ENTRIES_AT_ONCE = 500
# So many are taken in at a time; the next time comes in seconds, and what waits meanwhile waits on the server.
MOST_ENTRIES = 10_000


class HintStream:
    """One stream, read into a folder of hints.

    Args:
        url: Of the server; `place` is the same without its password.

    Raises:
        SettingsError: The `redis` package is missing, or the address is none.
    """

    def __init__(self, url: str, key: str, hints: HintFolder) -> None:
        self._client = open_client("hints.stream.url", url, TIMEOUT_SECONDS)
        import redis

        self.place = without_secrets(url)
        self._key = key
        self._hints = hints
        self._failures = (redis.RedisError, OSError)

    def take_in(self) -> int:
        """Turn the entries that came since the last time into marks; return how many there were.

        Raises:
            StoreError: The server does not answer, or what stands under the key is no stream.
            OSError: The folder cannot be written.
        """
        return self._asked(self._taken_in)

    def check(self) -> None:
        """Ask for the newest entry and take nothing in.

        Raises:
            StoreError: The server does not answer, or what stands under the key is no stream.
        """
        self._asked(self._last_written)

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except self._failures as error:
            if isinstance(error, OSError) and error.filename is not None:
                # Of the folder, and not of the server.
                raise
            raise StoreError(
                f"hints in the stream {self._key} of {self.place} are not read: {error}; schedules look at all",
                place=self.place,
            ) from error
        finally:
            self._client.close()

    def _taken_in(self) -> int:
        last = self._cursor()
        if _number(self._last_written()) < _number(last):
            # Another server, or it was emptied: what it counts begins anew.
            last = START
        count = 0
        while count < MOST_ENTRIES:
            after = "-" if last == START else f"({last}"
            entries: Any = self._client.xrange(self._key, min=after, count=ENTRIES_AT_ONCE)
            if not entries:
                break
            self._hints.give_all({hint for _, fields in entries for hint in self._hints_in(fields)})
            last = entries[-1][0].decode()
            count += len(entries)
            self._note(last)
        return count

    def _last_written(self) -> str:
        newest: Any = self._client.xrevrange(self._key, count=1)
        if newest:
            return str(newest[0][0].decode())
        # All entries were trimmed, or there never were any; its own counter goes on in the first case.
        if not self._client.exists(self._key):
            return START
        info: Any = self._client.xinfo_stream(self._key)
        told = info.get("last-generated-id", START)
        return told.decode() if isinstance(told, bytes) else str(told)

    def _hints_in(self, fields: dict[bytes, bytes] | None) -> set[Hint]:
        """What one entry says: in its fields `source` and `address`, or as JSON in any field."""
        # An entry that was deleted while it waited has no fields.
        known = {name.decode("utf-8", "replace"): value for name, value in (fields or {}).items()}
        if sum(map(len, known.values())) > MOST_BYTES:
            return set()
        texts = {name: value.decode("utf-8", "replace") for name, value in known.items()}
        if "source" in texts:
            return hints_of(texts, {})
        found: set[Hint] = set()
        for text in texts.values():
            try:
                found |= hints_of(json.loads(text), self._hints.buckets)
            except (ValueError, RecursionError):
                continue
        return found

    def _cursor(self) -> str:
        """How far the stream was read; its beginning where that is not known, or of another stream."""
        try:
            noted = json.loads((self._hints.folder / CURSOR_FILE).read_bytes())
            last = str(noted["last"]) if [noted["place"], noted["key"]] == [self.place, self._key] else START
            _number(last)
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return START
        return last

    def _note(self, last: str) -> None:
        noted = {"place": self.place, "key": self._key, "last": last}
        replace_file(self._hints.folder / CURSOR_FILE, json.dumps(noted).encode())


def _number(entry_id: str) -> tuple[int, int]:
    """An id of an entry, to compare: a time in milliseconds and a number.

    Raises:
        ValueError: It is none.
    """
    time_ms, _, sequence = entry_id.partition("-")
    return int(time_ms), int(sequence)
