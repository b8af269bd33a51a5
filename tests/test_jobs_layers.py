"""A job over several layers survives what other jobs survive, and is each layer's own job."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graftscope.server.jobs import (
    InfluenceSpec,
    Job,
    JobState,
    LayerSpec,
    RelativeErrorSpec,
    StableLabelsSpec,
)
from job_toys import Bench, bench, refs_of

# A pass of several layers may run another number of pairs at once, which are added in other groups.
TOLERANCE = 1e-6


@pytest.fixture
async def here(toy_vae_bundle: Path, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(toy_vae_bundle, tmp_path / "state") as made:
        yield made


def layered(here: Bench, **changes: object) -> InfluenceSpec:
    """Every channel of the second and of the third layer."""
    layers = here.generator.manifest.layers[1:3]
    spec = here.influence(
        layer="",
        channels=0,
        sets=(),
        indices=tuple(c for layer in layers for c in range(layer.channels)),
        subject="layers",
        each_layer=tuple(LayerSpec(layer.name, layer.channels) for layer in layers),
    )
    return replace(spec, **changes)  # type: ignore[arg-type]


def alone(here: Bench, at: int, **changes: object) -> InfluenceSpec:
    """Every channel of one of them."""
    layer = here.generator.manifest.layers[1 + at]
    channels = tuple(range(layer.channels))
    return here.influence(
        layer=layer.name,
        channels=layer.channels,
        sets=tuple((c,) for c in channels),
        indices=channels,
        **changes,
    )


async def run(here: Bench, spec: InfluenceSpec) -> Job:
    return await here.done(await here.runner.create(spec, model="m"))


async def test_each_layer_has_the_result_of_its_own_job(here: Bench) -> None:
    spec = layered(here)
    job = await run(here, spec)
    found = here.arrays(job)
    for at, rows in enumerate(spec.rows):
        expected = here.arrays(await run(here, alone(here, at)))
        of = slice(rows.start, rows.stop)
        assert (found["layer_of"][of] == at).all()
        for name, array in expected.items():
            mine, rtol = found[name], 0.0
            if name in ("group_maps", "group_pairs"):
                # A set is an array's second axis; float16 rounds to one part in 2,048.
                mine, rtol = mine.swapaxes(0, 1)[of].swapaxes(0, 1), 2.0**-10
            else:
                mine = mine[of]
            np.testing.assert_allclose(mine, array, rtol=rtol, atol=TOLERANCE, err_msg=name)
    assert job.result is not None
    assert job.result.scalars["layers"] == [each.layer for each in spec.each_layer]


async def test_a_cancelled_job_of_layers_goes_on_to_the_same_bits(
    here: Bench, toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path / "other", workers=1) as other:
        whole = refs_of(await run(other, layered(other)))
    here.gate.close_after(2)
    job = await here.runner.create(layered(here), model="m")
    await here.reached(job, 2)
    await here.runner.cancel(job.id)
    here.gate.open()
    assert (await here.done(job)).state is JobState.CANCELLED
    again = await here.runner.create(layered(here), model="m")
    assert again.shards_done >= 2
    assert refs_of(await here.done(again)) == whole


async def test_layers_stop_when_the_last_of_them_may(here: Bench) -> None:
    rules = (RelativeErrorSpec(0.9), StableLabelsSpec(2, "kmeans", 0, 3, 75.0))
    for until in rules:
        together = await run(here, layered(here, pairs=1280, until=until))
        each = [await run(here, alone(here, at, pairs=1280, until=until)) for at in (0, 1)]
        assert together.shards_done >= max(job.shards_done for job in each)
        if until == rules[0]:
            assert together.shards_done == max(job.shards_done for job in each)
