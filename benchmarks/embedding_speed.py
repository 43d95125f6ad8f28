"""Compare the ways to embed the same texts, interleaved in one process.

    python benchmarks/embedding_speed.py [--texts 400] [--rounds 3] [--folder FOLDER] [--skip-reference]

Read the ratios, not the numbers: other work on the machine moves both. Per CPU-second they move least. Paths:

reference   sentence-transformers, `encode()` with its defaults, on torch
bare loop   the same OpenVINO graph in the shortest loop that keeps all cores busy: tokenize, sort, batches of
            equal length, asynchronous requests, nothing checked, nothing put back in order
pipeline    `embed_stream` of this package in batches of 512, as a refresh calls it

`--folder` takes paragraphs of the `*.md` and `*.txt` files below it; without, texts are made of common words.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.embedding.devices import usable_cores
from rag_pipeline.embedding.offline import import_openvino
from rag_pipeline.embedding.open import open_model
from rag_pipeline.embedding.openvino_graph import GRAPH_FILE, graph_folder
from rag_pipeline.embedding.space import ResolvedModel, resolve
from rag_pipeline.embedding.tokens import open_tokenizer

STREAM_TEXTS = 512
WORDS = """the of and to in is for that with as on by this from are be or an at which can data table index search query
document permission version pipeline schedule partition embedding vector storage commit retry failure quarantine"""

Runner = Callable[[list[str]], np.ndarray]


def made_texts(count: int) -> list[str]:
    """Texts of 35 to 220 common words, the same on every machine."""
    rng = random.Random(7)
    words = WORDS.split()
    return [" ".join(rng.choices(words, k=rng.randint(35, 220))) for _ in range(count)]


def folder_texts(folder: Path, count: int) -> list[str]:
    """Paragraphs of at least 200 characters, a fixed random choice."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".md", ".txt"))
    paragraphs = [
        paragraph.strip()
        for path in files
        for paragraph in path.read_text("utf-8", errors="replace").split("\n\n")
        if len(paragraph) >= 200
    ]
    random.Random(7).shuffle(paragraphs)
    return paragraphs[:count]


def reference_runner(resolved: ResolvedModel) -> Runner:
    from rag_pipeline.embedding.torch_backend import load_reference

    assert resolved.layout is not None
    model = load_reference(resolved.layout.folder, "cpu", "fp32")
    return lambda texts: np.asarray(model.encode(texts, show_progress_bar=False))


def bare_runner(resolved: ResolvedModel, cache_folder: Path) -> Runner:
    layout, space = resolved.layout, resolved.space
    assert layout is not None
    folder = graph_folder(layout, space.weights_hash, cache_folder)
    assert folder is not None
    openvino = import_openvino()
    cores = usable_cores()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": cores, "INFERENCE_NUM_THREADS": cores}
    compiled = openvino.Core().compile_model(str(folder / GRAPH_FILE), "CPU", settings)
    tokenizer = open_tokenizer(layout.tokenizer_file, layout.lower_case)
    tokenizer.enable_truncation(space.max_tokens)
    requests = openvino.AsyncInferQueue(compiled, 2 * cores)
    found: list[np.ndarray] = []
    requests.set_callback(lambda request, _: found.append(request.get_output_tensor(0).data.copy()))

    def run(texts: list[str]) -> np.ndarray:
        found.clear()
        ids = sorted((encoding.ids for encoding in tokenizer.encode_batch_fast(texts)), key=len, reverse=True)
        start = 0
        while start < len(ids):
            length = len(ids[start])
            end = start + 1
            while end < len(ids) and len(ids[end]) == length and end - start < 8:
                end += 1
            batch = np.array(ids[start:end], dtype=np.int64)
            requests.start_async([batch, np.ones_like(batch), np.zeros_like(batch)])
            start = end
        requests.wait_all()
        return np.concatenate(found)

    return run


def pipeline_runner(spec: EmbeddingModelSpec, cache_folder: Path) -> Runner:
    model = open_model(spec, cache_folder)

    def run(texts: list[str]) -> np.ndarray:
        keyed = [(str(number), text) for number, text in enumerate(texts)]
        batches = (keyed[start : start + STREAM_TEXTS] for start in range(0, len(keyed), STREAM_TEXTS))
        return np.concatenate([vectors for _, vectors in model.embed_stream(batches)])

    return run


def measure(runners: dict[str, Runner], texts: list[str], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Texts per (CPU-second, wall second) of each round, rounds interleaved and in changing order."""
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in runners}
    names = list(runners)
    for run in runners.values():
        run(texts[:32])
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            wall, cpu = time.perf_counter(), time.process_time()
            runners[name](texts)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            measured[name].append((len(texts) / cpu, len(texts) / wall))
            sys.stderr.write(f"round {number + 1} {name}: {len(texts) / cpu:.1f} texts/CPU-s\n")
    return measured


def table(measured: dict[str, list[tuple[float, float]]]) -> str:
    first = next(iter(measured))
    lines = ["| path | texts per CPU-second | texts/s | ratio per CPU-second | ratio wall |", "|---|---|---|---|---|"]
    for name, rates in measured.items():
        cpu = statistics.median(rate for rate, _ in rates)
        wall = statistics.median(rate for _, rate in rates)
        # Ratios round by round: what slows one round slows all of its paths.
        pairs = list(zip(rates, measured[first], strict=True))
        cpu_ratio = statistics.median(mine[0] / base[0] for mine, base in pairs)
        wall_ratio = statistics.median(mine[1] / base[1] for mine, base in pairs)
        lines.append(f"| {name} | {cpu:.1f} | {wall:.1f} | {cpu_ratio:.3f} | {wall_ratio:.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the ways to embed the same texts.")
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--skip-reference", action="store_true", help="leave torch out, for longer runs of the rest")
    options = parser.parse_args()
    cache_folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rag_pipeline"
    spec = EmbeddingModelSpec(alias="benchmark", model=options.model, device="cpu")
    resolved = resolve(spec, cache_folder)
    texts = folder_texts(options.folder, options.texts) if options.folder else made_texts(options.texts)
    runners = {
        "bare loop": bare_runner(resolved, cache_folder),
        "pipeline": pipeline_runner(spec, cache_folder),
    }
    if not options.skip_reference:
        runners = {"reference": reference_runner(resolved), **runners}
    print(f"{len(texts)} texts, {usable_cores()} cores, {options.rounds} rounds\n")  # noqa: T201
    print(table(measure(runners, texts, options.rounds)))  # noqa: T201


if __name__ == "__main__":
    main()
