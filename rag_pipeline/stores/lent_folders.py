"""Folders for temporary files that hold what documents say, and are removed even if their user was killed.

Belongs here: lending one, and telling those that nobody uses any more.
Does not belong here: what is put into them (`shadow.py`, `lake_files.py`, `refresh/restore.py`).
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

SHADOW, RESTORE, LOOK = "rag-pipeline-shadow-", "rag-pipeline-restore-", "rag-pipeline-look-"
# Locked for as long as somebody uses the folder; whoever is killed leaves it unlocked.
_IN_USE = ".in-use.lock"
# So long may pass between making a folder and locking it.
_YOUNG_SECONDS = 5.0


@contextmanager
def lent_folder(prefix: str) -> Iterator[Path]:
    """A folder while the block runs; those that others were killed with are removed first.

    Raises:
        OSError: There is no room for it in the folder for temporary files.
    """
    remove_left_folders()
    with (
        tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder,
        FileLock(Path(folder, _IN_USE), timeout=0),
    ):
        yield Path(folder)


def remove_left_folders() -> None:
    """Remove what was left by those who were killed: it holds the text of documents."""
    for prefix in (SHADOW, RESTORE, LOOK):
        with suppress(OSError):
            for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
                _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    # Another user's is theirs, and a link may lead anywhere.
    with suppress(OSError, Timeout):
        status = folder.lstat()
        is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
        if is_ours and time.time() - status.st_mtime > _YOUNG_SECONDS:
            with FileLock(folder / _IN_USE, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
