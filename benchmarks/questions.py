"""Does an evaluation on generated questions see what breaks search? Planted faults, beside a naive generator's set.

    python -m benchmarks.questions [--model sentence-transformers/all-MiniLM-L6-v2] [--count 80]

The sample is built once as it is, and once with each regression; every build is asked the same questions, and held to
the figures of the first as publication holds a version to what readers see.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import yaml

from rag_pipeline.refresh.evaluation import Evaluation, refresh_evaluation
from rag_pipeline.refresh.everything import refresh_everything
from rag_pipeline.refresh.question_corpus import Corpus
from rag_pipeline.refresh.question_diversity import diversity_over_published
from rag_pipeline.refresh.questions import generate
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.comparison import compare, regressions
from rag_pipeline.retrieval.questions import read_questions
from rag_pipeline.settings import load_pipeline
from rag_pipeline.stores import selection

REPOSITORY = Path(__file__).parent.parent
GATED = ("ndcg", "recall", "span_ndcg")


@contextmanager
def project(model: str, chunking: Mapping[str, Any]) -> Iterator[Workspace]:
    """The sample, built and published."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(REPOSITORY / "data" / "sample", root / "data" / "sample")
        settings = yaml.safe_load((REPOSITORY / "pipeline.yaml").read_text("utf-8"))
        space = {"kind": "hashing", "model": "hashing", "dimension": 64} if model == "hashing" else {"model": model}
        settings |= {"lake": "lake", "embedding_models": {"m": space}, "serve": "m", "worker_processes": 0}
        settings["evaluation"] = {}
        settings["chunking"] = settings.get("chunking", {}) | chunking
        (root / "pipeline.yaml").write_text(yaml.safe_dump(settings), "utf-8")
        with Workspace(load_pipeline(root / "pipeline.yaml", {}), run_id="benchmark") as workspace:
            refresh_everything(workspace, "m")
            yield workspace


def naive(workspace: Workspace, file: Path, count: int) -> None:
    """The first words of the first chunks, the document as the answer, asked by whoever may read everything."""
    everybody = ("public", "hr", "engineering", "staff", "finance")
    corpus = Corpus.open(workspace, everybody)
    ids = corpus.rows.sort("source", "uri", "position")["chunk_id"].to_list()[:count]
    lines = [
        json.dumps(
            {
                "id": f"naive-{number}",
                "question": f"What does the document say about {' '.join(passage.text.split()[:5])}?",
            }
            | {"expected": [{"uri": passage.uri}], "principals": list(everybody)}
        )
        for number, passage in enumerate(corpus.passages(ids))
    ]
    file.write_text("\n".join(lines), "utf-8")


def evaluated(workspace: Workspace, file: Path) -> Evaluation:
    found = refresh_evaluation(workspace, files=[file]).evaluation
    assert found is not None
    return found


@contextmanager
def without_permissions() -> Iterator[None]:
    """Searches forget who asks."""
    kept: Callable[..., str] = selection.where_of
    selection.where_of = lambda *_: "true"
    try:
        yield
    finally:
        selection.where_of = kept


def told(before: Evaluation, after: Evaluation) -> str:
    comparison = compare(before.results, after.results, "hybrid")
    falls = regressions(comparison, 0.02, GATED)
    figures = ", ".join(
        f"{name} {getattr(comparison.before, name):.3f} to {getattr(comparison.after, name):.3f}"
        for name in GATED
        if getattr(comparison.before, name) is not None
    )
    caught = "CAUGHT" if falls or after.row.leaks else "missed"
    return f"{caught}: {figures}; leaks {after.row.leaks}; compared {comparison.before.questions}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--count", type=int, default=80)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.jsonl" for name in ("ours", "naive")}
        with project(arguments.model, {}) as workspace:
            tokens = workspace.settings.chunking.max_tokens
            generate(workspace, files["ours"], count=arguments.count)
            naive(workspace, files["naive"], arguments.count)
            before = {name: evaluated(workspace, file) for name, file in files.items()}
            for name, file in files.items():
                figures = diversity_over_published(workspace, read_questions([file]))
                click.echo(f"{name}: {figures}")
        with without_permissions(), project(arguments.model, {}) as workspace:
            for name, file in files.items():
                click.echo(f"permissions dropped, {name}: {told(before[name], evaluated(workspace, file))}")
        plants = {"headers lost": {"with_header": False}, "chunks doubled": {"max_tokens": 2 * (tokens or 256)}}
        for plant, chunking in plants.items():
            with project(arguments.model, chunking) as workspace:
                for name, file in files.items():
                    click.echo(f"{plant}, {name}: {told(before[name], evaluated(workspace, file))}")


if __name__ == "__main__":
    main()
