"""What a filtered hybrid search costs beside its retrievers done by hand, with many callers, and what filters lose.

    python -m benchmarks.search [--chunks 100000] [--questions 40] [--callers 16]

Generated documents of 20 chunks and a stub embedder; the lake stays in the cache folder, so a second run builds
nothing. Filters by path leave all, one of ten, of a hundred and of a thousand documents. Each question is asked by
hybrid and by each retriever alone, one after another: a retriever is the bare LanceDB call for the rows and
columns that the search reads, the question's embedding included. Of each that is the median of seconds, and the mean
of this process' CPU.

Callers share one `Searcher`; what one asks alone and what all ask at once take turns.

The bars: hybrid at most 1.3 times its longer retriever, sixteen callers at least 1.7 times the searches of one,
recall@10 of the vector retriever against exact search at least 0.99 at every filter.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lancedb

from benchmarks.common import make_pipeline, refresh
from benchmarks.documents import generated_document, write_documents
from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.contracts.filters import Filter
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.embedding.open import open_model
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.candidates import RANKED_COLUMNS
from rag_pipeline.retrieval.plan import LEAST_DEPTH
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.settings import Pipeline
from rag_pipeline.stores.filters import where_of
from rag_pipeline.stores.kept import open_version
from rag_pipeline.stores.retrievers import EXACT, EXACT_BELOW_MATCHES, by_vector, by_words

CHUNKS_PER_DOCUMENT = 20
# What of the documents a filter leaves, by the last digits of their numbers.
FILTERS = {"100 %": "**", "10 %": "**/*0.md", "1 %": "**/*00.md", "0.1 %": "**/*000.md"}
TOP = 10
ROUNDS = 4


@dataclass
class Spent:
    """Seconds of each call, by the clock and of this process' CPU."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def of(self, call: Callable[[], object]) -> None:
        started, used = time.perf_counter(), time.process_time()
        call()
        self.wall.append(time.perf_counter() - started)
        self.cpu.append(time.process_time() - used)

    @property
    def p50_ms(self) -> float:
        return 1_000 * statistics.median(self.wall)

    @property
    def cpu_ms(self) -> float:
        return 1_000 * statistics.fmean(self.cpu)


class ByHand:
    """The retrievers of one published index as bare LanceDB calls."""

    def __init__(self, pipeline: Pipeline) -> None:
        with Workspace(pipeline, run_id="benchmark") as workspace:
            last = workspace.lake.last_publication()
            assert last is not None
            self._table = open_version(workspace.vectors, last)
            self._handle: Any = lancedb.connect(workspace.vectors.root).open_table(last.table_name)
            self._handle.checkout(last.table_version)
            self._model = open_model(EmbeddingModelSpec(**json.loads(last.model_spec)), pipeline.cache_folder)

    def where(self, limits: Filter) -> str:
        return where_of(limits, self._table)

    def nearest(self, question: str, where: str, *, exact: bool = False) -> Any:
        few = self._handle.count_rows(where) <= EXACT_BELOW_MATCHES
        factor = EXACT if exact or few or not self._table.has_vector_index else self._table.refine_factor
        vector = self._model.embed_query(question)
        return by_vector(self._handle, vector, where, LEAST_DEPTH, RANKED_COLUMNS, factor)

    def matching(self, question: str, where: str) -> Any:
        return by_words(self._handle, question, where, LEAST_DEPTH, RANKED_COLUMNS)


def built(work: Path, chunks: int) -> Pipeline:
    """A published lake of so many chunks; what is there already is not built again."""
    documents = work / "docs"
    count = chunks // CHUNKS_PER_DOCUMENT
    if len(list(documents.rglob("*.md"))) != count:
        write_documents(documents, count, CHUNKS_PER_DOCUMENT)
    pipeline = make_pipeline(work, documents, deduplication={"near": False}, boilerplate={"leave_out": False})
    with Workspace(pipeline, run_id="benchmark") as workspace:
        refresh(workspace)
    return pipeline


def questions_of(count: int) -> list[str]:
    """A number that few chunks have, and eight words that many have."""
    chance = random.Random(count)
    asked = []
    for number in range(count):
        words = generated_document(chance.randrange(count * 10), 1).split()
        asked.append(f"document {number} {' '.join(chance.choices(words[8:], k=8))}")
    return asked


def row_of(name: str, path: str, questions: Sequence[str], searcher: Searcher, by_hand: ByHand) -> str:
    """Times and recall under one filter."""
    limits = Filter(frozenset({PUBLIC}), paths=(path,))
    where = by_hand.where(limits)
    hybrid, vector, text = Spent(), Spent(), Spent()
    found = []
    for question in questions:
        hybrid.of(lambda q=question: searcher.search(q, principals=[PUBLIC], limits=limits))
        vector.of(lambda q=question: by_hand.nearest(q, where))
        text.of(lambda q=question: by_hand.matching(q, where))
        wanted = set(by_hand.nearest(question, where, exact=True)["chunk_id"].to_list()[:TOP])
        hits = searcher.search(question, principals=[PUBLIC], limits=limits, k=TOP, mode="vector")
        found.append(len(wanted & {hit.chunk_id for hit in hits}) / max(1, len(wanted)))
    ratio = hybrid.p50_ms / max(vector.p50_ms, text.p50_ms)
    times = " | ".join(f"{spent.p50_ms:.0f}/{spent.cpu_ms:.0f}" for spent in (hybrid, vector, text))
    return f"| {name} | {times} | {ratio:.2f} | {statistics.fmean(found):.3f} |"


def gain_of_callers(questions: Sequence[str], searcher: Searcher, callers: int) -> float:
    """Searches a second with so many callers, by those of one; both ask all questions, in turns."""

    def ask(question: str) -> None:
        searcher.search(question, principals=[PUBLIC])

    alone, together = Spent(), Spent()
    with ThreadPoolExecutor(callers) as threads:
        for _ in range(ROUNDS):
            alone.of(lambda: [ask(question) for question in questions])
            together.of(lambda: list(threads.map(ask, questions)))
    return statistics.median(alone.wall) / statistics.median(together.wall)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "rag-pipeline-benchmarks")
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=40)
    parser.add_argument("--callers", type=int, default=16)
    options = parser.parse_args()
    work = options.cache.absolute() / f"search-{options.chunks}"
    work.mkdir(parents=True, exist_ok=True)
    pipeline = built(work, options.chunks)
    questions, by_hand = questions_of(options.questions), ByHand(pipeline)
    with Searcher.open(pipeline) as searcher:
        searcher.search(questions[0], principals=[PUBLIC])
        columns = ("filter leaves", "hybrid, ms p50/CPU", "vector by hand", "words by hand", "ratio", "recall@10")
        print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")  # noqa: T201
        for name, path in FILTERS.items():
            print(row_of(name, path, questions, searcher, by_hand), flush=True)  # noqa: T201
        gain = gain_of_callers(questions, searcher, options.callers)
        print(f"\n{options.callers} callers: {gain:.2f} times the searches of one")  # noqa: T201


if __name__ == "__main__":
    main()
