"""Heal by the way: what a run finds damaged it makes again before it goes on.

Belongs here: when a run looks for damage, how closely, and what it says of it.
Does not belong here: looking (`damage.py`), making again (`rebuild.py`).

Files of Delta tables are measured on every run, since their logs say how large each is. Files of an index are compared
with what was there when a run last left it; where one is gone or of another size, and after a run that met damage which
no size tells, everything is read through. So an unchanged lake costs a run a few milliseconds.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from rag_pipeline.contracts.catalog import LOGS
from rag_pipeline.errors import AuditFailed, EvaluationBelowBaseline, IndexIncomplete, LakeDamaged, PermissionLeak
from rag_pipeline.refresh.damage import DamagedTable, damaged_indexes, damaged_tables, vanished_tables
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.rebuild import rebuild
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.lake import INDEX_PATH

log = logging.getLogger(__name__)

SEEN_FILE = ".damage_seen"
INDEX_FILES = ".index_files.json"


@dataclass(frozen=True, slots=True)
class HealReport:
    """What was damaged, and what became of it.

    Attributes:
        tables: That were made again, by their path in the lake.
        files_set_aside: Damaged files that lie in `.damaged` now.
        vectors_saved: Taken from the index instead of being computed.
        embeddings_computed: Vectors that were nowhere any more.
        gone: That were not there at all, and that the steps of this run make again.
        left: What could not be healed, and what to do about it; empty if nothing was left.
    """

    tables: list[str] = field(default_factory=list)
    files_set_aside: int = 0
    vectors_saved: int = 0
    embeddings_computed: int = 0
    gone: list[str] = field(default_factory=list)
    left: str = ""

    @property
    def said(self) -> str:
        """All of it in one paragraph; empty if nothing was damaged."""
        parts = []
        if self.tables:
            parts.append(
                f"{', '.join(self.tables)} had damaged files and was made again from the layers below: "
                f"{self.files_set_aside:,} files moved into .damaged in the lake, {self.vectors_saved:,} vectors taken "
                f"from the index, {self.embeddings_computed:,} computed."
            )
        logs = [table.path for table in LOGS if table.path in self.tables]
        if logs:
            parts.append(
                f"Rows of {', '.join(logs)} that stood in damaged files alone are in no layer below: restore the files "
                "from a backup, or go on without."
            )
        if self.gone:
            parts.append(
                f"{', '.join(self.gone)} was gone, and is made again by this run from the layers below; find out what "
                "removed it."
            )
        if self.left:
            parts.append(self.left)
        return " ".join(parts)


def heal_damage(workspace: Workspace) -> HealReport:
    """Make damaged tables and indexes again, beside what is served; what cannot be is said and never raised.

    Nothing is done for a lake without damage, and nothing at all while it is not known what is damaged. A lake in an
    object store is not looked at: a request for each file on each run costs more than `verify` now and then.
    """
    if not workspace.lake.is_local:
        return HealReport()
    try:
        gone = [table.table for table in vanished_tables(workspace)]
        found = _damage(workspace)
        report = replace(_healed(workspace, found) if found else HealReport(), gone=gone)
        if not report.left:
            remember_index(workspace)
            _mark(workspace).unlink(missing_ok=True)
        return report
    except FAULTS as error:
        log.exception("damage could not be healed")
        return HealReport(left=f"The lake could not be looked through for damage or healed: {error}")


def damage_was_met(workspace: Workspace) -> None:
    """Have the next run read everything through: a step met damage that the size of no file tells."""
    if workspace.lake.is_local:
        try:
            _mark(workspace).touch()
        except OSError as error:
            log.warning("the next run will not look for damage: %s cannot be written: %s", SEEN_FILE, error)


def remember_index(workspace: Workspace) -> None:
    """Note which files the indexes consist of, so that a later run sees that one was lost or cut."""
    path = Path(workspace.lake.root, INDEX_FILES)
    beside = path.with_suffix(".new")
    try:
        files = _index_files(workspace)
        if not files or files == _remembered(path):
            return
        beside.write_text(json.dumps(files, sort_keys=True), "utf-8")
        beside.replace(path)
    except OSError as error:
        # Without it the next run reads the index through.
        log.warning("%s was not written: %s", INDEX_FILES, error)


def _damage(workspace: Workspace) -> list[DamagedTable]:
    if _mark(workspace).exists():
        return damaged_tables(workspace, thorough=True)
    found = damaged_tables(workspace, thorough=False)
    if not found and _index_may_be_damaged(workspace):
        found = damaged_indexes(workspace, thorough=True)
    return found


def _index_may_be_damaged(workspace: Workspace) -> bool:
    files = _index_files(workspace)
    before = _remembered(Path(workspace.lake.root, INDEX_FILES))
    # A file that is gone may also have been compacted; reading the index through tells.
    return any(files.get(name) != size for name, size in before.items()) if before else bool(files)


def _healed(workspace: Workspace, found: list[DamagedTable]) -> HealReport:
    log.warning("damaged: %s", "; ".join(f"{each.table}: {each.reason}" for each in found))
    try:
        report = rebuild(workspace)
    except LakeDamaged as error:
        return HealReport(left=error.message)
    except (AuditFailed, EvaluationBelowBaseline, IndexIncomplete, PermissionLeak) as error:
        # The tables are whole again; the publication of this run says the same at its own place.
        log.warning("healed, and not published: %s", error.message)
        return HealReport(sorted({each.table for each in found}))
    return HealReport(report.tables, report.files_set_aside, report.vectors_saved, report.embeddings_computed)


def _mark(workspace: Workspace) -> Path:
    return Path(workspace.lake.root, SEEN_FILE)


def _index_files(workspace: Workspace) -> dict[str, int]:
    """Size in bytes by path below the indexes; nothing for a lake in an object store."""
    if not workspace.lake.is_local:
        return {}
    folder = Path(workspace.lake.root, INDEX_PATH)
    sizes: dict[str, int] = {}
    for file in folder.rglob("*"):
        # Another process may be thinning out: what went while this looked was not there.
        with suppress(FileNotFoundError):
            if file.is_file():
                sizes[file.relative_to(folder).as_posix()] = file.stat().st_size
    return sizes


def _remembered(path: Path) -> dict[str, int]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
