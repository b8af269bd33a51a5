"""Batch normalisation folded into the convolution before it.

1. `Conv` or `ConvTranspose` with constant weights, read by one `BatchNormalization` alone: the
   normalisation's scale is multiplied into the kernel, its shift goes into the bias.

Anything else stays.
"""

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape

from graftscope.graph._operations import operation
from graftscope.graph.rewrites._nodes import clean, floats, only_use, replace, weights


def fold_normalisation(model: ir.Model) -> ir.Model:
    """Folds batch normalisation into convolutions, where it directly follows one.

    Args:
        model: changed in place.

    Returns:
        The same model.
    """
    for node in list(model.graph):
        if operation(node) in ("Conv", "ConvTranspose"):
            _fold(model.graph, node)
    clean(model)
    return model


def _fold(graph: ir.Graph, node: ir.Node) -> None:
    norm = only_use(node.outputs[0])
    if norm is None or operation(norm) != "BatchNormalization" or len(norm.outputs) != 1:
        return
    kernel = weights(node.inputs[1])
    has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
    bias = weights(node.inputs[2]) if has_bias else np.zeros(1, np.float32)
    gain, shift, mean, variance = (weights(x) for x in norm.inputs[1:5])
    if kernel is None or bias is None or gain is None or shift is None:
        return
    if mean is None or variance is None:
        return
    scale = gain / np.sqrt(variance.astype(np.float64) + norm.attributes.get_float("epsilon", 1e-5))
    turned = operation(node) == "ConvTranspose"
    groups = node.attributes.get_int("group", 1)
    if turned and groups != 1:
        return
    along = [1, -1] if turned else [-1, 1]
    tape = Tape(graph)
    inputs = [
        node.inputs[0],
        floats(tape, kernel * scale.reshape(*along, *[1] * (kernel.ndim - 2))),
        floats(tape, (bias - mean) * scale + shift),
    ]
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    folded = tape.op(node.op_type, inputs, attributes)
    folded.shape, folded.type = norm.outputs[0].shape, norm.outputs[0].type
    replace(graph, norm.outputs[0], folded)
