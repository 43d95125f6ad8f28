"""A lake in a folder put in the place of one in an object store.

Belongs here: in which order objects go and come, so that readers find a whole lake or none.
Does not belong here: making the lake in the folder (`refresh/restore.py`).

An object store renames nothing, so between the first object and the last the lake is neither. Its format says so, which
stops every writer until the restore is run again; and the log of publications goes first and comes last, so that
meanwhile nothing is published for readers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from rag_pipeline.contracts.erasures import CERTIFICATES, ERASED_FILE
from rag_pipeline.contracts.tables import PUBLICATIONS
from rag_pipeline.stores.conditional import TRIAL, note_format
from rag_pipeline.stores.delta_log import CHECKPOINT
from rag_pipeline.stores.lake_format import FORMAT_FILE
from rag_pipeline.stores.lease import LEASE_NAME
from rag_pipeline.stores.object_copy import LOG, TELLING
from rag_pipeline.stores.objects import Objects

# Requests under way: each waits for the store most of its time.
_AT_ONCE = 16
# One request removes so many.
_REMOVED_AT_ONCE = 1000
_OWN = frozenset({LEASE_NAME, FORMAT_FILE})
_POINTER = f"{PUBLICATIONS.path}/{LOG}/"


def is_empty(objects: Objects) -> bool:
    """Whether there is nothing at a lake's address but what its lease needs."""
    return not [name for name in objects.entries() if name not in _OWN and not name.startswith(TRIAL)]


def send_lake(folder: Path, objects: Objects, still_writing: Callable[[], None]) -> None:
    """Make a lake in an object store what one in a folder is; whoever is killed meanwhile does it again from the start.

    Args:
        still_writing: Raises where the lease is lost.

    Raises:
        LeaseLost: Somebody else writes there.
        StoreError: The store did not answer; the lake is not whole, which its format says.
    """
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    names = sorted(files.keys() - _OWN)
    erased = [name for name in names if name == ERASED_FILE or name.startswith(f"{CERTIFICATES}/")]
    pointer = [name for name in names if name.startswith(_POINTER)]
    data = [name for name in names if "/" in name and TELLING.isdisjoint(PurePosixPath(name).parts)]
    rest = sorted({*names} - {*erased, *pointer, *data})

    def send(chosen: Sequence[str]) -> None:
        still_writing()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(lambda name: objects.send(files[name], name), chosen):
                pass

    still_writing()
    note_format(objects, is_half=True)
    # What says what was erased is never away, and knows of more than what stood there.
    send(erased)
    # Data files have names of their own, which nothing there names yet.
    send(data)
    _take_away(objects, set(names), still_writing)
    send(rest)
    for name in sorted(pointer, key=_last_entries_first):
        send([name])
    still_writing()
    note_format(objects)


def _take_away(objects: Objects, names: set[str], still_writing: Callable[[], None]) -> None:
    """Remove what is not part of the new lake, the pointer before anything that it points to."""
    before = objects.entries()
    pointer = sorted(name for name in before if name.startswith(_POINTER))
    others = sorted(name for name in before if name not in names | _OWN and not name.startswith((_POINTER, TRIAL)))
    # The newest entry goes last and alone: without it an older one would be the newest.
    for chosen in (*_portions(pointer[:-1]), pointer[-1:], *_portions(others)):
        still_writing()
        objects.delete_all(chosen)


def _portions(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[start : start + _REMOVED_AT_ONCE] for start in range(0, len(names), _REMOVED_AT_ONCE)]


def _last_entries_first(name: str) -> tuple[int, int]:
    """Until the first entry or a checkpoint is there, a log cannot be opened; with either it is at its newest."""
    entry = PurePosixPath(name).name
    if not entry[:20].isdigit():
        return 2, 0
    return (1 if entry.endswith(CHECKPOINT) else 0), -int(entry[:20])
