"""Messages of an mbox file, one after the other.

Belongs here: finding and reading them. Does not belong here: what a message says (`messages.py`).

Positions shift with every message that is deleted, so a message is known by its content without the header fields in
which mail programs keep flags; twins are counted. One read of the file is a listing.
"""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, pairwise
from pathlib import Path

from rag_pipeline.contracts.large_listings import listing_of
from rag_pipeline.contracts.sources import FetchedObject, Idle, SourceObject, SourceSpec
from rag_pipeline.errors import SourceUnavailable
from rag_pipeline.sources import reading
from rag_pipeline.sources.addresses import segment_of, uri_of
from rag_pipeline.sources.mail.messages import CAPABILITIES, DOWN, fetched_message, message_stamp, unavailable
from rag_pipeline.sources.selection import Selection

_FIELD = re.compile(rb">?[A-Za-z][A-Za-z0-9-]*:")
_ESCAPED_FROM = re.compile(rb"^>(>*From )", re.M)
_FLAGS = re.compile(
    rb"^(?:Status|X-Status|X-Keywords|X-Mozilla-(?:Status2?|Keys)):.*\r?\n(?:[ \t].*\r?\n)*", re.M | re.I
)
_HEADER_END = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class _Span:
    """Where a message stands in the file, and its size without flags, bytes."""

    start: int
    end: int
    size_bytes: int


class MboxMail:
    """One mbox file."""

    # All threads read one file.
    fetch_threads = 1
    capabilities = CAPABILITIES

    def __init__(self, spec: SourceSpec) -> None:
        self.name = spec.name
        self._spec = spec
        self._path = Path(spec.location)
        self._folder = segment_of(self._path.name)
        self._selection = Selection(spec)
        self._spans: dict[str, _Span] = {}
        self._read_at: tuple[int, ...] | None = None
        self._lock = threading.Lock()

    def list(self) -> Sequence[SourceObject]:
        """See `Source.list`."""
        self._selection.watched.start()
        with self._lock:
            self._read()
            spans = self._spans
        return listing_of(
            self._item(address, span.size_bytes) for address, span in spans.items() if self._selection.takes(address)
        )

    def idle(self) -> Sequence[Idle]:
        """See `Source.idle`."""
        return self._selection.watched.idle()

    def fetch(self, item: SourceObject) -> FetchedObject:
        """See `Source.fetch`."""
        try:
            with self._lock:
                raw = self._raw(item.address)
        except (OSError, SourceUnavailable) as error:
            # What was listed and cannot be read is held by the deletion guard, and the rest of the listing counts.
            raise reading.unreadable(DOWN) from error
        return fetched_message(self._spec, raw, self._folder, None)

    def _raw(self, address: str) -> bytes:
        for _ in range(reading.READ_ATTEMPTS):
            self._read()
            span = self._spans.get(address)
            if span is None:
                raise reading.vanished()
            with self._path.open("rb") as file:
                file.seek(span.start)
                raw = file.read(min(span.end - span.start, self._spec.max_document_bytes + 1))
                if _state(os.fstat(file.fileno())) == self._read_at:
                    return _content(raw)
        raise reading.still_changing()

    def _item(self, address: str, size: int) -> SourceObject:
        limit = self._spec.max_document_bytes
        return SourceObject(
            address=address,
            uri=uri_of(self._spec, address),
            size_bytes=size,
            modified_at=None,
            stamp=message_stamp(self._spec, address, str(size > limit)),
            problem=reading.too_large(size, limit) if size > limit else None,
        )

    def _read(self) -> None:
        """Where each message stands, unless the file is as it was.

        Raises:
            SourceUnavailable: It is not there, is no mbox file, or does not stop changing.
        """
        try:
            for _ in range(reading.READ_ATTEMPTS):
                with self._path.open("rb") as file:
                    before = _state(os.fstat(file.fileno()))
                    if before == self._read_at:
                        return
                    spans = dict(self._found(file))
                    after = _state(self._path.stat())
                if before == after:
                    self._spans, self._read_at = spans, after
                    return
        except OSError as error:
            said = os.strerror(error.errno or 0).lower()
            raise unavailable(self._spec, f"{said}. Correct `location`, or mount it.") from error
        raise unavailable(self._spec, "it was written to each time it was read. The next run tries again.")

    def _found(self, file: Iterable[bytes]) -> Iterator[tuple[str, _Span]]:
        twins: Counter[str] = Counter()
        for start, raw in _messages(self._spec, file):
            content = _content(raw)
            identity = sha256(content).hexdigest()[:32]
            twins[identity] += 1
            name = identity if twins[identity] == 1 else f"{identity}.{twins[identity]}"
            yield f"{self._folder}/{name}", _Span(start, start + len(raw), len(content))


def _messages(spec: SourceSpec, file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Each message with where it begins, after its line `From `. One within a text is none: no header follows it."""
    position, start = 0, -1
    lines: list[bytes] = []
    is_after_blank = True
    for line, following in pairwise(chain(file, [b""])):
        if line.startswith(b"From ") and (start < 0 or (is_after_blank and _FIELD.match(following))):
            if start >= 0:
                yield start, b"".join(lines)
            lines, start = [], position + len(line)
        elif start < 0:
            raise unavailable(spec, "it does not begin like an mbox file. Correct `location`.")
        else:
            lines.append(line)
        is_after_blank = not line.strip()
        position += len(line)
    if start >= 0:
        yield start, b"".join(lines)


def _content(raw: bytes) -> bytes:
    """A message without the blank line that parts it from the next, the marks before `From `, and flags."""
    for _ in range(2):
        raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    end = _HEADER_END.search(raw)
    head = end.end() if end else len(raw)
    return _FLAGS.sub(b"", raw[:head]) + _ESCAPED_FROM.sub(rb"\1", raw[head:])


def _state(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
