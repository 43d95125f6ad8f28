"""Hints in a folder: somebody saw a change, and says which source is worth a look.

Belongs here: taking files in, and the one mark per source that is left of them.
Does not belong here: what a line says (`contracts/hints.py`), looking (`refresh/bronze.py`), asking for a run
(`defs/hints.py`).

A hint says "look here" and nothing else: the source itself says what changed and who may read it, under its deletion
guard, as in any run. So a hint that lies, comes twice, late or never does no harm. All hints of a source become one
mark, so however many arrive, no more waits than there are sources. Hints that name objects become a mark for each of
those, up to so many; then one for the source.

A mark is put before the files that it stands for are removed, and renamed when the look begins: what comes meanwhile
is a mark of its own, and a process that is killed leaves one behind.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rag_pipeline.contracts.hints import Bucket, Hint, address_of, hints_of
from rag_pipeline.contracts.ids import digest

log = logging.getLogger(__name__)

# Beside the hints; the name begins with a dot, as those of files do that are still being written.
MARKS_FOLDER = ".sources"
_TAKEN = ".taken"
# Marks of objects of a source lie below this, by a hash of their address, which is what such a file holds.
_OBJECTS = ".objects"
# As many are about as much work as a listing; what is more is looked at as a whole.
MOST_OBJECTS = 100
# What named no source; nobody takes it away but a person, so it is bounded.
REJECTED_FOLDER = ".rejected"
MOST_REJECTED = 1_000
# A file that is no hint by then never will be; whoever writes one in place has that long.
UNFINISHED_SECONDS = 10.0
# A look that began and left its mark that long was killed, or still goes on: then it is looked once more.
ABANDONED_SECONDS = 60.0
MOST_BYTES = 65_536
# By folder and sources: size and time of what names none of them and found no room aside, so that a process which looks
# every few seconds reads it once.
_Stamps = dict[str, tuple[int, int]]
_staying: dict[tuple[Path, frozenset[str]], _Stamps] = {}
# So many are taken in at a time; the next time comes in seconds.
MOST_FILES = 10_000


class HintFolder:
    """One folder of hints.

    Args:
        folder: Need not be there yet.
        sources: Those that there are; a hint for another is for nobody.
        buckets: By source, of those that lie in an object store, whose notifications are hints too.
    """

    def __init__(self, folder: Path, sources: Collection[str], buckets: Mapping[str, Bucket] | None = None) -> None:
        self.folder = folder
        self.marks = folder / MARKS_FOLDER
        self.rejected = folder / REJECTED_FOLDER
        self._sources = frozenset(sources)
        self.buckets = buckets or {}

    def take_in(self) -> None:
        """Turn the files that are there into marks, and remove them; what is no hint is put aside.

        Nothing else is removed: the folder may be somebody else's.

        Raises:
            OSError: The folder cannot be read or written.
        """
        self.marks.mkdir(parents=True, exist_ok=True)
        wanted: set[Hint] = set()
        seen: list[Path] = []
        others: list[Path] = []
        known = _staying.get((self.folder, self._sources), {})
        for path in self._files():
            if path.name in known and _stamp(path) == known[path.name]:
                others.append(path)
                continue
            told = _hints_in(path, self.buckets)
            if told is None:
                continue
            named = {hint for hint in told if hint.source in self._sources}
            wanted |= named
            (seen if named else others).append(path)
            if len(seen) == MOST_FILES:
                break
        for hint in wanted:
            self._put(hint)
        for path in seen:
            path.unlink(missing_ok=True)
        left = self._put_aside(others, known)
        _staying[self.folder, self._sources] = {path.name: stamp for path in left if (stamp := _stamp(path))}

    def give(self, name: str, addresses: Sequence[str] = ()) -> None:
        """Hint at one of the sources at once, as its marks alone: no file waits to be taken in.

        A look that began before does not count for it, however near the two are.

        Args:
            addresses: Of objects in it; none: the source as a whole.

        Raises:
            OSError: The folder cannot be written.
        """
        self.marks.mkdir(parents=True, exist_ok=True)
        for address in addresses or (None,):
            self._put(Hint(name, address_of(address)))

    def give_all(self, hints: Iterable[Hint]) -> None:
        """Leave the marks of hints that came by another way; those for nobody are passed over.

        Raises:
            OSError: The folder cannot be written.
        """
        self.marks.mkdir(parents=True, exist_ok=True)
        for hint in hints:
            if hint.source in self._sources:
                self._put(hint)

    def _put(self, hint: Hint) -> None:
        """Leave the mark of a hint."""
        folder = self._mark(hint.source, _OBJECTS)
        if hint.address is None or len(_listed(folder)) >= MOST_OBJECTS:
            self._mark(hint.source).touch()
            return
        folder.mkdir(exist_ok=True)
        mark = folder / digest("hint", hint.address)[:32]
        # In one go: a look that begins now finds the whole address, or none.
        beside = folder / f".{mark.name}.{os.getpid()}"
        beside.write_text(json.dumps(hint.address))
        beside.replace(mark)

    def _put_aside(self, others: Sequence[Path], known: _Stamps) -> Sequence[Path]:
        """Move what names no source of pipeline.yaml out of the way; what there is no room for stays, and is returned.

        Args:
            known: What stayed the last time, which is not said again.
        """
        if not others:
            return ()
        try:
            self.rejected.mkdir(exist_ok=True)
            taken = set(os.listdir(self.rejected))  # noqa: PTH208 - names alone
            room = [path for path in others if path.name not in taken][: max(0, MOST_REJECTED - len(taken))]
            for path in room:
                path.rename(self.rejected / path.name)
        except OSError as error:
            log.warning("what is no hint stays in the folder of hints: %s", error)
            return others
        moved = set(room)
        left = [path for path in others if path not in moved]
        if room or any(path.name not in known for path in left):
            text = "%d files that name no source of pipeline.yaml were put aside, and %d stay"
            log.warning(text, len(room), len(left))
        return left

    def _files(self) -> Iterator[Path]:
        with os.scandir(self.folder) as entries:
            yield from (Path(entry.path) for entry in entries if _may_be_hint(entry))

    def waiting(self) -> list[str]:
        """Sources that are to be looked at: hinted at, or left behind by a look that was killed."""
        return sorted(name for name in self._sources if self._is_waiting(name))

    def _is_waiting(self, name: str) -> bool:
        if self._mark(name).exists() or _is_abandoned(self._mark(name, _TAKEN)):
            return True
        return any(mark.suffix != _TAKEN or _is_abandoned(mark) for mark in _listed(self._mark(name, _OBJECTS)))

    def hinted_at(self, name: str) -> float:
        """When the newest hint for a source was taken in, as seconds since 1970; 0 where none waits."""
        times = [0.0]
        for mark in (self._mark(name), self._mark(name, _TAKEN), *_listed(self._mark(name, _OBJECTS))):
            with suppress(FileNotFoundError):
                times.append(mark.stat().st_mtime)
        return max(times)

    @contextmanager
    def looking(self, name: str) -> Iterator[Sequence[str]]:
        """Look at a source in this block: what was hinted before is done with then, whether it answered or not.

        A source that does not answer is asked again by the schedule; a look that is stopped or killed leaves the mark.

        Yields:
            The addresses that were hinted at; none: nothing was, or the source as a whole.
        """
        folder, whole = self._mark(name, _OBJECTS), self._mark(name, _TAKEN)
        taken = [whole, *(mark.with_suffix(_TAKEN) for mark in _listed(folder))]
        for mark in taken:
            _take(mark.with_suffix(""), mark)
        addresses = [] if whole.exists() else [_address_in(mark) for mark in taken[1:] if mark.exists()]
        known = [each for each in addresses if each is not None]
        try:
            # One that cannot be read may have named anything.
            yield known if len(known) == len(addresses) else []
        except Exception:
            _forget(taken)
            raise
        _forget(taken)

    def _mark(self, name: str, suffix: str = "") -> Path:
        return self.marks / f"{name}{suffix}"


def _listed(folder: Path) -> list[Path]:
    """Marks of objects, each once for what waits and once for what was taken."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_abandoned(mark: Path) -> bool:
    try:
        # Either way: one of the future was put by a clock that was ahead.
        return abs(time.time() - mark.stat().st_mtime) > ABANDONED_SECONDS
    except FileNotFoundError:
        return False


