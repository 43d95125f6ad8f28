"""What some readers may read of the published index, as writers of questions see it.

Belongs here: passages, what could answer a draft, and how rare words are, all through one filter.
Does not belong here: which passages are taken (`evaluation/sample.py`), what becomes of drafts (`questions.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import TYPE_CHECKING

import polars as pl

from rag_pipeline.contracts.filters import Filter
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.contracts.tables import DOCUMENTS
from rag_pipeline.errors import NothingPublished
from rag_pipeline.evaluation import sample
from rag_pipeline.evaluation.drafts import Draft, Passage
from rag_pipeline.evaluation.words import Vocabulary
from rag_pipeline.refresh.evaluation import query_model
from rag_pipeline.refresh.evaluation_targets import Target, published_target
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.selection import Selection
from rag_pipeline.transforms.near_hits import is_near, wording_of

if TYPE_CHECKING:
    from rag_pipeline.embedding.vectors import Vectors

# How rare a word is shows in so many passages; each is read.
_VOCABULARY_PASSAGES = 5_000
# What could answer a question too is found among the best of each retriever.
_CANDIDATES = 20
_COLUMNS = [
    "chunk_id", "document_id", "source", "uri", "title", "language", "section_path", "kind", "header_chars",
    "embedded_text", "allowed_principals", "content_hash",
]  # fmt: skip


@dataclass(frozen=True)
class Corpus:
    """What some readers may read of the published index, as of one version."""

    workspace: Workspace
    target: Target
    selection: Selection
    rows: pl.DataFrame

    @classmethod
    def open(cls, workspace: Workspace, principals: Iterable[str]) -> Corpus:
        target = published_target(workspace)
        if target is None:
            raise NothingPublished(
                "nothing has been published, so there is nothing to ask about; run: rag-pipeline run"
            )
        table = workspace.vectors.open(
            target.table_name,
            target.space_fingerprint,
            version=target.table_version,
            refine_factor=target.refine_factor,
        )
        selection = Selection(table, Filter(frozenset({*principals, PUBLIC})))
        return cls(workspace, target, selection, selection.read([*sample.COLUMNS, "uri"]))

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Of a sample of the passages."""
        ids = sample.sampled(self.rows, _VOCABULARY_PASSAGES, "vocabulary")
        return Vocabulary.of(passage.text for passage in self.passages(ids))

    @cached_property
    def mean_chars(self) -> float:
        """Length of a chunk, on average over a few."""
        ids = sample.by_digest(self.rows["chunk_id"], "length")[:_VOCABULARY_PASSAGES]
        lengths = [len(passage.text) for passage in self.passages(ids)]
        return sum(lengths) / max(1, len(lengths))

    @cached_property
    def shared_uris(self) -> frozenset[str]:
        """Addresses of several documents."""
        documents = self.rows.unique("document_id")["uri"].value_counts()
        return frozenset(documents.filter(pl.col("count") > 1)["uri"])

    @cached_property
    def _input_keys(self) -> dict[tuple[str, str], str]:
        """By document and text: silver may have another text by now than what is published."""
        rows = self.workspace.lake.read(DOCUMENTS, ["document_id", "content_hash", "input_key"])
        return {(document, text): key for document, text, key in rows.iter_rows()}

    @cached_property
    def _embed(self) -> Callable[[str], Vectors]:
        return query_model(self.workspace, self.target).embed_query

    def passages(self, chunk_ids: Sequence[str]) -> list[Passage]:
        """Passages by id, in the order of the ids."""
        found = {row["chunk_id"]: row for row in self.selection.read_of("chunk_id", chunk_ids, _COLUMNS).to_dicts()}
        return [self._passage(found[name]) for name in chunk_ids if name in found]

    def candidates(self, draft: Draft) -> list[Passage]:
        """What both retrievers find for a draft, the best of each first, and then by the words of its text."""
        asked = draft.plain or draft.question
        by_words = self.selection.matching(asked, _CANDIDATES, _COLUMNS).to_dicts()
        near = self.selection.nearest(self._embed(asked), _CANDIDATES, _COLUMNS).to_dicts()
        said = self.selection.matching(" ".join(draft.terms), _CANDIDATES, _COLUMNS).to_dicts() if draft.terms else []
        in_turn = [row for pair in zip_longest(by_words, near) for row in pair if row is not None]
        return [self._passage(row) for row in {row["chunk_id"]: row for row in (*in_turn, *said)}.values()]

    def partner(self, passage: Passage) -> Passage | None:
        """The passage of another document that is nearest to one and does not say the same; None: there is none."""
        rows = self.selection.nearest(self._embed(passage.text), _CANDIDATES, _COLUMNS).to_dicts()
        own = wording_of(passage.text)
        others = (self._passage(row) for row in rows if row["document_id"] != passage.document_id)
        return next((each for each in others if not is_near(own, wording_of(each.text))), None)

    def _passage(self, row: dict[str, object]) -> Passage:
        text = str(row["embedded_text"])[int(str(row["header_chars"])) :]
        return Passage(
            chunk_id=str(row["chunk_id"]),
            document_id=str(row["document_id"]),
            source=str(row["source"]),
            uri=str(row["uri"]),
            title=" ".join(str(row["title"] or "").split()),
            language=str(row["language"] or ""),
            section=tuple(row["section_path"] or ()),  # type: ignore[arg-type]
            kind=str(row["kind"]),
            text=" ".join(text.split()),
            readable_by=tuple(row["allowed_principals"] or ()),  # type: ignore[arg-type]
            input_key=self._input_keys.get((str(row["document_id"]), str(row["content_hash"])), ""),
        )
