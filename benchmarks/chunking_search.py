"""Compare chunk sizes by what the published search's top five hits hold of known excerpts, question by question.

    python -m benchmarks.chunking_search [--shared ../shared] [--top 5] [--chunkings 254 144 96] [--windows 254 512]

The texts, questions and figures of `chunking.py`, but asked as a user asks: the texts are a source of `.txt` files,
the steps of a refresh build and publish an index for each chunk size, and `Searcher` answers in each of its modes.

A chunking is `MAX` or `MAX-TARGET` in tokens of the model; everything else is at its default, but for the limit of
headers, which has to stay below that of chunks. Lakes stay in the cache folder, so a second run computes nothing.

whole recall   as recall, but a hit holds its text wherever it stands. Search gives equal texts once, and tables of
               these texts repeat; recall counts an excerpt only at the one place that the hit names.
window N       every hit is read with `Searcher.window` up to N tokens; repeated text counts each time
characters     read per question

Wins and losses are questions on which a row does better and worse than the first row: fixed windows of 250 tokens,
found by their vectors.
"""

from __future__ import annotations

import argparse
import tempfile
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from benchmarks.chunking import (
    MODEL,
    Piece,
    Question,
    Span,
    Vectors,
    documents_of,
    fixed_windows,
    length,
    questions_of,
    score,
)
from benchmarks.common import make_pipeline, refresh
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.embedding.open import open_model, token_counter
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.search import MODES, Hit, Searcher
from rag_pipeline.settings import Pipeline
from rag_pipeline.stores.kept import open_version

ALIAS = "minilm"
FIXED_TOKENS = 250
LONGEST_HEADER_TOKENS = 64
MODELS = "models"


@dataclass(frozen=True)
class Answer:
    """What was read for a question: pieces of the texts, and every other place at which their text stands."""

    read: list[Piece]
    elsewhere: list[Piece]


class Places:
    """Where each indexed text stands, and where a window of one lies in its document."""

    def __init__(self, texts: dict[str, str], workspace: Workspace) -> None:
        self._texts = texts
        self._letters = {name: letters_before(text) for name, text in texts.items()}
        self._of_text: dict[str, list[Piece]] = {}
        last = workspace.lake.last_publication()
        assert last is not None
        table = open_version(workspace.vectors, last)
        rows = table.read(["uri", "start_char", "end_char", "embedded_text", "header_chars"])
        self.chunks = rows.height
        for uri, start, end, embedded, header_chars in rows.iter_rows():
            piece = Piece(Path(uri).stem, (start, end), (), embedded)
            self._of_text.setdefault(embedded[header_chars:], []).append(piece)

    def answer(self, hits: Sequence[Hit]) -> Answer:
        read = [Piece(Path(hit.uri).stem, (hit.start_char, hit.end_char), (), hit.text) for hit in hits]
        return Answer(read, [place for hit in hits for place in self._of_text[hit.text]])

    def windows(self, hits: Sequence[Hit], windows: Sequence[str]) -> Answer:
        read = [self._window(hit, window) for hit, window in zip(hits, windows, strict=True)]
        return Answer(read, [place for hit in hits for place in self._of_text[hit.text]])

    def _window(self, hit: Hit, window: str) -> Piece:
        corpus = Path(hit.uri).stem
        span = window_span(self._texts[corpus], self._letters[corpus], hit.start_char, hit.text, window)
        return Piece(corpus, span, (), window)


def letters_before(text: str) -> list[int]:
    """How many characters before each position are not white space; one more than the text has characters."""
    return [0, *accumulate(not mark.isspace() for mark in text)]


def window_span(text: str, letters: Sequence[int], start: int, body: str, window: str) -> Span:
    """Where a window lies in its text, whatever white space its chunks were stitched with.

    Args:
        letters: `letters_before(text)`.
        start: Where the chunk begins that the window was read around.
        body: That chunk's text, which may stand in the window more than once.
    """
    wanted = "".join(window.split())
    at = window.find(body)
    while at >= 0:
        first = letters[start] - sum(not mark.isspace() for mark in window[:at])
        begin, end = bisect_left(letters, first + 1) - 1, bisect_left(letters, first + len(wanted))
        if "".join(text[begin:end].split()) == wanted:
            return begin, end
        at = window.find(body, at + 1)
    raise ValueError(f"the window is no part of the text: {window[:80]!r}")


