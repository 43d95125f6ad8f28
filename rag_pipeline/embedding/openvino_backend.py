"""Transformer models on the CPU through an OpenVINO graph: the torch model's vectors, several times as fast.

Belongs here: tokenizing, running the graph on every core, and the plugin's settings.
Does not belong here: making the graph (`openvino_graph.py`). Neither torch nor sentence-transformers is imported.
"""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag_pipeline.contracts.embedding import EmbeddingSpace
from rag_pipeline.embedding.batching import BatchLimits, Rows, TokenIds, padded, plan
from rag_pipeline.embedding.devices import usable_cores
from rag_pipeline.embedding.layout import ModelLayout
from rag_pipeline.embedding.offline import import_openvino
from rag_pipeline.embedding.openvino_graph import GRAPH_FILE, graph_folder
from rag_pipeline.embedding.openvino_int8 import ACTIVATION_GROUP, quantize_weights
from rag_pipeline.embedding.tokens import open_tokenizer

LIMITS = BatchLimits(tokens=1_024, texts=256, slack=0.05)
_PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


def open_openvino(layout: ModelLayout, space: EmbeddingSpace, cache_folder: Path) -> OpenVinoBackend | None:
    """The model's graph, loaded; None when there cannot be one and torch has to do it."""
    if not layout.is_plain:
        return None
    folder = graph_folder(layout, space.weights_hash, cache_folder)
    return None if folder is None else OpenVinoBackend(folder / GRAPH_FILE, layout, space)


class OpenVinoBackend:
    """One stream with one thread for each core: two threads in one stream are slower, as measured."""

    def __init__(self, graph: Path, layout: ModelLayout, space: EmbeddingSpace) -> None:
        openvino = import_openvino()
        cores = usable_cores()
        settings: dict[str, Any] = {
            # The plugin picks bfloat16 by itself where the processor has it, and that is another embedding space.
            "INFERENCE_PRECISION_HINT": _PRECISION_HINTS[space.precision],
            "NUM_STREAMS": cores,
            "INFERENCE_NUM_THREADS": cores,
            "ENABLE_CPU_PINNING": False,
        }
        core = openvino.Core()
        model = core.read_model(str(graph))
        if space.precision == "int8":
            quantize_weights(model)
            settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = ACTIVATION_GROUP
        compiled = core.compile_model(model, "CPU", settings)
        # One request waiting behind each running one, so that no stream idles between two batches.
        self.workers = 2 * cores
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(self.workers):
            self._requests.put(compiled.create_infer_request())
        self._takes_types = any("token_type_ids" in port.get_names() for port in compiled.inputs)
        self._pad_token_id = layout.pad_token_id
        self.tokenizer = open_tokenizer(layout.tokenizer_file, layout.lower_case)
        self.tokenizer.enable_truncation(space.max_tokens)
        # OpenVINO's binding sets itself up in its first call, and two threads that make it at once wait for each
        # other for ever: one holds the interpreter lock, the other the set-up. So one call is made here, alone.
        self.compute([np.array([self._pad_token_id], dtype=np.int64)], np.zeros(1, dtype=np.intp))

    def prepare(self, texts: list[str]) -> list[TokenIds]:
        """Token ids of each text, special tokens included, cut at the model's limit."""
        return [
            np.array(encoding.ids or [self._pad_token_id], dtype=np.int64)
            for encoding in self.tokenizer.encode_batch_fast(texts)
        ]

    def plan(self, prepared: list[TokenIds]) -> list[Rows]:
        """Batches of nearly equal length."""
        return plan([len(ids) for ids in prepared], LIMITS)

    def compute(self, prepared: list[TokenIds], rows: Rows) -> npt.NDArray[np.float32]:
        """The graph's output for these rows, [rows, width]."""
        ids, mask = padded(prepared, rows, self._pad_token_id)
        inputs = {"input_ids": ids, "attention_mask": mask}
        if self._takes_types:
            inputs["token_type_ids"] = np.zeros_like(ids)
        request = self._requests.get()
        try:
            request.infer(inputs, share_inputs=True)
            output: npt.NDArray[np.float32] = request.get_output_tensor(0).data.copy()
            return output
        finally:
            self._requests.put(request)
