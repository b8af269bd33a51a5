"""The proof that ends an export: the files that were written compute what they should.

On random latents, for several batches, from the written files alone:

1. Every graph passes ONNX's checker.
2. Images have the stated shape and, where the generator bounds them, lie in the stated range; a
   sample does not depend on the others of its batch.
3. At every layer, downstream after upstream gives the whole graph's image: exactly where ONNX
   Runtime leaves the graphs as they are, within `TOLERANCE` where it optimises them.
4. At every layer, splicing nothing gives original 1, as a hybrid and as an effect of 0.
5. Generator and encoder give what they were made from gives, within `TOLERANCE`. Where the
   source draws random numbers by itself, all noise is held at one value in both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from graftscope.exporter._compare import compare
from graftscope.exporter._draw import draw_latents, held, read_stored
from graftscope.exporter._sessions import Session
from graftscope.exporter._splicing import prove_splicing
from graftscope.exporter._subject import Reference
from graftscope.exporter.errors import ProofError
from graftscope.v1 import bundle_pb2

TOLERANCE: Final = 1e-5
"""Largest difference, as a share of the image range's width: float32 sums in another order."""

BATCHES: Final = (1, 3)
_BATCHES_IF_EXPENSIVE: Final = (1, 2)
_EXPENSIVE_MFLOP: Final = 20_000
"""A generator of 1024 x 1024 pixels needs more for one sample; a proof runs every layer."""

Tensors = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Proof:
    """What is to be proved, and how far numbers may be apart.

    Attributes:
        folder: Where the files lie.
        manifest: What they are said to be.
        generator: What the generator was made from; None if there is nothing to compare with.
        encoder: What the encoder was made from, likewise.
        bounded: Whether no image may leave the stated range; else it is where most pixels lie.
    """

    folder: Path
    manifest: bundle_pb2.Bundle
    generator: Reference | None
    encoder: Reference | None
    bounded: bool = True

    @property
    def batches(self) -> tuple[int, ...]:
        """Numbers of samples that everything is proved with, the largest last."""
        costs = [layer.upstream_mflop + layer.downstream_mflop for layer in self.manifest.layers]
        return BATCHES if max(costs, default=0) < _EXPENSIVE_MFLOP else _BATCHES_IF_EXPENSIVE

    @property
    def steps(self) -> int:
        """How often `run` reports."""
        return 2 * (1 + len(self.manifest.layers))

    @property
    def allowed(self) -> float:
        """Largest difference between images where arithmetic may be reordered."""
        return TOLERANCE * (self.manifest.image.high - self.manifest.image.low)

    def run(self, report: Callable[[], None]) -> None:
        """Prove it all.

        Args:
            report: Called after each step.

        Raises:
            ProofError: At the first thing that is not so; it says where and by how much.
        """
        self._check_files()
        inputs = self.manifest.inputs
        latents = draw_latents(inputs, read_stored(self.folder, inputs), self.batches[-1])
        for optimised in (False, True):
            images = self._prove_generator(latents, optimised)
            self._prove_encoder(images[self.batches[-1]], optimised)
            report()
            for layer in self.manifest.layers:
                crossing = self._prove_layer(layer, latents, images, optimised)
                if optimised:
                    whole = images[self.batches[-1]]
                    prove_splicing(self.folder, layer, crossing, whole, self.allowed)
                report()

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

    def _prove_generator(self, latents: Tensors, optimised: bool) -> dict[int, NDArray[np.float32]]:
        session = Session(self.folder / self.manifest.generator, optimised=optimised)
        images = {
            batch: session.run(_first(latents, batch))[session.outputs[0]] for batch in self.batches
        }
        for batch, image in images.items():
            self._check_image(image, batch)
            where = f"the generator's images, of a batch of {batch},"
            whole = images[self.batches[-1]][:batch]
            compare(f"{where} against those of {self.batches[-1]}", image, whole, self.allowed)
        self._compare_with_source(session, latents, images)
        return images

    def _compare_with_source(
        self, session: Session, latents: Tensors, images: Mapping[int, NDArray[np.float32]]
    ) -> None:
        """Compare with what the generator was made from, its own random numbers held."""
        if self.generator is None:
            return
        draws = any(each.noise for each in self.manifest.inputs)
        steady = held(self.manifest.inputs, latents)
        for batch in self.batches:
            given = _first(steady, batch)
            image = session.run(given)[session.outputs[0]] if draws else images[batch]
            (expected,) = self.generator(given)
            where = f"the generator's images, of a batch of {batch},"
            noise = " with all noise held at one value" if draws else ""
            compare(f"{where} against its source's{noise}", image, expected, self.allowed)

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
        latents: Tensors,
        images: Mapping[int, NDArray[np.float32]],
        optimised: bool,
    ) -> Tensors:
        """Return what crosses the cut for the largest batch, latents among it."""
        if not layer.upstream:
            return latents  # below an input lies the generator itself
        upstream = Session(self.folder / layer.upstream, optimised=optimised)
        downstream = Session(self.folder / layer.downstream, optimised=optimised)
        crossing: Tensors = {}
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
            )
        return crossing

    def _prove_encoder(self, images: NDArray[np.float32], optimised: bool) -> None:
        if not self.manifest.HasField("encoder"):
            return
        stated = self.manifest.encoder
        session = Session(self.folder / stated.file, optimised=optimised)
        whole = session.run({stated.image: images})
        for batch in self.batches:
            part = {stated.image: images[:batch]}
            found = session.run(part)
            _compare_encodings(batch, found, {name: whole[name][:batch] for name in whole})
            if self.encoder is not None:
                _compare_encodings(batch, found, dict(zip(found, self.encoder(part), strict=True)))


def _first(tensors: Tensors, count: int) -> dict[str, NDArray[np.generic]]:
    return {name: array[:count] for name, array in tensors.items()}


def _compare_encodings(
    batch: int,
    found: Mapping[str, NDArray[np.float32]],
    expected: Mapping[str, NDArray[np.float32]],
) -> None:
    for name, values in expected.items():
        # Encodings have no range of their own; their largest value stands in for its width.
        allowed = TOLERANCE * max(1.0, float(np.abs(values).max()))
        compare(f"the encoder's {name} (batch {batch})", found[name], values, allowed)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
