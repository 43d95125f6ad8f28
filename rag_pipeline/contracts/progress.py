"""Where the progress of long work is shown.

Belongs here: the protocol. Does not belong here: drawing (`cli/`) or logging (`refresh/progress.py`).
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """`start` opens one piece of work, `advance` counts it, `finish` closes it."""

    def start(self, label: str, total: int) -> None: ...

    def advance(self, count: int) -> None: ...

    def finish(self) -> None: ...
