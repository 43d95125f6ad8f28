"""Compare chunkings by what their top five hits hold of known excerpts, question by question.

    python benchmarks/chunking.py [--shared ../shared] [--top 5] [--chunkings fixed-250 own-254 own-64]

Texts, questions and excerpts: `eval/chunking` of the shared folder (472 questions on five texts, excerpts as
character spans). All texts are one collection. Per question, over the characters of the hits:

recall      excerpt characters the hits cover, of all excerpt characters
precision   excerpt characters the hits cover, of all characters of the hits
IoU         excerpt characters the hits cover, of hits and excerpts together

`±n` reads every hit with its n neighbours on each side inside its section, repeated text once: what a reader is
given when small chunks are found and larger windows read. Wins and losses are questions on which a chunking does
better and worse than the first one listed; means hide them, because most questions score 0 or 100.

Vectors are kept in the cache folder by text, so a second run embeds only what is new.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rag_pipeline.contracts.documents import ParsedDocument, embedded_text
from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.contracts.ids import text_hash
from rag_pipeline.contracts.tokens import TokenCounter
from rag_pipeline.embedding.open import EmbeddingModel, open_model, token_counter
from rag_pipeline.parsing import parse
from rag_pipeline.parsing.limits import ParseLimits
from rag_pipeline.transforms.chunk import ChunkParams, chunk_document

MODEL = EmbeddingModelSpec("bench", "sentence-transformers/all-MiniLM-L6-v2")
SMALLEST = {254: 48, 128: 32, 96: 24, 64: 16, 48: 12, 40: 10}
NEIGHBOURS = (0, 1, 2)

Span = tuple[int, int]


@dataclass(frozen=True)
class Question:
    text: str
    corpus: str
    excerpts: tuple[Span, ...]


@dataclass(frozen=True)
class Piece:
    """A chunk: where it lies, its section, and what is embedded of it."""

    corpus: str
    span: Span
    section: tuple[str, ...]
    embedded: str


def questions_of(folder: Path) -> list[Question]:
    with (folder / "questions_df.csv").open(encoding="utf-8", newline="") as file:
        return [
            Question(
                row["question"],
                row["corpus_id"],
                merged([(found["start_index"], found["end_index"]) for found in json.loads(row["references"])]),
            )
            for row in csv.DictReader(file)
        ]


def documents_of(folder: Path) -> dict[str, ParsedDocument]:
    """The texts, parsed as plain text; excerpts are spans of the file, so the text must be the file's."""
    documents: dict[str, ParsedDocument] = {}
    for path in sorted((folder / "corpora").glob("*.md")):
        raw = path.read_bytes()
        (documents[path.stem],) = parse(raw, "text/plain", path.name, ParseLimits())
        assert documents[path.stem].text == raw.decode("utf-8"), f"parsing moved the characters of {path.name}"
    return documents


def fixed_windows(documents: dict[str, ParsedDocument], counter: TokenCounter, size_tokens: int) -> list[Piece]:
    pieces: list[Piece] = []
    for corpus, document in documents.items():
        tokens = counter.token_spans(document.text)
        for first in range(0, len(tokens), size_tokens):
            start, end = tokens[first][0], tokens[min(first + size_tokens, len(tokens)) - 1][1]
            pieces.append(Piece(corpus, (start, end), (), document.text[start:end]))
    return pieces


def own_chunks(documents: dict[str, ParsedDocument], counter: TokenCounter, params: ChunkParams) -> list[Piece]:
    return [
        Piece(
            corpus,
            (chunk.start_char, chunk.end_char),
            chunk.section_path,
            embedded_text(chunk.header, document.text[chunk.start_char : chunk.end_char]),
        )
        for corpus, document in documents.items()
        for chunk in chunk_document(document, params, counter)
    ]


