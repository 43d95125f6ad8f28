"""Files of a lake by name, whether it lies in a folder or in an object store.

Belongs here: which there are, in which state, a look into one, removing some.
Does not belong here: small files that are replaced as a whole (`whole_files.py`), tables.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.lent_folders import LOOK, lent_folder
from rag_pipeline.stores.object_copy import LOG, fetch_all

# Size of a file, and what changes whenever it is written: its time in nanoseconds, or what the store calls its state.
State = tuple[int, int | str]
# So many objects are looked into at once: each is a request, and a file meanwhile.
_AT_ONCE = 16


def files_of(lake: Lake, folder: str = "") -> dict[str, State]:
    """State of every file of the lake, or of those below a folder of it, by name from its root.

    Raises:
        StoreError: The object store did not answer.
    """
    if not lake.is_local:
        return {name: (entry.size, entry.tag) for name, entry in lake.objects.entries(folder).items()}
    found: dict[str, State] = {}
    for path in Path(lake.root, folder).rglob("*"):
        try:
            if path.is_file():
                status = path.stat()
                found[path.relative_to(lake.root).as_posix()] = (status.st_size, status.st_mtime_ns)
        except FileNotFoundError:
            continue
    return found


def folders_of(lake: Lake, folder: str) -> list[str]:
    """Names of the folders in a folder of the lake, sorted."""
    if not lake.is_local:
        return lake.objects.folders(folder)
    there = Path(lake.root, folder)
    return sorted(path.name for path in there.iterdir() if path.is_dir()) if there.is_dir() else []


def tables_in(lake: Lake, folder: str) -> list[str]:
    """Names of the Delta tables in a folder of the lake, sorted: folders with a log, whether it can be read or not."""
    if lake.is_local:
        return sorted(path.parent.name for path in Path(lake.root, folder).glob(f"*/{LOG}"))
    begun = (name.removeprefix(f"{folder}/").split("/") for name in lake.objects.entries(folder))
    return sorted({parts[0] for parts in begun if LOG in parts[1:2]})


def remove_files(lake: Lake, names: Collection[str]) -> None:
    """Remove files of the lake; nothing happens to those that are not there."""
    if lake.is_local:
        for name in names:
            Path(lake.root, name).unlink(missing_ok=True)
    else:
        lake.objects.delete_all(names)


def remove_folder(lake: Lake, folder: str) -> None:
    """Remove a folder of the lake with all that is in it."""
    if lake.is_local:
        shutil.rmtree(Path(lake.root, folder), ignore_errors=True)
    else:
        remove_files(lake, files_of(lake, folder))


def remove_unchanged(lake: Lake, folder: str, before: Mapping[str, State]) -> None:
    """Remove from a folder of the lake what is still as it was before."""
    remove_files(lake, [name for name, state in files_of(lake, folder).items() if before.get(name) == state])


def looked_into(lake: Lake, names: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Each of some files with a path to read it from until the next one is asked for; one that is gone is left out.

    Raises:
        StoreError: The object store did not answer.
    """
    if lake.is_local:
        yield from ((name, Path(lake.root, name)) for name in names)
        return
    for start in range(0, len(names), _AT_ONCE):
        chosen = names[start : start + _AT_ONCE]
        with lent_folder(LOOK) as folder:
            fetch_all(lake.objects, chosen, folder)
            yield from ((name, folder / name) for name in chosen if (folder / name).exists())
