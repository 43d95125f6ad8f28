"""Duplicates among generated documents: how many are found, how many wrongly, and what one new document costs.

    python -m benchmarks.dedupe [--documents 10000] [--similarity 0.9]

The bars are recall and precision of at least 0.98 at the configured similarity. A quarter of the documents are copies:
equal ones, and ones with words changed so that their similarity lies on either side of the bar, some just at it. What
is right is decided by sets of words in plain Python, apart from the pipeline's own code. Only silver is made.
"""

from __future__ import annotations

import argparse
import random
import resource
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.common import make_pipeline
from rag_pipeline.contracts.ids import digest, principals_key
from rag_pipeline.contracts.tables import DOCUMENT_FACTS, DOCUMENTS, DUPLICATES
from rag_pipeline.refresh.duplicates import DuplicatesReport, refresh_duplicates
from rag_pipeline.refresh.workspace import Workspace

READERS = ["public"]


@dataclass(frozen=True)
class Generated:
    """Texts by document name, and of every copy the original's name."""

    texts: dict[str, str]
    original: dict[str, str]


def similarity_of(left: str, right: str) -> float:
    """Jaccard similarity of the sequences of five words."""
    one, two = (
        {tuple(words[i : i + 5]) for i in range(len(words) - 4)}
        for words in (left.lower().split(), right.lower().split())
    )
    return len(one & two) / len(one | two)


def generate(count: int, similarity: float, seed: int = 7) -> Generated:
    """Three quarters originals of 60 to 400 words, one quarter copies of every nearness."""
    chance = random.Random(seed)
    vocabulary = [f"{chance.choice('bdfgklmnprst')}{number:x}" for number in range(30_000)]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    originals = count * 3 // 4
    texts = {
        f"{number:07}": " ".join(chance.choices(vocabulary, weights, k=chance.randint(60, 400)))
        for number in range(originals)
    }
    original = {}
    names = list(texts)
    for number in range(originals, count):
        name, source = f"{number:07}", chance.choice(names)
        words = texts[source].split()
        target = 1.0 if number % 3 == 0 else similarity + chance.uniform(-0.1, 0.08)
        shingles = len(words) - 4
        for _ in range(round(shingles * (1 - target) / (5 * (1 + target)))):
            words[chance.randrange(len(words))] = chance.choice(vocabulary)
        texts[name], original[name] = " ".join(words), source
    return Generated(texts, original)


def write(workspace: Workspace, texts: dict[str, str]) -> None:
    """Rows of silver/documents as parsing would give them."""
    now = datetime.now(UTC)
    empty: dict[Any, object] = {pl.String(): "", pl.Float64(): 0.0, pl.Int64(): 0, pl.Boolean(): False}
    unset = {name: empty.get(column.dtype) for name, column in DOCUMENTS.columns.items()}
    names = list(texts)
    for start in range(0, len(names), 10_000):
        rows: list[dict[str, object]] = []
        for name in names[start : start + 10_000]:
            row = dict(unset)
            row |= {"document_id": name, "origin_id": name, "source": "docs", "uri": f"docs/{name}.txt"}
            row |= {"media_type": "text/plain", "origin_media_type": "text/plain", "language": "en"}
            row |= {"text": texts[name], "text_chars": len(texts[name]), "content_hash": digest(texts[name])}
            row |= {
                "blocks": [],
                "block_hashes": [],
                "allowed_principals": READERS,
                "principals_key": principals_key(READERS),
            }
            row |= {"source_modified_at": now}
            rows.append(row)
        workspace.lake.append(DOCUMENTS, DOCUMENTS.frame(rows))


def timed(workspace: Workspace) -> tuple[float, DuplicatesReport, int]:
    started, commits = time.perf_counter(), workspace.lake.commits
    report = refresh_duplicates(workspace, workspace.lake.read(DOCUMENTS, DOCUMENT_FACTS))
    return time.perf_counter() - started, report, workspace.lake.commits - commits


def score(workspace: Workspace, generated: Generated, similarity: float) -> tuple[float, float]:
    """Recall over the planted copies that are similar enough, precision over all documents left out."""
    rows = workspace.lake.read(DUPLICATES, ["document_id", "duplicate_of"])
    left_out = dict(rows.iter_rows())
    texts = generated.texts
    wanted = {
        name for name, source in generated.original.items() if similarity_of(texts[name], texts[source]) >= similarity
    }
    right = [name for name, stands in left_out.items() if similarity_of(texts[name], texts[stands]) >= similarity]
    return len(wanted & left_out.keys()) / len(wanted), len(right) / len(left_out)


def main() -> None:
    parser = argparse.ArgumentParser(description="Duplicates among generated documents.")
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--similarity", type=float, default=0.9)
    options = parser.parse_args()
    generated = generate(options.documents, options.similarity)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        pipeline = make_pipeline(work, work, deduplication={"similarity": options.similarity})
        with Workspace(pipeline, run_id="benchmark") as workspace:
            write(workspace, generated.texts)
            runs = {"first build": timed(workspace)}
            recall, precision = score(workspace, generated, options.similarity)
            runs["unchanged"] = timed(workspace)
            copied = generated.texts["0000003"] + " and one more word"
            write(workspace, {"9999999": copied})
            runs["one near copy added"] = timed(workspace)
    print(f"{options.documents} documents: recall {recall:.4f}, precision {precision:.4f}\n")  # noqa: T201
    print("| run | seconds | duplicates | texts signed | pairs compared | commits |\n|---|---|---|---|---|---|")  # noqa: T201
    for step, (seconds, report, commits) in runs.items():
        counts = f"{report.duplicates} | {report.signed} | {report.compared} | {commits}"
        print(f"| {step} | {seconds:.2f} | {counts} |")  # noqa: T201
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB")  # noqa: T201


if __name__ == "__main__":
    main()
