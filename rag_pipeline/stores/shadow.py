"""A lake beside the lake, to try on it what a run would do: nothing that is written there reaches the lake.

Belongs here: making it.
Does not belong here: what is tried on it (`refresh/plan.py`).

Tables never change a file that is there: logs and manifests are copied, since the next commit goes beside them, and
everything else is a link. So it costs little however large the lake is, and it is made while a run is writing: a log is
copied before the files that it names are linked. An object store knows no links: what its newest versions consist of is
copied to a folder first.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.lease import LEASE_NAME
from rag_pipeline.stores.lent_folders import SHADOW, lent_folder
from rag_pipeline.stores.lock import HOLDER_NAME, LOCK_NAME
from rag_pipeline.stores.object_copy import LAYERS, TELLING, fetch_newest
from rag_pipeline.stores.objects import Objects
from rag_pipeline.stores.read_once import ReadOnce
from rag_pipeline.stores.reserve import RESERVE_NAME

# Of those who write to the lake, and nothing that a run makes anything of.
_OWN = frozenset({LOCK_NAME, HOLDER_NAME, RESERVE_NAME, LEASE_NAME})
# Where a lake in an object store is copied to before it is linked.
_FETCHED = "fetched"


@contextmanager
def shadow_lake(root: str, run_id: str, options: Mapping[str, str] | None = None) -> Iterator[Lake]:
    """A lake with the content that a lake has now; it is removed at the end.

    Args:
        options: Of the object store.

    Raises:
        StoreError: The object store did not answer, or its lake does not fit into the folder for temporary files.
        OSError: There is no room for it in the folder for temporary files.
    """
    with lent_folder(SHADOW) as shadow:
        lake = Path(root)
        if "://" in root:
            lake = shadow / _FETCHED
            lake.mkdir()
            fetch_newest(Objects(root, options), lake)
        for layer in LAYERS:
            _mirror(lake / layer, shadow / layer)
        _copy_notes(lake, shadow)
        yield Lake(str(shadow), None, run_id, read_once=ReadOnce())


def _copy_notes(root: Path, shadow: Path) -> None:
    """Small files beside the tables, like when sources were polled and what was erased and must not come back."""
    for entry in root.iterdir() if root.is_dir() else ():
        with suppress(FileNotFoundError):
            if entry.is_file() and entry.name not in _OWN and not entry.name.endswith(".new"):
                shutil.copy2(entry, shadow / entry.name)


def _mirror(place: Path, shadow: Path) -> None:
    """Make a folder with what another has; what goes away meanwhile was tidied away, and nothing needs it."""
    if not place.is_dir():
        return
    shadow.mkdir()
    entries = sorted(place.iterdir(), key=lambda each: (each.name not in TELLING, each.name))
    for entry in entries:
        beside = shadow / entry.name
        if entry.name in TELLING:
            _copy(entry, beside)
        elif entry.is_dir():
            _mirror(entry, beside)
        else:
            beside.symlink_to(entry)


def _copy(place: Path, copy: Path) -> None:
    copy.mkdir()
    for entry in sorted(os.listdir(place)):  # noqa: PTH208 - the names as they were at one moment
        with suppress(FileNotFoundError):
            shutil.copy2(place / entry, copy / entry)


def written_bytes(lake: Lake) -> int:
    """Bytes of the data files that were written to the bronze and silver of a lake made by `shadow_lake`."""
    sizes = 0
    for layer in LAYERS[1:]:
        for folder, _, names in os.walk(Path(lake.root, layer)):
            if Path(folder).name not in TELLING:
                files = (Path(folder, name) for name in names)
                sizes += sum(file.stat().st_size for file in files if not file.is_symlink())
    return sizes
