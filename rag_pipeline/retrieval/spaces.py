"""Another embedding space beside the published one: the same documents, found by another model.

Belongs here: which version of its index is searched, and that nothing is found in it but what is published now.
Does not belong here: building and publishing it (`refresh/`), searching (`search.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import asdict, replace

import polars as pl

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.contracts.filters import Filter
from rag_pipeline.contracts.log_rows import Audit
from rag_pipeline.errors import BadQuery, TableMissing
from rag_pipeline.retrieval.as_of import Then
from rag_pipeline.retrieval.published import Served
from rag_pipeline.stores.kept import open_version
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.selection import Selection
from rag_pipeline.stores.vectors import VectorStore

# What a row tells, and filters look at; the id of a chunk is that of its wording, whatever the model is.
_TOLD = ["chunk_id", "document_id", "content_hash", "uri", "title", "author"]
_TOLD += ["media_type", "language", "source_modified_at", "quality_score", "facts"]


class Spaces:
    """Indexes of the models that pipeline.yaml names, as they were audited last.

    Args:
        aliases: Of those models.
        spec_of: The spec of one by its alias.
    """

    def __init__(
        self, lake: Lake, vectors: VectorStore, aliases: Collection[str], spec_of: Callable[[str], EmbeddingModelSpec]
    ) -> None:
        self._lake = lake
        self._vectors = vectors
        self._aliases = frozenset(aliases)
        self._spec_of = spec_of

    def names(self) -> list[str]:
        """Models whose index was audited and found sound."""
        return sorted(self._audits())

    def beside(self, now: Served, alias: str, chosen: Filter) -> Then:
        """The index of another model, of which only that is found which the caller may read of what is published now.

        It may be behind: a document of which it tells the caller anything that they do not read in what is published
        now is left out, be it one text that was closed, an address or a field. Read is what all rows that the caller
        may read tell besides their texts, in both.

        Raises:
            BadQuery: There is no such index.
        """
        if alias == now.publication.alias:
            return Then(now, chosen)
        audits = self._audits()
        if alias not in audits:
            raise self._none(alias, audits)
        audit = audits[alias]
        try:
            table = open_version(self._vectors, audit)
        except TableMissing as error:
            raise self._none(alias, audits.keys() - {alias}) from error
        spec = json.dumps(asdict(self._spec_of(alias)), sort_keys=True)
        publication = replace(
            now.publication,
            alias=alias,
            space_fingerprint=audit.space_fingerprint,
            model_spec=spec,
            table_name=audit.table_name,
            table_version=audit.table_version,
            rows=audit.rows,
            documents=audit.documents,
            # What was fitted to the published model says nothing of this one.
            figures={"audit_id": audit.audit_id, "search": audit.search} | now.publication.recipe.unfitted.figures(),
        )
        asker = Filter(chosen.principals)
        today = Selection(now.table, asker).read([*_TOLD, "allowed_principals"])
        then = Selection(table, asker).read(_TOLD)
        closed = set(then.join(today, on=_TOLD, how="anti", nulls_equal=True)["document_id"])
        same = then.select("document_id").filter(~pl.col("document_id").is_in(list(closed)))
        known = today.join(same, on="document_id", how="semi").unique("document_id")
        readers = {name: tuple(who) for name, who in known.select("document_id", "allowed_principals").iter_rows()}
        return Then(Served(publication, table), replace(chosen, closed_ids=chosen.closed_ids | closed), readers)

    def _audits(self) -> dict[str, Audit]:
        """The last audit of each model, where it passed."""
        found = {audit.alias: audit for audit in self._lake.audits(pl.col("alias").is_in(sorted(self._aliases)))}
        return {alias: audit for alias, audit in found.items() if audit.passed}

    def _none(self, alias: str, there: Collection[str]) -> BadQuery:
        return BadQuery(
            f"there is no index of an embedding model {alias!r} that can be searched; there are: "
            f"{', '.join(sorted(there)) or 'none'}"
        )
