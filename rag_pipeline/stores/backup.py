"""A lake copied to a folder, each content once, and copied back.

Belongs here: taking one moment of a lake while others write, copying what a backup has not, checking by hash.
Does not belong here: what happens to a restored lake (`refresh/restore.py`). Files of a lake are written once and
replaced as a whole, so a second name for each keeps its content, whatever is done to the lake meanwhile; the few that
lines are added to are copied.

    DEST/objects/ab/ab12…    content by SHA-256
    DEST/backups/NAME.json   one backup: path, hash, size and time of every file; written last
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from rag_pipeline.contracts.costs import COSTS_FILE
from rag_pipeline.contracts.directions import DIRECTIONS_FILE
from rag_pipeline.contracts.erasures import PENDING_FILE
from rag_pipeline.contracts.history import HISTORY_FILE
from rag_pipeline.contracts.neighbours import NEIGHBOURS_FILE
from rag_pipeline.contracts.searches import SEARCHES_FILE, SEARCHES_LOCK
from rag_pipeline.errors import LakeBusy, LakeDamaged, StoreError, UsageError
from rag_pipeline.stores.conditional import TRIAL
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.lake_format import FORMAT_FILE
from rag_pipeline.stores.lease import LEASE_NAME
from rag_pipeline.stores.lock import HOLDER_NAME, LOCK_NAME
from rag_pipeline.stores.objects import Entry
from rag_pipeline.stores.reserve import RESERVE_NAME
from rag_pipeline.stores.small_files import replace_file

SNAPSHOT = ".backup"
# One backup of a lake at a time, and one into a folder.
BACKUP_LOCK = ".backup.lock"
# Raise it when an older program would misread a backup.
_FORMAT = 1
# Those that lines are added to in place, which a second name would show, too.
APPENDED = frozenset({COSTS_FILE, HISTORY_FILE, DIRECTIONS_FILE, NEIGHBOURS_FILE, SEARCHES_FILE})
_LEFT_OUT = frozenset({LOCK_NAME, HOLDER_NAME, RESERVE_NAME, SEARCHES_LOCK, LEASE_NAME, ".settled.json"})
# Requests under way: each waits for the store most of its time.
_AT_ONCE = 16
# The time that a content has which was read back, in nanoseconds: whatever writes to it later gives it another.
_READ_BACK = 10**18
_READ_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of a backup: hash of its content, its size, and its time in nanoseconds.

    Attributes:
        tag: State of the object that it is a copy of; empty: of a file.
    """

    sha256: str
    size: int
    time: int
    tag: str = ""

    def values(self) -> list[str | int]:
        """As a backup notes them."""
        return [self.sha256, self.size, self.time, *([self.tag] if self.tag else [])]


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What one backup did.

    Attributes:
        files, size_bytes: Of the lake.
        copied_files, copied_bytes: What no backup had yet.
    """

    name: str
    files: int
    size_bytes: int
    copied_files: int
    copied_bytes: int
    removed_backups: int


def back_up(lake: Lake, destination: Path, now: datetime, *, alone: bool = False) -> BackupReport:
    """Copy what a lake holds now to a folder; whatever interrupts it leaves the older backups whole.

    Args:
        alone: Remove all older backups afterwards, and what only they hold: of what was erased since, above all.

    Raises:
        UsageError: The lake is not there, or the destination lies in it.
        LakeBusy: Another backup of the lake, or into the folder, is under way.
        StoreError: A file could not be read or written, or an erasure is not finished.
    """
    if lake.is_local and not Path(lake.root).is_dir():
        raise UsageError(f"there is no lake {lake.root}; nothing was copied")
    if lake.is_local and Path(lake.root).resolve() in (destination.resolve(), *destination.resolve().parents):
        raise UsageError(f"{destination} lies in the lake {lake.root}; give a folder outside of it")
    try:
        with _alone(Path(lake.root)) if lake.is_local else nullcontext(), _alone(destination):
            name = _name_after(backups(destination), now)
            taken = _taken if lake.is_local else _taken_from_store
            files, copied = taken(lake, destination)
            record = {"format": _FORMAT, "made_at": now.isoformat(), "lake": lake.root}
            record["files"] = {path: each.values() for path, each in sorted(files.items())}
            replace_file(destination / "backups" / f"{name}.json", json.dumps(record).encode())
            removed = _forget_others(destination, name, files) if alone else 0
    except OSError as error:
        raise StoreError(
            f"{lake.root} could not be copied to {destination}: {error}. Older backups there are as they were. Make "
            f"room, or mend what it names, then run it again."
        ) from error
    size = sum(each.size for each in files.values())
    return BackupReport(name, len(files), size, len(copied), sum(copied), removed)


def _name_after(others: Sequence[Path], now: datetime) -> str:
    """One that sorts behind all others: by time (earlier ones: to the second), also where a clock was set back."""
    moment, newest = f"{now:%Y%m%dT%H%M%S%f}", others[-1].name.partition("-")[0] if others else ""
    return f"{moment if moment > newest else newest + '0'}-{uuid.uuid4().hex[:6]}"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Be the only backup of a lake, or into a folder: each removes what it takes for a remainder of a killed one.

    Raises:
        LakeBusy: Another one is under way; at once, since it may take an hour.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / BACKUP_LOCK, timeout=0):
            yield
    except Timeout as error:
        raise LakeBusy(
            f"another backup holds {folder / BACKUP_LOCK}, so nothing was copied; run it again when that one has ended"
        ) from error


def _taken(lake: Lake, destination: Path) -> tuple[dict[str, Kept], list[int]]:
    """Copy one moment of a lake: every file by its path, and the sizes of those that had to be copied."""
    before = _newest(destination)
    snapshot = Path(lake.root, SNAPSHOT)
    with lake.writing():
        _refuse_unfinished(is_pending=Path(lake.root, PENDING_FILE).exists())
        shutil.rmtree(snapshot, ignore_errors=True)
        linked = _link(Path(lake.root), snapshot)
    try:
        return _copied(snapshot, linked, destination, before)
    finally:
        shutil.rmtree(snapshot, ignore_errors=True)


def _refuse_unfinished(*, is_pending: bool) -> None:
    if is_pending:
        raise StoreError("an erasure is not finished, so nothing was copied; run: rag-pipeline erase --finish")


def _taken_from_store(lake: Lake, destination: Path) -> tuple[dict[str, Kept], list[int]]:
    """The same of a lake in an object store, which knows no second names.

    All of it is copied while others write, and then, while nobody does, what has changed meanwhile.
    """
    copied: list[int] = []
    files = _fetched(lake, destination, _newest(destination), copied)
    with lake.writing():
        lake.still_writing()
        _refuse_unfinished(is_pending=lake.objects.tag(PENDING_FILE) is not None)
        files = _fetched(lake, destination, files, copied, is_last=True)
        lake.still_writing()
    if not files.keys() - {FORMAT_FILE}:
        raise UsageError(f"there is no lake {lake.root}; nothing was copied")
    return files, copied


def _fetched(
    lake: Lake, destination: Path, before: Mapping[str, Kept], copied: list[int], *, is_last: bool = False
) -> dict[str, Kept]:
    """Every object by its name; those that no backup has, nor a look before, are copied."""
    entries = {
        name: entry
        for name, entry in lake.objects.entries().items()
        if name not in _LEFT_OUT and not name.startswith(TRIAL)
    }
    files: dict[str, Kept] = {}
    for name, entry in entries.items():
        known = before.get(name)
        is_known = known is not None and entry.tag and (known.size, known.tag) == (entry.size, entry.tag)
        if known is not None and is_known and _is_whole(_object(destination, known.sha256), known):
            files[name] = known

    def fetch(name: str) -> Kept | None:
        return _fetch(lake, destination, name, entries[name])

    missing = sorted(entries.keys() - files.keys())
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for name, kept in zip(missing, pool.map(fetch, missing), strict=True):
            if kept is not None:
                files[name] = kept
                copied.append(kept.size)
            elif is_last:
                raise StoreError(f"{lake.uri(name)} went while it was copied, so there is no backup; run it again")
    return files


def _fetch(lake: Lake, destination: Path, name: str, entry: Entry) -> Kept | None:
    """Copy an object beside, read back what was written, and give it its name; None: it has gone or was replaced."""
    folder = destination / "objects"
    folder.mkdir(exist_ok=True)
    # A name of its own for each: what a killed backup left is overwritten by the next one.
    beside = folder / f".{hashlib.sha256(name.encode()).hexdigest()}.new"
    is_there = lake.objects.fetch(name, beside)
    size = beside.stat().st_size if is_there else 0
    # Small files are replaced as a whole, some without the lease; then it is not the state that was listed.
    is_as_listed = size == entry.size
    if not is_there or not (is_as_listed or "/" not in name):
        beside.unlink(missing_ok=True)
        return None
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    hashed = _sha256(beside)
    there = _object(destination, hashed)
    there.parent.mkdir(exist_ok=True)
    os.utime(beside, ns=(_READ_BACK, _READ_BACK))
    beside.replace(there)
    return Kept(hashed, size, int(entry.modified_at.timestamp()) * 10**9, entry.tag if is_as_listed else "")


def _link(root: Path, snapshot: Path) -> list[str]:
    """Give every file of now a second name, or copy it where it does not stay as it is; which files those are."""
    linked = []
    for path in _files(root):
        there = snapshot / path
        there.parent.mkdir(parents=True, exist_ok=True)
        try:
            if path in APPENDED:
                # Small ones, and whoever adds to them holds the lake's lock, as this does.
                shutil.copy2(root / path, there)
            else:
                os.link(root / path, there)
        except FileNotFoundError:
            # A file beside that is being replaced.
            continue
        except OSError:
            # A file system without second names.
            shutil.copy2(root / path, there)
        linked.append(path)
    return linked


def _files(root: Path) -> Iterator[str]:
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_file() and name not in _LEFT_OUT and not name.startswith((SNAPSHOT, ".time.")):
            yield name


def _copied(
    snapshot: Path, names: Iterable[str], destination: Path, before: Mapping[str, Kept]
) -> tuple[dict[str, Kept], list[int]]:
    """Every file by its path, and the sizes of those that had to be copied; one that is gone raises."""
    files: dict[str, Kept] = {}
    copied = []
    for name in names:
        path = snapshot / name
        status = path.stat()
        known = before.get(name)
        is_known = known is not None and (known.size, known.time) == (status.st_size, status.st_mtime_ns)
        if known is not None and is_known and _is_whole(_object(destination, known.sha256), known):
            files[name] = known
            continue
        hashed = _sha256(path)
        files[name] = Kept(hashed, status.st_size, status.st_mtime_ns)
        there = _object(destination, hashed)
        if _is_whole(there, files[name]):
            continue
        _copy(path, there, hashed)
        copied.append(status.st_size)
    return files, copied


def _copy(path: Path, there: Path, hashed: str) -> None:
    """Copy beside, read back what was written, and give it its name."""
    there.parent.mkdir(parents=True, exist_ok=True)
    beside = there.with_name(f".{there.name}.new")
    with path.open("rb") as source, beside.open("wb") as file:
        shutil.copyfileobj(source, file, _READ_BYTES)
        file.flush()
        os.fsync(file.fileno())
    if _sha256(beside) != hashed:
        raise OSError(f"{beside} does not hold what was written to it")
    os.utime(beside, ns=(_READ_BACK, _READ_BACK))
    beside.replace(there)


def _is_whole(there: Path, kept: Kept) -> bool:
    """Whether a content is as it was when it was read back; where its time does not say so, it is read again."""
    try:
        status = there.stat()
        if status.st_size != kept.size:
            return False
        if status.st_mtime_ns != _READ_BACK:
            if _sha256(there) != kept.sha256:
                return False
            os.utime(there, ns=(_READ_BACK, _READ_BACK))
    except OSError:
        return False
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _object(destination: Path, hashed: str) -> Path:
    return destination / "objects" / hashed[:2] / hashed


def _newest(destination: Path) -> dict[str, Kept]:
    for path in reversed(backups(destination)):
        try:
            return read_backup(path)
        except LakeDamaged:
            # It saves no copying then.
            continue
    return {}


def backups(destination: Path) -> list[Path]:
    """The backups of a folder, oldest first."""
    return sorted((destination / "backups").glob("[0-9]*.json"))


def read_backup(path: Path) -> dict[str, Kept]:
    """What a backup holds, by path.

    Raises:
        LakeDamaged: It cannot be understood.
    """
    try:
        record: Any = json.loads(path.read_bytes())
        if record["format"] > _FORMAT:
            raise LakeDamaged(f"{path} was written by a newer version of this program; use that one")
        files = {name: Kept(*values) for name, values in record["files"].items()}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise LakeDamaged(f"the backup {path} cannot be read: {error}; take another one with --backup") from error
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in files):
        raise LakeDamaged(f"the backup {path} names files outside of a lake, so nothing of it is restored")
    return files


def _forget_others(destination: Path, name: str, files: Mapping[str, Kept]) -> int:
    """Remove all other backups first, then what none needs, so that a crash leaves no backup that lacks anything."""
    others = [path for path in backups(destination) if path.stem != name]
    for path in others:
        path.unlink()
    needed = {each.sha256 for each in files.values()}
    for path in (destination / "objects").rglob("*"):
        if path.is_file() and path.name not in needed:
            path.unlink()
    return len(others)


def unpack(destination: Path, files: Mapping[str, Kept], folder: Path) -> None:
    """Write what a backup holds into a folder, each file checked by its hash.

    Raises:
        LakeDamaged: The backup lacks a file, or holds another content; the folder is not to be used.
        StoreError: It could not be written.
    """
    for name, kept in files.items():
        source, there = _object(destination, kept.sha256), folder / name
        try:
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, there)
            os.utime(there, ns=(kept.time, kept.time))
        except FileNotFoundError as error:
            raise LakeDamaged(f"the backup lacks {source}, which is {name}; take an older one with --backup") from error
        except OSError as error:
            raise StoreError(f"{there} could not be written: {error}; the lake was left as it was") from error
        if _sha256(there) != kept.sha256:
            with suppress(OSError):
                # So that the next backup reads it, too, and copies it again.
                os.utime(source)
            raise LakeDamaged(
                f"{source}, which is {name}, does not hold what was backed up; take another: --backup. If the lake "
                f"still has it, the next backup mends it"
            )
