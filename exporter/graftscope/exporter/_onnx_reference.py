"""The file that a generator was read from, run by ONNX Runtime: what its graph is compared with.

It runs the file as it is, with two exceptions that the file itself asks for: a batch that is fixed
at 1 is run sample by sample, and random nodes are held at one value, since two runs would differ.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from graftscope.exporter._draw import held_value
from graftscope.exporter._sessions import Session
from graftscope.exporter._subject import Arrays, Reference
from graftscope.exporter.errors import ProofError, SourceError
from graftscope.v1 import bundle_pb2

_NORMAL = frozenset({"RandomNormal", "RandomNormalLike"})
_UNIFORM = frozenset({"RandomUniform", "RandomUniformLike"})

_NEXT_TO_NOTHING = 1e-30
"""A scale that no float32 mean feels; ONNX Runtime ends the process where it is 0."""


def file_reference(path: Path, output: str, numbers: Arrays, *, hold_noise: bool) -> Reference:
    """Return a function that computes the image with the file itself.

    Args:
        path: An ONNX file.
        output: The image's name.
        numbers: Values of the inputs that are built into the generator, by name.
        hold_noise: Whether random nodes give `held_value`; else they draw.

    Raises:
        SourceError: If ONNX Runtime cannot load the file.
    """
    try:
        content = _with_held_noise(path) if hold_noise else None
        session = Session(path, optimised=False, content=content)
    except ProofError as error:
        raise SourceError(f"source {str(path)!r}: {error}") from error

    def compute(inputs: Arrays, /) -> list[NDArray[np.float32]]:
        count = len(next(iter(inputs.values())))
        size = 1 if 1 in session.fixed_batches else count
        parts = [
            {name: array[i : i + size] for name, array in inputs.items()}
            for i in range(0, count, size)
        ]
        return [np.concatenate([_run(session, part, numbers)[output] for part in parts])]

    return compute


def _run(session: Session, inputs: Arrays, numbers: Arrays) -> Mapping[str, NDArray[np.float32]]:
    """Run the file, with zeros for the inputs that do not reach the image."""
    count = len(next(iter(inputs.values())))
    zeros = {
        name: np.zeros((count, *shape[1:]) if shape else (), dtype)
        for name, (shape, dtype) in session.input_types.items()
    }
    return session.run({**zeros, **inputs, **numbers})


def _with_held_noise(path: Path) -> bytes:
    """Return the file with the range of every random node closed around its held value."""
    proto = onnx.load(path, load_external_data=False)
    nodes = [*proto.graph.node, *(node for each in proto.functions for node in each.node)]
    for node in nodes:
        if node.op_type in _NORMAL:
            mean, scale = _attribute(node, "mean", 0.0), _attribute(node, "scale", 1.0)
            normal = bundle_pb2.Input(normal=bundle_pb2.Normal())
            _set(node, {"mean": mean + scale * held_value(normal), "scale": _NEXT_TO_NOTHING})
        elif node.op_type in _UNIFORM:
            low, high = _attribute(node, "low", 0.0), _attribute(node, "high", 1.0)
            at = held_value(bundle_pb2.Input(uniform=bundle_pb2.Uniform(low=low, high=high)))
            _set(node, {"low": at, "high": at})
    return proto.SerializeToString()


def _attribute(node: onnx.NodeProto, name: str, default: float) -> float:
    return next((each.f for each in node.attribute if each.name == name), default)


def _set(node: onnx.NodeProto, numbers: Mapping[str, float]) -> None:
    kept = [each for each in node.attribute if each.name not in numbers]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.attribute.extend(onnx.helper.make_attribute(*each) for each in numbers.items())
