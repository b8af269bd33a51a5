"""A magnitude job: influence jobs of channels and of modules, and lines through what they gave.

Modules are found on some pairs and measured on as many that follow them (section 4.1). The
influence jobs are jobs of their own: each is kept, found again, and resumed by itself. It must not
know databases, watchers or gRPC.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import (
    DEFAULT_KS,
    NO_MODULE,
    KTooLargeError,
    Method,
    Modules,
    features_of,
    find_modules,
    magnitude_lines,
)
from graftscope.server.engine import Generator, MemoryBudget
from graftscope.server.jobs._artifact_store import ArtifactStore
from graftscope.server.jobs._job import Result
from graftscope.server.jobs._needs import dividing_need
from graftscope.server.jobs._specification import InfluenceSpec, MagnitudeSpec
from graftscope.server.workers import Run

MAGNITUDE_ROW_BYTES = 7 * 8
"""Seven columns."""

RunInfluence = Callable[[InfluenceSpec], Awaitable[Result]]
"""Runs an influence job to its end, or finds one that is done."""


@dataclass(frozen=True)
class Row:
    """One module of one division of one layer.

    Attributes:
        k: into how many modules the layer was divided.
        module: which of them.
        channels: its channels, ascending.
    """

    k: int
    module: int
    channels: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Measured:
    """The rows of one layer and their individual influence, (N,) each."""

    rows: list[Row]
    individual: NDArray[np.float64]
    stderr: NDArray[np.float64]
    result: Result


async def run_magnitude(
    spec: MagnitudeSpec,
    generator: Generator,
    artifacts: ArtifactStore,
    executor: Executor,
    run: Run,
    influence: RunInfluence,
    memory: MemoryBudget,
) -> Result:
    """Finds the modules of every layer, measures them, and fits the lines.

    Args:
        spec: what to measure.
        generator: whose layers.
        artifacts: where arrays are.
        executor: a thread that waits while modules are found.
        run: makes the calls that take long, where a cancel ends them.
        influence: runs an influence job to its end.
        memory: where modules take theirs; influence jobs take their own.

    Raises:
        AnalysisError: a number of modules is not allowed, or the method did not settle.
        Corrupt: stored maps are damaged.
        Cancelled: the job was cancelled.
    """
    loop = asyncio.get_running_loop()
    measured = []
    for name in spec.layers:
        channels = generator.layer(name).channels
        found = await influence(channels_spec(spec, name, channels))
        shape = generator.map_shape(spec.map_size)
        give_back = await memory.take_for_job(dividing_need(spec, channels, shape))
        try:
            rows = await loop.run_in_executor(executor, find_rows, spec, found, artifacts, run)
        finally:
            give_back()
        result = await influence(modules_spec(spec, name, channels, rows))
        measured.append(await asyncio.to_thread(_measured, rows, result, artifacts))
    return await asyncio.to_thread(finish_magnitude, spec, generator, measured, artifacts)


def channels_spec(spec: MagnitudeSpec, layer: str, channels: int) -> InfluenceSpec:
    """The influence of a layer's channels, on the pairs that find the modules."""
    sets = tuple((c,) for c in range(channels))
    return _needed(spec, layer, channels, sets, finds=True)


def modules_spec(spec: MagnitudeSpec, layer: str, channels: int, rows: list[Row]) -> InfluenceSpec:
    """The influence of all modules of a layer, on the pairs that follow."""
    sets = tuple(row.channels for row in rows)
    return _needed(spec, layer, channels, sets, finds=False)


def find_rows(spec: MagnitudeSpec, found: Result, artifacts: ArtifactStore, run: Run) -> list[Row]:
    """Divides a layer into modules, for every number of them; empty modules are left out.

    Args:
        spec: how.
        found: the influence of its channels.
        artifacts: where arrays are.
        run: makes the calls that take long, where a cancel ends them.

    Raises:
        AnalysisError: a number of modules is not allowed, or the method did not settle.
        Corrupt: the stored maps are damaged.
        Cancelled: the job was cancelled.
    """
    arrays = {name: artifacts.get(ref, name) for name, ref in found.arrays.items()}
    products = arrays.get("products")
    features = run(features_of, arrays["maps"], spec.window, spec.percentile, products)
    kept = len(features.binary.nonempty)
    rows: list[Row] = []
    for k in spec.ks or _default_ks(kept, str(found.scalars["layer"])):
        modules = run(find_modules, features, k, Method(spec.method), spec.method_seed)
        rows += _rows_of(modules)
    return rows


def finish_magnitude(
    spec: MagnitudeSpec, generator: Generator, measured: list[Measured], artifacts: ArtifactStore
) -> Result:
    """Stores the columns, and fits the lines."""
    totals = [generator.layer(name).channels for name in spec.layers]
    layer = np.repeat(np.arange(len(measured)), [len(each.rows) for each in measured])
    rows = [row for each in measured for row in each.rows]
    channels = np.array([len(row.channels) for row in rows], dtype=np.int64)
    arrays = {
        "layer": layer.astype(np.int64),
        "k": np.array([row.k for row in rows], dtype=np.int64),
        "module": np.array([row.module for row in rows], dtype=np.int64),
        "channels": channels,
        "share": channels / np.array(totals)[layer],
        "individual": np.concatenate([each.individual for each in measured]),
        "individual_stderr": np.concatenate([each.stderr for each in measured]),
    }
    lines = magnitude_lines(spec.layers, layer, channels, arrays["share"], arrays["individual"])
    return Result(
        arrays={name: artifacts.put(array) for name, array in arrays.items()},
        scalars={
            **measured[0].result.scalars,
            "layers": list(spec.layers),
            "method": spec.method,
            "by_share": [asdict(line) for line in lines.by_share],
            "by_channels": [asdict(line) for line in lines.by_channels],
        },
    )


def _measured(rows: list[Row], result: Result, artifacts: ArtifactStore) -> Measured:
    individual, stderr = (
        artifacts.get(result.arrays[name], name).astype(np.float64, copy=False)
        for name in ("individual", "individual_stderr")
    )
    return Measured(rows, individual, stderr, result)


def _needed(
    spec: MagnitudeSpec,
    layer: str,
    channels: int,
    sets: tuple[tuple[int, ...], ...],
    *,
    finds: bool,
) -> InfluenceSpec:
    return InfluenceSpec(
        model=spec.model,
        layer=layer,
        channels=channels,
        sets=sets,
        indices=tuple(range(len(sets))),
        # Modules of different K share channels, so they are no labels.
        subject="channels" if finds else "interventions",
        originals=spec.originals,
        seed=spec.seed,
        first=spec.first if finds else spec.first + spec.pairs,
        pairs=spec.pairs,
        map_size=spec.map_size,
        arithmetic=spec.arithmetic,
        products=finds and Method(spec.method).needs_products,
    )


def _default_ks(kept: int, layer: str) -> list[int]:
    ks = [k for k in DEFAULT_KS if k <= kept]
    if not ks:
        raise KTooLargeError(
            f"layer {layer!r} has {kept} influence maps that are not flat; at least "
            f"{DEFAULT_KS[0]} are needed to divide it",
            "ks",
        )
    return ks


def _rows_of(modules: Modules) -> list[Row]:
    present = np.unique(modules.labels[modules.labels != NO_MODULE])
    return [
        Row(modules.k, int(module), tuple(np.flatnonzero(modules.labels == module).tolist()))
        for module in present
    ]
