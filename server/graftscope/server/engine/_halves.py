"""Either half of a cut generator by itself: latents to what crosses the cut, and that to the image.

What crosses is the activation and the tensors that are carried beside it, under their names in the
graphs. Samples of several callers share runs where all of it has one row a sample. It must not know
jobs, gRPC or who asks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto, helper

from graftscope.codec import DATATYPES
from graftscope.server.engine._batching import Kind
from graftscope.server.engine._cancellation import Cancellation
from graftscope.server.engine._generator import Generator, Latents
from graftscope.server.engine._graph_memory import read_graph
from graftscope.server.engine._samples_and_hybrids import samples_a_run, stacked
from graftscope.v1 import bundle_pb2

FREE = -1
"""An extent that a graph leaves open; as a first one, that of the batch."""

Rows: TypeAlias = dict[str, NDArray[np.generic]]
Halving: TypeAlias = Kind[Callable[[], Latents], Latents, Rows]


@dataclass(frozen=True)
class Tensor:
    """What a graph takes or gives.

    Attributes:
        name: in the graph.
        dtype: of its elements.
        shape: its extents, `FREE` where they are.
    """

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]

    @property
    def has_rows(self) -> bool:
        """Whether there is one row a sample."""
        return self.shape[:1] == (FREE,)


@dataclass(frozen=True)
class Halves:
    """What a generator takes and gives where it is cut at a layer.

    Attributes:
        latents: the generator's inputs.
        crossing: the activation, and what is carried beside it.
        image: what it makes.
    """

    latents: tuple[Tensor, ...]
    crossing: tuple[Tensor, ...]
    image: Tensor

    @property
    def has_rows(self) -> bool:
        """Whether all that crosses has one row a sample, so that samples can share runs."""
        return all(each.has_rows for each in self.crossing)


def halves(generator: Generator, layer: bundle_pb2.Layer) -> Halves:
    """What both halves take and give, as their graphs say; read once a layer and kept.

    Raises:
        Corrupt: a file of the bundle is gone.
    """

    def read() -> Halves:
        model = read_graph(generator.folder.file(layer.downstream))
        crossing = sorted(
            map(_tensor, model.graph.input), key=lambda each: each.name != layer.tensor
        )
        return Halves(inputs_of(generator), tuple(crossing), _image(generator, model))

    return generator.memo.get(f"halves/{layer.name}", read)


def image_of(generator: Generator) -> Tensor:
    """What a generator makes, as its graph calls it; read once and kept."""
    path = generator.folder.file(generator.manifest.generator)
    return generator.memo.get("image", lambda: _image(generator, read_graph(path)))


def inputs_of(generator: Generator) -> tuple[Tensor, ...]:
    """A generator's inputs, in the manifest's order."""
    return tuple(
        Tensor(x.name, np.dtype(DATATYPES[x.datatype]), (FREE, *x.shape))
        for x in generator.manifest.inputs
    )


def upstream(generator: Generator, layer: bundle_pb2.Layer, samples: int) -> Halving:
    """Latents, each (B, ...), to all that crosses the cut; a task gives the latents.

    Args:
        generator: what is cut.
        layer: where.
        samples: how many there are; where not all that crosses has rows, they go into one run.
    """
    names = [each.name for each in halves(generator, layer).crossing]

    def run(latents: Latents, cancellation: Cancellation) -> Rows:
        if not layer.upstream:  # The latents are what crosses.
            return {name: np.asarray(latents[name]) for name in names}
        recording = generator.record(layer, latents, cancellation)
        crossing = {layer.tensor: recording.activation, **recording.carried}
        return {name: crossing[name].numpy() for name in names}

    return _half(generator, layer, run, samples, *filter(None, [layer.upstream]))


def downstream(generator: Generator, layer: bundle_pb2.Layer, samples: int) -> Halving:
    """All that crosses the cut to the image; a task gives what crosses. Else as `upstream`."""
    image = halves(generator, layer).image.name

    def run(crossing: Latents, cancellation: Cancellation) -> Rows:
        return {image: generator.continued(layer, crossing, cancellation).numpy()}

    return _half(generator, layer, run, samples, layer.downstream)


def _half(
    generator: Generator,
    layer: bundle_pb2.Layer,
    run: Callable[[Latents, Cancellation], Rows],
    samples: int,
    *files: str,
) -> Halving:
    def together(given: Sequence[Latents], cancellation: Cancellation) -> list[Rows]:
        made = run(stacked(given), cancellation)
        if len(given) == 1:
            return [made]
        counts = [len(next(iter(each.values()))) for each in given]
        ends = list(accumulate(counts, initial=0))
        return [{name: x[a:b] for name, x in made.items()} for a, b in pairwise(ends)]

    shares = halves(generator, layer).has_rows
    return Kind(
        ("half", generator, *files, layer.name) if shares else object(),
        samples_a_run(generator) if shares else samples,
        lambda draw: draw(),
        together,
        partial(generator.is_open, *files),
    )


def _image(generator: Generator, model: ModelProto) -> Tensor:
    name = model.graph.output[0].name
    return Tensor(name, np.dtype(np.float32), (FREE, *generator.image_shape))


def _tensor(value: ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    shape = tuple(x.dim_value if x.HasField("dim_value") else FREE for x in kind.shape.dim)
    return Tensor(value.name, helper.tensor_dtype_to_np_dtype(kind.elem_type), shape)
