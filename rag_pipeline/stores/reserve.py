"""Room that is kept free for taking away: a file that is given up when the disk is full.

Belongs here: making the file, giving it up or a piece of it, and telling whether the disk is full.
Does not belong here: what the room is used for (`refresh/revoke.py`, `stores/alerts.py`).

Everything that takes something from readers writes a little. On a disk that others have filled it could not, and what
was revoked would stay public until somebody makes room.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

log = logging.getLogger(__name__)

RESERVE_NAME = ".reserve"
# To delete a hundred thousand rows and to move the pointer takes less.
RESERVE_BYTES = 4 * 2**20
# What a message to the people on duty takes is a few kilobytes.
PIECE_BYTES = 64 * 2**10
# Others may fill each piece as it is given up, once a minute: after a quarter of an hour of that the rest stays.
MOST_PIECES = 16
# A disk with less room than this keeps it for what a run writes.
LEAST_FREE_BYTES = 4 * RESERVE_BYTES


def keep_reserve(root: Path) -> None:
    """Make the file where it is not there, on a disk that has room; to fail at that is said and costs nothing else."""
    path = root / RESERVE_NAME
    try:
        if path.exists() and path.stat().st_size >= RESERVE_BYTES:
            return
        root.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(root).free < LEAST_FREE_BYTES:
            return
        with path.open("wb") as file:
            # Bytes that a file system which compresses, or leaves out zeros, has to keep.
            file.write(os.urandom(RESERVE_BYTES))
    except OSError as error:
        log.warning("no room is kept free in %s for taking away: %s", root, error)


def spend_reserve(root: Path) -> bool:
    """Give the file up if the disk is full; whether there is more room now."""
    try:
        if not is_full(root):
            return False
        (root / RESERVE_NAME).unlink()
    except OSError:
        return False
    log.error("the disk of %s is full: what was kept free for taking away is used up now; make room", root)
    return True


def spend_piece(root: Path) -> bool:
    """Give up a small piece of the file if the disk is full, so that people are told of it; whether there is room now.

    The rest stays for taking away.
    """
    path = root / RESERVE_NAME
    try:
        left = path.stat().st_size - PIECE_BYTES
        if left < RESERVE_BYTES - MOST_PIECES * PIECE_BYTES or not is_full(root):
            return False
        os.truncate(path, left)
    except OSError:
        return False
    return True


def is_full(root: Path) -> bool:
    """Whether so little is free that nothing can be relied on to be written.

    Raises:
        OSError: Nobody can tell.
    """
    return shutil.disk_usage(root).free < RESERVE_BYTES
