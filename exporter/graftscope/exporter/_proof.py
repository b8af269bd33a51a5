"""The proof that ends an export: the files that were written compute what they should.

On random latents, for several batches, from the written files alone:

1. Every graph passes ONNX's checker.
2. Images have the stated shape and, where the generator bounds them, lie in the stated range; a
   sample does not depend on the others of its batch.
3. At every layer, downstream after upstream gives the whole graph's image: exactly where ONNX
   Runtime leaves the graphs as they are, within `Agreement.halves` where it optimises them.
4. At every layer, splicing nothing gives original 1, as a hybrid and as an effect of 0: by the very
   graphs that are run later, so that no bundle is written that cannot be edited.
5. The generator gives what it was made from gives, within `Agreement.source`, and an encoder
   within `TOLERANCE`. Where the source draws random numbers by itself, all noise is held at one
   value in both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.exporter._samples import draw_latents, held, read_stored
from graftscope.exporter._sessions import CpuSession
from graftscope.exporter._subject import Agreement, Arrays, Reference
from graftscope.exporter.errors import ProofError
from graftscope.graph import (
    HYBRIDS,
    IMAGE1,
    ORIGINAL1,
    ORIGINAL2,
    PIXEL_MEANS,
    SETS,
    GraphError,
    reduce_effects,
    splice,
)
from graftscope.v1 import bundle_pb2

BATCHES: Final = (1, 3)
_BATCHES_IF_EXPENSIVE: Final = (1, 2)
_BATCHES_IF_QUANTISED: Final = (1, 8)
_BATCHES_IF_BOTH: Final = (1, 4)
_EXPENSIVE_MFLOP: Final = 20_000
"""A generator of 1024 x 1024 pixels needs more for one sample; a proof runs every layer."""


CHANNEL_AXIS: Final = {
    bundle_pb2.LAYER_KIND_MAP: 1,
    bundle_pb2.LAYER_KIND_VECTOR: 1,
    bundle_pb2.LAYER_KIND_TOKENS: 2,
}


@dataclass(frozen=True)
class Proof:
    """What is to be proved, and how far numbers may be apart.

    Attributes:
        folder: Where the files lie.
        manifest: What they are said to be.
        generator: What the generator was made from; None if there is nothing to compare with.
        encoder: What the encoder was made from, likewise.
        bounded: Whether no image may leave the stated range; else it is where most pixels lie.
        agreement: How far images may be apart.
        suspect: What may be the cause where the generator is not what it was made from.
        encodings: How far encodings may be apart, as shares of the largest, or of 1.
    """

    folder: Path
    manifest: bundle_pb2.Bundle
    generator: Reference | None
    encoder: Reference | None
    bounded: bool = True
    agreement: Agreement = Agreement()
    suspect: str = ""
    encodings: Agreement = Agreement()

    @property
    def batches(self) -> tuple[int, ...]:
        """Numbers of samples that everything is proved with, the largest last."""
        costs = [layer.upstream_mflop + layer.downstream_mflop for layer in self.manifest.layers]
        expensive = max(costs, default=0) >= _EXPENSIVE_MFLOP
        if self.agreement.rounds:
            return _BATCHES_IF_BOTH if expensive else _BATCHES_IF_QUANTISED
        return _BATCHES_IF_EXPENSIVE if expensive else BATCHES

    @property
    def steps(self) -> int:
        """How often `run` reports."""
        return 2 * (1 + len(self.manifest.layers))

    @property
    def allowed(self) -> float:
        """Largest difference between images where arithmetic may be reordered."""
        return self.agreement.halves * self._width

    @property
    def usual(self) -> float | None:
        """As `allowed`, in half of a batch's images at least; None for no difference."""
        usual = self.agreement.usual_halves
        return None if usual is None else usual * self._width

    @property
    def _allowed_from_source(self) -> tuple[float, float | None]:
        usual = self.agreement.usual_source
        return (
            self.agreement.source * self._width,
            None if usual is None else usual * self._width,
        )

    @property
    def _width(self) -> float:
        return self.manifest.image.high - self.manifest.image.low

    def run(self, report: Callable[[], None]) -> float:
        """Prove it all.

        Args:
            report: Called after each step.

        Returns:
            The largest difference from what the generator was made from, as a share of the width
            of the images' range; 0 where there is nothing to compare it with.

        Raises:
            ProofError: At the first thing that is not so; it says where and by how much.
        """
        self._check_files()
        inputs = self.manifest.inputs
        latents = draw_latents(inputs, read_stored(self.folder, inputs), self.batches[-1])
        apart = 0.0
        images: dict[bool, dict[int, NDArray[np.float32]]] = {}
        for optimised in (False, True):
            images[optimised], found = self._prove_generator(latents, optimised)
            apart = max(apart, found)
            self._prove_encoder(images[optimised][self.batches[-1]], optimised)
            report()
        # Layer by layer, so that each takes as long as the next and the time left can be told.
        for layer in self.manifest.layers:
            self._prove_layer(layer, latents, images[False], optimised=False)
            report()
            crossing = self._prove_layer(layer, latents, images[True], optimised=True)
            whole = images[True][self.batches[-1]]
            prove_splicing(self.folder, layer, crossing, whole, self.allowed, self.usual)
            report()
        return apart / self._width

    def run_encoder(self) -> None:
        """Prove the encoder alone, where the rest was proved before and is the same.

        Raises:
            ProofError: As `run`.
        """
        self._check_files()
        inputs = self.manifest.inputs
        latents = draw_latents(inputs, read_stored(self.folder, inputs), self.batches[-1])
        for optimised in (False, True):
            session = CpuSession(self.folder / self.manifest.generator, optimised=optimised)
            self._prove_encoder(session.run(latents)[session.outputs[0]], optimised)

    def _check_files(self) -> None:
        for file in self.manifest.files:
            if not file.name.endswith(".onnx"):
                continue
            try:
                onnx.checker.check_model(str(self.folder / file.name), full_check=True)
            except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
                raise ProofError(
                    f"{file.name} is no valid ONNX graph: {_first_line(error)}"
                ) from error

    def _prove_generator(
        self, latents: Arrays, optimised: bool
    ) -> tuple[dict[int, NDArray[np.float32]], float]:
        """Return images by the size of their batch, and how far the source's are from them."""
        session = CpuSession(self.folder / self.manifest.generator, optimised=optimised)
        images = {
            batch: session.run(_first(latents, batch))[session.outputs[0]] for batch in self.batches
        }
        for batch, image in images.items():
            self._check_image(image, batch)
            where = f"the generator's images, of a batch of {batch},"
            whole = images[self.batches[-1]][:batch]
            what = f"{where} against those of {self.batches[-1]}"
            compare(what, image, whole, self.allowed, self.usual)
        return images, self._compare_with_source(session, latents, images)

    def _compare_with_source(
        self, session: CpuSession, latents: Arrays, images: Mapping[int, NDArray[np.float32]]
    ) -> float:
        """Compare with what the generator was made from, its own random numbers held."""
        apart = 0.0
        if self.generator is None:
            return apart
        draws = any(each.noise for each in self.manifest.inputs)
        steady = held(self.manifest.inputs, latents)
        for batch in self.batches:
            given = _first(steady, batch)
            image = session.run(given)[session.outputs[0]] if draws else images[batch]
            (expected,) = self.generator(given)
            where = f"the generator's images, of a batch of {batch},"
            noise = " with all noise held at one value" if draws else ""
            what = f"{where} against its source's{noise}"
            found = compare(what, image, expected, *self._allowed_from_source, self.suspect)
            apart = max(apart, found)
        return apart

    def _check_image(self, image: NDArray[np.float32], batch: int) -> None:
        stated = self.manifest.image
        shape = (batch, stated.channels, stated.height, stated.width)
        if image.shape != shape:
            raise ProofError(f"the generator's images have shape {image.shape}, not {shape}")
        low, high = float(image.min()), float(image.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ProofError("the generator's images hold numbers that are not finite")
        if not self.bounded:
            return
        if not (stated.low - self.allowed <= low <= high <= stated.high + self.allowed):
            raise ProofError(
                f"the generator's images reach from {low:.6g} to {high:.6g}; "
                f"the stated range is {stated.low:g} to {stated.high:g}"
            )

    def _prove_layer(
        self,
        layer: bundle_pb2.Layer,
        latents: Arrays,
        images: Mapping[int, NDArray[np.float32]],
        optimised: bool,
    ) -> Arrays:
        """Return what crosses the cut for the largest batch, latents among it."""
        if not layer.upstream:
            return latents  # below an input lies the generator itself
        upstream = CpuSession(self.folder / layer.upstream, optimised=optimised)
        downstream = CpuSession(self.folder / layer.downstream, optimised=optimised)
        crossing: Arrays = {}
        for batch, image in images.items():  # the largest comes last
            given = _first(latents, batch)
            crossing = {**given, **upstream.run(given)}
            (found,) = downstream.run(crossing).values()
            compare(
                f"layer {layer.name!r}: downstream after upstream, against the whole generator "
                f"(batch {batch}, optimisations {'on' if optimised else 'off'}),",
                found,
                image,
                self.allowed if optimised else 0.0,
                self.usual if optimised else None,
            )
        return crossing

    def _prove_encoder(self, images: NDArray[np.float32], optimised: bool) -> None:
        if not self.manifest.HasField("encoder"):
            return
        stated = self.manifest.encoder
        session = CpuSession(self.folder / stated.file, optimised=optimised)
        whole = session.run({stated.image: images})
        for batch in self.batches:
            part = {stated.image: images[:batch]}
            found = session.run(part)
            first = {name: whole[name][:batch] for name in whole}
            _compare_encodings(batch, found, first, self.encodings.halves)
            if self.encoder is not None:
                source = dict(zip(found, self.encoder(part), strict=True))
                _compare_encodings(batch, found, source, self.encodings.source)


def prove_splicing(
    folder: Path,
    layer: bundle_pb2.Layer,
    crossing: Arrays,
    images: NDArray[np.float32],
    allowed: float,
    usual: float | None = None,
) -> None:
    """Prove that splicing no channel of a layer gives original 1, and an effect of 0.

    Args:
        folder: Where the bundle's files lie.
        layer: The layer.
        crossing: The layer's activation and what is carried, (B, ...), by the tensor's name;
            original 2 is the sample before in the batch.
        images: The generator's images of them, (B, c, H, W).
        allowed: Largest difference between images.
        usual: Largest difference in half of them; None for the same.

    Raises:
        ProofError: If the layer cannot be spliced, or it gives something else.
    """
    tensors = {
        **crossing,
        ORIGINAL1: crossing[layer.tensor],
        ORIGINAL2: np.roll(crossing[layer.tensor], 1, axis=0),
        SETS: np.zeros((1, layer.channels), dtype=np.bool_),
        IMAGE1: images,
    }
    what = f"layer {layer.name!r}: splicing no channel, against original 1 (batch {len(images)}),"
    hybrids = _spliced(folder, layer, reduced=False).run(tensors)[HYBRIDS]
    compare(what, hybrids, images, allowed, usual)
    effects = _spliced(folder, layer, reduced=True).run(tensors)[PIXEL_MEANS]
    what = f"layer {layer.name!r}: the effect of splicing no channel (batch {len(images)})"
    compare(what, effects.T, np.zeros((len(images), 1)), allowed, usual)


def _spliced(folder: Path, layer: bundle_pb2.Layer, *, reduced: bool) -> CpuSession:
    path = folder / layer.downstream
    try:
        axis = CHANNEL_AXIS[layer.kind]
        model = splice(ir.load(path), activation=layer.tensor, channel_axis=axis)
        if reduced:
            model = reduce_effects(model)
    except GraphError as error:
        raise ProofError(f"layer {layer.name!r} cannot be spliced: {error}") from error
    return CpuSession(path, optimised=True, content=ir.to_proto(model).SerializeToString())


def _compare_encodings(
    batch: int,
    found: Mapping[str, NDArray[np.float32]],
    expected: Mapping[str, NDArray[np.float32]],
    share: float,
) -> None:
    for name, values in expected.items():
        # Encodings have no range of their own; their largest value stands in for its width.
        allowed = share * max(1.0, float(np.abs(values).max()))
        compare(f"the encoder's {name} (batch {batch})", found[name], values, allowed)


def compare(
    what: str,
    found: NDArray[np.floating],
    expected: NDArray[np.floating],
    allowed: float,
    usual: float | None = None,
    suspect: str = "",
) -> float:
    """Refuse numbers that are further apart than allowed.

    Args:
        what: What was computed; begins the message.
        found: The numbers.
        expected: What they should be, of the same shape.
        allowed: The largest difference.
        usual: The largest difference in half of several samples; None for the same.
        suspect: What may be the cause; ends the message.

    Returns:
        The largest difference that there is.

    Raises:
        ProofError: If the shapes differ, or a difference is larger or not a number.
    """
    cause = f"; {suspect}" if suspect else ""
    if found.shape != expected.shape:
        raise ProofError(f"{what} has shape {found.shape}, not {expected.shape}{cause}")
    differences = np.abs(found.astype(np.float64) - expected)
    difference = float(differences.max())
    # Written so that a difference that is not a number is refused too.
    if not difference <= allowed:
        raise ProofError(f"{what} is off by {difference:.3g}; allowed: {allowed:.3g}{cause}")
    if usual is not None and len(differences) > 1:
        half = float(np.median(differences.reshape(len(differences), -1).max(axis=1)))
        if not half <= usual:
            raise ProofError(
                f"{what} is off by {half:.3g} in half of the samples; allowed: {usual:.3g}{cause}"
            )
    return difference


def _first(tensors: Arrays, count: int) -> dict[str, NDArray[np.generic]]:
    return {name: array[:count] for name, array in tensors.items()}


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
