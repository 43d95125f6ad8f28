"""The file in the lake that says when each source was last polled.

Belongs here: reading it, and replacing it as a whole.
Does not belong here: what stands in it (`contracts/polls.py`), reading and writing any such file (`whole_files.py`),
when it is written (`refresh/polls.py`).

Readers of a search look at it too, so it is read without opening any table.
"""

from __future__ import annotations

from rag_pipeline.contracts.polls import POLLS_FILE, Poll, Polls, bytes_of, polls_of
from rag_pipeline.errors import StoreError
from rag_pipeline.stores.failures import is_failure, reason_of
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.whole_files import content_of, replace_content

# Thousands of sources; what is larger is not this file.
_MAX_BYTES = 16 * 2**20


def read_polls(lake: Lake) -> Polls:
    """What is known of the polls; a file that is missing or damaged is no failure, and said in `problem`."""
    try:
        content = content_of(lake, POLLS_FILE, _MAX_BYTES)
    except StoreError as error:
        return Polls(problem=f"it cannot be read: {error.message}")
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
    replace_content(lake, POLLS_FILE, bytes_of(polls))
