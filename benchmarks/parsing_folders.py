"""What parsing, cleaning and cutting a folder costs, against embedding the very chunks. Part of `parsing.py`.

Round by round the refresh steps build silver from nothing, then each model embeds the texts of the chunks, so that
what slows a round slows both sides of a ratio.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.common import Times, make_pipeline
from benchmarks.cores import Demand
from rag_pipeline.contracts.documents import embedded_text
from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.contracts.tables import CHUNKS
from rag_pipeline.contracts.tokens import TokenCounter
from rag_pipeline.embedding.locate import model_folder
from rag_pipeline.embedding.open import EmbeddingModel, open_model
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.chunks import refresh_chunks
from rag_pipeline.refresh.documents import update_documents
from rag_pipeline.refresh.workspace import Workspace

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
TOKENIZER = "its tokenizer alone"
STATIC = "static, the mean of its token vectors"
BATCH_TEXTS = 512
WARM_UP_TEXTS = 32

Texts = Sequence[tuple[int, str]]
"""Distinct texts with their tokens, shortest first, as a refresh embeds them."""
Embed = Callable[[list[str]], None]


@dataclass(frozen=True)
class Silver:
    """What the steps made of a folder in one round, and what it cost."""

    documents: int
    chunks: int
    texts: Texts
    seconds: float
    parent_cpu_seconds: float
    workers_cpu_seconds: float
    asked_cores: float

    @property
    def cpu_seconds(self) -> float:
        return self.parent_cpu_seconds + self.workers_cpu_seconds


@dataclass(frozen=True)
class Embedding:
    """What embedding all texts costs, from a sample where the model is slow."""

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Round:
    silver: Silver
    embeddings: Mapping[str, Embedding]


def build_silver(folder: Path, workers: int) -> Silver:
    """Parse, clean and cut a folder by the steps of a refresh, in a lake of its own; listing it is not counted."""
    times = Times()
    with tempfile.TemporaryDirectory() as name:
        models = {"minilm": {"model": MODEL}}
        pipeline = make_pipeline(
            Path(name), folder.absolute(), embedding_models=models, serve="minilm", worker_processes=workers
        )
        with Workspace(pipeline, run_id="benchmark") as workspace:
            refresh_source(workspace, "docs")
            with Demand() as demand:
                with times.of("documents"):
                    documents = update_documents(workspace)
                with times.of("chunks"):
                    chunks = refresh_chunks(workspace)
            rows = workspace.lake.read(CHUNKS, ["text_hash", "token_count", "header", "text"])
    distinct = rows.unique("text_hash").select("token_count", "header", "text").iter_rows()
    texts = sorted((tokens, embedded_text(header, text)) for tokens, header, text in distinct)
    return Silver(documents.documents, chunks.chunks, texts, *times.total, demand.cores)


def static_stand_in(folder: Path, cache: Path) -> Path:
    """A static model of the transformer's own token vectors, saved as sentence-transformers saves one.

    It costs what any static model of this vocabulary and width costs. Its vectors are of little use: nothing was
    distilled into them.
    """
    from safetensors.numpy import load_file, save_file

    source = model_folder(EmbeddingModelSpec("minilm", MODEL), cache)
    tensors = load_file(source / "model.safetensors")
    matrix = next(value for name, value in tensors.items() if name.endswith("word_embeddings.weight"))
    folder.mkdir()
    save_file({"embedding.weight": matrix}, folder / "model.safetensors")
    shutil.copy(source / "tokenizer.json", folder / "tokenizer.json")
    module = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.StaticEmbedding"}
    (folder / "modules.json").write_text(json.dumps([module]), "utf-8")
    return folder


def embedders(static: Path, cache: Path, counter: TokenCounter) -> dict[str, Embed]:
    """Everything that texts are given to, by name."""
    specs = {
        f"MiniLM {precision}": EmbeddingModelSpec("minilm", MODEL, precision=precision)
        for precision in ("fp32", "bf16", "int8")
    }
    specs[STATIC] = EmbeddingModelSpec("static", str(static), kind="static", max_tokens=counter.max_tokens)
    embed = {name: _embedder(open_model(spec, cache)) for name, spec in specs.items()}

    def count(texts: list[str]) -> None:
        for batch in _batches(texts):
            counter.token_spans_batch(batch)

    return embed | {TOKENIZER: count}


def _embedder(model: EmbeddingModel) -> Embed:
    def run(texts: list[str]) -> None:
        keyed = ([(text, text) for text in batch] for batch in _batches(texts))
        for _ in model.embed_stream(keyed):
            pass

    return run


def _batches(texts: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(texts), BATCH_TEXTS):
        yield texts[start : start + BATCH_TEXTS]


def measure(folder: Path, embed: Mapping[str, Embed], rounds: int, workers: int, sample: int) -> list[Round]:
    """The same work so many times; the order of the models changes from round to round."""
    found = []
    for number in range(rounds):
        silver = build_silver(folder, workers)
        if not silver.texts:
            raise SystemExit(f"{folder} gives no chunk, so there is nothing to compare")
        names = list(embed) if number % 2 == 0 else list(embed)[::-1]
        costs = {name: _cost(embed[name], silver.texts, sample if "MiniLM" in name else 0) for name in names}
        found.append(Round(silver, costs))
    return found


def _cost(embed: Embed, texts: Texts, sample: int) -> Embedding:
    chosen = sorted(random.Random(7).sample(texts, min(sample or len(texts), len(texts))))
    share = sum(tokens for tokens, _ in chosen) / sum(tokens for tokens, _ in texts)
    embed([text for _, text in chosen[:WARM_UP_TEXTS]])
    wall, cpu = time.perf_counter(), time.process_time()
    embed([text for _, text in chosen])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Embedding(wall / share, cpu / share)


def silver_table(measured: Mapping[str, list[Round]]) -> str:
    lines = [
        "| folder | documents | chunks | seconds | CPU-seconds | of it in workers | cores busy "
        "| cores asked for by workers | documents per CPU-second |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, rounds in measured.items():
        first = rounds[0].silver
        wall = median(r.silver.seconds for r in rounds)
        cpu = median(r.silver.cpu_seconds for r in rounds)
        in_workers = median(r.silver.workers_cpu_seconds / r.silver.cpu_seconds for r in rounds)
        busy = median(r.silver.cpu_seconds / r.silver.seconds for r in rounds)
        asked = median(r.silver.asked_cores for r in rounds)
        lines.append(
            f"| {name} | {first.documents:,} | {first.chunks:,} | {wall:.1f} | {cpu:.1f} | {in_workers:.0%} "
            f"| {busy:.2f} | {asked:.2f} | {first.documents / cpu:,.0f} |"
        )
    return "\n".join(lines)


def embedding_table(measured: Mapping[str, list[Round]]) -> str:
    lines = [
        "| folder | texts | embedded by | texts per CPU-second | CPU-seconds | parse + clean + chunk / embed, CPU "
        "| the same, wall |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, rounds in measured.items():
        texts = len(rounds[0].silver.texts)
        for model in rounds[0].embeddings:
            costs = [r.embeddings[model] for r in rounds]
            cpu = median(cost.cpu_seconds for cost in costs)
            # Round by round: what slows a round slows both.
            pairs = list(zip((r.silver for r in rounds), costs, strict=True))
            cpu_ratio = median(silver.cpu_seconds / cost.cpu_seconds for silver, cost in pairs)
            wall_ratio = median(silver.seconds / cost.seconds for silver, cost in pairs)
            lines.append(
                f"| {name} | {texts:,} | {model} | {texts / cpu:,.0f} | {cpu:,.1f} | {cpu_ratio:.2f} "
                f"| {wall_ratio:.2f} |"
            )
    return "\n".join(lines)
