"""The same map in this process: for tests and for jobs too small to be worth a worker.

Belongs here: the engine without isolation; a hang or a crash takes the caller with it.
Does not belong here: anything that only makes sense between processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rag_pipeline.errors import DocumentError
from rag_pipeline.parallel.verdicts import out_of_memory, unexpected


def map_serially(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[int, Any | DocumentError]]:
    """Yield (position, value) in input order; an item that fails yields its DocumentError."""
    for position, item in enumerate(items):
        yield position, _outcome(function, item)


def _outcome(function: Callable[[Any], Any], item: Any) -> Any | DocumentError:
    try:
        return function(item)
    except DocumentError as error:
        return error
    except MemoryError:
        return out_of_memory(None)
    # The same edge as the worker's: whatever a parser raises is a fact about the document.
    except Exception as error:
        return unexpected(type(error).__name__)
