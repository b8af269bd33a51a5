"""What a client offers about analyses: compute them, or start them and look after their jobs."""

from collections.abc import Callable, Iterator, Sequence
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from graftscope.client import _analysing, _following
from graftscope.client._checks import names
from graftscope.client._choices import GivenMaps, MapsChoice
from graftscope.client._execution import Precision
from graftscope.client._fixed import Fixed
from graftscope.client._interventions import Intervention
from graftscope.client._jobs import Estimate, Job, ProgressCallback
from graftscope.client._layers import LayersOptions, LayersResult, layers_task
from graftscope.client._originals import Originals
from graftscope.client._results import InfluenceResult, ModulesResult
from graftscope.client._sweeps import AnalysisResult, MagnitudeResult, StabilityResult
from graftscope.client._sync import SyncDriver
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


class AnalysisMethods:
    """The part of `Client` that is about analyses; it has no connection of its own."""

    _driver: SyncDriver

    def influence(
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
        """Compute influence maps (section 3.2, equation 3) and wait for them.

        A job of the same specification, running or done, answers in place of a new one. To start
        one without waiting, see `start`.

        Args:
            model: The model's name.
            layer: A layer's name, or a level's.
            channels: Which channels' maps; None for every channel of the layer.
            labels: (C,) module of every channel, -1 for none: maps of modules instead.
            interventions: Maps of these instead, one each; they name their layers themselves.
            pairs: How many pairs of originals, at least 1; with `until` the most.
            until: What may end it earlier: `RelativeError(0.02)`, `StableLabels(k=3)`, or in words
                ``se=0.02``, ``stable``, ``stable,k=4,method=kmeans``. The result's `stopping` tells
                what came of it.
            precision: Of the arithmetic, such as ``Precision.BF16`` or ``Precision.AUTO``; what the
                server cannot run it refuses. The result's `execution` tells what ran, and how far
                that is from float32.
            seed: Any number in [0, 2^32).
            first: Index of the first pair.
            originals: Where the pairs come from, or the pairs themselves; None for `Encoded`
                where the model has an encoder, else `Prior`.
            map_size: No side of a map is longer, in pixels; 0 for the image's size up to 128.
            products: Whether the result's `products` are wanted, which `Method.PCA` and
                `Method.SPECTRAL` group by.
            share: Names of inputs of which original 2 takes original 1's value.
            fix: Values of inputs that are the same in every sample, by the input's name: numbers,
                or arrays of the input's shape.
            stratified: Whether every 32 pairs are spread evenly over each dimension of the latents,
                which takes fewer pairs for the same error; then `pairs` and `first` are multiples
                of 32, originals are `Prior` or `Encoded`, and standard errors are those of means
                over 32 pairs. By itself each pair is distributed as ever.
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
            products=products,
            interventions=None if interventions is None else tuple(interventions),
            share=names("share", share),
            fix=fix,
            until=until,
            precision=precision,
            stratified=stratified,
        )
        return self._driver.run(_analysing.influence(task), told(on_progress))

    def influence_layers(
        self,
        model: str,
        layers: Sequence[str],
        *,
        on_progress: ProgressCallback | None = None,
        **options: Unpack[LayersOptions],
    ) -> LayersResult:
        """Compute influence maps of every channel of several layers, in one pass.

        Originals are generated once for all layers, and every layer has the same pairs; with
        `until` they end together, when the last of them may.

        Args:
            model: The model's name.
            layers: Layers' names, or levels'.
            on_progress: Hears of progress.
            **options: As of `influence`: pairs, until, precision, seed, first, originals,
                map_size, products, share, fix, stratified.

        Returns:
            Each layer's maps, by the layer's name.
        """
        task = layers_task(model, layers, options)
        return self._driver.run(_analysing.influence_layers(task), told(on_progress))

    def modules(
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
        """Find modules in influence maps (section 3.3) and wait for them.

        Args:
            maps: The influence of C channels: a result, (C, H, W) maps, or the name of the
                operation that computed them.
            k: Number of modules, from 1 to the number of maps that are not flat.
            method: How; `Method.PCA` and `Method.SPECTRAL` need the maps' products.
            seeds: The first gives the modules; further ones tell how far they depend on it.
            window: Side of the averaging window in pixels, odd.
            percentile: Above which a pixel of a map counts, between 0 and 100.
            products: (C, C) products of `maps`; None for those of the result or operation.
            min_purity: Channels of less purity are put into no module, from 0 (all stay) to 1.
            on_progress: Hears of progress.

        Returns:
            Labels, templates and weights.
        """
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
        return self._driver.run(_analysing.modules(task, chosen.source), told(on_progress))

    def stability(
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
        """Find out how far modules depend on the channels (section 4.1, Fig. 5), and wait for it.

        The channels are cut at random into three thirds, and modules are found twice, in two
        thirds that share one: do the shared channels fall into the same modules?

        Args:
            maps: As of `modules`.
            ks: Numbers of modules, each at least 2; None for 2 to 10, as far as the maps allow.
            methods: How modules are found; all are compared on the same partitions.
            repeats: Random partitions, at least 1.
            seed: Of the partitions and of the methods.
            window: Side of the averaging window in pixels, odd.
            percentile: Above which a pixel of a map counts, between 0 and 100.
            products: (C, C) products of `maps`; None for those of the result or operation.
            on_progress: Hears of progress.

        Returns:
            Consistency and cosine of every repeat, the chance level, and a suggested K.
        """
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
        return self._driver.run(_analysing.stability(task, chosen.source), told(on_progress))

    def magnitude(
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
        """Find out how much modules change the image (section 4.1, Fig. 3), and wait for it.

        Modules of every layer and every K are found on some pairs and measured on others.

        Args:
            model: The model's name.
            layers: Layers' or levels' names; None for the last three.
            ks: Numbers of modules, each at least 1; None for 2 to 10, as far as each layer allows.
            method: How modules are found.
            seed: Of the method.
            pairs: Pairs that find the modules, at least 1; as many that follow them measure the
                modules. Where `originals` holds pairs, one half of those does the one, the other
                half the other.
            pairs_seed: Any number in [0, 2^32): decides the pairs.
            first: Index of the first pair.
            originals: Where the pairs come from, or the pairs themselves; None for `Encoded`
                where the model has an encoder, else `Prior`.
            map_size: No side of a map is longer, in pixels; 0 for the image's size up to 128.
            window: Side of the averaging window in pixels, odd.
            percentile: Above which a pixel of a map counts, between 0 and 100.
            share: As of `influence`.
            fix: As of `influence`.
            stratified: As of `influence`; modules are found and measured on such pairs.
            on_progress: Hears of progress.

        Returns:
            Size and individual influence of every module, and the lines through them.
        """
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
        return self._driver.run(_analysing.magnitude(task), told(on_progress))

    def start(self, task: Task) -> Job:
        """Start an analysis without waiting for it.

        Args:
            task: What to compute.

        Returns:
            The job, which may be an earlier one of the same specification.
        """
        return self._driver.run(_analysing.start(task))

    def estimate(self, task: HybridTask) -> Estimate:
        """Ask what influence maps or a magnitude are going to cost; nothing is started.

        Args:
            task: What would be computed.

        Returns:
            Time, hybrids and bytes.
        """
        return self._driver.run(_analysing.estimate(task))

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

    def wait(self, name: str, on_progress: ProgressCallback | None = None) -> AnalysisResult:
        """Wait for a job and read its result.

        Args:
            name: ``operations/ID``, or the ID alone.
            on_progress: Hears of progress.

        Returns:
            The result, of the job's kind.
        """
        return self._driver.run(_following.finish(name), told(on_progress))

    def result(self, name: str) -> AnalysisResult:
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
