"""The log of a Delta table in a folder: which of its files nobody needs.

Belongs here: what may go. The library removes by age alone, and a busy day is thousands of commits.
Does not belong here: data files, object stores.
"""

from __future__ import annotations

from pathlib import Path

CHECKPOINT = ".checkpoint.parquet"


def forget_log(folder: Path, oldest: int) -> int:
    """Remove what came before a version and the checkpoint it is opened from; return how many files went.

    Args:
        folder: `_delta_log` of a table.
        oldest: This version and all after it can still be opened.
    """
    files = {path: int(path.name[:20]) for path in folder.iterdir() if path.name[:20].isdigit()}
    checkpoints = [version for path, version in files.items() if path.name.endswith(CHECKPOINT) and version <= oldest]
    if not checkpoints:
        return 0
    gone = sorted((version, path) for path, version in files.items() if version < max(checkpoints))
    for _, path in gone:
        path.unlink()
    return len(gone)
