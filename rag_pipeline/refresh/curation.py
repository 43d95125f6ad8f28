"""What the people who own sources should look at: contradicted, said twice, old, poor, never found, found all the time.

Belongs here: reading the published index, evaluation and remarks, and choosing what is told.
Does not belong here: comparing texts (`transforms/contradictions.py`), showing it (`cli/curate.py`).

Nothing is stored: what is told of a document is as fresh as what it is told of, and goes with it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl

from rag_pipeline.contracts.curation import KINDS, Curated, Curation, Kind
from rag_pipeline.contracts.evaluation import EVALUATIONS, QUESTION_RESULTS
from rag_pipeline.contracts.feedback import FEEDBACK
from rag_pipeline.contracts.sink import Readable
from rag_pipeline.contracts.tables import DUPLICATES
from rag_pipeline.errors import NothingPublished
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.kept import open_version
from rag_pipeline.transforms.contradictions import Contradiction, contradictions, nearest_elsewhere

# Comparing takes the square of it; twenty thousand newest against a hundred thousand take about a minute.
MOST_COMPARED = 20_000
# A contradicting sentence stands in one of the nearest chunks of other documents, or in none that is like it.
NEIGHBOURS = 3
# Below it two chunks are of other subjects, in every model that was tried; texts of one subject lie above.
LEAST_SIMILARITY = 0.6
# What near duplicates are told by leaves texts in other words; these are about as near as a text and its translation.
SAME_SIMILARITY = 0.93
# A document says the same as another one if most of its chunks do.
SAME_SHARE = 0.6
# Of fewer questions most documents are found by none.
LEAST_QUESTIONS = 50
# A document that answers every tenth question is what the corpus is about, or in the way.
OFTEN_SHARE = 0.1
# What is told of a sentence; the documents say the rest.
SENTENCE_CHARS = 160
_COLUMNS = [
    "chunk_id", "document_id", "source", "uri", "title", "position", "source_modified_at", "quality_score",
]  # fmt: skip


def curation(workspace: Workspace, *, old: timedelta, most_compared: int = MOST_COMPARED) -> Curation:
    """Look through what is published.

    Args:
        old: Documents that were last modified longer ago are told.
        most_compared: Chunks whose neighbours are looked at.

    Raises:
        NothingPublished: Nothing has been published yet.
        StoreError: A table or the index cannot be read.
    """
    last = workspace.lake.last_publication()
    if last is None:
        raise NothingPublished("nothing has been published, so there is nothing to look at; run: rag-pipeline run")
    table = open_version(workspace.vectors, last)
    chunks = table.read(_COLUMNS).sort("source", "uri", "position", "chunk_id")
    documents = chunks.unique("document_id", keep="first", maintain_order=True)
    asked = _newest_rows(chunks, most_compared)
    questions, found = _found_by_questions(workspace)
    told = [
        *_compared(table, chunks, asked),
        *_poor(documents, workspace.settings.thresholds.low_quality_score),
        *_disliked(workspace, documents),
        *_old(workspace, documents, old),
        *_by_questions(documents, questions, found),
        *_copied(workspace, documents),
    ]
    owners = {name: source.owners for name, source in workspace.settings.sources.items()}
    order = sorted(told, key=lambda each: (KINDS.index(each.kind), -each.value, each.uri))
    with_owners = tuple(replace(each, owners=owners.get(each.source, ())) for each in order)
    return Curation(documents.height, chunks.height, len(asked), questions, with_owners)


def _newest_rows(chunks: pl.DataFrame, most: int) -> list[int]:
    rows = chunks.with_row_index("row").sort("source_modified_at", "row", descending=[True, False], nulls_last=True)
    return sorted(rows["row"].head(most).to_list())


def _compared(table: Readable, chunks: pl.DataFrame, asked: list[int]) -> Iterator[Curated]:
    """Contradictions between documents of different age, and documents that say the same in other words."""
    if chunks["document_id"].n_unique() < 2 or not asked:
        return
    vectors = _vectors(table, chunks["chunk_id"].to_list())
    pairs = [
        pair
        for pair in nearest_elsewhere(vectors, chunks["document_id"].to_list(), asked, NEIGHBOURS)
        if pair[2] >= LEAST_SIMILARITY
    ]
    yield from _contradicted(table, chunks, pairs)
    yield from _said_twice(chunks, pairs)


def _vectors(table: Readable, chunk_ids: list[str]) -> np.ndarray:
    """Of all rows, in that order: [rows, dimension], unit length."""
    at = {name: row for row, name in enumerate(chunk_ids)}
    found: np.ndarray | None = None
    for batch in table.stream(["chunk_id", "vector"]):
        frame = pl.from_arrow(batch)
        assert isinstance(frame, pl.DataFrame)
        some = np.stack([np.asarray(each, dtype=np.float32) for each in frame["vector"]])
        if found is None:
            found = np.zeros((len(chunk_ids), some.shape[1]), dtype=np.float32)
        found[[at[name] for name in frame["chunk_id"]]] = some
    assert found is not None
    units: np.ndarray = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
    return units


def _contradicted(table: Readable, chunks: pl.DataFrame, pairs: list[tuple[int, int, float]]) -> Iterator[Curated]:
    modified = chunks["source_modified_at"].to_list()
    ids, documents = chunks["chunk_id"].to_list(), chunks["document_id"].to_list()
    # The older one first; of one moment nobody knows which counts.
    aged = {
        (one, other) if modified[one] < modified[other] else (other, one)
        for one, other, _ in pairs
        if modified[one] and modified[other] and modified[one] != modified[other]
    }
    texts = _texts(table, {ids[row] for pair in aged for row in pair})
    said: dict[tuple[str, str], list[tuple[int, int, Contradiction]]] = defaultdict(list)
    for older, newer in sorted(aged):
        for each in contradictions(texts[ids[older]], texts[ids[newer]]):
            said[documents[older], documents[newer]].append((older, newer, each))
    for found in said.values():
        older, newer, first = found[0]
        by = ", ".join(sorted({each.differs for *_, each in found}))
        detail = f"other {by}: {len(found)} in all" if len(found) > 1 else f"other {by}"
        example = f'"{_beginning(first.first)}" against "{_beginning(first.second)}"'
        yield _told("contradicted", chunks, older, float(len(found)), detail, chunks["uri"][newer], example)


def _texts(table: Readable, chunk_ids: Collection[str]) -> dict[str, str]:
    """Text of some chunks, without the header that is embedded with it."""
    found = {}
    for batch in table.stream(["chunk_id", "embedded_text", "header_chars"]) if chunk_ids else ():
        for name, text, header in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if name in chunk_ids:
                found[name] = text[header:]
    return found


def _beginning(sentence: str) -> str:
    return sentence if len(sentence) <= SENTENCE_CHARS else f"{sentence[:SENTENCE_CHARS].rstrip()}…"


def _said_twice(chunks: pl.DataFrame, pairs: list[tuple[int, int, float]]) -> Iterator[Curated]:
    documents = chunks["document_id"].to_list()
    sizes = Counter(documents)
    same: dict[tuple[str, str], set[int]] = defaultdict(set)
    for one, other, similarity in pairs:
        if similarity >= SAME_SIMILARITY:
            same[documents[one], documents[other]].add(one)
    seen: set[frozenset[str]] = set()
    for (mine, theirs), rows in sorted(same.items(), key=lambda item: (-len(item[1]), item[0])):
        share = len(rows) / sizes[mine]
        if share >= SAME_SHARE and frozenset((mine, theirs)) not in seen:
            seen.add(frozenset((mine, theirs)))
            detail = f"{share:.0%} of it stands there in other words"
            yield _told("says_the_same", chunks, min(rows), share, detail, chunks["uri"][documents.index(theirs)])


def _poor(documents: pl.DataFrame, below: float) -> Iterator[Curated]:
    for row, score in enumerate(documents["quality_score"].to_list()):
        if score is not None and score < below:
            yield _told("low_quality", documents, row, 1 - score, f"quality score {score:.2f}")


def _disliked(workspace: Workspace, documents: pl.DataFrame) -> Iterator[Curated]:
    remarks = workspace.lake.read(FEEDBACK, ["document_id", "verdict", "cited_document_ids"])
    downs: Counter[str] = Counter()
    for document, verdict, cited in remarks.iter_rows():
        if verdict == "down":
            downs.update([document] if document is not None else cited or [])
    for row, document in enumerate(documents["document_id"].to_list()):
        if downs[document]:
            yield _told("disliked", documents, row, float(downs[document]), f"{downs[document]} remarks say it misled")


def _old(workspace: Workspace, documents: pl.DataFrame, old: timedelta) -> Iterator[Curated]:
    now = workspace.now()
    for row, at in enumerate(documents["source_modified_at"].to_list()):
        if at is not None and now - at > old:
            days = (now - at).days
            yield _told("old", documents, row, float(days), f"last modified {days:,} days ago")


def _found_by_questions(workspace: Workspace) -> tuple[int, Counter[str]]:
    """How many questions the last evaluation asked, and by how many of them each uri was found."""
    rows = workspace.lake.read(EVALUATIONS, ["evaluation_id", "evaluated_at"])
    if rows.is_empty():
        return 0, Counter()
    newest = rows.sort("evaluated_at", "evaluation_id")["evaluation_id"][-1]
    is_newest = (pl.col("evaluation_id") == newest) & (pl.col("mode") == "hybrid")
    results = workspace.lake.read(QUESTION_RESULTS, ["question_id", "found"], where=is_newest)
    return results.height, Counter(uri for found in results["found"] for uri in set(found))


def _by_questions(documents: pl.DataFrame, questions: int, found: Counter[str]) -> Iterator[Curated]:
    if questions < LEAST_QUESTIONS:
        return
    for row, uri in enumerate(documents["uri"].to_list()):
        share = found[uri] / questions
        if not found[uri]:
            yield _told("never_found", documents, row, 1.0, f"none of {questions:,} questions found it")
        elif share >= OFTEN_SHARE:
            said = f"{found[uri]:,} of {questions:,} questions found it"
            yield _told("found_often", documents, row, share, said)


def _copied(workspace: Workspace, documents: pl.DataFrame) -> Iterator[Curated]:
    copies = Counter(workspace.lake.read(DUPLICATES, ["duplicate_of"])["duplicate_of"].to_list())
    for row, document in enumerate(documents["document_id"].to_list()):
        if copies[document]:
            said = f"{copies[document]} equal or nearly equal documents are left out for it"
            yield _told("has_copies", documents, row, float(copies[document]), said)


def _told(
    kind: Kind,
    rows: pl.DataFrame,
    row: int,
    value: float,
    detail: str,
    other_uri: str | None = None,
    example: str = "",
) -> Curated:
    values = rows.row(row, named=True)
    return Curated(
        kind=kind,
        source=values["source"],
        uri=values["uri"],
        document_id=values["document_id"],
        title=values["title"],
        modified_at=values["source_modified_at"],
        value=round(value, 4),
        detail=detail,
        example=example,
        other_uri=other_uri,
    )
