"""What PostgreSQL serves now, beside what is published.

Belongs here: asking it for one row. Does not belong here: delivering and comparing (`deliver.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rag_pipeline.contracts.log_rows import Publication
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.errors import RagPipelineError
from rag_pipeline.refresh.deliver import is_delivered_elsewhere
from rag_pipeline.refresh.workspace import Workspace


@dataclass(frozen=True, slots=True)
class DeliveredStatus:
    """What readers of PostgreSQL have.

    Attributes:
        serves_searches: Whether searches of this pipeline read there, too (`serve_from`).
        sequence: Of the publication; 0: none.
        is_behind: It is another one than readers of the lake have, or something was taken from it since.
        problem: Why nothing is known, or nothing can be searched there; empty: it can.
    """

    serves_searches: bool
    sequence: int = 0
    rows: int = 0
    delivered_at: datetime | None = None
    is_behind: bool = True
    problem: str = ""


def delivered_status(workspace: Workspace, published: Publication | None) -> DeliveredStatus | None:
    """What PostgreSQL has of what is published; None: nothing is delivered there."""
    if not is_delivered_elsewhere(workspace):
        return None
    serves = workspace.settings.serve_from == "postgres"
    postgres = workspace.settings.publish_to.postgres
    assert postgres is not None
    try:
        from rag_pipeline.stores.postgres.reader import PostgresReader
    except ImportError:
        return DeliveredStatus(serves, problem="its driver is not installed: pip install 'rag-pipeline[postgres]'")
    try:
        reader = PostgresReader(workspace.pipeline.postgres_dsn, postgres.schema_name)
        version = reader.answered([PUBLIC], lambda rows: rows.version)
        reader.close()
    except RagPipelineError as error:
        return DeliveredStatus(serves, problem=error.message)
    is_behind = published is None or version.name != published.name
    return DeliveredStatus(serves, version.publication.sequence, version.rows, version.delivered_at, is_behind)
