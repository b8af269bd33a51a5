"""A bundle's generator on a device: generate, encode, record, splice (sections 2.1 and 3.1).

Letters: B pairs, E sets of channels, C channels of the layer, (c, H, W) the image. It must not
know jobs, gRPC or where latents come from.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from graftscope.bundle import BundleFolder
from graftscope.graph import (
    IMAGE1,
    MOMENT,
    ORIGINAL1,
    ORIGINAL2,
    PIXEL_MEANS,
    SETS,
    TOTAL,
    Areas,
    reduce_effects,
    splice,
)
from graftscope.graph.rewrites import rewrite
from graftscope.server.engine._cancellation import Cancellation
from graftscope.server.engine._devices import Graph
from graftscope.server.engine._graph_memory import convolved, read_graph
from graftscope.server.engine._memo import Memo
from graftscope.server.engine._precision import Backend
from graftscope.server.engine._sessions import Feed, Kept, Session, SessionPool
from graftscope.server.engine._turns import Turns
from graftscope.server.errors import Corrupt, InvalidInput, NotFound
from graftscope.v1 import bundle_pb2

_Kept = TypeVar("_Kept", bound=Kept)

Latents = Mapping[str, NDArray[np.generic]]

LARGE_BYTES = 24 * 2**20
"""A tensor of one sample from this size on fills a core's cache by itself."""

TENSORS_A_RUN = 4
"""Tensors of the widest kind that a run holds: what an operation reads and writes, a resampled one
beside it, and room for the kernel."""

_FLOAT_BYTES = 4

_SUMS = (TOTAL, MOMENT, PIXEL_MEANS)

CHANNEL_AXES = {
    bundle_pb2.LAYER_KIND_MAP: 1,
    bundle_pb2.LAYER_KIND_VECTOR: 1,
    bundle_pb2.LAYER_KIND_TOKENS: 2,
}


@dataclass(frozen=True, eq=False)
class Recording:
    """What a layer holds while a sample is generated; it stays on the device.

    Attributes:
        activation: the layer's output, (B, C, h, w).
        carried: the tensors that cross the cut beside it, by name.
    """

    activation: ort.OrtValue
    carried: dict[str, ort.OrtValue]


class Effects:
    """One run's sums over its pairs, float64 (equation 3); they stay on the device until read.

    Args:
        total: (E, h, w), sum of the maps.
        moment: (E, h, w), sum of squared deviations from the run's own mean.
        pixel_means: (E, B), every pair's mean over pixels.

    Attributes:
        held: the same by their outputs' names, where they lie.
    """

    def __init__(self, total: Feed, moment: Feed, pixel_means: Feed) -> None:
        self.held: dict[str, Feed] = {TOTAL: total, MOMENT: moment, PIXEL_MEANS: pixel_means}

    @classmethod
    def joined(cls, parts: Sequence["Effects"]) -> "Effects":
        """Those of several runs over the same pairs, one set after another."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([doubles(x.held[name]) for x in parts]) for name in _SUMS))

    @cached_property
    def total(self) -> NDArray[np.float64]:
        """(E, h, w), sum of the maps."""
        return doubles(self.held[TOTAL])

    @cached_property
    def moment(self) -> NDArray[np.float64]:
        """(E, h, w), sum of squared deviations from the run's own mean."""
        return doubles(self.held[MOMENT])

    @cached_property
    def pixel_means(self) -> NDArray[np.float64]:
        """(E, B), every pair's mean over pixels."""
        return doubles(self.held[PIXEL_MEANS])


