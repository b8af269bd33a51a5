"""Modules in the maps of a job that goes on, or has left a checkpoint.

They are found in a process, on one thread, one question at a time on a server. It must not know
watchers or gRPC.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import (
    MOST_GROUPS,
    AnalysisError,
    Method,
    Modules,
    ShardGroups,
    features_of,
    find_modules,
    import_libraries,
    match_labels,
    renumbered,
)
from graftscope.server.engine import Cancellation, MemoryBudget, Need
from graftscope.server.jobs._artifact_store import ArrayRef
from graftscope.server.jobs._beside import Attempt, NoTimeLeft
from graftscope.server.jobs._checkpoints import Sums
from graftscope.server.jobs._clustering import probabilities_of
from graftscope.server.jobs._needs import modules_need
from graftscope.server.jobs._specification import InfluenceSpec, ModulesSpec
from graftscope.server.workers import SPARES, Run, Workers

# What a process takes to start, with scikit-learn: processor time.
_START_S = 1.1

# What finding takes: in any case, and for each number of a map and each module.
_LEAST_S, _S_A_NUMBER = 0.06, 4e-7

# Seconds between two looks at what it has taken.
_LOOK_S = 0.05


@dataclass(frozen=True)
class ModulesQuestion:
    """Which modules are wanted.

    Attributes:
        k: number of modules, at least 1.
        method: a word of `analysis.Method`.
        seed: of the method.
        window: side of the averaging window in pixels, odd.
        percentile: between 0 and 100.
        named_as: (C,) labels by the layer, whose numbers the modules get. It makes no other
            question: what is found is the same, and is renumbered for each who asks.
    """

    k: int
    method: str
    seed: int
    window: int
    percentile: float
    named_as: Mapping[str, NDArray[np.int64]] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, eq=False)
class LayerModules:
    """Modules of a layer, or why there are none.

    Attributes:
        name: the layer's.
        modules: None where there are none yet.
        probabilities: (C, K), of each channel's being in each of them; NaN where nobody knows.
        confidence_unknown: why that is so for all channels; '' where it is not.
        failure: why; '' where there are.
    """

    name: str
    modules: Modules | None = None
    probabilities: NDArray[np.float64] | None = None
    confidence_unknown: str = ""
    failure: str = ""

    def named_as(self, labels: NDArray[np.int64]) -> "LayerModules":
        """The same modules, each under the number of the one that shares most channels with it.

        Args:
            labels: (C,), of an earlier answer; -1 for channels in no module.
        """
        modules, probabilities = self.modules, self.probabilities
        if modules is None:
            return self
        match = match_labels(labels, modules.labels, modules.k)
        if probabilities is not None:
            probabilities = probabilities[:, np.argsort(match)]
        return replace(self, modules=renumbered(modules, match), probabilities=probabilities)


@dataclass(frozen=True, eq=False)
class ModulesSoFar:
    """Modules of each layer, in the order of the job's.

    Attributes:
        pairs: of the maps that they were found in.
        layers: one a layer.
    """

    pairs: int
    layers: tuple[LayerModules, ...]

    @property
    def labels(self) -> dict[str, NDArray[np.int64]]:
        """(C,) of each layer that has modules, by its name."""
        return {each.name: each.modules.labels for each in self.layers if each.modules is not None}

    def named_as(self, labels: Mapping[str, NDArray[np.int64]]) -> "ModulesSoFar":
        """The same under the numbers of an earlier answer to the same question.

        Args:
            labels: its `labels`; a layer that is not among them keeps its method's numbers.
        """
        layers = (
            each.named_as(labels[each.name]) if each.name in labels else each
            for each in self.layers
        )
        return replace(self, layers=tuple(layers))


@dataclass(frozen=True, eq=False)
class Layer:
    """What a layer's modules are found in.

    Attributes:
        name: its name.
        maps: (C, H, W).
        products: (C, C), for the methods that need them; None where there are none.
        groups: means of the maps over groups of pairs; None where there are none.
        product_groups: likewise of the products.
    """

    name: str
    maps: NDArray[np.float64]
    products: NDArray[np.float64] | None = None
    groups: ShardGroups | None = None
    product_groups: ShardGroups | None = None


@dataclass(frozen=True, eq=False)
class Material:
    """What modules are found in, to be put together when it is needed.

    Attributes:
        spec: of the job that the maps are of.
        pairs: of the maps.
        map_shape: height and width of a map.
        read: gives the maps of all layers as one layer's; blocks.
    """

    spec: InfluenceSpec
    pairs: int
    map_shape: tuple[int, int]
    read: Callable[[], Layer]

    @classmethod
    def of(cls, spec: InfluenceSpec, sums: Sums) -> "Material":
        """What sums are."""
        _, height, width = sums.moments.mean.shape
        return cls(
            spec,
            sums.pairs,
            (height, width),
            lambda: Layer(
                "",
                sums.map_estimate.mean,
                sums.mean_products,
                sums.group_estimate,
                sums.product_groups,
            ),
        )

    @property
    def most_maps(self) -> int:
        """Of a layer."""
        return max(map(len, self.spec.rows))

    @property
    def size(self) -> int:
        """How many numbers all maps have."""
        return len(self.spec.indices) * math.prod(self.map_shape)

    def layers(self) -> tuple[Layer, ...]:
        """Layer by layer; blocks."""
        whole = self.read()

        def layer(name: str, rows: range) -> Layer:
            at = slice(rows.start, rows.stop)
            return Layer(
                name,
                whole.maps[at],
                None if whole.products is None else whole.products[at, at],
                None if whole.groups is None else whole.groups.of(at),
                None if whole.product_groups is None else whole.product_groups.squared(at),
            )

        return tuple(map(layer, layer_names(self.spec), self.spec.rows))


def layer_names(spec: InfluenceSpec) -> list[str]:
    """What a job's layers are called, in the order of its maps."""
    return [each.layer for each in spec.each_layer] or [spec.layer]


