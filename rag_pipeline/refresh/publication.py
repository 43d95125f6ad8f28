"""Move the pointer that readers follow, forward or back.

Belongs here: what must hold before the pointer moves, and the row that moves it.
Does not belong here: the audit itself (`refresh/index.py`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from rag_pipeline.contracts.tables import PUBLICATIONS
from rag_pipeline.errors import AuditFailed, NothingPublished
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.lake import PUBLICATIONS_PATH


@dataclass(frozen=True, slots=True)
class PublicationReport:
    """What is published now, and whether this call moved the pointer."""

    sequence: int
    alias: str
    space_fingerprint: str
    table_name: str
    table_version: int
    rows: int
    documents: int
    moved: bool


def publish(workspace: Workspace, alias: str, *, note: str = "") -> PublicationReport:
    """Point readers to the newest audited version of a model's index; nothing happens if they are there already.

    Raises:
        AuditFailed: The newest audit of that index found faults, or there is none. Readers stay where they were.
    """
    lake = workspace.lake
    space = workspace.space(alias)
    with lake.writing():
        audit = lake.last_audit(space.fingerprint)
        last = lake.last_publication()
        if audit is None or not audit["passed"]:
            found = "has not been audited" if audit is None else f"was found at fault: {audit['findings']}"
            raise AuditFailed(
                f"the index of embedding model {alias} {found}; nothing was published and readers keep what they had. "
                f"The next run rebuilds the rows at fault: rag-pipeline run",
                alias=alias,
            )
        pointer = (space.fingerprint, audit["table_name"], audit["table_version"])
        if last is not None and (last["space_fingerprint"], last["table_name"], last["table_version"]) == pointer:
            return _report(last, moved=False)
        figures = {name: audit[name] for name in ("ghosts", "missing", "mismatched", "audit_id", "chunks_version")}
        row: dict[str, object] = {
            "sequence": 0 if last is None else int(str(last["sequence"])) + 1,
            "action": "publish",
            "alias": alias,
            "space_fingerprint": space.fingerprint,
            "space": json.dumps(asdict(space), sort_keys=True),
            "model_spec": json.dumps(asdict(workspace.pipeline.model_spec(alias)), sort_keys=True),
            "table_name": audit["table_name"],
            "table_version": audit["table_version"],
            "rows": audit["rows"],
            "documents": audit["documents"],
            "figures": json.dumps(figures, sort_keys=True),
            "published_at": workspace.now(),
            "run_id": workspace.run_id,
            "note": note,
        }
        lake.append(PUBLICATIONS_PATH, PUBLICATIONS, PUBLICATIONS.frame([row]))
    return _report(row, moved=True)


def rollback(workspace: Workspace, *, note: str = "") -> PublicationReport:
    """Point readers back to what was published before the current publication.

    Raises:
        NothingPublished: There is no earlier publication.
    """
    lake = workspace.lake
    with lake.writing():
        rows = lake.read(PUBLICATIONS_PATH, PUBLICATIONS).sort("sequence").to_dicts()
        if not rows:
            raise NothingPublished("nothing has been published yet; run: rag-pipeline run")
        current = rows[-1]
        pointer = ("space_fingerprint", "table_name", "table_version")
        earlier = [row for row in rows if any(row[name] != current[name] for name in pointer)]
        if not earlier:
            raise NothingPublished("there is no earlier publication to go back to")
        row = earlier[-1] | {
            "sequence": current["sequence"] + 1,
            "action": "rollback",
            "published_at": workspace.now(),
            "run_id": workspace.run_id,
            "note": note,
        }
        lake.append(PUBLICATIONS_PATH, PUBLICATIONS, PUBLICATIONS.frame([row]))
    return _report(row, moved=True)


def _report(row: dict[str, object], *, moved: bool) -> PublicationReport:
    names = [name for name in PublicationReport.__dataclass_fields__ if name != "moved"]
    return PublicationReport(**{name: row[name] for name in names}, moved=moved)  # type: ignore[arg-type]
