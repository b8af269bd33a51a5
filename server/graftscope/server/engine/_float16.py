"""A graph in float16, between inputs and outputs in float32.

What is compared with original 1 stays in float32, and sums in float64. It must not know sessions.
"""

import warnings
from pathlib import Path

import onnx

from graftscope.graph import IMAGE1, PIXEL_MEANS


def in_float16(model: bytes | Path, folder: Path) -> bytes:
    """Converts a graph, its weights included.

    ONNX Runtime's own converter rounds between any two operations that are kept in float32, so it
    gets those above the comparison alone.

    Args:
        model: a file's path, or the model itself.
        folder: where its weights lie.
    """
    proto = _load(model, folder)
    graph = proto.graph
    compared = _compared(graph)
    generating = [node for node in graph.node if node.name not in compared]
    above = _converted(_part(proto, generating))
    below = [node for node in graph.node if node.name in compared]
    kept = _keep_weights(graph, below)
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend([*above.node, *below])
    graph.initializer.extend([*above.initializer, *kept])
    data: bytes = proto.SerializeToString()
    return data


def _load(model: bytes | Path, folder: Path) -> onnx.ModelProto:
    proto = onnx.load_model_from_string(model) if isinstance(model, bytes) else onnx.load(model)
    if isinstance(model, bytes):
        onnx.load_external_data_for_model(proto, str(folder))
    for i, node in enumerate(proto.graph.node):
        node.name = f"{i}"  # Told apart by name, which a graph need not give.
    return onnx.shape_inference.infer_shapes(proto)


def _compared(graph: onnx.GraphProto) -> set[str]:
    """The nodes that read original 1's image or subtract it, and all that read what they give."""
    if PIXEL_MEANS not in {output.name for output in graph.output}:
        return set()
    distances = {x for node in graph.node if _is(node, "Abs") for x in node.input}
    reached, found = {IMAGE1}, set()
    for node in graph.node:  # In topological order.
        subtracts = _is(node, "Sub") and not distances.isdisjoint(node.output)
        if subtracts or not reached.isdisjoint(node.input):
            reached.update(node.output)
            found.add(node.name)
    return found


def _is(node: onnx.NodeProto, operation: str) -> bool:
    return node.op_type == operation and node.domain in ("", "ai.onnx")


def _part(proto: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    """These nodes as a model, whose outputs are what the others read or the model gives."""
    graph, own = proto.graph, {node.name for node in nodes}
    read = {x for node in graph.node if node.name not in own for x in node.input}
    read |= {output.name for output in graph.output}
    types = {value.name: value for value in (*graph.value_info, *graph.output)}
    inside = {x for node in nodes for x in node.input}
    outputs = [_typed(x, types) for node in nodes for x in node.output if x in read]
    part = onnx.ModelProto()
    part.CopyFrom(proto)
    del part.graph.node[:], part.graph.input[:], part.graph.output[:], part.graph.initializer[:]
    part.graph.node.extend(nodes)
    part.graph.input.extend(x for x in graph.input if x.name in inside)
    part.graph.initializer.extend(x for x in graph.initializer if x.name in inside)
    part.graph.output.extend(outputs)
    return part


def _typed(name: str, types: dict[str, onnx.ValueInfoProto]) -> onnx.ValueInfoProto:
    unknown = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
    return types.get(name, unknown)


def _converted(part: onnx.ModelProto) -> onnx.GraphProto:
    # Slow to import, and seldom needed.
    from onnxruntime.transformers import float16

    with warnings.catch_warnings():
        # It tells of every weight that it rounds to zero; the measured deviation tells of them all.
        warnings.simplefilter("ignore")
        converted = float16.convert_float_to_float16(
            part, keep_io_types=True, disable_shape_infer=True
        )
    graph: onnx.GraphProto = converted.graph
    return graph


def _keep_weights(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> list[onnx.TensorProto]:
    """Gives these nodes weights of their own, under new names, as they are."""
    kept = {}
    weights = {weight.name: weight for weight in graph.initializer}
    taken = {x for node in graph.node for x in (*node.input, *node.output)} | set(weights)
    for node in nodes:
        for i, name in enumerate(node.input):
            if name in weights:
                kept[name] = onnx.TensorProto()
                kept[name].CopyFrom(weights[name])
                kept[name].name = node.input[i] = _free(f"{name}.float32", taken)
    return list(kept.values())


def _free(name: str, taken: set[str]) -> str:
    """The name, with points behind it where something has it already."""
    return name if name not in taken else _free(f"{name}.", taken)
