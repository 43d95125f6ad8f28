"""Cross-encoders on the CPU through OpenVINO: a question and a text read together give one score.

Belongs here: finding the model's files, naming what it computes, and scoring pairs. Neither torch nor
sentence-transformers is imported.
Does not belong here: making the graph (`cross_graph.py`), what scores are used for (`retrieval/rerank.py`).
"""

from __future__ import annotations

import json
import queue
import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag_pipeline.contracts.ids import digest, fingerprint
from rag_pipeline.contracts.reranking import RerankerSpec
from rag_pipeline.embedding.batching import BatchLimits, Rows, TokenIds, padded, plan
from rag_pipeline.embedding.bert_graph import Encoder, NotCovered
from rag_pipeline.embedding.cross_graph import build_cross_graph, read_onnx_graph
from rag_pipeline.embedding.devices import usable_cores
from rag_pipeline.embedding.file_hashes import file_sha256
from rag_pipeline.embedding.layout import read_json
from rag_pipeline.embedding.locate import HUB_FILES, from_hub
from rag_pipeline.embedding.offline import ALLOW_MODEL_HUB, import_openvino
from rag_pipeline.embedding.openvino_graph import GRAPH_FILE, put_in_place
from rag_pipeline.embedding.space import tokenizer_hash
from rag_pipeline.embedding.tokens import open_tokenizer
from rag_pipeline.errors import EmbeddingError, ModelUnavailable

CROSS_GRAPH_VERSION = "1"
ONNX_FILES = ("model.onnx", "onnx/model.onnx")
# Pairs of one wave: the clock is looked at between two, and what has the best first order is scored first.
WAVE = 10
# Where a model says nothing of its limit: what BERT reads.
_DEFAULT_TOKENS = 512
# Single precision gives a pair the same score in any company; half precision does where it has none.
_LIMITS = {"fp32": BatchLimits(tokens=1_024, texts=64, slack=0.1), "bf16": BatchLimits(tokens=1, texts=1, slack=0.0)}
_PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}

Scores = list[float | None]


@dataclass(frozen=True, slots=True)
class ResolvedReranker:
    """A cross-encoder's files, and what names its scores.

    Attributes:
        onnx_file: The graph, where there are no weights; None: `folder` holds weights and their configuration.
        fingerprint: 16 hex digits; equal ones give equal scores to equal pairs.
        max_tokens: Where a pair is cut, special tokens included.
    """

    spec: RerankerSpec
    folder: Path
    onnx_file: Path | None
    fingerprint: str
    max_tokens: int


def resolve_reranker(spec: RerankerSpec, cache_folder: Path) -> ResolvedReranker:
    """Find the files and name what they compute; reads weights only when they are new or have changed.

    Raises:
        ModelUnavailable: The files are nowhere, or not whole.
    """
    folder = _folder(spec)
    onnx_file = _onnx_file(folder)
    if list(folder.glob("*.safetensors")) and (onnx_file is None or _is_covered(folder)):
        onnx_file = None
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise _unusable(folder, "has no tokenizer.json", "Copy its tokenizer there, in the fast format.")
    weights = [onnx_file] if onnx_file else sorted(folder.glob("*.safetensors"))
    max_tokens = _max_tokens(spec, folder)
    hashes = [file_sha256(file, cache_folder) for file in weights]
    config = json.dumps(_config(folder), sort_keys=True) if onnx_file is None else ""
    named = fingerprint(
        "cross-encoder",
        CROSS_GRAPH_VERSION,
        tokenizer_hash(tokenizer, cache_folder),
        str(max_tokens),
        spec.precision,
        config,
        *hashes,
    )
    return ResolvedReranker(spec, folder, onnx_file, named, max_tokens)


def open_reranker(spec: RerankerSpec, cache_folder: Path) -> CrossEncoder:
    """The model, loaded.

    Raises:
        ModelUnavailable: The files are nowhere, not whole, or hold what these graphs do not cover.
    """
    resolved = resolve_reranker(spec, cache_folder)
    try:
        return CrossEncoder(resolved, _kept_graph(resolved, cache_folder))
    except NotCovered as error:
        raise _unusable(
            resolved.folder, f"has {error}", "Covered are BERT and RoBERTa with one score a pair, and ONNX graphs."
        ) from error
    except ModelUnavailable:
        raise
    except Exception as error:  # the libraries raise what they like on files that are damaged
        raise _unusable(
            resolved.folder, f"cannot be opened ({_last_line(error)})", "Restore the model's files."
        ) from error


