"""Where a person who waits is told why: the command line's standard error, a run's log, or the ordinary log.

Belongs here: the one place that deep code says something to whoever started it. Standard library only.
Does not belong here: errors (`errors/`), results, progress (`refresh/progress.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Say = Callable[[str], object]

_LOG: Say = logging.getLogger(__name__).warning
# A context variable, since Dagster stands between the command line and the code that waits.
_SAY: ContextVar[Say] = ContextVar("say", default=_LOG)


def say(text: str) -> None:
    """Tell whoever started this one sentence, now."""
    _SAY.get()(text)


@contextmanager
def said_by(how: Say) -> Iterator[None]:
    """Notices of the block go there, unless somebody further out has taken them already."""
    if _SAY.get() is not _LOG:
        yield
        return
    _SAY.set(how)
    try:
        yield
    finally:
        # Not by a token: Dagster may end a block in another context than it began in.
        _SAY.set(_LOG)
