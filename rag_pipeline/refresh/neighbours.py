"""Record how near the texts of each source lie to each other, after a run that changed an index.

Belongs here: reading the vectors of the samples that changed.
Does not belong here: what a sample is, and what is unusual (`transforms/neighbours.py`), the file
(`stores/neighbours.py`).
"""

from __future__ import annotations

import logging

import numpy as np
import polars as pl

from rag_pipeline.contracts.neighbours import SAMPLE_TEXTS, Nearness, Neighbours, of_space
from rag_pipeline.contracts.sink import Sink
from rag_pipeline.contracts.tables import DOCUMENTS
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.neighbours import add_neighbours, read_neighbours
from rag_pipeline.stores.selection import rows_with
from rag_pipeline.transforms.neighbours import nearness_of, sample_name, sampled

log = logging.getLogger(__name__)


def record_neighbours(workspace: Workspace, table: Sink, chunks: pl.DataFrame) -> None:
    """Add how an index lies now, where a sample is not what it was; the caller holds the lake's lock.

    What cannot be recorded is said, and fails no run.

    Args:
        chunks: (chunk_id, document_id, text_hash) of all rows of the index.
    """
    if workspace.is_trial or chunks.height < SAMPLE_TEXTS:
        return
    try:
        space = table.space.fingerprint
        documents = workspace.lake.read(DOCUMENTS, ["document_id", "source"])
        samples = sampled(chunks.join(documents, on="document_id"))
        rows = of_space(read_neighbours(workspace.lake), space)
        before = dict(rows[-1].sources) if rows else {}
        now = {name: _nearness(table, chunk_ids, before.get(name)) for name, chunk_ids in samples.items()}
        found = {name: nearness for name, nearness in now.items() if nearness is not None}
        if found != before:
            add_neighbours(workspace.lake, Neighbours(workspace.now(), workspace.run_id, space, found))
    except FAULTS as error:
        log.warning("how near the vectors of this run lie was not recorded: %s", error)


def _nearness(table: Sink, chunk_ids: list[str], before: Nearness | None) -> Nearness | None:
    sample = sample_name(chunk_ids)
    if before is not None and before.sample == sample:
        return before
    vectors = rows_with(table, "chunk_id", chunk_ids, ["vector"])["vector"]
    if vectors.len() < SAMPLE_TEXTS:
        # Some are not in the index yet, or held back; the audit has the word on that.
        return before
    return nearness_of(sample, np.stack([np.asarray(each, dtype=np.float32) for each in vectors]))
