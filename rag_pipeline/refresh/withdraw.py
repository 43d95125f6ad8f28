"""What may not be read by now of rows that stand beside the lake, by those rows themselves.

Belongs here: deletions, permissions and wording together, for where the lake's index cannot be opened or written.
Does not belong here: each of them (`allowed.py`, `edited_since.py`), taking it away (`deliver.py`, `stores/postgres/`).
"""

from __future__ import annotations

import logging

from rag_pipeline.contracts.delivery import Withheld, Withholding
from rag_pipeline.contracts.sink import Readable
from rag_pipeline.refresh.allowed import plan_of_now, read_readers
from rag_pipeline.refresh.edited_since import ids_to_close
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.generations import is_held
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.transforms.revoke import SHOWN_COLUMNS, plan_closing, with_closed

log = logging.getLogger(__name__)


def withholding(workspace: Workspace) -> Withholding:
    """What a table of rows has to lose: deleted documents, narrower permissions, and texts that were edited since."""

    def withheld(table: Readable) -> Withheld:
        plan = plan_of_now(workspace, [])(table)
        closing = set() if _is_held(workspace) else ids_to_close(workspace, table)
        if closing:
            rows = table.read(SHOWN_COLUMNS)
            readers, _ = read_readers(workspace, [])
            plan = with_closed(plan, plan_closing(rows, closing, readers), rows)
        return Withheld(plan.gone, plan.narrowed.select("chunk_id", "allowed_principals"))

    return withheld


def _is_held(workspace: Workspace) -> bool:
    """Whether a person holds readers at older texts; where that cannot be told, nobody does."""
    try:
        return is_held(workspace)
    except FAULTS as error:
        log.error("whether readers are held at an older version cannot be read: %s", error)
        return False