def _take(mark: Path, taken: Path) -> None:
    """Rename a mark, so that what comes from now on is another one."""
    try:
        mark.replace(taken)
        taken.touch()
    except FileNotFoundError:
        # Nobody gave a hint, or none since another look began.
        pass
    except OSError as error:
        log.warning("the hint %s was not taken, and is looked at again: %s", mark.name, error)


def _forget(marks: Sequence[Path]) -> None:
    for mark in marks:
        try:
            mark.unlink(missing_ok=True)
        except OSError as error:
            log.warning("a hint that was followed stays, and is looked at again: %s", error)


def _address_in(mark: Path) -> str | None:
    try:
        found = json.loads(mark.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def _may_be_hint(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and not entry.is_dir(follow_symlinks=False)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _hints_in(path: Path, buckets: Mapping[str, Bucket]) -> set[Hint] | None:
    """What the lines of a file name; None: it may still be written, or went away."""
    try:
        # What is no plain file could wait for ever, or lead elsewhere.
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
            return set()
        content = path.read_bytes()[:MOST_BYTES]
    except OSError as error:
        log.warning("a hint cannot be read: %s", error)
        return None
    is_young = time.time() - status.st_mtime < UNFINISHED_SECONDS
    if not content and is_young:
        return None
    named: set[Hint] = set()
    for line in content.splitlines():
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            if is_young:
                return None
            continue
        named |= hints_of(found, buckets)
    return named
