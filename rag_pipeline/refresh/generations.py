"""Several embedding spaces side by side: which are alive, which is served, which can go.

Belongs here: the state of each space, and retiring one.
Does not belong here: filling a space (`embeddings.py`, `index.py`) or moving the pointer (`publication.py`).

A space comes alive with its first audited index and stays alive until it is retired. Runs keep every living space in
step with silver, permissions and deletions included, so that publishing another one or going back costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rag_pipeline.contracts.log_rows import Audit, Publication
from rag_pipeline.contracts.tables import AUDITS, CHUNKS, DOCUMENTS, PUBLICATIONS
from rag_pipeline.errors import EmbeddingSpaceMismatch, StoreError, UsageError
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.damage import ask_index, probe_index
from rag_pipeline.stores.index_schema import table_name
from rag_pipeline.stores.kept import open_version

Look = Literal["count", "ask", "read"]


@dataclass(frozen=True, slots=True)
class RetireReport:
    """What retiring a space removed; its vectors stay until their retention ends."""

    alias: str
    space_fingerprint: str
    table_name: str


def served_alias(workspace: Workspace) -> str:
    """Model whose index scheduled runs publish.

    pipeline.yaml decides; a person who publishes another model by hand decides until `serve` is changed there.
    """
    last = workspace.lake.last_publication()
    configured = workspace.settings.serve
    if last is None or last.configured_alias != configured:
        return configured
    return last.alias if last.alias in workspace.settings.embedding_models else configured


def is_held(workspace: Workspace) -> bool:
    """Whether a person went back to an older version of the same index, and nobody has published by hand since."""
    columns = ["sequence", "action", "space_fingerprint"]
    rows = workspace.lake.read(PUBLICATIONS, columns).sort("sequence").tail(2).rows()
    return len(rows) == 2 and rows[1][1] == "rollback" and rows[0][2] == rows[1][2]


def living_aliases(workspace: Workspace) -> list[str]:
    """Configured models with an audited index, the served one among them whether it has one or not."""
    audits = workspace.lake.read(AUDITS, ["alias", "space_fingerprint"]).unique()
    built = dict(audits.rows())
    tables = set(workspace.vectors.tables())
    alive = [a for a in workspace.settings.embedding_models if a in built and table_name(built[a]) in tables]
    served = served_alias(workspace)
    return [served, *(alias for alias in alive if alias != served)]


def aliases_behind(workspace: Workspace) -> list[str]:
    """Living models, the served one apart, whose index was not audited against silver as it is now."""
    lake = workspace.lake
    versions = (lake.version(CHUNKS), lake.version(DOCUMENTS))
    behind = []
    for alias in living_aliases(workspace)[1:]:
        audit = lake.last_audit(workspace.space(alias).fingerprint)
        seen = () if audit is None else audit.silver
        if seen != versions or (audit is not None and audit.withheld):
            behind.append(alias)
    return behind


def is_complete(audit: Audit | None, versions: tuple[int, int]) -> bool:
    """Whether an audit passed on silver at these versions with nothing withheld.

    Args:
        versions: Of silver/chunks and silver/documents.
    """
    if audit is None or not audit.passed or audit.withheld:
        return False
    return audit.silver == versions


def index_problem(workspace: Workspace, row: Publication | Audit, look: Look = "count") -> str:
    """Why the version of an index table that an audit or a publication names cannot be searched; empty: it can.

    The row alone proves nothing: the table may have been retired, lost, damaged or made again since.

    Args:
        look: `count` its rows; `ask` each of its indexes once as well; or `read` every row too.
    """
    try:
        table = open_version(workspace.vectors, row)
        found = table.count()
        if look != "count":
            (ask_index if look == "ask" else probe_index)(table)
    except (StoreError, EmbeddingSpaceMismatch) as error:
        return error.message
    if found != row.rows:
        name, version = row.place
        return f"index table {name}, version {version}, holds {found:,} rows instead of {row.rows:,}"
    return ""


def index_cure(alias: str, problem: str) -> str:
    """What to type about an index that cannot be searched; empty where the problem says it: files are damaged."""
    return "" if "rag-pipeline rebuild" in problem else f"Build it again: rag-pipeline run --model {alias}"


def retire(workspace: Workspace, alias: str) -> RetireReport:
    """Drop a model's index. Its vectors are kept for their retention time, so a return costs no embedding.

    Raises:
        UsageError: The model is served, or readers are pointed to it.
    """
    lake = workspace.lake
    space = workspace.space(alias)
    with lake.writing():
        # While nobody else can move the pointer to what is about to go.
        last = lake.last_publication()
        if last is not None and last.space_fingerprint == space.fingerprint:
            raise UsageError(
                f"embedding model {alias} is what readers are pointed to; nothing was removed. Publish another one "
                f"first: rag-pipeline models publish ALIAS",
                alias=alias,
            )
        if served_alias(workspace) == alias:
            raise UsageError(
                f"embedding model {alias} is the one that runs publish; nothing was removed. Name another one under "
                f"serve in pipeline.yaml first.",
                alias=alias,
            )
        name = table_name(space.fingerprint)
        workspace.vectors.drop(name)
    return RetireReport(alias, space.fingerprint, name)
