"""The synchronous client: numpy in, numpy out. What its methods do is in the flows."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from graftscope.client import _asking
from graftscope.client._analysis_methods import AnalysisMethods
from graftscope.client._choices import ChannelChoice, PairChoice
from graftscope.client._embedded import ServerChoice, reached
from graftscope.client._encodings import (
    GenerateOptions,
    HybridFiles,
    HybridizeOptions,
    SampleFiles,
)
from graftscope.client._execution import Precision
from graftscope.client._fixed import Fixed
from graftscope.client._interventions import Intervention
from graftscope.client._models import Model
from graftscope.client._originals import Latents, Originals
from graftscope.client._results import HybridResult, Posterior, Samples
from graftscope.client._sync import SyncDriver

DEFAULT_TIMEOUT_S = 120.0
"""Enough for the largest reply that a server gives while the caller waits."""


class Client(AnalysisMethods):
    """Speaks to a Graftscope server, or to an embedded one that lives as long as the client.

    Usage::

        with Client() as client:
            maps = client.influence("vae-celeba", "intermediate", pairs=200)
            modules = client.modules(maps, k=3)

    Every method raises errors of `graftscope.client.errors`.

    Args:
        address: HOST:PORT of a server; None for the environment variable GRAFTSCOPE_SERVER, or
            else an embedded server.
        bundles: Bundle folders of the embedded server; None for those that come with the package.
        workers: Runs side by side in the embedded server; None for one a core.
        device: Where the embedded server computes: ``cpu`` or ``cuda``.
        state: Folder for the embedded server's jobs and results; None for its default.
        timeout_s: Seconds that a call may take; None for no limit. Jobs have none.

    Raises:
        InputError: If the address or the timeout is not allowed, or a bundle is damaged.
        NotFoundError: If a bundle is not there.
        MissingExtraError: If an embedded server is needed and not installed.
        UsageError: If both address and bundles are given.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        bundles: Sequence[str | Path] | None = None,
        workers: int | None = None,
        device: str = "cpu",
        state: str | Path | None = None,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
    ) -> None:
        choice = ServerChoice(address, bundles, workers, device, state).resolved()
        self.embedded = choice.address is None
        """Whether the server lives in this process."""
        with ExitStack() as stack:
            found = stack.enter_context(reached(choice))
            self.address = found.address
            """HOST:PORT of the server."""
            self.keeps_results = found.keeps_results
            """Whether jobs and results outlive the client. Not those of an embedded server that
            found the default state folder in use; the logger `graftscope.client` warns of it."""
            self._driver = SyncDriver(self.address, timeout_s)
            stack.callback(self._driver.close)
            self._resources = stack.pop_all()

    def close(self) -> None:
        """Close the connection, and end the embedded server."""
        self._resources.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client."""
        self.close()

    def models(self) -> tuple[Model, ...]:
        """List the server's models."""
        return self._driver.run(_asking.models())

    def model(self, name: str) -> Model:
        """Describe one model.

        Args:
            name: Its name, with ``@DIGEST`` to insist on one version.

        Returns:
            The model.
        """
        return self._driver.run(_asking.model(name))

    @overload
    def generate(
        self, model: str, *, encoding: None = None, **options: Unpack[GenerateOptions]
    ) -> Samples: ...

    @overload
    def generate(
        self, model: str, *, encoding: str, **options: Unpack[GenerateOptions]
    ) -> SampleFiles: ...

    def generate(
        self,
        model: str,
        *,
        count: int = 8,
        seed: int = 0,
        first: int = 0,
        originals: Originals | None = None,
        latents: Latents | None = None,
        fix: Fixed | None = None,
        precision: Precision = Precision.FP32,
        encoding: str | None = None,
    ) -> Samples | SampleFiles:
        """Generate samples: original 1 of pairs, or what given latents make.

        Args:
            model: The model's name.
            count: How many, at least 1.
            seed: Any number in [0, 2^32).
            first: Index of the first sample; sample i of a seed is always the same.
            originals: Where latents come from; None for `Encoded` where the model has an encoder,
                else `Prior`.
            latents: The latents themselves, each (B, ...) by the input's name; then all other
                arguments are ignored.
            fix: Values of inputs that are the same in every sample, by the input's name: numbers,
                or arrays of the input's shape.
            precision: Of the arithmetic, such as ``Precision.BF16``; what the server cannot run it
                refuses, and every result says what ran.
            encoding: ``"png"`` or ``"webp"`` for files of 8 bits a channel, the generator's range
                mapped to 0 to 255; None for an array.

        Returns:
            Images and the latents that they were made from; with an encoding `images` is a list of
            files, each its bytes.
        """
        drawn = PairChoice(count, seed, first, originals, fix=fix)
        source = drawn if latents is None else latents
        return self._driver.run(_asking.generate(model, source, precision, encoding))

    def encode(
        self, model: str, images: NDArray[np.uint8], *, precision: Precision = Precision.FP32
    ) -> Posterior:
        """Infer latents from images.

        Args:
            model: The name of a model with an encoder.
            images: (B, H, W, c) uint8, of the generator's image size.
            precision: As of `generate`.

        Returns:
            Mean and logarithm of the variance of each image's posterior.
        """
        return self._driver.run(_asking.encode(model, images, precision))

    @overload
    def hybridize(
        self,
        model: str,
        layer: str = "",
        channels: Sequence[int] | None = None,
        *,
        encoding: None = None,
        **options: Unpack[HybridizeOptions],
    ) -> HybridResult: ...

    @overload
    def hybridize(
        self,
        model: str,
        layer: str = "",
        channels: Sequence[int] | None = None,
        *,
        encoding: str,
        **options: Unpack[HybridizeOptions],
    ) -> HybridFiles: ...

    def hybridize(
        self,
        model: str,
        layer: str = "",
        channels: Sequence[int] | None = None,
        *,
        labels: NDArray[np.integer] | None = None,
        module: int | None = None,
        intervention: Intervention | None = None,
        pairs: int = 8,
        seed: int = 0,
        first: int = 0,
        originals: Originals | None = None,
        share: Sequence[str] = (),
        fix: Fixed | None = None,
        precision: Precision = Precision.FP32,
        encoding: str | None = None,
    ) -> HybridResult | HybridFiles:
        """Make hybrids: original 1 with some channels' values from original 2 (Definition 5).

        Or with whatever else an intervention assigns (Definition 2).

        Args:
            model: The model's name.
            layer: A layer's name, or a level's.
            channels: E, the channels to take from original 2; may be empty. Either these,
            labels: or (C,) module of every channel of the layer, -1 for none, and
            module: which of those modules to take.
            intervention: What is assigned, instead of `layer` and all of the above.
            pairs: How many pairs of originals, at least 1.
            seed: Any number in [0, 2^32).
            first: Index of the first pair.
            originals: Where the pairs come from, or the pairs themselves; None for `Encoded`
                where the model has an encoder, else `Prior`.
            share: Names of inputs of which original 2 takes original 1's value: with a class
                label among them, hybrids are of one class.
            fix: Values of inputs that are the same in every sample, by the input's name: numbers,
                or arrays of the input's shape.
            precision: As of `generate`.
            encoding: As of `generate`.

        Returns:
            Both originals and the hybrid of every pair; with an encoding each is a list of files.
        """
        target = ChannelChoice(layer, channels, labels, module, intervention).to_intervention()
        drawn = PairChoice(pairs, seed, first, originals, share, fix)
        asked = _asking.hybridize(model, target, drawn, precision, encoding)
        return self._driver.run(asked)
