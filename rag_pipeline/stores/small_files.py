"""Small files of the lake that are no tables: replaced as a whole.

Belongs here: replacing one on a disk.
Does not belong here: what stands in them. Standard library only: they are read before anything heavy is loaded.
"""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Write a file beside and rename it, so that a reader sees the old content or the new.

    Raises:
        OSError: It could not be written; what stood there stands.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Always the same name: what a killed run left is written over by the next one.
    beside = path.with_name(f".{path.name.removeprefix('.')}.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
