"""Published versions, opened again as they were published.

Belongs here: telling a version that is kept from one with the same number in a table that was made again since.
Does not belong here: which publication is wanted (`retrieval/published.py`, `refresh/publication.py`).
"""

from __future__ import annotations

from datetime import datetime
from functools import cached_property

import polars as pl

from rag_pipeline.contracts.log_rows import Audit, Publication
from rag_pipeline.contracts.tables import AUDITS
from rag_pipeline.errors import TableMissing
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.retrievers import refine_factor_of
from rag_pipeline.stores.vectors import VectorStore, VectorTable


def open_version(vectors: VectorStore, row: Publication | Audit) -> VectorTable:
    """The version of an index table that was published or audited, searched as deep as is said, whatever it holds now.

    Raises:
        StoreError: It cannot be opened; TableMissing: it is not there.
    """
    return vectors.open(
        row.table_name, row.space_fingerprint, version=row.table_version, refine_factor=refine_factor_of(row)
    )


class KeptVersions:
    """Opens earlier publications, for one look: what audits and tables say is asked once."""

    def __init__(self, lake: Lake, vectors: VectorStore) -> None:
        self._lake = lake
        self._vectors = vectors
        self._made_at: dict[str, dict[int, datetime]] = {}

    def open(self, publication: Publication) -> VectorTable:
        """The version that was published.

        Raises:
            TableMissing: It was retired, cleaned away or made again.
            StoreError: It is there and cannot be read.
        """
        table = open_version(self._vectors, publication)
        if self._is_made_again(publication, table) or table.count() != publication.rows:
            raise TableMissing(
                f"version {publication.table_version} of index table {table.name} is not what was published: the "
                f"table was made again since. To see its newest version: "
                f"rag-pipeline models publish {publication.alias}",
                table=table.name,
            )
        return table

    def _is_made_again(self, publication: Publication, table: VectorTable) -> bool:
        """Versions of a table only grow, and none is younger than what published it; one made again starts from 1."""
        if table.name not in self._made_at:
            self._made_at[table.name] = table.made_at()
        made_at = self._made_at[table.name].get(publication.table_version)
        if made_at is None or made_at > publication.published_at:
            return True
        audits = self._audits.filter(pl.col("table_name") == table.name)
        # Clocks step back; where the versions fall, the table counts from the start, whatever clocks say.
        first = audits.filter(pl.col("table_version") < pl.col("table_version").shift(1))["sequence"].max()
        audited = audits.filter(pl.col("audit_id") == publication.audit_id)["sequence"].max()
        return first is not None and audited is not None and bool(audited < first)  # type: ignore[operator]

    @cached_property
    def _audits(self) -> pl.DataFrame:
        columns = ["sequence", "audit_id", "table_name", "table_version"]
        return self._lake.read(AUDITS, columns).sort("sequence")
