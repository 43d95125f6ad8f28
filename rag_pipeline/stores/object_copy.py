"""Objects of a lake in an object store, copied to a folder and back, many at a time.

Belongs here: which objects the newest versions of the tables consist of, and moving them.
Does not belong here: one object (`objects.py`), what is done with the copy (`shadow.py`, `backup.py`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from deltalake import DeltaTable

from rag_pipeline.errors import StoreError
from rag_pipeline.stores.failures import reading
from rag_pipeline.stores.lake import INDEX_PATH
from rag_pipeline.stores.objects import Entry, Objects

LOG = "_delta_log"
# Of Delta tables and of Lance's: what says which files a version consists of.
TELLING = frozenset({LOG, "_versions", "_transactions", "_deletions"})
LAYERS = ("gold", "silver", "bronze")
# It may name a checkpoint that came after a listing; without it the newest one that is there is taken.
_HINT = f"{LOG}/_last_checkpoint"
# Requests under way: each waits for the store most of its time, and memory holds a piece of each.
_AT_ONCE = 16
# What a disk is to have left beside the copy: other programs use the folder for temporary files, too.
_SPARE_BYTES = 64 * 2**20


def fetch_newest(objects: Objects, folder: Path) -> None:
    """Copy what the newest versions of all tables consist of, and the small files beside them, into a folder.

    What goes away meanwhile was tidied away, and no newest version needs it.

    Raises:
        StoreError: The store did not answer, or there is no room for it in the folder.
    """
    entries = objects.entries()
    telling = {name for name in entries if _is_telling(name) and not name.endswith(_HINT)}
    _fetch_with_room(objects, entries, telling, folder)
    _fetch_with_room(objects, entries, _needed(objects, entries, folder) - telling, folder)


def fetch_all(objects: Objects, names: Collection[str], folder: Path) -> None:
    """Copy objects into a folder, each under its name; those that are not there are left out."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(lambda name: objects.fetch(name, folder / name), sorted(names)):
            pass


def _fetch_with_room(objects: Objects, entries: Mapping[str, Entry], names: Collection[str], folder: Path) -> None:
    size, free = sum(entries[name].size for name in names), shutil.disk_usage(folder).free
    if size + _SPARE_BYTES > free:
        raise StoreError(
            f"the tables of {objects.root} take {size:,} bytes, and {folder.parent} has {free:,} bytes left for a copy "
            f"of them; nothing was changed. Make room there, or name another folder for temporary files: TMPDIR"
        )
    try:
        fetch_all(objects, names, folder)
    except OSError as error:
        raise StoreError(f"{objects.root} could not be copied to {folder}: {error}; nothing was changed") from error


def _is_telling(name: str) -> bool:
    parts = PurePosixPath(name).parts
    # Below the root itself stand small files alone, such as when sources were polled.
    return len(parts) == 1 or (parts[0] in LAYERS and not TELLING.isdisjoint(parts))


def _needed(objects: Objects, entries: Mapping[str, Entry], folder: Path) -> set[str]:
    """Data files of the newest version of each Delta table, and all of Lance, which keeps few versions."""
    tables = {name.partition(f"/{LOG}/")[0] for name in entries if f"/{LOG}/" in name}
    needed = {name for name in entries if name.startswith(f"{INDEX_PATH}/")}
    for path in tables:
        if not (folder / path / LOG).is_dir():
            continue
        with reading("open", f"{objects.root}/{path}", path):
            uris = [unquote(uri) for uri in DeltaTable(str(folder / path)).file_uris()]
        names = {Path(os.path.relpath(uri, folder)).as_posix() for uri in uris}
        needed |= names & entries.keys()
    return needed
