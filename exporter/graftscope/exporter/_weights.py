"""Write graphs beside one file that holds every weight once.

Weights are told apart by their bytes: what the generator, its halves and the encoder share is
stored once, whatever it is called. Small ones stay inside the graphs, where shape inference can
read them.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import onnx_ir as ir

WEIGHTS_FILE: Final = "weights.bin"
INLINE_LIMIT_BYTES: Final = 256
"""Smaller tensors are stored in each graph: an entry in the weights file is hardly smaller."""

_ALIGNMENT_BYTES: Final = 64
"""A cache line, so that kernels may read mapped weights where they lie."""


def write_graphs(folder: Path, graphs: Mapping[str, ir.Model]) -> None:
    """Write graphs and their common weights file.

    Args:
        folder: Where to.
        graphs: The graphs by their file's name. Their larger initializers' data are moved to
            the weights file, in the order of the mapping.
    """
    with (folder / WEIGHTS_FILE).open("wb") as stream:
        places: dict[bytes, int] = {}
        for value, tensor in _large_initializers(graphs):
            content = tensor.tobytes()
            key = hashlib.sha256(content).digest()
            if key not in places:
                stream.write(bytes(-stream.tell() % _ALIGNMENT_BYTES))
                places[key] = stream.tell()
                stream.write(content)
            value.const_value = _external(tensor, places[key], len(content), folder)
    for name, model in graphs.items():
        proto = ir.to_proto(model)
        (folder / name).write_bytes(proto.SerializeToString(deterministic=True))


def _large_initializers(
    graphs: Mapping[str, ir.Model],
) -> Iterator[tuple[ir.Value, ir.TensorProtocol]]:
    for model in graphs.values():
        for graph in model.graphs():
            for value in graph.initializers.values():
                tensor = value.const_value
                if tensor is None:
                    continue
                if tensor.nbytes >= INLINE_LIMIT_BYTES:
                    yield value, tensor
                elif isinstance(tensor, ir.ExternalTensor):
                    # It must not go on naming the file that it was read from.
                    value.const_value = ir.Tensor(
                        tensor.numpy(), dtype=tensor.dtype, name=tensor.name
                    )


def _external(
    tensor: ir.TensorProtocol, offset: int, length: int, folder: Path
) -> ir.ExternalTensor:
    return ir.ExternalTensor(
        WEIGHTS_FILE,
        offset,
        length,
        tensor.dtype,
        shape=ir.Shape(tensor.shape.numpy()),
        name=tensor.name or "",
        base_dir=folder,
    )