def pieces_of(name: str, documents: dict[str, ParsedDocument], counter: TokenCounter) -> list[Piece]:
    """`fixed-N`: windows of N tokens; `own-N`: our chunks of at most N; `own-N-T`: packed up to T only."""
    kind, *numbers = name.split("-")
    sizes = [int(number) for number in numbers]
    if kind == "fixed":
        return fixed_windows(documents, counter, sizes[0])
    target = sizes[1] if len(sizes) > 1 else None
    least = SMALLEST.get(target or sizes[0], (target or sizes[0]) // 4)
    return own_chunks(documents, counter, ChunkParams(sizes[0], target, least, min(64, sizes[0] // 4)))


class Vectors:
    """Vectors by the hash of their text, kept between runs."""

    def __init__(self, model: EmbeddingModel, folder: Path) -> None:
        self._model = model
        self._file = folder / f"chunking-{model.space.fingerprint}.npz"
        self._known: dict[str, np.ndarray] = {}
        if self._file.exists():
            with np.load(self._file) as kept:
                self._known = dict(zip(kept["hashes"].tolist(), kept["vectors"], strict=True))

    def of(self, texts: Sequence[str]) -> np.ndarray:
        hashes = [text_hash(text) for text in texts]
        new = {key: text for key, text in zip(hashes, texts, strict=True) if key not in self._known}
        if new:
            self._known.update(zip(new, self._model.embed_documents(list(new.values())), strict=True))
            self._file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(self._file, hashes=np.array([*self._known]), vectors=np.stack([*self._known.values()]))
        return np.stack([self._known[key] for key in hashes])


def merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return tuple(found)


def length(spans: Sequence[Span]) -> int:
    return sum(end - start for start, end in spans)


def with_neighbours(pieces: Sequence[Piece], hits: Sequence[int], count: int) -> list[int]:
    found = set(hits)
    for hit in hits:
        for step in (-1, 1):
            for at in range(hit + step, hit + step * (count + 1), step):
                here = (pieces[hit].corpus, pieces[hit].section)
                if not 0 <= at < len(pieces) or (pieces[at].corpus, pieces[at].section) != here:
                    break
                found.add(at)
    return sorted(found)


def score(question: Question, read: Sequence[Piece]) -> tuple[float, float, float]:
    """Recall, precision and IoU in percent."""
    spans = merged([piece.span for piece in read if piece.corpus == question.corpus])
    covered = sum(
        max(0, min(end, excerpt_end) - max(start, excerpt_start))
        for start, end in spans
        for excerpt_start, excerpt_end in question.excerpts
    )
    wanted, got = length(question.excerpts), length([piece.span for piece in read])
    return 100 * covered / wanted, 100 * covered / got, 100 * covered / (wanted + got - covered)


def row(name: str, chunks: int, scores: np.ndarray, baseline: np.ndarray) -> str:
    means, deviations = scores.mean(0), scores.std(0)
    cells = [f"{mean:.1f} ± {deviation:.1f}" for mean, deviation in zip(means, deviations, strict=True)]
    better = (scores > baseline + 1e-9).sum(0)
    worse = (scores < baseline - 1e-9).sum(0)
    return f"| {name} | {chunks} | {' | '.join(cells)} | {better[0]}/{worse[0]} | {better[2]}/{worse[2]} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "rag-pipeline-benchmarks")
    parser.add_argument(
        "--chunkings", nargs="+", default=["fixed-250", "own-254", "own-254-128", "own-96", "own-64", "own-48"]
    )
    options = parser.parse_args()
    folder = options.shared / "eval" / "chunking"
    documents, questions = documents_of(folder), questions_of(folder)
    counter = token_counter(MODEL, options.cache)
    vectors = Vectors(open_model(MODEL, options.cache), options.cache)
    asked = vectors.of([question.text for question in questions])
    print("| chunking | chunks | recall | precision | IoU | recall wins/losses | IoU wins/losses | cut in |")  # noqa: T201
    print("|---|---|---|---|---|---|---|---|")  # noqa: T201
    baseline: np.ndarray | None = None
    for name in options.chunkings:
        began = time.perf_counter()
        pieces = pieces_of(name, documents, counter)
        seconds = time.perf_counter() - began
        order = np.argsort(-(asked @ vectors.of([piece.embedded for piece in pieces]).T), axis=1, kind="stable")
        for count in NEIGHBOURS if name.startswith("own") else (0,):
            read = [with_neighbours(pieces, hits.tolist(), count) for hits in order[:, : options.top]]
            scores = np.array(
                [score(q, [pieces[at] for at in found]) for q, found in zip(questions, read, strict=True)]
            )
            baseline = scores if baseline is None else baseline
            label = f"{name} ±{count}" if count else name
            print(row(label, len(pieces), scores, baseline), f"{seconds:.1f} s |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
