"""Kept answers go with what they were made from.

Belongs here: which chunks stand in what is published now.
Does not belong here: where answers are kept, and erasing them (`answering/erasing.py`).

An answer that quotes what was taken away is found by nobody any more, since its key holds the text. It is erased all
the same, at each move of the pointer and by each run, which looks at what was kept late, too.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from rag_pipeline.answering.erasing import erase_fallen
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.kept import open_version
from rag_pipeline.stores.selection import rows_with

log = logging.getLogger(__name__)

_COLUMNS = ["chunk_id", "allowed_principals"]
# So many ids go into one condition; of more than the second figure the whole columns are read.
_BATCH = 500
_MOST_ASKED = 20_000


def erase_fallen_answers(workspace: Workspace) -> int:
    """Erase kept answers that were made from what nobody may read now, by any text of it; how many there were.

    A store that does not answer is said, and is no fault of the run: nobody finds its answers, and the next run tries.
    """
    if workspace.is_trial:
        # The store is the real one, whatever the lake is.
        return 0
    try:
        last = workspace.lake.last_publication()
        if last is None:
            return 0

        def standing(chunk_ids: Collection[str]) -> Collection[str]:
            table = open_version(workspace.vectors, last)
            ids = sorted(chunk_ids)
            if len(ids) > _MOST_ASKED:
                parts = [table.read(_COLUMNS)]
            else:
                batches = (ids[at : at + _BATCH] for at in range(0, len(ids), _BATCH))
                parts = [rows_with(table, "chunk_id", batch, _COLUMNS) for batch in batches]
            return {name for part in parts for name, readers in part.select(_COLUMNS).iter_rows() if readers}

        count = erase_fallen(workspace.pipeline, last.name, standing)
    except FAULTS as error:
        log.warning("kept answers were not looked through: %s", error)
        return 0
    if count:
        log.info("erased %d kept answers that were made from what nobody may read any more", count)
    return count
