"""The synchronous client: numpy in, numpy out. What its methods do is in the flows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from graftscope.client import _asking, _following
from graftscope.client._choices import ChannelChoice, PairChoice
from graftscope.client._embedded import ServerChoice, reached
from graftscope.client._jobs import (
    Estimate,
    InfluenceTask,
    Job,
    Method,
    ModulesTask,
    ProgressCallback,
    Task,
)
from graftscope.client._models import Model
from graftscope.client._originals import Latents, Originals
from graftscope.client._results import (
    HybridResult,
    InfluenceResult,
    ModulesResult,
    Posterior,
    Samples,
)
from graftscope.client._sync import SyncDriver

DEFAULT_TIMEOUT_S = 120.0
"""Enough for the largest reply that a server gives while the caller waits."""


class Client:
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

    def generate(
        self,
        model: str,
        *,
        count: int = 8,
        seed: int = 0,
        first: int = 0,
        originals: Originals | None = None,
        latents: Latents | None = None,
    ) -> Samples:
        """Generate samples: original 1 of pairs, or what given latents make.

        Args:
            model: The model's name.
            count: How many, at least 1.
            seed: Any number in [0, 2^32).
            first: Index of the first sample; sample i of a seed is always the same.
            originals: Where latents come from; None for `Encoded` where the model has an encoder,
                else `Prior`.
            latents: The latents themselves, each (B, ...) by the input's name; then the arguments
                above are ignored.

        Returns:
            Images and the latents that they were made from.
        """
        drawn = PairChoice(count, seed, first, originals)
        return self._driver.run(_asking.generate(model, drawn if latents is None else latents))

    def encode(self, model: str, images: NDArray[np.uint8]) -> Posterior:
        """Infer latents from images.

        Args:
            model: The name of a model with an encoder.
            images: (B, H, W, c) uint8, of the generator's image size.

        Returns:
            Mean and logarithm of the variance of each image's posterior.
        """
        return self._driver.run(_asking.encode(model, images))

    def hybridize(
        self,
        model: str,
        layer: str,
        channels: Sequence[int] | None = None,
        *,
        labels: NDArray[np.integer] | None = None,
        module: int | None = None,
        pairs: int = 8,
        seed: int = 0,
        first: int = 0,
        originals: Originals | None = None,
    ) -> HybridResult:
        """Make hybrids: original 1 with some channels' values from original 2 (Definition 5).

        Args:
            model: The model's name.
            layer: A layer's name, or a level's.
            channels: E, the channels to take from original 2; may be empty. Either these,
            labels: or (C,) module of every channel of the layer, -1 for none, and
            module: which of those modules to take.
            pairs: How many pairs of originals, at least 1.
            seed: Any number in [0, 2^32).
            first: Index of the first pair.
            originals: Where the pairs come from, or the pairs themselves; None for `Encoded`
                where the model has an encoder, else `Prior`.

        Returns:
            Both originals and the hybrid of every pair.
        """
        target = ChannelChoice(channels, labels, module)
        drawn = PairChoice(pairs, seed, first, originals)
        return self._driver.run(_asking.hybridize(model, layer, target, drawn))

    def influence(
        self,
        model: str,
        layer: str,
        channels: Sequence[int] | None = None,
        *,
        labels: NDArray[np.integer] | None = None,
        pairs: int = 1000,
        seed: int = 0,
        first: int = 0,
        originals: Originals | None = None,
        map_size: int = 0,
        on_progress: ProgressCallback | None = None,
    ) -> InfluenceResult:
        """Compute influence maps (section 3.2, equation 3) and wait for them.

        A job of the same specification, running or done, answers in place of a new one. To start
        one without waiting, see `start`.

        Args:
            model: The model's name.
            layer: A layer's name, or a level's.
            channels: Which channels' maps; None for every channel of the layer.
            labels: (C,) module of every channel, -1 for none: maps of modules instead.
            pairs: How many pairs of originals, at least 1.
            seed: Any number in [0, 2^32).
            first: Index of the first pair.
            originals: Where the pairs come from, or the pairs themselves; None for `Encoded`
                where the model has an encoder, else `Prior`.
            map_size: No side of a map is longer, in pixels; 0 for the image's size up to 128.
            on_progress: Hears of progress.

        Returns:
            The maps, with their standard errors.
        """
        task = InfluenceTask(
            model=model,
            layer=layer,
            channels=None if channels is None else tuple(channels),
            labels=labels,
            pairs=pairs,
            seed=seed,
            first=first,
            originals=originals,
            map_size=map_size,
        )
        return self._driver.run(_following.influence(task), told(on_progress))

    def modules(
        self,
        maps: InfluenceResult | NDArray[np.floating] | str,
        k: int = 3,
        *,
        method: Method = Method.NMF,
        seeds: Sequence[int] = (0,),
        window: int = 3,
        percentile: float = 75.0,
        on_progress: ProgressCallback | None = None,
    ) -> ModulesResult:
        """Find modules in influence maps (section 3.3) and wait for them.

        Args:
            maps: The influence of C channels: a result, (C, H, W) maps, or the name of the
                operation that computed them.
            k: Number of modules, from 1 to the number of maps that are not flat.
            method: How: `Method.NMF` or `Method.KMEANS`.
            seeds: The first gives the modules; further ones tell how far they depend on it.
            window: Side of the averaging window in pixels, odd.
            percentile: Above which a pixel of a map counts, between 0 and 100.
            on_progress: Hears of progress.

        Returns:
            Labels, templates and weights.
        """
        task = ModulesTask(
            maps=maps.maps if isinstance(maps, InfluenceResult) else maps,
            k=k,
            method=method,
            seeds=tuple(seeds),
            window=window,
            percentile=percentile,
        )
        source = maps.source if isinstance(maps, InfluenceResult) else None
        return self._driver.run(_following.modules(task, source), told(on_progress))

    def start(self, task: Task) -> Job:
        """Start an analysis without waiting for it.

        Args:
            task: What to compute.

        Returns:
            The job, which may be an earlier one of the same specification.
        """
        return self._driver.run(_following.start(task))

    def estimate(self, task: InfluenceTask) -> Estimate:
        """Ask what influence maps are going to cost; nothing is started.

        Args:
            task: What would be computed.

        Returns:
            Time, hybrids and bytes.
        """
        return self._driver.run(_following.estimate(task))

    def jobs(self) -> tuple[Job, ...]:
        """List the server's jobs."""
        return self._driver.run(_following.jobs())

    def job(self, name: str) -> Job:
        """Tell the state of a job.

        Args:
            name: ``operations/ID``, or the ID alone.

        Returns:
            The job.
        """
        return self._driver.run(_following.job(name))

    def watch(self, name: str) -> Iterator[Job]:
        """Follow a job: its state at once, then each change, until it has ended.

        A connection that breaks is made again.

        Args:
            name: ``operations/ID``, or the ID alone.

        Yields:
            The job, each time anew.
        """
        return self._driver.iterate(_following.follow(name))

    def wait(
        self, name: str, on_progress: ProgressCallback | None = None
    ) -> InfluenceResult | ModulesResult:
        """Wait for a job and read its result.

        Args:
            name: ``operations/ID``, or the ID alone.
            on_progress: Hears of progress.

        Returns:
            The result, of the job's kind.
        """
        return self._driver.run(_following.finish(name), told(on_progress))

    def result(self, name: str) -> InfluenceResult | ModulesResult:
        """Read the result of a job that is done.

        Args:
            name: ``operations/ID``, or the ID alone.

        Returns:
            The result, of the job's kind.
        """
        return self._driver.run(_following.result(name))

    def cancel(self, name: str) -> None:
        """Cancel a job; what it computed so far is kept, and the same request resumes it.

        Args:
            name: ``operations/ID``, or the ID alone.
        """
        self._driver.run(_following.cancel(name))

    def delete(self, name: str) -> None:
        """Forget a job and its result.

        Args:
            name: ``operations/ID``, or the ID alone.
        """
        self._driver.run(_following.delete(name))


def told(on_progress: ProgressCallback | None) -> Callable[[Job], None] | None:
    """Make what hears of progress hear of jobs."""
    if on_progress is None:
        return None
    return lambda job: on_progress(job.progress)
