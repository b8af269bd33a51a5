"""The asynchronous client: as `Client`, method by method, for programs with an event loop."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from graftscope.client import _analysing, _asking, _following
from graftscope.client._analysis_methods import told
from graftscope.client._async import AsyncDriver
from graftscope.client._checks import names
from graftscope.client._choices import ChannelChoice, GivenMaps, MapsChoice, PairChoice
from graftscope.client._client import DEFAULT_TIMEOUT_S
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
from graftscope.client._jobs import Estimate, Job, ProgressCallback
from graftscope.client._layers import LayersOptions, LayersResult, layers_task
from graftscope.client._models import Model
from graftscope.client._originals import Latents, Originals
from graftscope.client._results import (
    HybridResult,
    InfluenceResult,
    ModulesResult,
    Posterior,
    Samples,
)
from graftscope.client._sweeps import AnalysisResult, MagnitudeResult, StabilityResult
from graftscope.client._tasks import (
    HybridTask,
    InfluenceTask,
    MagnitudeTask,
    Method,
    ModulesTask,
    StabilityTask,
    Task,
    Until,
)
from graftscope.client.errors import UsageError


class AsyncClient:
    """Speaks to a Graftscope server from an event loop; see `Client`.

    Usage::

        async with AsyncClient("localhost:50051") as client:
            maps = await client.influence("vae-celeba", "intermediate", pairs=200)

    It connects, or starts its embedded server, when it is entered.

    Args:
        address: As of `Client`, and so are the others.
        bundles: Bundle folders of the embedded server.
        workers: Runs side by side in the embedded server.
        device: Where the embedded server computes.
        state: Folder for the embedded server's jobs and results.
        timeout_s: Seconds that a call may take; None for no limit.

    Raises:
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
        self._choice = ServerChoice(address, bundles, workers, device, state).resolved()
        self._timeout_s = timeout_s
        self._resources = AsyncExitStack()
        self._connected: AsyncDriver | None = None
        self.embedded = self._choice.address is None
        """Whether the server lives in this process."""
        self.address = self._choice.address or ""
        """HOST:PORT of the server; of an embedded one, empty until the client is entered."""
        self.keeps_results = True
        """As of `Client`, once the client is entered."""

    async def __aenter__(self) -> Self:
        """Connect, and start the embedded server where there is no other."""
        async with AsyncExitStack() as stack:
            server = ExitStack()
            # Starting and ending a server takes its time, which the event loop must not wait for.
            found = await asyncio.to_thread(server.enter_context, reached(self._choice))
            self.address, self.keeps_results = found.address, found.keeps_results
            stack.push_async_callback(asyncio.to_thread, server.close)
            self._connected = AsyncDriver(self.address, self._timeout_s)
            stack.push_async_callback(self._connected.close)
            self._resources = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client."""
        await self.close()

    async def close(self) -> None:
        """Close the connection, and end the embedded server."""
        self._connected = None
        await self._resources.aclose()

    @property
    def _driver(self) -> AsyncDriver:
        if self._connected is None:
            raise UsageError(
                "the client is not connected: use `async with AsyncClient() as client`"
            )
        return self._connected

    async def models(self) -> tuple[Model, ...]:
        """As `Client.models`."""
        return await self._driver.run(_asking.models())

    async def model(self, name: str) -> Model:
        """As `Client.model`."""
        return await self._driver.run(_asking.model(name))

    @overload
    async def generate(
        self, model: str, *, encoding: None = None, **options: Unpack[GenerateOptions]
    ) -> Samples: ...

    @overload
    async def generate(
        self, model: str, *, encoding: str, **options: Unpack[GenerateOptions]
    ) -> SampleFiles: ...

    async def generate(
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
        """As `Client.generate`."""
        drawn = PairChoice(count, seed, first, originals, fix=fix)
        source = drawn if latents is None else latents
        return await self._driver.run(_asking.generate(model, source, precision, encoding))

    async def encode(
        self, model: str, images: NDArray[np.uint8], *, precision: Precision = Precision.FP32
    ) -> Posterior:
        """As `Client.encode`."""
        return await self._driver.run(_asking.encode(model, images, precision))

    @overload
    async def hybridize(
        self,
        model: str,
        layer: str = "",
        channels: Sequence[int] | None = None,
        *,
        encoding: None = None,
        **options: Unpack[HybridizeOptions],
    ) -> HybridResult: ...

    @overload
    async def hybridize(
        self,
        model: str,
        layer: str = "",
        channels: Sequence[int] | None = None,
        *,
        encoding: str,
        **options: Unpack[HybridizeOptions],
    ) -> HybridFiles: ...

    async def hybridize(
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
        """As `Client.hybridize`."""
        target = ChannelChoice(layer, channels, labels, module, intervention).to_intervention()
        drawn = PairChoice(pairs, seed, first, originals, share, fix)
        asked = _asking.hybridize(model, target, drawn, precision, encoding)
        return await self._driver.run(asked)

    async def influence(
        self,
        model: str,
        layer: str = "",
        channels: Sequence[int] | None = None,
        *,
        labels: NDArray[np.integer] | None = None,
        interventions: Sequence[Intervention] | None = None,
        pairs: int = 1000,
        until: Until | str | None = None,
        precision: Precision = Precision.FP32,
        seed: int = 0,
        first: int = 0,
        originals: Originals | None = None,
        map_size: int = 0,
        products: bool = False,
        share: Sequence[str] = (),
        fix: Fixed | None = None,
        stratified: bool = False,
        on_progress: ProgressCallback | None = None,
    ) -> InfluenceResult:
        """As `Client.influence`."""
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
            products=products,
            interventions=None if interventions is None else tuple(interventions),
            share=names("share", share),
            fix=fix,
            until=until,
            precision=precision,
            stratified=stratified,
        )
        return await self._driver.run(_analysing.influence(task), told(on_progress))

    async def influence_layers(
        self,
        model: str,
        layers: Sequence[str],
        *,
        on_progress: ProgressCallback | None = None,
        **options: Unpack[LayersOptions],
    ) -> LayersResult:
        """As `Client.influence_layers`."""
        task = layers_task(model, layers, options)
        return await self._driver.run(_analysing.influence_layers(task), told(on_progress))

    async def modules(
        self,
        maps: GivenMaps,
        k: int = 3,
        *,
        method: Method = Method.NMF,
        seeds: Sequence[int] = (0,),
        window: int = 3,
        percentile: float = 75.0,
        products: NDArray[np.floating] | None = None,
        min_purity: float = 0.0,
        on_progress: ProgressCallback | None = None,
    ) -> ModulesResult:
        """As `Client.modules`."""
        chosen = MapsChoice.of(maps, products)
        task = ModulesTask(
            maps=chosen.maps,
            k=k,
            method=method,
            seeds=tuple(seeds),
            window=window,
            percentile=percentile,
            products=chosen.products,
            min_purity=min_purity,
        )
        return await self._driver.run(_analysing.modules(task, chosen.source), told(on_progress))

    async def stability(
        self,
        maps: GivenMaps,
        ks: Sequence[int] | None = None,
        methods: Sequence[Method] = (Method.NMF, Method.KMEANS),
        *,
        repeats: int = 20,
        seed: int = 0,
        window: int = 3,
        percentile: float = 75.0,
        products: NDArray[np.floating] | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> StabilityResult:
        """As `Client.stability`."""
        chosen = MapsChoice.of(maps, products)
        task = StabilityTask(
            maps=chosen.maps,
            ks=None if ks is None else tuple(ks),
            methods=tuple(methods),
            repeats=repeats,
            seed=seed,
            window=window,
            percentile=percentile,
            products=chosen.products,
        )
        return await self._driver.run(_analysing.stability(task, chosen.source), told(on_progress))

    async def magnitude(
        self,
        model: str,
        layers: Sequence[str] | None = None,
        ks: Sequence[int] | None = None,
        method: Method = Method.NMF,
        *,
        seed: int = 0,
        pairs: int = 1000,
        pairs_seed: int = 0,
        first: int = 0,
        originals: Originals | None = None,
        map_size: int = 0,
        window: int = 3,
        percentile: float = 75.0,
        share: Sequence[str] = (),
        fix: Fixed | None = None,
        stratified: bool = False,
        on_progress: ProgressCallback | None = None,
    ) -> MagnitudeResult:
        """As `Client.magnitude`."""
        task = MagnitudeTask(
            model=model,
            layers=None if layers is None else tuple(layers),
            ks=None if ks is None else tuple(ks),
            method=method,
            seed=seed,
            pairs=pairs,
            pairs_seed=pairs_seed,
            first=first,
            originals=originals,
            map_size=map_size,
            window=window,
            percentile=percentile,
            share=names("share", share),
            fix=fix,
            stratified=stratified,
        )
        return await self._driver.run(_analysing.magnitude(task), told(on_progress))

    async def start(self, task: Task) -> Job:
        """As `Client.start`."""
        return await self._driver.run(_analysing.start(task))

    async def estimate(self, task: HybridTask) -> Estimate:
        """As `Client.estimate`."""
        return await self._driver.run(_analysing.estimate(task))

    async def jobs(self) -> tuple[Job, ...]:
        """As `Client.jobs`."""
        return await self._driver.run(_following.jobs())

    async def job(self, name: str) -> Job:
        """As `Client.job`."""
        return await self._driver.run(_following.job(name))

    def watch(self, name: str) -> AsyncIterator[Job]:
        """As `Client.watch`."""
        return self._driver.iterate(_following.follow(name))

    async def wait(self, name: str, on_progress: ProgressCallback | None = None) -> AnalysisResult:
        """As `Client.wait`."""
        return await self._driver.run(_following.finish(name), told(on_progress))

    async def result(self, name: str) -> AnalysisResult:
        """As `Client.result`."""
        return await self._driver.run(_following.result(name))

    async def cancel(self, name: str) -> None:
        """As `Client.cancel`."""
        await self._driver.run(_following.cancel(name))

    async def delete(self, name: str) -> None:
        """As `Client.delete`."""
        await self._driver.run(_following.delete(name))