def pipeline_of(name: str, texts: dict[str, str], cache: Path) -> Pipeline:
    """A project of the texts alone, cut as `name` says."""
    work = cache / f"chunking-search-{name}"
    folder = work / "texts"
    folder.mkdir(parents=True, exist_ok=True)
    for corpus, text in texts.items():
        path = folder / f"{corpus}.txt"
        if not path.exists():
            path.write_bytes(text.encode())
    limit, *target = [int(number) for number in name.split("-")]
    chunking = {"max_tokens": limit, "header_max_tokens": min(LONGEST_HEADER_TOKENS, limit // 2)}
    if target:
        chunking["target_tokens"] = target[0]
    models = {ALIAS: {"model": MODEL.model, "kind": MODEL.kind}}
    return make_pipeline(
        work, folder, embedding_models=models, serve=ALIAS, chunking=chunking, cache=str(cache / MODELS)
    )


def fixed_answers(shared: Path, questions: Sequence[Question], cache: Path, top: int) -> tuple[int, list[Answer]]:
    """Fixed windows without overlap, by exact cosine."""
    pieces = fixed_windows(documents_of(shared), token_counter(MODEL, cache / MODELS), FIXED_TOKENS)
    vectors = Vectors(open_model(MODEL, cache / MODELS), cache)
    asked = vectors.of([question.text for question in questions])
    order = np.argsort(-(asked @ vectors.of([piece.embedded for piece in pieces]).T), axis=1, kind="stable")
    found = [[pieces[at] for at in hits] for hits in order[:, :top].tolist()]
    return len(pieces), [Answer(read, read) for read in found]


def own_answers(
    name: str, texts: dict[str, str], questions: Sequence[Question], options: argparse.Namespace
) -> Iterator[tuple[str, int, list[Answer]]]:
    """For every mode, and in mode hybrid with every window: a label, the number of chunks, the answers."""
    pipeline = pipeline_of(name, texts, options.cache)
    with Workspace(pipeline, run_id="benchmark") as workspace:
        refresh(workspace, ALIAS)
        places = Places(texts, workspace)
    searcher = Searcher.open(pipeline)
    wider = [tokens for tokens in options.windows if tokens > int(name.split("-")[0])]
    for mode in MODES:
        hits = [searcher.search(q.text, principals=[PUBLIC], k=options.top, mode=mode) for q in questions]
        yield f"{name} {mode}", places.chunks, [places.answer(found) for found in hits]
        for tokens in wider if mode == "hybrid" else ():
            windows = [
                [searcher.window(hit, principals=[PUBLIC], max_tokens=tokens) for hit in found] for found in hits
            ]
            answers = [places.windows(found, texts) for found, texts in zip(hits, windows, strict=True)]
            yield f"{name} {mode}, window {tokens}", places.chunks, answers


def scores_of(questions: Sequence[Question], answers: Sequence[Answer]) -> np.ndarray:
    """Recall, precision, IoU, whole recall in percent and characters read, [questions, 5]."""
    rows = []
    for question, answer in zip(questions, answers, strict=True):
        everywhere = [*answer.read, *answer.elsewhere]
        whole, _, _ = score(question, everywhere)
        rows.append((*score(question, answer.read), whole, length([piece.span for piece in answer.read])))
    return np.array(rows)


def row(label: str, chunks: int, scores: np.ndarray, baseline: np.ndarray) -> str:
    means, deviations = scores.mean(0), scores.std(0)
    recall, precision, overlap = (f"{means[at]:.1f} ± {deviations[at]:.1f}" for at in range(3))
    better, worse = (scores > baseline + 1e-9).sum(0), (scores < baseline - 1e-9).sum(0)
    compared = " | ".join(f"{better[at]}/{worse[at]}" for at in (0, 2))
    return (
        f"| {label} | {chunks} | {recall} | {precision} | {overlap} | {means[3]:.1f} | {means[4]:,.0f} | {compared} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "rag-pipeline-benchmarks")
    parser.add_argument("--chunkings", nargs="+", default=["254", "160", "144", "128", "96"])
    parser.add_argument("--windows", nargs="*", type=int, default=[], help="tokens to read around every hit, if more")
    options = parser.parse_args()
    options.cache = options.cache.absolute()
    folder = options.shared / "eval" / "chunking"
    questions = questions_of(folder)
    texts = {name: document.text for name, document in documents_of(folder).items()}
    chunks, fixed = fixed_answers(folder, questions, options.cache, options.top)
    baseline = scores_of(questions, fixed)
    print("| chunking | chunks | recall | precision | IoU | whole recall | characters | recall +/- | IoU +/- |")  # noqa: T201
    print("|---|---|---|---|---|---|---|---|---|")  # noqa: T201
    print(row(f"fixed {FIXED_TOKENS}, vectors", chunks, baseline, baseline), flush=True)  # noqa: T201
    for name in options.chunkings:
        for label, chunks, answers in own_answers(name, texts, questions, options):
            print(row(label, chunks, scores_of(questions, answers), baseline), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
