"""The ways to search.

Belongs here: their names. Does not belong here: how each searches (`retrieval/`).
"""

from __future__ import annotations

from typing import Literal, get_args

Mode = Literal["hybrid", "vector", "text"]
MODES: tuple[Mode, ...] = get_args(Mode)
