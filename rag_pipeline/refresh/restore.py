"""Put a lake back from a backup.

Belongs here: making it beside, erasing from it what was erased since, and putting it in place.
Does not belong here: how a backup is stored (`stores/backup.py`).
"""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from rag_pipeline.contracts.erasures import ERASED_FILE, Erased, place_hash, read_erased
from rag_pipeline.contracts.tables import BRONZE
from rag_pipeline.errors import StoreError, UsageError
from rag_pipeline.refresh.erase import begin_erasure, finish_erasure
from rag_pipeline.refresh.erase_plan import Wanted, stored_sources
from rag_pipeline.refresh.verify import verify
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings import Pipeline
from rag_pipeline.stores.backup import backups, read_backup, unpack
from rag_pipeline.stores.lock import HOLDER_NAME, LOCK_NAME, WriteLock
from rag_pipeline.stores.reserve import RESERVE_NAME
from rag_pipeline.stores.small_files import replace_file

# What an empty lake may have.
_NOTHING = frozenset({LOCK_NAME, HOLDER_NAME, RESERVE_NAME})
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


def restore(pipeline: Pipeline, source: Path, *, to: Path | None, name: str | None, may_replace: bool) -> RestoreReport:
    """Put a backup in the place of a lake, checked by hash; whatever fails before leaves the lake as it was.

    Raises:
        UsageError: There is no such backup, the lake holds something, or it is in an object store.
        StoreError: The backup is damaged, or nothing can be written.
    """
    target = _target(pipeline, to, may_replace=may_replace)
    found = [path for path in backups(source) if name is None or path.stem == name]
    if not found:
        there = ", ".join(path.stem for path in backups(source)) or "none"
        raise UsageError(f"{source} has no backup{f' {name}' if name else ''} (there: {there}); nothing was restored")
    files = read_backup(found[-1])
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f"{target.name}.restoring-{uuid.uuid4().hex[:6]}")
    erased = read_erased(str(target))
    try:
        unpack(source, files, staging)
        known = read_erased(str(staging)).plus(erased.tombstones)
        if known:
            replace_file(staging / ERASED_FILE, known.encoded())
        count = _erase_again(_in(pipeline, staging), known)
        with WriteLock(str(target), "restore", _LOCK_SECONDS).held():
            _put_in_place(staging, target)
    except OSError as error:
        raise StoreError(f"{target} could not be restored: {error}; run it again when that is mended") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    with Workspace(_in(pipeline, target), run_id="restore") as workspace:
        findings = len(verify(workspace).findings) if workspace.lake.last_publication() is not None else 0
    size = sum(each.size for each in files.values())
    return RestoreReport(found[-1].stem, str(target), len(files), size, count, findings)


def _target(pipeline: Pipeline, to: Path | None, *, may_replace: bool) -> Path:
    if to is None and "://" in pipeline.lake_root:
        raise UsageError(f"restore writes a lake in a folder, and {pipeline.lake_root} is none; say where: --to FOLDER")
    target = (to or Path(pipeline.lake_root)).resolve()
    if target.is_dir() and {path.name for path in target.iterdir()} - _NOTHING and not may_replace:
        raise UsageError(f"{target} holds something, so nothing was restored. To put it in its place: --replace")
    return target


def _in(pipeline: Pipeline, lake: Path) -> Pipeline:
    return replace(pipeline, settings=pipeline.settings.model_copy(update={"lake": str(lake)}))


def _erase_again(pipeline: Pipeline, erased: Erased) -> int:
    """Take out of a restored lake what was erased after it was backed up; how many documents that were."""
    if not erased:
        return 0
    count = 0
    with Workspace(pipeline, run_id="restore") as workspace:
        by_place = {each.place: each for each in erased.tombstones}
        for name in stored_sources(workspace):
            addresses = workspace.lake.read(BRONZE.of(name), ["address"])["address"].unique().sort()
            for address in addresses:
                stone = by_place.get(place_hash(name, address))
                if stone is None or workspace.lake.read(BRONZE.of(name), where=pl.col("address") == address).is_empty():
                    continue
                wanted = Wanted(place=(name, address), by_content=stone.by_content)
                begin_erasure(workspace, wanted, reason=f"erased by {stone.erasure_id}", erased_by="restore")
                finish_erasure(workspace)
                count += 1
    return count


def _put_in_place(staging: Path, target: Path) -> None:
    """Rename: the lake is the old one or the new one, but for the moment between the two."""
    aside = target.with_name(f"{target.name}.replaced-{uuid.uuid4().hex[:6]}")
    target.replace(aside)
    staging.replace(target)
    shutil.rmtree(aside, ignore_errors=True)
