"""How often Python's collector looks for garbage: seldom while a command starts, as it goes in what stays.

Belongs here: the collector, and nothing else.
Does not belong here: what a command loads (`__init__.py`).
"""

from __future__ import annotations

import gc

# Start-up makes four hundred thousand objects that stay, and nothing that is worth collecting.
OBJECTS_OF_A_START = 500_000
# What does not end by itself keeps less about that nobody needs.
OBJECTS_BETWEEN_COLLECTIONS = 100_000


def start() -> None:
    """A command starts, and most end soon."""
    gc.set_threshold(OBJECTS_OF_A_START, 50, 50)


def stay() -> None:
    """This process is a server: what it made to start is looked through no more, and garbage does not gather."""
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, 50, 50)