class CrossEncoder:
    """A loaded cross-encoder; several threads may ask it at once. `close` it to end its own threads.

    Attributes:
        fingerprint: Names its scores.
    """

    def __init__(self, resolved: ResolvedReranker, graph: Path) -> None:
        openvino = import_openvino()
        cores = usable_cores()
        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": _PRECISION_HINTS[resolved.spec.precision],
            "NUM_STREAMS": cores,
            "INFERENCE_NUM_THREADS": cores,
            "ENABLE_CPU_PINNING": False,
        }
        compiled = core.compile_model(core.read_model(str(graph)), "CPU", settings)
        self.fingerprint = resolved.fingerprint
        self._folder = resolved.folder
        self._limits = _LIMITS[resolved.spec.precision]
        self._inputs = {name for port in compiled.inputs for name in port.get_names()}
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(cores):
            self._requests.put(compiled.create_infer_request())
        self._threads = ThreadPoolExecutor(cores, thread_name_prefix="rerank")
        self._pad_token_id = int(_config(resolved.folder).get("pad_token_id") or 0)
        lower_case = bool(read_json(resolved.folder / "sentence_bert_config.json").get("do_lower_case", False))
        self._tokenizer = open_tokenizer(resolved.folder / "tokenizer.json", lower_case)
        self._tokenizer.enable_truncation(resolved.max_tokens)
        # The slowest that was seen, in seconds a token: no wave is begun that would end too late.
        self._seconds_per_token = 0.0
        # OpenVINO's binding sets itself up in its first call, and two threads at once would wait for each other.
        self.scores("a", ["a"])

    def scores(self, question: str, texts: Sequence[str], seconds: float | None = None) -> Scores:
        """A logit for each text, higher is a better answer; None for those that time did not suffice for.

        Args:
            texts: Best first: with a budget of time they are scored in this order, some at once.
            seconds: What scoring may take; None: as long as it takes.

        Raises:
            EmbeddingError: The model gave something else than one number for each.
        """
        encodings = self._tokenizer.encode_batch([(question, text) for text in texts])
        ids = [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]
        types = [np.array(encoding.type_ids, dtype=np.int64) for encoding in encodings]
        if seconds is None:
            return list(self._wave(ids, types))
        started = time.monotonic()
        scored: Scores = [None] * len(texts)
        for first in range(0, len(texts), WAVE):
            tokens = sum(len(one) for one in ids[first : first + WAVE])
            begun = time.monotonic()
            if begun - started + tokens * self._seconds_per_token > seconds:
                if first == 0:
                    # Nothing was measured, and what was may have been one bad moment: it is tried again before long.
                    self._seconds_per_token /= 2
                break
            wave = self._wave(ids[first : first + WAVE], types[first : first + WAVE])
            ended = time.monotonic()
            self._seconds_per_token = max(self._seconds_per_token / 2, (ended - begun) / max(1, tokens))
            if ended - started > seconds:
                break
            scored[first : first + WAVE] = wave
        return scored

    def close(self) -> None:
        """End its threads, once they have computed what they were given; nothing is scored afterwards."""
        self._threads.shutdown()

    def _wave(self, ids: list[TokenIds], types: list[TokenIds]) -> list[float]:
        """Logits of pairs, computed together on every core."""
        lengths = [len(one) for one in ids]
        jobs: list[tuple[Rows, Future[npt.NDArray[np.float32]]]] = [
            (rows, self._threads.submit(self._compute, ids, types, rows)) for rows in plan(lengths, self._limits)
        ]
        scored = np.empty(len(ids), dtype=np.float64)
        for rows, job in jobs:
            scored[rows] = job.result()
        if not np.isfinite(scored).all():
            raise EmbeddingError(
                f"the reranking model in {self._folder} gave a score that is not a number; check the model's files",
                folder=str(self._folder),
            )
        return [float(value) for value in scored]

    def _compute(self, ids: list[TokenIds], types: list[TokenIds], rows: Rows) -> npt.NDArray[np.float32]:
        numbers, mask = padded(ids, rows, self._pad_token_id)
        inputs = {"input_ids": numbers, "attention_mask": mask}
        if "token_type_ids" in self._inputs:
            inputs["token_type_ids"] = padded(types, rows, 0)[0]
        request = self._requests.get()
        try:
            request.infer(inputs, share_inputs=True)
            output: npt.NDArray[np.float32] = request.get_output_tensor(0).data.copy()
        except RuntimeError as error:
            raise EmbeddingError(
                f"the reranking model in {self._folder} failed: {_last_line(error)}", folder=str(self._folder)
            ) from error
        finally:
            self._requests.put(request)
        return output.reshape(len(rows), -1)[:, 0]


