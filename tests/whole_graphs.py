"""The slow truth for bundles of foreign files: the file itself, run whole, one sample at a time.

An activation is taken out of the whole graph as one more output, and put in as one more input, in
the layout and type that the file has there. No half, and nothing of the project, is involved.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from graftscope.bundle import read_bundle
from graftscope.exporter._sessions import CpuSession
from graftscope.graph import HYBRIDS, ORIGINAL1, ORIGINAL2, SETS, splice
from graftscope.server.engine import (
    Cancellation,
    ChannelSets,
    Device,
    Generator,
    GivenPairs,
    Plan,
    SessionPool,
    shard_effects,
)
from graftscope.v1 import bundle_pb2

Array = NDArray[np.generic]
Numbers = NDArray[np.float64]


def whole_image(path: Path, latents: dict[str, Array]) -> Numbers:
    """The file's own image."""
    model = onnx.load(path)
    return np.asarray(_computed(model, model.graph.output[0].name, latents), np.float64)


def activation(path: Path, tensor: str, latents: dict[str, Array]) -> Array:
    """What the file computes at a tensor."""
    model = onnx.load(path)
    if tensor not in {each.name for each in model.graph.output}:
        model.graph.output.append(onnx.ValueInfoProto(name=tensor))
    return _computed(model, tensor, latents)


def image_from(path: Path, tensor: str, value: Array, latents: dict[str, Array]) -> Numbers:
    """The file's image where all that reads a tensor reads that value in its stead."""
    model = onnx.load(path)
    name = f"{tensor}.given"
    for node in model.graph.node:
        for index, read in enumerate(node.input):
            if read == tensor:
                node.input[index] = name
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    shape = ["batch", *value.shape[1:]]
    model.graph.input.append(helper.make_tensor_value_info(name, kind, shape))
    given = {**latents, name: value}
    return np.asarray(_computed(model, model.graph.output[0].name, given), np.float64)


def _computed(model: onnx.ModelProto, output: str, given: dict[str, Array]) -> Array:
    """One output; operations that ONNX's evaluator does not know are ONNX Runtime's to compute."""
    if not any(node.domain for node in model.graph.node):
        (result,) = ReferenceEvaluator(model).run([output], given)
        return np.asarray(result)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    content = model.SerializeToString()
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (result,) = session.run([output], given)
    return np.asarray(result)


def hybrids(
    path: Path,
    tensor: str,
    channels: Sequence[int],
    originals: tuple[dict[str, Array], dict[str, Array]],
    *,
    axis: int = 1,
) -> Numbers:
    """The file's hybrids of two batches, one sample at a time, by hand."""
    first, second = originals
    made = []
    for row in range(len(next(iter(first.values())))):
        one, two = ({k: v[row : row + 1] for k, v in each.items()} for each in (first, second))
        kept, given = activation(path, tensor, one), activation(path, tensor, two)
        spliced = np.moveaxis(kept.copy(), axis, 1)
        spliced[:, list(channels)] = np.moveaxis(given, axis, 1)[:, list(channels)]
        made.append(image_from(path, tensor, np.moveaxis(spliced, 1, axis), one))
    return np.concatenate(made)


def bundle_image(folder: Path, latents: dict[str, Array]) -> NDArray[np.float32]:
    """The images of a bundle's generator."""
    manifest = read_bundle(folder).manifest
    (image,) = CpuSession(folder / manifest.generator, optimised=True).run(latents).values()
    return image


def bundle_activation(
    folder: Path, layer: bundle_pb2.Layer, latents: dict[str, Array]
) -> NDArray[np.float32]:
    """What a bundle's upper half gives at a layer."""
    return CpuSession(folder / layer.upstream, optimised=True).run(latents)[layer.tensor]


def bundle_hybrids(
    folder: Path,
    layer: bundle_pb2.Layer,
    channels: Sequence[int],
    originals: tuple[dict[str, Array], dict[str, Array]],
) -> NDArray[np.float32]:
    """A bundle's hybrids of two batches, from its own halves, spliced as jobs splice."""

    upper = CpuSession(folder / layer.upstream, optimised=True)
    one, two = ({**each, **upper.run(each)} for each in originals)
    sets = np.zeros((1, layer.channels), bool)
    sets[0, list(channels)] = True
    path = folder / layer.downstream
    content = ir.to_proto(splice(ir.load(path), activation=layer.tensor)).SerializeToString()
    given = {**one, ORIGINAL1: one[layer.tensor], ORIGINAL2: two[layer.tensor], SETS: sets}
    return CpuSession(path, optimised=True, content=content).run(given)[HYBRIDS]


def layer_of(folder: Path, name: str) -> bundle_pb2.Layer:
    """A bundle's layer."""
    return next(each for each in read_bundle(folder).manifest.layers if each.name == name)


def in_type(model: onnx.ModelProto, kind: int) -> onnx.ModelProto:
    """The network in another floating-point type, from inputs to image."""
    wanted = helper.tensor_dtype_to_np_dtype(kind)
    for index, tensor in enumerate(model.graph.initializer):
        if tensor.data_type == TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(tensor).astype(wanted)
            model.graph.initializer[index].CopyFrom(
                onnx.numpy_helper.from_array(values, tensor.name)
            )
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = kind
    del model.graph.value_info[:]
    return model


def engine_influence(
    folder: Path, layer: bundle_pb2.Layer, originals: tuple[dict[str, Array], dict[str, Array]]
) -> Numbers:
    """The influence maps (C, H, W) of a layer's channels, as a job computes them of given pairs."""
    generator = Generator(read_bundle(folder), SessionPool(Device.CPU, 8))
    subject = ChannelSets(generator, layer, np.eye(layer.channels, dtype=bool), generator.areas(0))
    pairs = range(len(next(iter(originals[0].values()))))
    plan = Plan(batch=2, sets=3, provider=generator.provider)
    effects = shard_effects(subject, plan, GivenPairs(*originals), pairs, Cancellation())
    return np.asarray(effects.moments.mean, np.float64)
