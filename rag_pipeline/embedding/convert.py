"""Convert a model that `bert_graph.py` does not cover to an OpenVINO graph, pooling and normalisation included.

Belongs here: what has to run with torch loaded, in a process of its own that gives the memory back.
Does not belong here: when to convert and where to keep the graph (`openvino_graph.py`).

Run as `python -m rag_pipeline.embedding.convert MODEL_FOLDER TARGET_FOLDER`; the last line on stderr of a failed
run says why. A graph is only written when it gives the torch model's vectors.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rag_pipeline.embedding.offline import import_openvino
from rag_pipeline.embedding.openvino_graph import GRAPH_FILE
from rag_pipeline.embedding.torch_backend import load_reference

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

INPUT_NAMES = ("input_ids", "attention_mask", "token_type_ids")
MAX_DIFFERENCE = 1e-4
"""Largest absolute difference of one value of a unit vector between graph and torch model."""

# Different lengths in one batch, several batches, one of them a single text: shapes that tracing may have frozen.
_PROBES = (
    ["One."],
    ["A longer sentence, so that the other rows of this batch are padded.", "Short.", "Zwölf Boxkämpfer 喵 😀"],
    ["word " * 60, "another text of middling length for the probe", "", "end"],
)


def main(arguments: list[str]) -> int:
    """Convert, check, write; 0 when a graph was written."""
    folder, target = Path(arguments[0]), Path(arguments[1])
    warnings.simplefilter("ignore")
    reference = load_reference(folder, "cpu", "fp32")
    openvino = import_openvino()
    examples = _inputs(reference, _PROBES[1])
    model = openvino.convert_model(_whole(reference), example_input=examples)
    for port, name in zip(model.inputs, examples, strict=True):
        port.get_tensor().set_names({name})
    difference = _difference(openvino, model, reference)
    if not difference <= MAX_DIFFERENCE:
        sys.stderr.write(f"the graph's vectors differ from the torch model's by {difference:.2g}\n")
        return 1
    openvino.save_model(model, str(target / GRAPH_FILE), compress_to_fp16=False)
    return 0


def _inputs(reference: SentenceTransformer, texts: list[str]) -> dict[str, torch.Tensor]:
    features = reference.preprocess(texts)
    return {name: features[name] for name in INPUT_NAMES if name in features}


def _whole(reference: SentenceTransformer) -> torch.nn.Module:
    """One module from token ids to sentence vectors."""
    import torch

    class Whole(torch.nn.Module):  # type: ignore[misc]  # the types of torch are not read
        def __init__(self) -> None:
            super().__init__()
            self.steps = torch.nn.ModuleList(reference)

        # Tracing goes by the names in this signature, so they are spelled out.
        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> Any:
            features = {"input_ids": input_ids, "attention_mask": attention_mask}
            if token_type_ids is not None:
                features["token_type_ids"] = token_type_ids
            for step in self.steps:
                features = step(features)
            return features["sentence_embedding"]

    return Whole().eval()


def _difference(openvino: Any, model: Any, reference: SentenceTransformer) -> float:
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    worst = 0.0
    for texts in _PROBES:
        inputs = {name: value.numpy() for name, value in _inputs(reference, texts).items()}
        found = np.asarray(compiled(inputs)[0], dtype=np.float64)
        expected = np.asarray(reference.encode(texts, prompt="", show_progress_bar=False), dtype=np.float64)
        scale = np.linalg.norm(expected, axis=1).max()
        worst = max(worst, float(np.abs(found - expected).max() / scale))
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