def _folder(spec: RerankerSpec) -> Path:
    tried: list[str] = []
    for name, place in (("folder", spec.folder), ("model", spec.model)):
        if place is None:
            continue
        folder = Path(place).expanduser()
        if list(folder.glob("*.safetensors")) or _onnx_file(folder) is not None:
            return folder
        if name == "folder" or folder.is_dir():
            why = "no weights (*.safetensors, model.onnx) in it" if folder.is_dir() else "no such folder"
            tried.append(f"{name} {place} ({why})")
    if spec.folder is None:
        found = from_hub(spec.model, spec.revision, [*HUB_FILES, *ONNX_FILES])
        if isinstance(found, Path):
            return found
        tried.append(found)
    raise ModelUnavailable(
        f"the files of the reranking model {spec.model} were not found. Looked at: {'; '.join(tried)}. Put them in a "
        f"folder and name it under `rerank.folder` in pipeline.yaml, or set `rerank.revision` there and "
        f"{ALLOW_MODEL_HUB}=1 in the environment to download them.",
        model=spec.model,
        tried=tried,
    )


def _onnx_file(folder: Path) -> Path | None:
    return next((folder / name for name in ONNX_FILES if (folder / name).is_file()), None)


def _is_covered(folder: Path) -> bool:
    try:
        Encoder.of(read_json(folder / "config.json"))
    except (NotCovered, KeyError):
        return False
    return True


def _config(folder: Path) -> dict[str, Any]:
    """What the configuration says of the computation."""
    inert = ("_name_or_path", "transformers_version", "use_cache", "gradient_checkpointing", "id2label", "label2id")
    return {key: value for key, value in read_json(folder / "config.json").items() if key not in inert}


def _max_tokens(spec: RerankerSpec, folder: Path) -> int:
    config = read_json(folder / "config.json")
    positions = config.get("max_position_embeddings")
    if positions is not None and config.get("model_type") in ("roberta", "xlm-roberta", "camembert"):
        positions -= 2
    declared = read_json(folder / "tokenizer_config.json").get("model_max_length")
    # Tokenizers without a limit store a number with thirty digits.
    limits = [int(limit) for limit in (positions, declared) if limit and limit < 10_000_000]
    own = min(limits, default=_DEFAULT_TOKENS)
    return own if spec.max_tokens is None else min(own, spec.max_tokens)


def _kept_graph(resolved: ResolvedReranker, cache_folder: Path) -> Path:
    """The model's graph in the cache, made now if need be; several processes may do so at once."""
    openvino = import_openvino()
    parts = (CROSS_GRAPH_VERSION, openvino.__version__, resolved.fingerprint)
    final = cache_folder / "graphs" / digest("cross-graph", *parts)[:32]
    if not final.is_dir():
        if resolved.onnx_file is not None:
            graph = read_onnx_graph(resolved.onnx_file)
        else:
            graph = build_cross_graph(resolved.folder, read_json(resolved.folder / "config.json"))
        final.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=final.parent, prefix=".making-"))
        try:
            openvino.save_model(graph, str(unfinished / GRAPH_FILE), compress_to_fp16=False)
            unfinished.chmod(0o755)
            put_in_place(unfinished, final)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return final / GRAPH_FILE


def _unusable(folder: Path, problem: str, remedy: str) -> ModelUnavailable:
    return ModelUnavailable(
        f"the reranking model in {folder} {problem}. {remedy} Another is named under `rerank` in pipeline.yaml.",
        folder=str(folder),
    )


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
