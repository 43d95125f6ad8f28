"""Build the OpenVINO graph of a BERT-family model from its files, without torch.

Belongs here: the encoder, pooling, dense layers and normalisation, written with OpenVINO's own operations.
Does not belong here: when to build and where to keep the graph (`openvino_graph.py`).

Covered are BERT (MiniLM, bge, e5, the first gte models), RoBERTa and XLM-R (multilingual-e5, bge-m3), with mean or cls
pooling. Everything else is refused by name: a graph that leaves out a tensor or an option would give other vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag_pipeline.embedding.layout import ModelLayout, Module
from rag_pipeline.embedding.offline import import_openvino

# Families that count positions from the padding id on, over real tokens only, as fairseq's RoBERTa did.
_COUNTED_POSITIONS = {"roberta", "xlm-roberta", "camembert"}
_PREFIXES = ("bert.", "roberta.")
# Heads of the pretraining tasks, and a table of the numbers 0, 1, 2, …: no part of a sentence's vector.
_UNUSED = ("pooler.", "cls.", "lm_head.", "embeddings.position_ids", "embeddings.token_type_ids")
_ACTIVATIONS = {"gelu": "erf", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh", "relu": "relu"}
_DENSE_ACTIVATIONS = {"Tanh": "tanh", "Identity": "", "ReLU": "relu"}
_POOLING_MODES = {"mean", "cls"}
# Added to the score of padding: its weight after softmax is exactly 0 in float32.
_MASKED_SCORE = -1e9
# The smallest number of tokens to divide by, and of length: as sentence-transformers and torch have them.
_LEAST_TOKENS = 1e-9
_LEAST_LENGTH = 1e-12

Tensors = dict[str, npt.NDArray[Any]]


class NotCovered(Exception):
    """The model has something that these graphs do not; says what."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """The numbers of a BERT encoder, from config.json."""

    layers: int
    heads: int
    epsilon: float
    activation: str
    counts_positions: bool
    pad_token_id: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Encoder:
        """Read the configuration.

        Raises:
            NotCovered: Another family, or an option that changes the computation.
        """
        family = config.get("model_type")
        if family != "bert" and family not in _COUNTED_POSITIONS:
            raise NotCovered(f"models of type {family}")
        positions = config.get("position_embedding_type") or "absolute"
        if positions != "absolute":
            raise NotCovered(f"positions of type {positions}")
        if config.get("is_decoder") or config.get("add_cross_attention"):
            raise NotCovered("decoders")
        activation = str(config.get("hidden_act", "gelu"))
        if activation not in _ACTIVATIONS:
            raise NotCovered(f"the activation {activation}")
        return cls(
            layers=int(config["num_hidden_layers"]),
            heads=int(config["num_attention_heads"]),
            epsilon=float(config.get("layer_norm_eps", 1e-12)),
            activation=_ACTIVATIONS[activation],
            counts_positions=family in _COUNTED_POSITIONS,
            # The families' own defaults, where the configuration leaves it out.
            pad_token_id=int(config.get("pad_token_id", 1 if family in _COUNTED_POSITIONS else 0)),
        )


def build_graph(layout: ModelLayout) -> Any:
    """The model from token ids to sentence vectors, as an `openvino.Model`; inputs and output [batch, …].

    Raises:
        NotCovered: The model has something that these graphs do not.
    """
    first, *steps = layout.modules
    encoder = Encoder.of(first.config())
    _check_steps(steps)
    operations = Operations(tensors_of(first.folder))
    ids = operations.input("input_ids")
    mask = operations.input("attention_mask")
    states = encoded(operations, encoder, ids, mask)
    operations.check_all_used()
    vectors = _pooled(operations, states, mask, layout.pooling.partition(" ")[0])
    for step in steps:
        if step.type == "Dense":
            vectors = _dense(operations, vectors, step)
        elif step.type == "Normalize":
            length = operations.constant([-1])
            vectors = operations.op.normalize_l2(vectors, length, _LEAST_LENGTH**2, "max")
    return import_openvino().Model([vectors], [ids.get_node(), mask.get_node()], "sentence_vectors")


def _check_steps(steps: list[Module]) -> None:
    kinds = [step.type for step in steps]
    if kinds.count("Pooling") > 1 or (kinds and kinds[0] != "Pooling"):
        raise NotCovered(f"the order of steps {' > '.join(kinds)}")


class Operations:
    """OpenVINO's operations with a model's weights at hand, and which of them were used."""

    def __init__(self, weights: Tensors) -> None:
        openvino = import_openvino()
        self.op = openvino.opset13
        self._weights = weights
        self._used: set[str] = set()
        self._matrix = openvino.PartialShape([-1, -1])
        self._numbers = openvino.Type.i64

    def input(self, name: str) -> Any:
        """A matrix of token numbers, [batch, tokens]."""
        made = self.op.parameter(self._matrix, self._numbers, name)
        made.output(0).get_tensor().set_names({name})
        return made.output(0)

    def constant(self, values: list[int]) -> Any:
        return self.op.constant(np.asarray(values, dtype=np.int64))

    def number(self, value: float) -> Any:
        return self.op.constant(np.float32(value))

    def weight(self, name: str) -> Any:
        if name not in self._weights:
            raise NotCovered(f"weights without {name}")
        self._used.add(name)
        return self.op.constant(self._weights[name].astype(np.float32, copy=False))

    def linear(self, x: Any, name: str) -> Any:
        y = self.op.matmul(x, self.weight(f"{name}.weight"), False, True)
        return self.op.add(y, self.weight(f"{name}.bias"))

    def norm(self, x: Any, name: str, epsilon: float) -> Any:
        y = self.op.mvn(x, self.constant([-1]), True, epsilon, "inside_sqrt")
        return self.op.add(self.op.multiply(y, self.weight(f"{name}.weight")), self.weight(f"{name}.bias"))

    def activated(self, x: Any, kind: str) -> Any:
        if kind in ("erf", "tanh"):
            return self.op.gelu(x, kind)
        return self.op.relu(x)

    def check_all_used(self) -> None:
        """Every weight has its place in the graph.

        Raises:
            NotCovered: One has not.
        """
        unknown = sorted(name for name in self._weights.keys() - self._used if not name.startswith(_UNUSED))
        if unknown:
            raise NotCovered(f"weights named {', '.join(unknown[:3])}")


def encoded(o: Operations, encoder: Encoder, ids: Any, mask: Any, types: Any = None) -> Any:
    """Token states after the last layer, [batch, tokens, width].

    Args:
        types: Which of two texts each token is of, [batch, tokens]; None: all of the first.
    """
    x = _embedded(o, encoder, ids, types)
    # [batch, 1, 1, tokens]: the same for every head and every asking token.
    wide = o.op.unsqueeze(o.op.convert(mask, "f32"), o.constant([1, 2]))
    bias = o.op.multiply(o.op.subtract(o.number(1), wide), o.number(_MASKED_SCORE))
    heads, merged = o.constant([0, 0, encoder.heads, -1]), o.constant([0, 0, -1])
    across = o.constant([0, 2, 1, 3])

    def split(y: Any) -> Any:
        return o.op.transpose(o.op.reshape(y, heads, True), across)

    for layer in range(encoder.layers):
        name = f"encoder.layer.{layer}."
        q, k, v = (split(o.linear(x, f"{name}attention.self.{part}")) for part in ("query", "key", "value"))
        attended = o.op.transpose(o.op.scaled_dot_product_attention(q, k, v, bias), across)
        attended = o.linear(o.op.reshape(attended, merged, True), f"{name}attention.output.dense")
        x = o.norm(o.op.add(attended, x), f"{name}attention.output.LayerNorm", encoder.epsilon)
        y = o.activated(o.linear(x, f"{name}intermediate.dense"), encoder.activation)
        x = o.norm(o.op.add(o.linear(y, f"{name}output.dense"), x), f"{name}output.LayerNorm", encoder.epsilon)
    return x


def _embedded(o: Operations, encoder: Encoder, ids: Any, types: Any) -> Any:
    """Sum of what a token, its position and its type are, normalised: [batch, tokens, width]."""
    rows = o.op.constant(np.int64(0))
    words = o.op.gather(o.weight("embeddings.word_embeddings.weight"), ids, rows)
    places = o.op.gather(o.weight("embeddings.position_embeddings.weight"), _positions(o, encoder, ids), rows)
    chosen = o.op.constant(np.int64(0)) if types is None else types
    kinds = o.op.gather(o.weight("embeddings.token_type_embeddings.weight"), chosen, rows)
    return o.norm(o.op.add(o.op.add(words, kinds), places), "embeddings.LayerNorm", encoder.epsilon)


def _positions(o: Operations, encoder: Encoder, ids: Any) -> Any:
    along = o.op.constant(np.int64(1))
    if encoder.counts_positions:
        pad = o.op.constant(np.int64(encoder.pad_token_id))
        real = o.op.convert(o.op.not_equal(ids, pad), "i64")
        return o.op.add(o.op.multiply(o.op.cumsum(real, along), real), pad)
    count = o.op.gather(o.op.shape_of(ids, "i64"), along, o.op.constant(np.int64(0)))
    zero, one = o.op.constant(np.int64(0)), o.op.constant(np.int64(1))
    return o.op.unsqueeze(o.op.range(zero, count, one, "i64"), o.constant([0]))


def _pooled(o: Operations, states: Any, mask: Any, mode: str) -> Any:
    """One vector a text, [batch, width]."""
    if mode not in _POOLING_MODES:
        raise NotCovered(f"{mode} pooling")
    if mode == "cls":
        return o.op.gather(states, o.op.constant(np.int64(0)), o.op.constant(np.int64(1)))
    weights = o.op.unsqueeze(o.op.convert(mask, "f32"), o.constant([2]))
    total = o.op.reduce_sum(o.op.multiply(states, weights), o.constant([1]), False)
    count = o.op.maximum(o.op.reduce_sum(weights, o.constant([1]), False), o.number(_LEAST_TOKENS))
    return o.op.divide(total, count)


def _dense(outer: Operations, vectors: Any, step: Module) -> Any:
    config = step.config()
    activation = str(config.get("activation_function", "")).rpartition(".")[2]
    if activation not in _DENSE_ACTIVATIONS:
        raise NotCovered(f"a dense layer with the activation {activation or 'none'}")
    weights = dict(_stored(step.folder))
    if not config.get("bias", True):
        weights["linear.bias"] = np.zeros(len(weights["linear.weight"]), dtype=np.float32)
    o = Operations(weights)
    vectors = o.linear(vectors, "linear")
    o.check_all_used()
    kind = _DENSE_ACTIVATIONS[activation]
    apply: Mapping[str, Callable[[Any], Any]] = {"tanh": outer.op.tanh, "relu": outer.op.relu}
    return apply[kind](vectors) if kind else vectors


def tensors_of(folder: Path) -> Tensors:
    """The encoder's weights by the names that BERT gives them."""
    found: Tensors = {}
    for name, values in _stored(folder):
        prefix = next((known for known in _PREFIXES if name.startswith(known)), "")
        found[name.removeprefix(prefix)] = values
    return found


def _stored(folder: Path) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise NotCovered("weights that are not in the safetensors format")
    for file in files:
        try:
            with safe_open(file, framework="numpy") as stored:
                yield from ((name, stored.get_tensor(name)) for name in stored.keys())  # noqa: SIM118 - no mapping
        except (SafetensorError, TypeError, AttributeError, OSError) as error:
            # NumPy has no bfloat16: such a file needs torch, and so does one that is damaged, to say how.
            raise NotCovered(f"the weights in {file.name} ({error})") from error
