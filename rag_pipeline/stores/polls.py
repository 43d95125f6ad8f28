"""The file in the lake that says when each source was last polled.

Belongs here: reading it, and replacing it as a whole.
Does not belong here: what stands in it (`contracts/polls.py`), when it is written (`refresh/polls.py`).

On a disk it is written beside and renamed, and on an object store put in one request, so that a reader sees the old
file or the new one. Readers of a search look at it too, so it is read without opening any table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deltalake.fs import DeltaStorageHandler

from rag_pipeline.contracts.polls import POLLS_FILE, Poll, Polls, bytes_of, polls_of
from rag_pipeline.stores.failures import cause_of, failed, is_failure, reason_of
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.small_files import replace_file

# Thousands of sources; what is larger is not this file.
_MAX_BYTES = 16 * 2**20


def read_polls(lake: Lake) -> Polls:
    """What is known of the polls; a file that is missing or damaged is no failure, and said in `problem`."""
    try:
        content = _content(lake)
    except BaseException as error:
        if not is_failure(error):
            raise
        return Polls(problem=f"it cannot be read ({reason_of(error)})")
    if content is None:
        return Polls(problem="it is not there")
    if len(content) > _MAX_BYTES:
        return Polls(problem="it is damaged (larger than it can be)")
    return polls_of(content)


def write_polls(lake: Lake, polls: dict[str, Poll]) -> None:
    """Replace the file; the caller holds the lake's lock.

    Raises:
        StoreError: It could not be written; what stood there stands.
    """
    content = bytes_of(polls)
    try:
        if lake.is_local:
            replace_file(Path(lake.root, POLLS_FILE), content)
        else:
            # The wrapper around this stream passes buffers on, and the stream takes bytes only.
            stream: Any = _handler(lake)._handler.open_output_stream(POLLS_FILE)
            stream.write(content)
            stream.close()
    except BaseException as error:
        if not is_failure(error):
            raise
        raise failed("write", lake.uri(POLLS_FILE), POLLS_FILE, error) from cause_of(error)


def _content(lake: Lake) -> bytes | None:
    if not lake.is_local:
        try:
            with _handler(lake).open_input_file(POLLS_FILE) as stream:
                content: bytes = stream.read(_MAX_BYTES + 1)
                return content
        except FileNotFoundError:
            return None
    path = Path(lake.root, POLLS_FILE)
    if path.exists() and not path.is_file():
        # To open a pipe that nobody writes to would wait for ever.
        raise OSError(f"{path} is not a file")
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None


def _handler(lake: Lake) -> DeltaStorageHandler:
    return DeltaStorageHandler(lake.root, lake.storage_options)