class Generator:
    """A generator that was cut at its layers.

    Args:
        folder: the bundle.
        pool: where its sessions are kept; shared with other generators.
        backend: what runs it; the pool's device in float32 by default.

    Attributes:
        folder: the bundle.
        manifest: its description.
        memo: what is computed once and kept.
        backend: what runs it.
    """

    def __init__(
        self, folder: BundleFolder, pool: SessionPool, backend: Backend | None = None
    ) -> None:
        self.manifest = folder.manifest
        self.folder = folder
        self.memo = Memo()
        self.backend = backend or pool.device.plain
        self._pool = pool
        # Asked for with every call.
        self._widest: dict[int, int] = {}

    def backends(self, wanted: str) -> tuple[Backend, ...]:
        """What can run it for a precision that is asked for; see `SessionPool.backends`."""
        return self._pool.backends(wanted)

    def on(self, backend: Backend) -> "Generator":
        """The same generator, run by another backend: one object for each, itself for its own."""
        if backend == self.backend:
            return self
        return self.memo.get(f"on {backend}", lambda: Generator(self.folder, self._pool, backend))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(c, H, W)."""
        image = self.manifest.image
        return image.channels, image.height, image.width

    @property
    def turns(self) -> Turns:
        """Who goes first on its device."""
        return self._pool.turns

    @property
    def provider(self) -> str:
        """ONNX Runtime's name of the execution provider."""
        return self._pool.device.provider

    def layer(self, name: str) -> bundle_pb2.Layer:
        """The layer of this name, or of the level of this name.

        Raises:
            InvalidInput: there is none; the message lists what there is.
        """
        layers = self.manifest.layers
        for layer in layers:
            if name and name in (layer.name, layer.level):
                return layer
        known = ", ".join(f"{x.name} ({x.level})" if x.level else x.name for x in layers)
        raise InvalidInput(
            f"layer {name!r} is not in model {self.manifest.name!r}; it has: {known}", field="layer"
        )

    def generate(
        self, latents: Latents, cancellation: Cancellation | None = None
    ) -> NDArray[np.float32]:
        """Images of latents: (B, c, H, W) in the generator's own range."""
        session = self._file(self.manifest.generator)
        outputs = session.run(latents, cancellation)
        return _array(outputs[session.outputs[0]])

    def encode(
        self, images: NDArray[np.float32], cancellation: Cancellation | None = None
    ) -> tuple[NDArray[np.float32], ...]:
        """Images to the posterior over the encoder's latent input.

        Args:
            images: (B, c, H, W), in the generator's own range.
            cancellation: what may stop it.

        Returns:
            Mean, and logarithm of the variance where the encoder tells it, each (B, ...).

        Raises:
            NotFound: the model has no encoder.
        """
        encoder = self.encoder()
        outputs = self._file(encoder.file).run({encoder.image: images}, cancellation)
        names = [name for name in (encoder.mean, encoder.log_variance) if name]
        return tuple(_array(_output(outputs, name)) for name in names)

    def encoder(self) -> bundle_pb2.Encoder:
        """The encoder's description.

        Raises:
            NotFound: the model has no encoder.
        """
        if not self.manifest.HasField("encoder"):
            raise NotFound(
                f"model {self.manifest.name!r} has no encoder, so images cannot be originals; "
                "use originals from the prior, or latents",
                field="originals",
            )
        return self.manifest.encoder

    def record(
        self,
        layer: bundle_pb2.Layer,
        latents: Latents,
        cancellation: Cancellation | None = None,
        rewrites: tuple[str, ...] = (),
    ) -> Recording:
        """Generates up to the layer and keeps what crosses the cut; an input is there already.

        Args:
            layer: where it is cut.
            latents: (B, ...) by the input's name.
            cancellation: what may stop it.
            rewrites: of the upper half (`graftscope.graph.rewrites`).
        """
        upper = self._upper(layer, rewrites) if layer.upstream else None
        outputs = upper.run(latents, cancellation) if upper else {}
        place = (upper or self._file(layer.downstream)).place
        inputs = {name: place(array) for name, array in latents.items()}
        return recorded(layer, latents, {**inputs, **outputs})

    def original(
        self,
        layer: bundle_pb2.Layer,
        recording: Recording,
        cancellation: Cancellation | None = None,
    ) -> ort.OrtValue:
        """The unintervened image of a recording, (B, c, H, W), from the downstream half."""
        crossing = {layer.tensor: recording.activation, **recording.carried}
        return self.continued(layer, crossing, cancellation)

    def continued(
        self,
        layer: bundle_pb2.Layer,
        crossing: Mapping[str, Feed],
        cancellation: Cancellation | None = None,
    ) -> ort.OrtValue:
        """The image, (B, c, H, W), of what crosses the cut, by its names in the graph."""
        session = self._file(layer.downstream)
        return session.run(crossing, cancellation)[session.outputs[0]]

    def effects(
        self,
        layer: bundle_pb2.Layer,
        recordings: tuple[Recording, Recording],
        image1: ort.OrtValue,
        sets: NDArray[np.bool_],
        areas: Areas,
        cancellation: Cancellation | None = None,
    ) -> Effects:
        """Sums of |hybrid - original 1| over the pairs, for every set (equation 3).

        Args:
            layer: where to splice.
            recordings: of originals 1 and 2.
            image1: what `original` gives for the first recording.
            sets: (E, C), the channels that original 2 gives.
            areas: sides of the areas that maps are averaged over.
            cancellation: what may stop it.
        """
        purpose = f"{layer.name}/effects{areas.height}x{areas.width}"
        session = self.session(purpose, lambda: self._build(layer, areas))
        first, second = recordings
        feeds: dict[str, Feed] = {
            ORIGINAL1: first.activation,
            ORIGINAL2: second.activation,
            IMAGE1: image1,
            SETS: sets,
            **first.carried,
        }
        outputs = session.run(feeds, cancellation)
        return Effects(*(outputs[name] for name in _SUMS))

    def widest_bytes(self, places: int = 0) -> int:
        """Size of the widest tensor of one sample that is known, in bytes.

        Known are layers, the image, and what convolutions give: a bundle may have few layers.

        Args:
            places: tensors of fewer places are left out.
        """
        if places not in self._widest:
            self._widest[places] = self._widest_of(places)
        return self._widest[places]

    @property
    def is_large(self) -> bool:
        """Whether one sample's tensors fill a core's cache, so that memory has to be bounded."""
        return self.widest_bytes() >= LARGE_BYTES

    def _widest_of(self, places: int) -> int:
        shapes = [(x.channels, x.height, x.width) for x in self.manifest.layers]
        wide = [x for x in [*shapes, *self._convolved] if x[1] * x[2] >= places]
        elements = [channels * max(h, 1) * max(w, 1) for channels, h, w in wide]
        return max([*elements, math.prod(self.image_shape)]) * _FLOAT_BYTES

    @cached_property
    def _convolved(self) -> list[tuple[int, int, int]]:
        try:
            return convolved(read_graph(self.folder.file(self.manifest.generator)))
        except DecodeError:
            # It cannot be opened either, which is told there.
            return []

    def areas(self, map_size: int) -> Areas:
        """The areas that keep a map's sides at `map_size` or below; 0 means 128."""
        limit = map_size or 128
        _, height, width = self.image_shape
        return Areas(-(-height // limit), -(-width // limit))

    def map_shape(self, map_size: int) -> tuple[int, int]:
        """Height and width of a map whose sides are kept at `map_size` or below."""
        areas = self.areas(map_size)
        _, height, width = self.image_shape
        return -(-height // areas.height), -(-width // areas.width)

    def session(self, purpose: str, model: Callable[[], ir.Model | Path]) -> Session:
        """The session for a purpose, opened from a file or a model if it is not there."""
        key = f"{self.manifest.digest}/{purpose}"
        return self._pool.get(key, lambda: self._graph(model()), self.backend)

    def keep(self, purpose: str, make: Callable[[], _Kept]) -> _Kept:
        """What takes the place of a session for a purpose, made if it is not there."""
        return self._pool.keep(f"{self.manifest.digest}/{purpose}", make)

    def is_open(self, *purposes: str) -> bool:
        """Whether the sessions for these purposes, or of these files, are there."""
        keys = (f"{self.manifest.digest}/{purpose}" for purpose in purposes)
        return all(self._pool.is_open(key, self.backend) for key in keys)

    def _graph(self, model: ir.Model | Path) -> Graph:
        source = model if isinstance(model, Path) else ir.to_proto(model).SerializeToString()
        return Graph(source, self.folder.path, keeps_memory=not self.is_large)

    def _upper(self, layer: bundle_pb2.Layer, rewrites: tuple[str, ...]) -> Session:
        if not rewrites:
            return self._file(layer.upstream)
        path = self.folder.path / layer.upstream
        purpose = f"{layer.upstream}/{'+'.join(rewrites)}"
        return self.session(purpose, lambda: rewrite(ir.load(path), rewrites))

    def _file(self, name: str) -> Session:
        return self.session(name, lambda: self.folder.file(name))

    def _build(self, layer: bundle_pb2.Layer, areas: Areas) -> ir.Model:
        """The downstream half with the splice and the reduction."""
        downstream = ir.load(self.folder.path / layer.downstream)
        axis = CHANNEL_AXES[layer.kind]
        model = splice(downstream, activation=layer.tensor, channel_axis=axis)
        return reduce_effects(model, areas=areas)


def recorded(
    layer: bundle_pb2.Layer, latents: Latents, crossing: Mapping[str, ort.OrtValue]
) -> Recording:
    """What a layer holds, among the inputs and all that was computed above it."""
    # The whole graph may ask for an input that nothing in it reads.
    names = layer.carried if layer.upstream else [x for x in latents if x != layer.tensor]
    carried = {name: _output(crossing, name) for name in names}
    return Recording(_output(crossing, layer.tensor), carried)


def _output(outputs: Mapping[str, ort.OrtValue], name: str) -> ort.OrtValue:
    """What a graph gives under a name that the manifest knows."""
    if name not in outputs:
        raise Corrupt(
            f"a graph of the bundle does not give {name!r}, which its manifest names; it gives: "
            f"{', '.join(outputs)}"
        )
    return outputs[name]


def _array(value: ort.OrtValue) -> NDArray[np.float32]:
    array: NDArray[np.float32] = value.numpy()
    return array


def doubles(value: Feed) -> NDArray[np.float64]:
    """What a graph gives in float64, read from where it lies."""
    array = value.numpy() if isinstance(value, ort.OrtValue) else value
    return np.asarray(array, dtype=np.float64)
