"""Small files of the lake that are no tables: replaced as a whole.

Belongs here: replacing one on a disk.
Does not belong here: what stands in them. Standard library only: they are read before anything heavy is loaded.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Write a file beside and rename it, so that a reader sees the old content or the new; who may read it stays.

    Raises:
        OSError: It could not be written; what stood there stands.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Always the same name: what a killed run left is taken away by the next one.
    beside = path.with_name(f".{path.name.removeprefix('.')}.new")
    try:
        beside.unlink(missing_ok=True)
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            beside.chmod(path.stat().st_mode)
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
