"""Who asks, for what runs inside a request and is not handed it: the tools of agents.

Belongs here: the one context variable.
Does not belong here: setting it (`middleware.py`, `agents.py`).
"""

from __future__ import annotations

from contextvars import ContextVar

from rag_pipeline.errors import Unidentified
from rag_pipeline.serving.callers import Caller

CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)


def current_caller() -> Caller:
    """Who asks now.

    Raises:
        Unidentified: Nobody does; nothing is answered without a caller.
    """
    caller = CALLER.get()
    if caller is None:
        raise Unidentified("nobody is known to ask")
    return caller
