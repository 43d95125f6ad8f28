"""Running a reranking model's graph on the CPU through OpenVINO, and keeping to a budget of time.

Belongs here: what cross-encoders and late interaction have in common: requests, batches, waves and the clock.
Does not belong here: what their outputs mean (`cross_encoder.py`, `late_interaction.py`), finding files
(`reranker.py`).
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from rag_pipeline.contracts.reranking import RerankerSpec
from rag_pipeline.embedding.batching import BatchLimits, Rows, TokenIds, padded, plan
from rag_pipeline.embedding.devices import usable_cores
from rag_pipeline.embedding.layout import read_json
from rag_pipeline.embedding.offline import import_openvino
from rag_pipeline.embedding.tokens import open_tokenizer
from rag_pipeline.errors import EmbeddingError

# Texts of one wave: the clock is looked at between two, and what has the best first order is scored first.
WAVE = 10
# Single precision gives a text the same numbers in any company; half precision does where it has none.
_LIMITS = {"fp32": BatchLimits(tokens=1_024, texts=64, slack=0.1), "bf16": BatchLimits(tokens=1, texts=1, slack=0.0)}
_PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}

Scores = list[float | None]
Output = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ResolvedReranker:
    """A reranking model's files, and what names its scores.

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


class GraphRunner:
    """A compiled graph with threads of its own; several callers may ask at once. `close` it to end its threads."""

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
        self._folder = resolved.folder
        self._limits = _LIMITS[resolved.spec.precision]
        self._inputs = {name for port in compiled.inputs for name in port.get_names()}
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(cores):
            self._requests.put(compiled.create_infer_request())
        self._threads = ThreadPoolExecutor(cores, thread_name_prefix="rerank")
        self._pad_token_id = int(read_json(resolved.folder / "config.json").get("pad_token_id") or 0)

    def computed(self, ids: list[TokenIds], types: list[TokenIds] | None) -> Iterator[tuple[Rows, Output]]:
        """The graph's first output for all rows, batch by batch, computed together on every core.

        Raises:
            EmbeddingError: The graph failed, or gave what is not a number.
        """
        jobs: list[tuple[Rows, Future[Output]]] = [
            (rows, self._threads.submit(self._compute, ids, types, rows))
            for rows in plan([len(one) for one in ids], self._limits)
        ]
        for rows, job in jobs:
            output = job.result()
            if not np.isfinite(output).all():
                raise EmbeddingError(
                    f"the reranking model in {self._folder} gave a score that is not a number; check the model's files",
                    folder=str(self._folder),
                )
            yield rows, output

    def close(self) -> None:
        """End its threads, once they have computed what they were given; nothing is computed afterwards."""
        self._threads.shutdown()

    def _compute(self, ids: list[TokenIds], types: list[TokenIds] | None, rows: Rows) -> Output:
        numbers, mask = padded(ids, rows, self._pad_token_id)
        inputs = {"input_ids": numbers, "attention_mask": mask}
        if "token_type_ids" in self._inputs:
            inputs["token_type_ids"] = np.zeros_like(numbers) if types is None else padded(types, rows, 0)[0]
        request = self._requests.get()
        try:
            request.infer(inputs, share_inputs=True)
            output: Output = request.get_output_tensor(0).data.copy()
        except RuntimeError as error:
            raise EmbeddingError(
                f"the reranking model in {self._folder} failed: {last_line(error)}", folder=str(self._folder)
            ) from error
        finally:
            self._requests.put(request)
        return output


class Pace:
    """How fast a model is, so that no wave is begun that would end too late."""

    def __init__(self) -> None:
        # The slowest that was seen lately.
        self._seconds_per_unit = 0.0

    def scored(self, costs: Sequence[int], wave: Callable[[slice], Sequence[float]], seconds: float) -> Scores:
        """Scores of waves of texts, the first ones first; None for those that time did not suffice for.

        Args:
            costs: What is to compute for each text, in tokens or in characters, always the same.
            wave: Scores the texts of a slice.
            seconds: What all of it may take.
        """
        started = time.monotonic()
        scored: Scores = [None] * len(costs)
        for first in range(0, len(costs), WAVE):
            rows = slice(first, first + WAVE)
            cost = sum(costs[rows])
            begun = time.monotonic()
            if begun - started + cost * self._seconds_per_unit > seconds:
                if first == 0:
                    # Nothing was measured, and what was may have been one bad moment: it is tried again before long.
                    self._seconds_per_unit /= 2
                break
            values = wave(rows)
            ended = time.monotonic()
            if cost:
                self._seconds_per_unit = max(self._seconds_per_unit / 2, (ended - begun) / cost)
            if ended - started > seconds:
                break
            scored[rows] = values
        return scored


def tokenizer_of(resolved: ResolvedReranker) -> Tokenizer:
    """The model's tokenizer, cutting where the model does."""
    lower_case = bool(read_json(resolved.folder / "sentence_bert_config.json").get("do_lower_case", False))
    tokenizer = open_tokenizer(resolved.folder / "tokenizer.json", lower_case)
    tokenizer.enable_truncation(resolved.max_tokens)
    return tokenizer


def last_line(error: Exception) -> str:
    """What a library's error says last, which is what matters in a trace."""
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
