"""The OpenVINO graph of a reranking model: from its weights, or from an ONNX file, without torch.

Belongs here: the heads of cross-encoders and of late interaction, and turning eight-bit ONNX graphs back to plain ones.
Does not belong here: the encoder (`bert_graph.py`), running the graph (`graph_runner.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rag_pipeline.embedding.bert_graph import Encoder, NotCovered, Operations, encoded, tensors_of
from rag_pipeline.embedding.offline import import_openvino

# From the numbers that a layer multiplies back to the ones before they were rounded to eight bits.
_ROUNDED = ("Subtract", "Convert", "Convert", "Clamp", "Add", "Round", "Divide")


def build_cross_graph(folder: Path, config: Mapping[str, Any]) -> Any:
    """From token ids of pairs to one logit each, [batch, 1], as an `openvino.Model`.

    Args:
        config: The folder's config.json.

    Raises:
        NotCovered: The model has something that these graphs do not.
    """
    encoder = Encoder.of(config)
    operations = Operations(tensors_of(folder))
    ids, mask = operations.input("input_ids"), operations.input("attention_mask")
    # A family without types of tokens tells the two texts apart by the marks between them.
    types = None if encoder.counts_positions else operations.input("token_type_ids")
    states = encoded(operations, encoder, ids, mask, types)
    op = operations.op
    first = op.gather(states, op.constant(np.int64(0)), op.constant(np.int64(1)))
    hidden, last = ("classifier.dense", "classifier.out_proj") if types is None else ("pooler.dense", "classifier")
    logits = operations.linear(op.tanh(operations.linear(first, hidden)), last)
    operations.check_all_used()
    width = logits.output(0).get_partial_shape()[1].get_length()
    if width != 1:
        raise NotCovered(f"{width} scores for a pair instead of one")
    inputs = [port.get_node() for port in (ids, mask, types) if port is not None]
    return import_openvino().Model([logits], inputs, "cross_encoder")


def build_late_graph(folder: Path, config: Mapping[str, Any]) -> Any:
    """From token ids of texts to a vector for each token, [batch, tokens, width], as an `openvino.Model`.

    Args:
        config: The folder's config.json.

    Raises:
        NotCovered: The model has something that these graphs do not.
    """
    encoder = Encoder.of(config)
    weights = tensors_of(folder)
    operations = Operations(weights)
    ids, mask = operations.input("input_ids"), operations.input("attention_mask")
    states = encoded(operations, encoder, ids, mask)
    if "linear.weight" in weights:
        # ColBERT's projection, without a bias.
        states = operations.op.matmul(states, operations.weight("linear.weight"), False, True)
    operations.check_all_used()
    return import_openvino().Model([states], [ids.get_node(), mask.get_node()], "late_interaction")


def check_encoder_alone(folder: Path) -> None:
    """Weights stand in the folder itself, and in none below it as those of sentence-transformers' further steps do.

    Raises:
        NotCovered: There are more.
    """
    if beside := sorted(file.parent.name for file in folder.glob("*/*.safetensors")):
        raise NotCovered(f"layers beside the encoder, in {beside[0]}")


def read_onnx_graph(file: Path, *, gives_tokens: bool = False) -> Any:
    """An ONNX file as an `openvino.Model`, computed in floating point whatever it was packed in.

    Dynamic eight-bit graphs round a whole batch with one scale: a pair's score would depend on its neighbours, and the
    plugin runs them slower than plain ones.

    Args:
        gives_tokens: Its first output is a vector for each token, instead of one score for a pair.

    Raises:
        NotCovered: The file cannot be read, gives something else, or rounds in a way that is not known.
    """
    openvino = import_openvino()
    try:
        model = openvino.Core().read_model(str(file))
    except RuntimeError as error:
        raise NotCovered(f"an ONNX graph that OpenVINO cannot read ({str(error).strip().splitlines()[-1]})") from error
    shape = model.outputs[0].get_partial_shape()
    if gives_tokens:
        if shape.rank.is_dynamic or len(shape) != 3:
            raise NotCovered(f"an output of shape {shape} instead of a vector for each token")
    elif len(model.outputs) != 1 or shape.rank.is_dynamic or len(shape) != 2 or shape[1] != openvino.Dimension(1):
        raise NotCovered(f"an output of shape {shape} instead of one score for a pair")
    for node in model.get_ordered_ops():
        if node.get_type_name() == "MatMul" and node.get_output_element_type(0) == openvino.Type.i32:
            _in_floating_point(node)
    model.validate_nodes_and_infer_types()
    return model


def _in_floating_point(product: Any) -> None:
    """Replace a product of whole numbers, rounded on its way in and scaled on its way out, by the plain one.

    On its way in x is round(255 x / width) of the batch's range; on its way out the product is multiplied by
    (width / 255) times the scale of the weights.
    """
    op = import_openvino().opset13
    node = product
    for kind in _ROUNDED:
        node = node.input_value(0).get_node()
        _check(product, node.get_type_name() == kind)
    width, plain = node.input_value(1), node.input_value(0).get_node().input_value(0)
    converted = _reader(product)
    scaled = _reader(converted)
    # Nodes are told apart by name: compared with ==, they would become a node of the graph.
    sides = {value.get_node().get_name(): value.get_node() for value in scaled.input_values()}
    sides.pop(converted.get_name(), None)
    _check(product, scaled.get_type_name() == "Multiply" and len(sides) == 1)
    step, scale = (value.get_node() for value in sides.popitem()[1].input_values())
    _check(product, _name(step.input_value(0)) == _name(width))
    matrix = op.constant((_constant(product.input_value(1).get_node()) * _constant(scale)).astype(np.float32))
    layer = op.matmul(plain, matrix, False, bool(product.get_attributes()["transpose_b"]))
    for target in list(scaled.output(0).get_target_inputs()):
        target.replace_source_output(layer.output(0))


def _check(product: Any, fits: bool) -> None:
    if not fits:
        raise NotCovered(f"eight-bit layers of another make ({product.get_friendly_name()})")


def _name(value: Any) -> str:
    return str(value.get_node().get_name())


def _reader(node: Any) -> Any:
    """What alone takes a node's output."""
    targets = list(node.output(0).get_target_inputs())
    _check(node, len(targets) == 1)
    return targets[0].get_node()


def _constant(node: Any) -> Any:
    """The numbers of a constant, of one converted, or of the difference of two."""
    kind = node.get_type_name()
    if kind == "Constant":
        return np.asarray(node.data)
    if kind == "Convert":
        return _constant(node.input_value(0).get_node()).astype(np.float64)
    if kind == "Subtract":
        return _constant(node.input_value(0).get_node()) - _constant(node.input_value(1).get_node())
    raise NotCovered(f"eight-bit layers of another make ({node.get_friendly_name()})")
