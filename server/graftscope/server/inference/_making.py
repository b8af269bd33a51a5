"""Makes what a named part gives of arrays, in the runs that other callers' calls are made in.

Arrays in, arrays out: it must not know messages.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import Draws
from graftscope.server.engine import (
    ORIGINAL2,
    Edit,
    Generator,
    GivenPairs,
    Hybrids,
    Latents,
    Precision,
    check_input,
    complete,
    downstream,
    half_bytes,
    halves,
    hybrids_bytes,
    image_of,
    samples_bytes,
    upstream,
)
from graftscope.server.inference._named import CHANNELS, Named, Part
from graftscope.server.rpc import InteractiveRuns

Arrays = Mapping[str, NDArray[np.generic]]

_SEED = 0
"""Of inputs that are left out: as of samples whose latents are given."""


async def make(named: Named, given: Arrays, samples: int, runs: InteractiveRuns) -> Arrays:
    """Every output of a part, by name.

    Args:
        named: of what.
        given: inputs by name, which fit.
        samples: how many there are.
        runs: makes them.

    Raises:
        InvalidInput: a label is none of the model's.
    """
    match named.part:
        case Part.WHOLE:
            return await _images(named.generator, given, samples, runs)
        case Part.UPSTREAM:
            return await _above(named, given, samples, runs)
        case Part.DOWNSTREAM:
            return await _below(named, given, samples, runs)
        case Part.HYBRID:
            return await _hybrids(named, given, samples, runs)


def made_bytes(named: Named, given: Arrays, samples: int, outputs: int) -> int:
    """What making a part's outputs takes of memory, with them and without a reply.

    Args:
        named: of what.
        given: inputs by name.
        samples: how many there are.
        outputs: bytes of all of its outputs.
    """
    generator = named.generator
    match named.part:
        case Part.WHOLE:
            return samples_bytes(generator, samples, files=False)
        case Part.HYBRID:
            swap = (Edit(named.layer.name, (), donor=ORIGINAL2),)
            # Samples with several sets of channels are made apart, and then put together.
            several = outputs if len(given[CHANNELS]) > 1 else 0
            made = hybrids_bytes(generator, samples, swap, files=False, photographs=False)
            return made + several
        case _:
            arrays = sum(x.nbytes for x in given.values()) + outputs
            return half_bytes(generator, samples, arrays)


async def _images(
    generator: Generator, given: Arrays, samples: int, runs: InteractiveRuns
) -> Arrays:
    latents = await _completed(generator, given, samples)
    pairs = GivenPairs(latents, latents)
    ran = await runs.samples(generator, Precision.FP32.value, pairs, range(samples))
    return {image_of(generator).name: ran.made.images}


async def _above(named: Named, given: Arrays, samples: int, runs: InteractiveRuns) -> Arrays:
    latents = await _completed(named.generator, given, samples)
    kind = upstream(named.generator, named.layer, samples)
    return await runs.half(kind, partial(_rows, latents), samples)


async def _below(named: Named, given: Arrays, samples: int, runs: InteractiveRuns) -> Arrays:
    kind = downstream(named.generator, named.layer, samples)
    # Without rows in all of it, all samples are asked for at once.
    shares = halves(named.generator, named.layer).has_rows
    rows = partial(_rows, given) if shares else lambda some: given
    return await runs.half(kind, rows, samples)


async def _hybrids(named: Named, given: Arrays, samples: int, runs: InteractiveRuns) -> Arrays:
    """Samples with one set of channels are one task; the engine puts them into common runs."""
    first = await _completed(named.generator, given, samples, which=1)
    second = await _completed(named.generator, given, samples, which=2)
    sets, which_set = np.unique(given[CHANNELS], axis=0, return_inverse=True)
    of_sample = np.broadcast_to(which_set.reshape(-1), samples)  # (B,)
    rows = [np.flatnonzero(of_sample == i) for i in range(len(sets))]
    pairs = [GivenPairs(_rows(first, some), _rows(second, some)) for some in rows]
    made = await _all(
        _swapped(named, some, channels, len(these), runs)
        for some, channels, these in zip(pairs, sets, rows, strict=True)
    )
    if len(made) == 1:
        return vars(made[0])
    shape = (samples, *named.generator.image_shape)
    whole = {name: np.empty(shape, np.float32) for name in vars(made[0])}
    for these, each in zip(rows, made, strict=True):
        for name, images in vars(each).items():
            whole[name][these] = images
    return whole


async def _swapped(
    named: Named, pairs: GivenPairs, channels: NDArray[np.bool_], count: int, runs: InteractiveRuns
) -> Hybrids:
    chosen = tuple(np.flatnonzero(channels).tolist())
    swap = (Edit(named.layer.name, chosen, donor=ORIGINAL2),)
    ran = await runs.hybrids(named.generator, Precision.FP32.value, swap, pairs, range(count))
    return ran.made


async def _all(work: Iterable[Coroutine[Any, Any, Hybrids]]) -> list[Hybrids]:
    """All of it; where one part fails, or the caller leaves, none goes on."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _completed(
    generator: Generator, given: Arrays, samples: int, which: Literal[1, 2] | None = None
) -> Latents:
    """Latents with every input, those that are left out drawn as of samples that are given.

    Args:
        generator: whose inputs.
        given: by name, which ends in the original's number where there are two.
        samples: how many there are.
        which: of two originals; None where there is one.
    """
    latents = dict[str, NDArray[np.generic]]()
    for value in generator.manifest.inputs:
        name = f"{value.name}{which or ''}"
        if name in given:
            check_input(value, given[name], f"input {name!r}")
            latents[value.name] = given[name]
    if len(latents) == len(generator.manifest.inputs):
        return latents
    draws = Draws(_SEED, range(samples), which or 1)
    return await asyncio.to_thread(complete, generator, latents, draws)


def _rows(arrays: Arrays, some: range | NDArray[np.int64]) -> Latents:
    index = slice(some.start, some.stop) if isinstance(some, range) else some
    return {name: array[index] for name, array in arrays.items()}
