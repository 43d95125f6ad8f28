"""How well the published search finds on sets with judgements: each leg alone and both, one setting for all.

    python -m benchmarks.retrieval [--shared ../shared] [--sets scifact xquad/de ...] [--questions 300]

Each document is a file, built by the steps of a refresh at their defaults; every question is asked of `Searcher` in
each of its modes. FinanceBench is judged by pages: share of the evidence pages among the first ten pages found;
LIMIT-small by recall@2, the others by nDCG@10 of documents. Lakes stay in the cache folder, so a second run embeds
nothing. The bar: hybrid is nowhere more than 0.005 below its better leg.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import make_pipeline, refresh
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.search import MODES, Hit, Searcher
from rag_pipeline.settings import Pipeline
from rag_pipeline.transforms.metrics import ndcg_at, recall_at

ALIAS = "minilm"
MODEL = "sentence-transformers/all-MiniLM-L6-v2"
FINANCEBENCH = "financebench"
SETS = ("scifact", "cranfield", "limit_small", *(f"xquad/{name}" for name in ("en", "de", "es", "ar", "zh")))
# Several chunks of a document are one place; enough hits for ten of them, at the depth of an ordinary search.
HITS = 20
BAR = -0.005

Place = Callable[[Hit], str]
Metric = Callable[[Sequence[int | None]], float]


@dataclass(frozen=True)
class Question:
    """What is asked, and the places that answer it."""

    text: str
    wanted: frozenset[str]


@dataclass(frozen=True)
class JudgedSet:
    """Files to index, questions about them, and how an answer is judged."""

    name: str
    documents: Path
    questions: Sequence[Question]
    place: Place
    metric_name: str
    metric: Metric


def lines_of(path: Path) -> list[dict[str, object]]:
    """Objects of a JSONL file, or of the same with `.gz`."""
    packed = path.with_name(f"{path.name}.gz")
    text = gzip.decompress(packed.read_bytes()).decode() if packed.exists() else path.read_text("utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def beir_set(name: str, folder: Path, work: Path) -> JudgedSet:
    """A set of corpus.jsonl, queries.jsonl and qrels/test.tsv; its documents become files named by their ids' order."""
    documents = work / "documents"
    documents.mkdir(parents=True, exist_ok=True)
    stems: dict[str, str] = {}
    for number, record in enumerate(lines_of(folder / "corpus.jsonl")):
        stems[str(record["_id"])] = f"{number:06}"
        path = documents / f"{number:06}.txt"
        if not path.exists():
            parts = (str(record.get("title") or ""), str(record["text"]))
            path.write_text("\n\n".join(part for part in parts if part), "utf-8")
    wanted: dict[str, set[str]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text("utf-8").splitlines()[1:]:
        query, document, score = line.split("\t")
        if float(score) > 0:
            wanted.setdefault(query, set()).add(stems[document])
    asked = [(str(record["_id"]), str(record["text"])) for record in lines_of(folder / "queries.jsonl")]
    questions = [Question(text, frozenset(wanted[query])) for query, text in asked if query in wanted]
    if name == "limit_small":
        return JudgedSet(name, documents, questions, stem_of, "recall@2", lambda ranks: recall_at(ranks, 2))
    return JudgedSet(name, documents, questions, stem_of, "nDCG@10", lambda ranks: ndcg_at(ranks, 10))


def financebench(folder: Path) -> JudgedSet:
    """Questions about filings, answered by pages."""
    questions = []
    for record in lines_of(folder / "questions.jsonl"):
        evidence: list[dict[str, object]] = record["evidence"]  # type: ignore[assignment]
        pages = frozenset(f"{piece['doc']}#{int(str(piece['page_index'])) + 1}" for piece in evidence)
        if pages:
            questions.append(Question(str(record["question"]), pages))
    return JudgedSet(
        FINANCEBENCH, folder / "pdfs", questions, page_of, "page recall@10", lambda ranks: recall_at(ranks, 10)
    )


def stem_of(hit: Hit) -> str:
    return Path(hit.uri).stem


def page_of(hit: Hit) -> str:
    return f"{Path(hit.uri).stem}#{hit.page}"


def ranks_of(hits: Sequence[Hit], wanted: frozenset[str], place: Place) -> list[int | None]:
    """Rank of each wanted place among the places that were found, from 1."""
    found = {name: rank for rank, name in enumerate(dict.fromkeys(map(place, hits)), start=1)}
    return [found.get(name) for name in sorted(wanted)]


def built(judged: JudgedSet, work: Path, cache: Path) -> Pipeline:
    """A published lake of a set's documents; equal ones all stay, since judgements name each."""
    pipeline = make_pipeline(
        work,
        judged.documents.absolute(),
        embedding_models={ALIAS: {"model": MODEL}},
        serve=ALIAS,
        deduplication={"near": False},
        boilerplate={"leave_out": False},
        cache=str(cache / "models"),
    )
    with Workspace(pipeline, run_id="benchmark") as workspace:
        refresh(workspace, ALIAS)
    return pipeline


def figures_of(judged: JudgedSet, pipeline: Pipeline, limit: int | None) -> dict[str, float]:
    """Mean of the set's metric, by mode.

    Args:
        limit: At most about so many questions, evenly spread; None: all.
    """
    step = 1 if limit is None else max(1, len(judged.questions) // limit)
    questions = judged.questions[::step]
    searcher = Searcher.open(pipeline)
    totals = dict.fromkeys(MODES, 0.0)
    k = 2 * HITS if judged.name == FINANCEBENCH else HITS
    for question in questions:
        for mode in MODES:
            hits = searcher.search(question.text, principals=[PUBLIC], k=k, mode=mode)
            totals[mode] += judged.metric(ranks_of(hits, question.wanted, judged.place))
    return {mode: total / len(questions) for mode, total in totals.items()}


def row(judged: JudgedSet, figures: Mapping[str, float]) -> str:
    """One line of the table, with what hybrid gains or loses to its better leg."""
    gain = figures["hybrid"] - max(figures["text"], figures["vector"])
    values = " | ".join(f"{figures[mode]:.4f}" for mode in ("text", "vector", "hybrid"))
    verdict = "yes" if gain >= BAR else "no"
    return f"| {judged.name} | {judged.metric_name} | {values} | {gain:+.4f} | {verdict} |"


def sets_of(names: Sequence[str], shared: Path, cache: Path) -> Iterator[tuple[JudgedSet, Path]]:
    for name in names:
        work = cache / f"retrieval-{name.replace('/', '-')}"
        work.mkdir(parents=True, exist_ok=True)
        folder = shared / "eval" / name
        yield (financebench(folder) if name == FINANCEBENCH else beir_set(name, folder, work)), work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "rag-pipeline-benchmarks")
    parser.add_argument("--sets", nargs="+", default=[*SETS, FINANCEBENCH])
    parser.add_argument("--questions", type=int, help="at most about so many of each set; all, if not given")
    options = parser.parse_args()
    print("| set | metric | text | vector | hybrid | hybrid less its better leg | holds |")  # noqa: T201
    print("|---|---|---|---|---|---|---|")  # noqa: T201
    cache = options.cache.absolute()
    for judged, work in sets_of(options.sets, options.shared, cache):
        print(row(judged, figures_of(judged, built(judged, work, cache), options.questions)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
