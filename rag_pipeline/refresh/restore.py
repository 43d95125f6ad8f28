"""Put a lake back from a backup.

Belongs here: making it beside, and putting it in place.
Does not belong here: how a backup is stored (`stores/backup.py`), what was erased since (`erase_again.py`).
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rag_pipeline.errors import StoreError, UsageError
from rag_pipeline.refresh.erase import Scrub
from rag_pipeline.refresh.erase_again import Since, erase_again
from rag_pipeline.refresh.verify import verify
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings import Pipeline
from rag_pipeline.stores.backup import BACKUP_LOCK, Kept, backups, read_backup, unpack
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.lake_format import REPLACED, RESTORING
from rag_pipeline.stores.lease_lock import LeaseLock
from rag_pipeline.stores.lent_folders import RESTORE, lent_folder
from rag_pipeline.stores.lock import HOLDER_NAME, LOCK_NAME, WriteLock
from rag_pipeline.stores.object_lake import is_empty, send_lake
from rag_pipeline.stores.reserve import RESERVE_NAME

# What an empty lake may have.
_NOTHING = frozenset({LOCK_NAME, HOLDER_NAME, RESERVE_NAME, BACKUP_LOCK})
# A run holds the lock for the length of a commit; one that holds it for longer is at work, and is to be ended first.
_LOCK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was restored.

    Attributes:
        erased: Documents of the backup that had been erased since, and were taken out of it again.
        findings: What `verify` finds in the lake.
    """

    backup: str
    lake: str
    files: int
    size_bytes: int
    erased: int
    findings: int


def restore(
    pipeline: Pipeline,
    source: Path,
    *,
    to: Path | str | None,
    name: str | None,
    may_replace: bool,
    scrub: Scrub | None = None,
) -> RestoreReport:
    """Put a backup in the place of a lake, checked by hash; whatever fails before leaves the lake as it was.

    Args:
        to: A folder, or an address in an object store that the options of the pipeline's lake open; None: its lake.
        scrub: Takes what was erased out of Dagster's records, where some has to be erased again.

    Raises:
        UsageError: There is no such backup, or the lake holds something.
        LakeBusy: Somebody writes to the lake.
        StoreError: The backup is damaged, what was erased cannot be told, or nothing can be written.
    """
    found = [path for path in backups(source) if name is None or path.stem == name]
    if not found:
        there = ", ".join(path.stem for path in backups(source)) or "none"
        raise UsageError(f"{source} has no backup{f' {name}' if name else ''} (there: {there}); nothing was restored")
    files = read_backup(found[-1])
    address = str(to or pipeline.lake_root)
    if "://" in address:
        count = _restored_to_store(pipeline, address, lambda folder: unpack(source, files, folder), scrub, may_replace)
        return _report(pipeline, found[-1].stem, address, files, count)
    target = _target(Path(address), may_replace=may_replace)
    try:
        with WriteLock(str(target), "restore", _LOCK_SECONDS).held():
            for left in target.parent.glob(f"{target.name}{RESTORING}*"):
                shutil.rmtree(left, ignore_errors=True)
            count = _restored(pipeline, target, lambda folder: unpack(source, files, folder), scrub)
    except OSError as error:
        raise StoreError(f"{target} could not be restored: {error}; run it again when that is mended") from error
    return _report(pipeline, found[-1].stem, str(target), files, count)


def _report(pipeline: Pipeline, name: str, lake: str, files: Mapping[str, Kept], count: int) -> RestoreReport:
    with Workspace(_in(pipeline, lake), run_id="restore") as workspace:
        findings = len(verify(workspace).findings) if workspace.lake.last_publication() is not None else 0
    return RestoreReport(name, lake, len(files), sum(each.size for each in files.values()), count, findings)


def _restored_to_store(
    pipeline: Pipeline, address: str, fill: Callable[[Path], None], scrub: Scrub | None, may_replace: bool
) -> int:
    """Make the lake in a folder, less what was erased since, and send it; how many documents were erased again."""
    elders = {address: Lake(address, pipeline.lake_options), pipeline.lake_root: _lake_of(pipeline)}
    objects = elders[address].objects
    lock = LeaseLock(objects, "restore", _LOCK_SECONDS, is_restore=True)
    with lock.held(), lent_folder(RESTORE) as lent:
        if not may_replace and not is_empty(objects):
            raise UsageError(f"{address} holds something, so nothing was restored. To put it in its place: --replace")
        since, staging = Since.of(elders.values()), lent / "lake"
        staging.mkdir()
        try:
            fill(staging)
            count = erase_again(_in(pipeline, str(staging)), _in(pipeline, address), since, scrub)
        except OSError as error:
            raise StoreError(f"{staging} cannot be written: {error}; the lake was left as it was") from error
        send_lake(staging, objects, lock.lease.check)
    return count


def _lake_of(pipeline: Pipeline) -> Lake:
    return Lake(pipeline.lake_root, pipeline.lake_options)


def _restored(pipeline: Pipeline, target: Path, fill: Callable[[Path], None], scrub: Scrub | None) -> int:
    """Make the lake beside, less what was erased since, and put it in place; how many documents were erased again.

    All that says what was erased is read while nobody else can write it.
    """
    staging = target.with_name(f"{target.name}{RESTORING}{uuid.uuid4().hex[:6]}")
    # Of a restore that was killed between two names, the lake of before is there alone.
    replaced = sorted(target.parent.glob(f"{target.name}{REPLACED}*"))
    since = Since.of([*(Lake(str(folder)) for folder in (target, *replaced)), _lake_of(pipeline)])
    try:
        fill(staging)
        count = erase_again(_in(pipeline, str(staging)), _in(pipeline, str(target)), since, scrub)
        _put_in_place(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    for aside in replaced:
        shutil.rmtree(aside, ignore_errors=True)
    return count


def _target(to: Path, *, may_replace: bool) -> Path:
    target = to.resolve()
    if target.is_dir() and {path.name for path in target.iterdir()} - _NOTHING and not may_replace:
        raise UsageError(f"{target} holds something, so nothing was restored. To put it in its place: --replace")
    return target


def _in(pipeline: Pipeline, lake: str) -> Pipeline:
    return replace(pipeline, settings=pipeline.settings.model_copy(update={"lake": lake}))


def _put_in_place(staging: Path, target: Path) -> None:
    """Rename: the lake is the old one or the new one, but for the moment between the two."""
    aside = target.with_name(f"{target.name}{REPLACED}{uuid.uuid4().hex[:6]}")
    lock = staging / LOCK_NAME
    lock.unlink(missing_ok=True)
    with suppress(OSError):
        # The same lock, so that who waits for it waits for this lake.
        os.link(target / LOCK_NAME, lock)
    target.replace(aside)
    try:
        staging.replace(target)
    except OSError:
        aside.replace(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)
