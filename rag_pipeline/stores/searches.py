"""The file in the lake that says what searches of the serving found, in numbers.

Belongs here: reading it, and adding a line.
Does not belong here: what stands in it (`contracts/searches.py`), when a line is added (`serving/searched.py`).
"""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from rag_pipeline.contracts.searches import (
    SEARCHES_FILE,
    SEARCHES_LOCK,
    Searches,
    line_of,
    newest_lines,
    searches_of,
)
from rag_pipeline.errors import LakeBusy
from rag_pipeline.stores.failures import failed
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.whole_files import LineFile

# Ninety lines of several models are a tenth of what it is trimmed at; what is larger than the first is not this file.
_FILE = LineFile(SEARCHES_FILE, max_bytes=16 * 2**20, trimmed_bytes=2**18, newest=newest_lines)


def read_searches(lake: Lake) -> list[Searches]:
    """The rows; none where the file is missing, damaged or cannot be read."""
    return searches_of(_FILE.read(lake))


def add_searches(lake: Lake, row: Searches) -> None:
    """Add a line, waiting for nobody.

    In an object store the last of two that write at one moment counts alone.

    Raises:
        LakeBusy: Another process adds one just now.
        StoreError: It could not be written; what stood there stands.
    """
    if not lake.is_local:
        _FILE.add(lake, line_of(row))
        return
    try:
        with FileLock(Path(lake.root, SEARCHES_LOCK), timeout=0):
            _FILE.add(lake, line_of(row))
    except Timeout as error:
        raise LakeBusy(f"another process adds to {SEARCHES_FILE} just now", lake=lake.root) from error
    except OSError as error:
        raise failed("write", lake.uri(SEARCHES_FILE), SEARCHES_FILE, error) from error
