"""Small files of a lake that are read and replaced as a whole, on a disk or in an object store.

Belongs here: both of these, and adding a line to one on a disk.
Does not belong here: what stands in them (`polls.py`, `costs.py`).

On a disk a file is written beside and renamed, and on an object store put in one request, so that a reader sees the old
file or the new one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rag_pipeline.errors import StoreError
from rag_pipeline.stores.failures import cause_of, failed, is_failure
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.small_files import replace_file


def content_of(lake: Lake, name: str, max_bytes: int) -> bytes | None:
    """A file's bytes, and one more than `max_bytes` of a larger one; None: it is not there.

    Raises:
        OSError: It cannot be read from a disk.
        StoreError: It cannot be read from an object store.
    """
    if not lake.is_local:
        found = lake.objects.read(name, max_bytes)
        return None if found is None else found[0]
    path = Path(lake.root, name)
    if path.exists() and not path.is_file():
        # To open a pipe that nobody writes to would wait for ever.
        raise OSError(f"{path} is not a file")
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except FileNotFoundError:
        return None


def replace_content(lake: Lake, name: str, content: bytes) -> None:
    """Replace a file; the caller holds the lake's lock.

    Raises:
        StoreError: It could not be written; what stood there stands.
    """
    try:
        if lake.is_local:
            replace_file(Path(lake.root, name), content)
        else:
            lake.still_writing()
            lake.objects.write(name, content)
    except BaseException as error:
        if not is_failure(error):
            raise
        raise failed("write", lake.uri(name), name, error) from cause_of(error)


# Of lines of some kilobytes that is a megabyte, and several times what is kept of them.
_TRIMMED_LINES = 400
# A line of a few sources is shorter.
_LINE_BYTES = 2**14


@dataclass(frozen=True, slots=True)
class LineFile:
    """A small file of lines, of which those that are still looked at are kept.

    Attributes:
        max_bytes: What is larger is not this file.
        trimmed_bytes: When it is larger on a disk, and than `_TRIMMED_LINES` lines like the newest one, `newest` is
            asked. What that keeps is less than half of it, so that it is written anew once in hundreds of lines.
        newest: Its content without the lines that nothing looks at any more.
    """

    name: str
    max_bytes: int
    trimmed_bytes: int
    newest: Callable[[bytes], bytes]

    def add(self, lake: Lake, line: bytes) -> None:
        """Add a line, on a disk without reading the others; the caller holds the lake's lock.

        Raises:
            StoreError: It could not be written; what stood there stands.
        """
        if not lake.is_local:
            # An object cannot be appended to. What cannot be read now may be there in a moment: nothing replaces it.
            replace_content(lake, self.name, self.newest(self._content(lake) + line))
            return
        limit = min(max(self.trimmed_bytes, _TRIMMED_LINES * len(line)), self.max_bytes // 2)
        if self._append(lake, line) > limit:
            replace_content(lake, self.name, self.newest(self._tail(lake, self.max_bytes // 2)))

    def read(self, lake: Lake) -> bytes:
        """Its content; nothing where it is missing, is not this file, or cannot be read."""
        try:
            return self._content(lake)
        except StoreError:
            return b""

    def last(self, lake: Lake) -> bytes:
        """Its last line; nothing where there is none that can be read."""
        try:
            content = self._content(lake) if not lake.is_local else self._last(lake)
        except StoreError:
            return b""
        return (content.splitlines() or [b""])[-1]

    def _last(self, lake: Lake) -> bytes:
        """The end of the file, with a whole line at least."""
        size = _LINE_BYTES
        while len(tail := self._tail(lake, size)) == 0 and size < self.max_bytes:
            size *= 4
        return tail

    def _tail(self, lake: Lake, most_bytes: int) -> bytes:
        """The last lines of the file on a disk that are no more than so many bytes together."""
        path = Path(lake.root, self.name)
        if not path.is_file():
            return b""
        try:
            with path.open("rb") as file:
                start = max(0, file.seek(0, os.SEEK_END) - most_bytes)
                file.seek(max(0, start - 1))
                content = file.read(most_bytes + 1)
        except OSError as error:
            raise failed("read", lake.uri(self.name), self.name, error) from cause_of(error)
        # Where it begins within a line, that line is not among them.
        return content.partition(b"\n")[2] if start else content

    def _content(self, lake: Lake) -> bytes:
        try:
            content = content_of(lake, self.name, self.max_bytes) or b""
        except BaseException as error:
            if not is_failure(error):
                raise
            raise failed("read", lake.uri(self.name), self.name, error) from cause_of(error)
        return content if len(content) <= self.max_bytes else b""

    def _append(self, lake: Lake, line: bytes) -> int:
        """How many bytes it has then."""
        path = Path(lake.root, self.name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not path.is_file():
                # To open a pipe that nobody reads would wait for ever.
                raise OSError(f"{path} is not a file")
            with path.open("ab+") as file:
                if file.tell():
                    # A process that was killed may have left half a line.
                    file.seek(-1, os.SEEK_END)
                    line = line if file.read(1) == b"\n" else b"\n" + line
                file.write(line)
                return file.tell()
        except OSError as error:
            raise failed("write", lake.uri(self.name), self.name, error) from cause_of(error)
