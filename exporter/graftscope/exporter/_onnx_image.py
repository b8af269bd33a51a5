"""Which output of a graph is the image."""

from collections.abc import Iterable
from typing import Final

import onnx_ir as ir

from graftscope.exporter.errors import SourceError

CHANNELS: Final = (1, 3, 4)
"""Grey, colours, colours with opacity."""

_ALLOWED: Final = "an image is FLOAT (B, C, H, W) with 1, 3 or 4 channels C"


def choose_output(graph: ir.Graph, wanted: str | None) -> tuple[str, ...]:
    """Leave a graph the one output that is the image.

    Args:
        graph: The graph; changed in place.
        wanted: The output's name; None takes the only one that looks like an image.

    Returns:
        A note where there was a choice.

    Raises:
        SourceError: If there is no such output, or none or several look like an image.
    """
    names = [value.name or "" for value in graph.outputs]
    if wanted is not None and wanted not in names:
        raise SourceError(
            f"--output {wanted!r} is not among the graph's outputs: {_listed(graph.outputs)}"
        )
    given = [value for value in graph.outputs if wanted in (None, value.name)]
    images = [value for value in given if _may_be_image(value)]
    if not images:
        raise SourceError(f"this is no generator of images: {_ALLOWED}, not {_listed(given)}")
    if len(images) > 1:
        raise SourceError(
            f"several outputs may be the image; name one with --output: {_listed(images)}"
        )
    graph.outputs[:] = images
    if len(names) == 1 or wanted is not None:
        return ()
    return (
        f"output {images[0].name!r}: the only image of {len(names)} outputs; "
        "name another with --output NAME",
    )


def require_image(value: ir.Value) -> None:
    """Refuse an output whose shape is known and is no image's."""
    dims = () if value.shape is None else value.shape.dims
    if (
        len(dims) != 4
        or not all(isinstance(dim, int) for dim in dims[1:])
        or not _may_be_image(value)
    ):
        raise SourceError(f"this is no generator of images: {_ALLOWED}, not {_listed([value])}")


def _may_be_image(value: ir.Value) -> bool:
    """Tell whether nothing that is known of an output keeps it from being an image."""
    if value.dtype not in (None, ir.DataType.FLOAT):
        return False
    if value.shape is None:
        return True
    if len(value.shape) != 4:
        return False
    channels = value.shape[1]
    return not isinstance(channels, int) or channels in CHANNELS


def _listed(values: Iterable[ir.Value]) -> str:
    return ", ".join(f"{each.name!r} {each.dtype} {each.shape}" for each in values)
