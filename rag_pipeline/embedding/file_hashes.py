"""SHA-256 of large files, remembered between runs by path, size and modification time.

Belongs here: the cache and its format. A damaged or unwritable cache costs time, never correctness.
Does not belong here: which files make a model (`layout.py`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from rag_pipeline.contracts.ids import digest


def file_sha256(path: Path, cache_folder: Path) -> str:
    """Plain SHA-256 of a file, 64 hex digits, the same that `sha256sum` prints.

    Raises:
        OSError: The file cannot be read.
    """
    return remembered(path, cache_folder, "sha256", _sha256)


def remembered(path: Path, cache_folder: Path, purpose: str, compute: Callable[[Path], str]) -> str:
    """`compute(path)`, or what it gave for the same path, size and modification time before."""
    real = path.resolve()
    status = real.stat()
    entry = cache_folder / "file-hashes" / f"{digest(purpose, str(real))[:32]}.json"
    key = [str(real), status.st_size, status.st_mtime_ns]
    try:
        known = json.loads(entry.read_text("utf-8"))
    except (OSError, ValueError):
        known = None
    if isinstance(known, dict) and known.get("file") == key and isinstance(known.get("value"), str):
        return str(known["value"])
    value = compute(real)
    with contextlib.suppress(OSError):
        _write_atomically(entry, json.dumps({"file": key, "value": value}))
    return value


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_atomically(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(target)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