Find = Callable[[Sequence[Layer], ModulesQuestion, Run], tuple[LayerModules, ...]]
"""Finds the modules of each layer; what takes long, by calls that can be ended."""


class ModulesFinder:
    """Finds modules in sums, one question at a time.

    Args:
        memory: what a process takes it from.
        find: finds them.

    Attributes:
        turn: is held while a question is answered.
    """

    def __init__(self, memory: MemoryBudget, find: Find | None = None) -> None:
        self._memory, self._find = memory, find or found_in
        self._processes = Workers(1)
        # By how much more it took than was thought, the last time.
        self._slower = 1.0
        self._threads = ThreadPoolExecutor(1, "modules-so-far")
        self.turn = asyncio.Lock()

    def close(self) -> None:
        """Ends the thread, whose work was cancelled."""
        self._threads.shutdown(cancel_futures=True)

    def takes_s(self, question: ModulesQuestion, material: Material) -> float:
        """What an answer may be thought to take."""
        return _start_s() + self._slower * _finding_s(question, material)

    async def find(
        self, question: ModulesQuestion, material: Material, attempt: Attempt | None = None
    ) -> ModulesSoFar:
        """The modules; whoever stops waiting ends the search. Needs the turn.

        Args:
            question: which are wanted.
            material: in what they are found.
            attempt: what it may take; None for no limit.

        Raises:
            NoTimeLeft: it took much longer.
            TooLarge, Overloaded: there is not so much memory.
        """
        cancellation = Cancellation()
        run = self._processes.of(cancellation)
        loop, started_s = asyncio.get_running_loop(), self._processes.used_s
        async with self._memory.held_in_call(_need(question, material)):
            ready = loop.run_in_executor(self._threads, lambda: run(import_libraries))
            finding = loop.run_in_executor(self._threads, self._found, run, material, question)
            try:
                # A process that has begun to start is not ended: it would only be started again.
                await asyncio.shield(ready)
                ready_s = self._processes.used_s
                await self._within(attempt, finding)
                self._slower = (self._processes.used_s - ready_s) / _finding_s(question, material)
            finally:
                cancellation.cancel()
                # The process is gone when the memory is given back.
                await asyncio.gather(ready, finding, return_exceptions=True)
                if attempt is not None:
                    attempt.took_s = self._processes.used_s - started_s
        return ModulesSoFar(material.pairs, finding.result())

    async def _within(
        self, attempt: Attempt | None, finding: "asyncio.Future[tuple[LayerModules, ...]]"
    ) -> None:
        """Waits until modules are found, for as long as that may take, and as long again.

        What is ended is lost, and its process has to be started anew: whoever has come so far is
        let come to an end, and the next waits for longer.
        """
        started_s = self._processes.used_s
        while not finding.done():
            await asyncio.wait({finding}, timeout=_LOOK_S if attempt else None)
            if attempt and self._processes.used_s - started_s > 2 * attempt.may_s:
                raise NoTimeLeft

    def _found(
        self, run: Run, material: Material, question: ModulesQuestion
    ) -> tuple[LayerModules, ...]:
        return self._find(material.layers(), question, run)


def _finding_s(question: ModulesQuestion, material: Material) -> float:
    """What finding may be thought to take."""
    return _LEAST_S + _S_A_NUMBER * material.size * question.k


def _start_s() -> float:
    """What starting a process may be thought to take now."""
    return 0.0 if len(SPARES) else _START_S


def found_in(
    layers: Sequence[Layer], question: ModulesQuestion, run: Run
) -> tuple[LayerModules, ...]:
    """The modules of each layer, and how sure its labels are."""
    return tuple(_found(layer, question, run) for layer in layers)


def _found(layer: Layer, question: ModulesQuestion, run: Run) -> LayerModules:
    method, smoothing = Method(question.method), (question.window, question.percentile)
    try:
        features = run(features_of, layer.maps, *smoothing, layer.products)
        found = run(find_modules, features, question.k, method, question.seed)
        probabilities, unknown = probabilities_of(
            found, layer.groups, layer.product_groups, *smoothing, run
        )
        return LayerModules(layer.name, found, probabilities, unknown)
    except AnalysisError as error:
        return LayerModules(layer.name, failure=str(error))


def _need(question: ModulesQuestion, material: Material) -> Need:
    """What finding the modules of the largest layer takes."""
    channels = material.most_maps
    maps = ArrayRef("", "FP64", (channels, *material.map_shape))
    needs_products = Method(question.method).needs_products
    products = ArrayRef("", "FP64", (channels, channels)) if needs_products else None
    sizes = (MOST_GROUPS, channels)
    wanted = ModulesSpec(
        maps=maps,
        k=question.k,
        method=question.method,
        seeds=(question.seed,),
        window=question.window,
        percentile=question.percentile,
        products=products,
        group_maps=ArrayRef("", "FP16", (*sizes, *material.map_shape)),
        group_pairs=ArrayRef("", "INT64", sizes),
        group_units=ArrayRef("", "FP64", (channels,)),
        group_products=ArrayRef("", "FP32", (*sizes, channels)) if needs_products else None,
    )
    return modules_need(wanted)
