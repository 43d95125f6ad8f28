"""The log of a Delta table in a folder: which of its files nobody needs.

Belongs here: what may go. The library removes by age alone, and a busy day is thousands of commits.
Does not belong here: data files, removing objects of a store.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

CHECKPOINT = ".checkpoint.parquet"


def forget_log(folder: Path, oldest: int) -> int:
    """Remove what came before a version and the checkpoint it is opened from; return how many files went.

    Args:
        folder: `_delta_log` of a table.
        oldest: This version and all after it can still be opened.
    """
    gone = forgettable((path.name for path in folder.iterdir()), oldest)
    for name in gone:
        (folder / name).unlink()
    return len(gone)


def forgettable(names: Iterable[str], oldest: int) -> list[str]:
    """The files of a log that came before a version and the checkpoint it is opened from, oldest first.

    Args:
        names: Of all files of the log, with or without the folder before them.
    """
    versions = {name: int(name.rpartition("/")[2][:20]) for name in names if name.rpartition("/")[2][:20].isdigit()}
    checkpoints = [version for name, version in versions.items() if name.endswith(CHECKPOINT) and version <= oldest]
    if not checkpoints:
        return []
    return sorted((name for name, version in versions.items() if version < max(checkpoints)), key=versions.__getitem__)
