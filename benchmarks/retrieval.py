"""How well the published search finds on sets with judgements: each retriever alone and both, one setting for all.

    python -m benchmarks.retrieval [--shared ../shared] [--sets scifact xquad/de xquad/de-en ...] [--questions 300]
        [--rerank FOLDER [--late-interaction]]

Each document is a file, built by the steps of a refresh at their defaults; every question is asked of `Searcher` in
each of its modes. FinanceBench is judged by pages: share of the evidence pages among the first ten pages found;
LIMIT-small by recall@2, the others by nDCG@10 of documents. `financebench/known` asks in the filing that each question
is about, and `xquad/de-en` asks the questions of one language of documents in another. Lakes stay in the cache folder,
so a second run embeds nothing. The bar: hybrid is nowhere more than 0.005 below its better retriever.

With `--rerank`, the folder of a cross-encoder or of a ColBERT model, hybrid is asked with it as well: what that gains,
how often as much comes by chance (paired randomization test), and how long a search takes with it and without.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.common import make_pipeline, refresh
from rag_pipeline.contracts.filters import Filter
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.search import MODES, Hit, Mode, Searcher
from rag_pipeline.settings import Pipeline
from rag_pipeline.transforms.metrics import ndcg_at, recall_at
from rag_pipeline.transforms.paired import chance_of

ALIAS = "minilm"
MODEL = "sentence-transformers/all-MiniLM-L6-v2"
FINANCEBENCH = "financebench"
KNOWN = f"{FINANCEBENCH}/known"
RERANKED = "reranked"
SETS = ("scifact", "cranfield", "limit_small", *(f"xquad/{name}" for name in ("en", "de", "es", "ar", "zh")))
# Several chunks of a document are one place; enough hits for ten of them, at the depth of an ordinary search.
HITS = 20
BAR = -0.005

Place = Callable[[Hit], str]
Metric = Callable[[Sequence[int | None]], float]


@dataclass(frozen=True)
class Question:
    """What is asked, the places that answer it, its name in the set, and where alone is searched."""

    text: str
    wanted: frozenset[str]
    name: str = ""
    limits: Filter | None = None


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
    questions = [Question(text, frozenset(wanted[query]), query) for query, text in asked if query in wanted]
    if name == "limit_small":
        return JudgedSet(name, documents, questions, stem_of, "recall@2", lambda ranks: recall_at(ranks, 2))
    return JudgedSet(name, documents, questions, stem_of, "nDCG@10", lambda ranks: ndcg_at(ranks, 10))


def translated_set(name: str, folder: Path, work: Path) -> JudgedSet:
    """Questions in one language, of documents in another: `xquad/de-en` asks in German of English paragraphs."""
    asked_in, _, answered_in = folder.name.partition("-")
    judged = beir_set(name, folder.parent / answered_in, work)
    asked = {str(r["_id"]): str(r["text"]) for r in lines_of(folder.parent / asked_in / "queries.jsonl")}
    questions = [replace(q, text=asked[q.name]) for q in judged.questions if q.name in asked]
    return replace(judged, questions=questions)


def financebench(folder: Path, *, known: bool = False) -> JudgedSet:
    """Questions about filings, answered by pages.

    Args:
        known: Search in the filing that a question is about, as a reader does who has it open.
    """
    questions = []
    for record in lines_of(folder / "questions.jsonl"):
        evidence: list[dict[str, object]] = record["evidence"]  # type: ignore[assignment]
        pages = frozenset(f"{piece['doc']}#{int(str(piece['page_index'])) + 1}" for piece in evidence)
        if pages:
            limits = Filter(frozenset(), paths=(f"{record['doc']}.pdf",)) if known else None
            questions.append(Question(str(record["question"]), pages, limits=limits))
    return JudgedSet(
        KNOWN if known else FINANCEBENCH,
        folder / "pdfs",
        questions,
        page_of,
        "page recall@10",
        lambda ranks: recall_at(ranks, 10),
    )


def stem_of(hit: Hit) -> str:
    return Path(hit.uri).stem


def page_of(hit: Hit) -> str:
    return f"{Path(hit.uri).stem}#{hit.page}"


def ranks_of(hits: Sequence[Hit], wanted: frozenset[str], place: Place) -> list[int | None]:
    """Rank of each wanted place among the places that were found, from 1."""
    found = {name: rank for rank, name in enumerate(dict.fromkeys(map(place, hits)), start=1)}
    return [found.get(name) for name in sorted(wanted)]


def built(judged: JudgedSet, work: Path, cache: Path, rerank: Path | None = None, section: str = "rerank") -> Pipeline:
    """A published lake of a set's documents; equal ones all stay, since judgements name each.

    Args:
        rerank: Folder of a reranking model; it may take its time here.
        section: Where pipeline.yaml names it, by its kind.
    """
    reranking = {} if rerank is None else {section: {"model": str(rerank.absolute()), "time_budget_seconds": 3_600}}
    pipeline = make_pipeline(
        work,
        judged.documents.absolute(),
        embedding_models={ALIAS: {"model": MODEL}},
        serve=ALIAS,
        deduplication={"near": False},
        boilerplate={"leave_out": False},
        cache=str(cache / "models"),
        **reranking,
    )
    with Workspace(pipeline, run_id="benchmark") as workspace:
        refresh(workspace, ALIAS)
    return pipeline


def figures_of(judged: JudgedSet, pipeline: Pipeline, limit: int | None) -> dict[str, float]:
    """Mean of the set's metric, by mode; where there is a reranker, also how often its gain comes by chance, and times.

    Args:
        limit: At most about so many questions, evenly spread; None: all.
    """
    step = 1 if limit is None else max(1, len(judged.questions) // limit)
    searcher = Searcher.open(pipeline)
    values: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {}
    k = 2 * HITS if judged.name.startswith(FINANCEBENCH) else HITS
    asked: list[tuple[str, Mode, bool]] = [(mode, mode, False) for mode in MODES]
    if pipeline.reranker_spec is not None:
        asked.append((RERANKED, "hybrid", True))
    for question in judged.questions[::step]:
        for name, mode, rerank in asked:
            started = time.perf_counter()
            hits = searcher.search(
                question.text, principals=[PUBLIC], k=k, mode=mode, limits=question.limits, rerank=rerank
            )
            seconds.setdefault(name, []).append(time.perf_counter() - started)
            values.setdefault(name, []).append(judged.metric(ranks_of(hits, question.wanted, judged.place)))
    figures = {name: statistics.fmean(each) for name, each in values.items()}
    if RERANKED in values:
        pairs = zip(values[RERANKED], values["hybrid"], strict=True)
        figures["chance"] = chance_of([after - before for after, before in pairs])
        figures |= {f"{name} ms": 1_000 * statistics.median(seconds[name]) for name in ("hybrid", RERANKED)}
    return figures


def row(judged: JudgedSet, figures: Mapping[str, float]) -> str:
    """One line of the table, with what hybrid gains or loses to its better retriever, and what reranking adds."""
    gain = figures["hybrid"] - max(figures["text"], figures["vector"])
    values = " | ".join(f"{figures[mode]:.4f}" for mode in ("text", "vector", "hybrid"))
    line = f"| {judged.name} | {judged.metric_name} | {values} | {gain:+.4f} | {'yes' if gain >= BAR else 'no'} |"
    if RERANKED not in figures:
        return line
    added = figures[RERANKED] - figures["hybrid"]
    times = f"{figures['hybrid ms']:.0f}/{figures[f'{RERANKED} ms']:.0f}"
    return f"{line} {figures[RERANKED]:.4f} | {added:+.4f} | {figures['chance']:.3f} | {times} |"


def sets_of(names: Sequence[str], shared: Path, cache: Path) -> Iterator[tuple[JudgedSet, Path]]:
    for name in names:
        # Pairs and known filings are asked of the lake of their documents.
        parent, _, leaf = name.rpartition("/")
        lake = FINANCEBENCH if name == KNOWN else f"{parent}/{leaf.rpartition('-')[2]}" if "-" in leaf else name
        work = cache / f"retrieval-{lake.replace('/', '-')}"
        work.mkdir(parents=True, exist_ok=True)
        folder = shared / "eval" / name
        if lake == FINANCEBENCH:
            yield financebench(shared / "eval" / lake, known=name == KNOWN), work
        else:
            yield (translated_set if "-" in leaf else beir_set)(name, folder, work), work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "rag-pipeline-benchmarks")
    parser.add_argument("--sets", nargs="+", default=[*SETS, FINANCEBENCH])
    parser.add_argument("--questions", type=int, help="at most about so many of each set; all, if not given")
    parser.add_argument(
        "--rerank", type=Path, metavar="FOLDER", help="folder of a reranking model, to measure it as well"
    )
    parser.add_argument("--late-interaction", action="store_true", help="it is a ColBERT model")
    options = parser.parse_args()
    columns = ["set", "metric", "text", "vector", "hybrid", "hybrid less its better retriever", "holds"]
    if options.rerank is not None:
        columns += ["reranked", "gain", "by chance", "ms a search, without/with"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")  # noqa: T201
    cache = options.cache.absolute()
    section = "late_interaction" if options.late_interaction else "rerank"
    for judged, work in sets_of(options.sets, options.shared, cache):
        pipeline = built(judged, work, cache, options.rerank, section)
        print(row(judged, figures_of(judged, pipeline, options.questions)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
