"""Maps stop one by one, at the same pair whatever happens to the job."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from graftscope.server.analysis import MapMoments
from graftscope.server.blobs import FolderBlobs
from graftscope.server.engine import SHARD_PAIRS, Cancellation, LayeredSets, shard_effects
from graftscope.server.jobs import (
    CheckpointFolder,
    ConfidentLabelsSpec,
    InfluenceSpec,
    LayerSpec,
    OriginalsSpec,
    RelativeErrorSpec,
    Sums,
)
from graftscope.server.jobs._influence import InfluenceWork, run_shards
from graftscope.server.jobs._preparation import stored_plan
from graftscope.server.jobs._racing import ErrorJudge, RaceRule
from graftscope.server.jobs._stopping import Rule
from job_toys import Bench, bench, computing, refs_of

MOST = 27 * SHARD_PAIRS
LOOKS = [2, 3, 4, 6, 8, 11, 15, 20, 27]
STRATIFIED = OriginalsSpec("prior", {}, stratified=True)

# Some channels of the toy are known after the first look, some never.
EACH = RelativeErrorSpec(0.06, version=2)


@pytest.fixture
async def here(toy_vae_bundle: Path, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(toy_vae_bundle, tmp_path / "state") as made:
        yield made


async def work_of(here: Bench, spec: InfluenceSpec) -> InfluenceWork:
    subject, source = here.runner._preparation.resolve(spec)
    plan = stored_plan((await here.runner.plan(spec, model="m")).plan)
    return InfluenceWork(spec, subject, source, plan, Cancellation())


async def run(work: InfluenceWork, start: Sums | None = None, workers: int = 2) -> list[Sums]:
    """The sums after every shard that was missing."""
    seen: list[Sums] = []

    async def look(rule: Rule, sums: Sums) -> Sums:
        return rule.look(sums)

    async def keep(sums: Sums) -> None:
        seen.append(sums)

    with ThreadPoolExecutor(workers) as threads:
        last = await run_shards(
            work, start, threads=threads, executor=computing(workers), on_sums=keep, look=look
        )
    return seen or [last]


def bits(sums: Sums) -> list[object]:
    assert sums.race is not None
    arrays = [
        part
        for moments in (sums.moments, sums.individual)
        for part in (moments.count, moments.mean, moments.m2)
    ]
    return [sums.shards, *(x.tobytes() for x in (*arrays, *vars(sums.race).values()))]


def slow_stops(work: InfluenceWork) -> NDArray[np.int64]:
    """(E,), after how many pairs each map stops, from every pair's own effects."""
    shards = [
        shard_effects(work.subject, work.plan, work.source, work.shard(i), Cancellation())
        for i in range(MOST // SHARD_PAIRS)
    ]
    means = np.array([shard.pixel_means for shard in shards])  # (shards, pairs, E)
    assert isinstance(work.spec.until, RelativeErrorSpec)
    stops = []
    for e in range(means.shape[-1]):
        at = MOST // SHARD_PAIRS
        for shards_seen in reversed(LOOKS):
            each = means[:shards_seen, :, e].ravel()
            error = each.std(ddof=1) / np.sqrt(len(each))
            if error <= work.spec.until.error * each.mean():
                at = shards_seen
        stops.append(at * SHARD_PAIRS)
    return np.array(stops)


async def test_every_map_stops_where_a_slow_loop_says(here: Bench) -> None:
    work = await work_of(here, here.influence(pairs=MOST, until=EACH))
    stops = slow_stops(work)
    # Or nothing is shown.
    assert len(set(stops.tolist())) > 2
    assert (await run(work))[-1].pairs_of.tolist() == stops.tolist()


async def test_a_map_that_stopped_is_that_of_a_job_of_so_many_pairs(here: Bench) -> None:
    job = await here.done(await here.create(pairs=MOST, until=EACH))
    found = here.arrays(job)
    names = ("maps", "stderr", "individual", "individual_stderr")
    for pairs in np.unique(found["pairs_of"]).astype(int).tolist():
        rows = found["pairs_of"] == pairs
        plain = here.arrays(await here.done(await here.create(pairs=pairs)))
        for name in names:
            assert found[name][rows].tobytes() == plain[name][rows].tobytes()
    assert job.result is not None
    assert job.result.scalars["pairs"] == found["pairs_of"].max()


async def test_neither_workers_nor_interruptions_change_a_bit(here: Bench, tmp_path: Path) -> None:
    work = await work_of(here, here.influence(pairs=MOST, until=EACH))
    seen = await run(work, workers=1)
    assert [sums.shards for sums in seen] == list(range(1, len(seen) + 1))
    for workers in (2, 4):
        assert [bits(x) for x in (await run(work, workers=workers))[1:] if x.race] == [
            bits(x) for x in seen[1:] if x.race
        ]
    kept = CheckpointFolder(FolderBlobs(tmp_path / "kept"))
    for sums in seen:
        loaded = kept.load(kept.save("job", sums))
        assert bits((await run(work, loaded))[-1]) == bits(seen[-1])


async def test_a_job_that_the_server_stopped_goes_on_to_the_same_maps(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path / "whole", workers=1) as one:
        whole = refs_of(await one.done(await one.create(pairs=MOST, until=EACH)))
    async with bench(toy_vae_bundle, tmp_path, closed_after=4) as before:
        job = await before.create(pairs=MOST, until=EACH)
        await before.reached(job, 4)
    async with bench(toy_vae_bundle, tmp_path, workers=4) as after:
        assert refs_of(await after.done(job)) == whole


async def test_a_job_whose_labels_were_judged_by_an_earlier_version_starts_anew(
    here: Bench,
) -> None:
    sure = ConfidentLabelsSpec(0.95, 2, "nmf", 0, 3, 75.0, together=False)
    work = await work_of(here, here.influence(pairs=MOST, until=EACH))
    sums = (await run(work))[3]
    checkpoint = here.runner._checkpoints.save("job", sums)
    job = replace(await here.runner.plan(work.spec, model="m"), checkpoint=checkpoint)
    load = here.runner._lifecycle._load
    for until, shards in ((EACH, 4), (sure, 4), (replace(sure, version=1), None)):
        found = load(job, replace(work.spec, until=until))
        assert (found and found.shards) == shards


async def test_a_map_without_influence_stops_at_the_first_look(here: Bench) -> None:
    found = here.arrays(await here.done(await here.create(pairs=MOST, until=EACH)))
    dead = found["individual"] == 0
    assert dead.any()
    assert (found["pairs_of"][dead] == LOOKS[0] * SHARD_PAIRS).all()


async def test_what_did_not_settle_is_said(here: Bench) -> None:
    bound = 3 * SHARD_PAIRS + 5
    job = await here.done(await here.create(pairs=bound, until=replace(EACH, error=1e-6)))
    assert job.result is not None
    told = job.result.scalars["stopping"]
    assert isinstance(told, dict)
    found = here.arrays(job)
    dead = found["individual"] == 0
    assert told["met"] is False
    assert told["settled"] == np.count_nonzero(dead)
    assert (found["pairs_of"] == np.where(dead, LOOKS[0] * SHARD_PAIRS, bound)).all()


async def test_together_all_maps_go_on_to_the_last(here: Bench) -> None:
    together = replace(EACH, version=1, error=0.12)
    job = await here.done(await here.create(pairs=MOST, until=together))
    assert "pairs_of" not in refs_of(job)
    assert job.result is not None
    told = job.result.scalars["stopping"]
    assert isinstance(told, dict)
    assert told["settled"] == len(here.arrays(job)["maps"])


async def test_with_products_all_maps_go_on_together(here: Bench) -> None:
    job = await here.done(await here.create(pairs=4 * SHARD_PAIRS, until=EACH, products=True))
    assert "pairs_of" not in refs_of(job)


async def test_stratified_maps_stop_one_by_one(here: Bench) -> None:
    spec = here.influence(pairs=MOST, originals=STRATIFIED, until=replace(EACH, error=0.012))
    work = await work_of(here, spec)
    last = (await run(work))[-1]
    assert set((last.pairs_of // SHARD_PAIRS).tolist()) <= {16, 22, 27}
    assert len(set(last.pairs_of.tolist())) > 1
    assert last.moments.count.max() * SHARD_PAIRS == last.pairs


async def test_each_layers_maps_stop_by_themselves(here: Bench) -> None:
    layers = here.generator.manifest.layers[1:3]
    spec = here.influence(
        layer="",
        channels=0,
        sets=(),
        indices=tuple(c for layer in layers for c in range(layer.channels)),
        subject="layers",
        each_layer=tuple(LayerSpec(layer.name, layer.channels) for layer in layers),
        pairs=MOST,
        until=EACH,
    )
    work = await work_of(here, spec)
    assert isinstance(work.subject, LayeredSets)
    last = (await run(work))[-1]
    assert last.pairs_of.tolist() == slow_stops(work).tolist()
    for layer, rows in zip(layers, spec.rows, strict=True):
        channels = tuple(range(layer.channels))
        alone = here.influence(
            layer=layer.name,
            channels=layer.channels,
            sets=tuple((c,) for c in channels),
            indices=channels,
            pairs=MOST,
            until=EACH,
        )
        found = (await run(await work_of(here, alone)))[-1]
        assert found.pairs_of.tolist() == last.pairs_of[rows.start : rows.stop].tolist()


async def test_what_is_left_counts_the_maps_that_go_on(here: Bench) -> None:
    work = await work_of(here, here.influence(pairs=MOST, until=replace(EACH, error=1e-6)))
    seen = await run(work)
    at_look = seen[LOOKS[0] - 1]
    assert at_look.race is not None
    going = np.count_nonzero(~at_look.race.settled)
    assert 0 < going < len(at_look.moments.mean)
    assert work.hybrids_left(at_look) == going * (MOST - at_look.pairs)


def test_looks_are_a_third_apart() -> None:
    rule = RaceRule(ErrorJudge(0.1), MOST, 2)
    found, shards = [], 0
    while shards < MOST // SHARD_PAIRS:
        shards = rule.fixed_until(shards)
        found.append(shards)
    assert found == LOOKS
    assert replace(rule, max_pairs=13 * SHARD_PAIRS).fixed_until(11) == 13


@pytest.mark.parametrize(("each", "least_shards"), [(SHARD_PAIRS, 2), (1, 16)])
def test_standard_errors_are_right_though_maps_stop_at_small_ones(
    each: int, least_shards: int
) -> None:
    """Of pairs, and of stratified groups, whose means are the observations."""
    random, channels = np.random.default_rng(0), 2000
    rule = RaceRule(ErrorJudge(0.1 if each > 1 else 0.04), 10**6, least_shards)
    # Effects of a gamma distribution, whose mean is 1: some are known at once, some much later.
    shape = np.exp(random.uniform(0, 2, channels)) * (1 if each > 1 else 8)
    sums: Sums | None = None
    while sums is None or not rule.holds(sums):
        rows = None if sums is None else rule.rows(sums)
        some = shape if rows is None else shape[rows]
        moments = MapMoments.from_pixel_means(random.gamma(some, 1 / some, (each, len(some))))
        if sums is None:
            sums = Sums(1, moments, moments)
        else:
            merged = sums.moments.merge(moments, rows)
            sums = replace(sums, shards=sums.shards + 1, moments=merged, individual=merged)
        if rule.is_look(sums):
            sums = rule.look(sums)
    assert len(set(sums.moments.count.tolist())) > 3
    off, stderr = sums.moments.mean.ravel() - 1.0, sums.moments.stderr().ravel()
    # Of 16 normal observations at a fixed number 0.931; with looks after every shard from 8 on the
    # ratio is 1.13.
    assert np.sqrt(np.mean(off**2) / np.mean(stderr**2)) == pytest.approx(1.0, abs=0.08)
    assert np.mean(np.abs(off) <= 1.96 * stderr) > 0.92
