"""Eight-bit weights for an OpenVINO graph, made at load time from the fp32 graph.

Belongs here: the rewriting of a graph's linear layers.
Does not belong here: calibration data; none is needed, since only weights are stored in eight bits.

Symmetric, one scale an output channel. The CPU plugin then quantises activations too, in groups and as they come.
Measured on all-MiniLM-L6-v2 with scientific text: cosine to fp32 0.999 mean and 0.998 at worst, 2 to 3 of 100
nearest neighbours changed; hence an embedding space of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rag_pipeline.embedding.offline import import_openvino

ACTIVATION_GROUP = 64
"""Values that share a scale; larger groups are hardly faster and change more neighbours."""


def quantize_weights(model: Any) -> int:
    """Rewrite the graph in place; returns how many linear layers now have eight-bit weights."""
    opset13 = import_openvino().opset13
    layers = 0
    for layer in model.get_ordered_ops():
        weights = layer.input_value(1).get_node() if layer.get_type_name() == "MatMul" else None
        if weights is None or weights.get_type_name() != "Constant" or len(weights.get_output_shape(0)) != 2:
            continue
        attributes = layer.get_attributes()
        rows = weights.data if attributes["transpose_b"] else weights.data.T
        scales = (np.abs(rows).max(axis=1, keepdims=True) / 127).astype(np.float32)
        scales[scales == 0] = 1
        small = np.clip(np.round(rows / scales), -127, 127).astype(np.int8)
        # The plugin recognises this very pattern of constant, conversion and scale.
        restored = opset13.multiply(opset13.convert(opset13.constant(small), "f32"), opset13.constant(scales))
        replaced = opset13.matmul(layer.input_value(0), restored, attributes["transpose_a"], True)
        for target in list(layer.output(0).get_target_inputs()):
            target.replace_source_output(replaced.output(0))
        layers += 1
    model.validate_nodes_and_infer_types()
    return layers
