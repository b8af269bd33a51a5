"""Channels whose module is clear stop at the first look; one between two modules goes on.

Channels act on halves of a picture, by noise that is drawn anew for every pair; one acts on a
region across both, about equally often in either.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from graftscope.server.blobs import FolderBlobs
from graftscope.server.engine import (
    SHARD_PAIRS,
    Backend,
    Cancellation,
    PairSource,
    Plan,
    Subject,
    Turns,
)
from graftscope.server.engine._generator import Effects
from graftscope.server.jobs import (
    LEAST_CONFIDENT_PAIRS,
    CheckpointFolder,
    ConfidentLabelsSpec,
    InfluenceSpec,
    OriginalsSpec,
    Sums,
)
from graftscope.server.jobs._checkpoints import Race
from graftscope.server.jobs._influence import InfluenceWork, run_shards
from graftscope.server.jobs._racing import LabelJudge, RaceRule
from graftscope.server.jobs._stopping import Rule
from graftscope.server.workers import Run
from job_toys import computing

SIDE = 12
MOST = 11 * SHARD_PAIRS
CLEAR = 8
BETWEEN = CLEAR
FLAT = CLEAR + 1
SURE = ConfidentLabelsSpec(0.95, 2, "nmf", 0, 1, 75.0, together=False)


def regions() -> NDArray[np.float64]:
    """(E, h, w): four channels act above, four below, one in the middle of both, one nowhere."""
    found = np.zeros((CLEAR + 2, SIDE, SIDE))
    for channel in range(CLEAR):
        rows = slice(0, 5) if channel < CLEAR // 2 else slice(SIDE - 5, SIDE)
        found[channel, rows, channel % 4 : channel % 4 + 8] = 1.0
    found[BETWEEN, 4:8, 2:10] = 1.0
    return found


@dataclass(frozen=True)
class Halves:
    """A subject of known regions; it computes the rows that it is asked for, and no more."""

    rows: NDArray[np.int64]

    generator = SimpleNamespace(turns=Turns(), is_large=False)
    products = False
    shape = "halves"

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, rows: NDArray[np.int64]) -> "Halves":
        return Halves(self.rows[rows])

    def record(self, _: PairSource, pairs: range, *__: object) -> "HalvesBatch":
        return HalvesBatch(self.rows, pairs)


@dataclass(frozen=True)
class HalvesBatch:
    rows: NDArray[np.int64]
    pairs: range

    def effects(self, some: range) -> Effects:
        maps = np.array([self._of(pair)[self.rows[some.start : some.stop]] for pair in self.pairs])
        total = maps.sum(axis=0)
        moment = np.square(maps - total / len(maps)).sum(axis=0)
        return Effects(*cast(Any, (total, moment, maps.mean(axis=(2, 3)).T)))

    def _of(self, pair: int) -> NDArray[np.float64]:
        random, known = np.random.default_rng([7, pair]), regions()
        noise = random.gamma(2.0, 0.5, known.shape)
        # Above the middle or below it, as it happens.
        half = np.arange(SIDE)[:, np.newaxis] < SIDE // 2
        noise[BETWEEN] *= np.where(half == (random.random() < 0.5), 2.0, 0.1)
        return known * noise


def work_of(until: ConfidentLabelsSpec = SURE, *, stratified: bool = False) -> InfluenceWork:
    channels = tuple(range(CLEAR + 2))
    spec = InfluenceSpec(
        model="halves",
        layer="halves",
        channels=len(channels),
        sets=tuple((c,) for c in channels),
        indices=channels,
        subject="channels",
        originals=OriginalsSpec("prior", {}, stratified=stratified),
        seed=0,
        first=0,
        pairs=MOST,
        map_size=SIDE,
        arithmetic=1,
        until=until,
    )
    plan = Plan(batch=8, sets=3, provider=Backend("CPUExecutionProvider").provider)
    subject = cast(Subject, Halves(np.arange(len(channels))))
    return InfluenceWork(spec, subject, cast(PairSource, None), plan, Cancellation())


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
    parts = (sums.moments, sums.individual, sums.groups, sums.race)
    return [sums.shards, *(x.tobytes() for part in parts for x in vars(part).values())]


@dataclass(frozen=True)
class Fickle:
    """At its second look it takes back what it said of the first map at the first."""

    reopens = True

    def judged(self, sums: Sums, run: Run) -> Race:
        settled = np.arange(len(sums.moments.mean)) < 3
        settled[0] = sums.shards in (4, MOST // SHARD_PAIRS)
        return Race(settled, np.full(len(settled), np.nan))

    def needed(self, sums: Sums, most: int) -> NDArray[np.float64]:
        return np.full(len(sums.moments.mean), float(most))


@dataclass(frozen=True)
class FickleWork(InfluenceWork):
    """A race whose judge changes its mind."""

    @property
    def rule(self) -> Rule:
        return RaceRule(Fickle(), MOST, 4)


@pytest.mark.parametrize("stratified", [False, True])
async def test_clear_channels_stop_at_the_first_look_and_one_between_goes_on(
    stratified: bool,
) -> None:
    work = work_of(stratified=stratified)
    last = (await run(work))[-1]
    expected = np.full(CLEAR + 2, LEAST_CONFIDENT_PAIRS)
    expected[BETWEEN] = MOST
    assert last.pairs_of.tolist() == expected.tolist()
    assert work.rule is not None
    verdict = work.rule.verdict(last)
    assert (verdict.met, verdict.settled) == (False, CLEAR + 1)
    assert verdict.label_probability < SURE.probability
    assert last.race is not None
    assert np.flatnonzero(np.isnan(last.race.sure)).tolist() == [CLEAR + 1]
    # Groups of the one that goes on hold all its pairs, of the others those that they have had.
    assert last.groups is not None
    assert last.groups.pairs.sum(axis=0).tolist() == expected.tolist()


async def test_neither_workers_nor_interruptions_change_a_bit(tmp_path: Path) -> None:
    work = work_of()
    seen = await run(work, workers=1)
    for workers in (2, 4):
        assert bits((await run(work, workers=workers))[-1]) == bits(seen[-1])
    kept = CheckpointFolder(FolderBlobs(tmp_path / "kept"))
    for sums in seen:
        loaded = kept.load(kept.save("job", sums))
        assert bits((await run(work, loaded))[-1]) == bits(seen[-1])


async def test_a_map_whose_label_is_not_sure_any_more_goes_on(tmp_path: Path) -> None:
    plain = work_of()
    work = FickleWork(plain.spec, plain.subject, plain.source, plain.plan, plain.cancellation)
    seen = await run(work)
    last = seen[-1]
    shards = last.pairs_of // SHARD_PAIRS
    # It misses the two shards between the looks after 4 and after 6.
    assert shards.tolist() == [9, 4, 4, *[11] * (CLEAR - 1)]
    had = [*range(4 * SHARD_PAIRS), *range(6 * SHARD_PAIRS, MOST)]
    batch = HalvesBatch(np.arange(CLEAR + 2), range(0))
    mean = np.mean([batch._of(pair)[0] for pair in had], axis=0)
    np.testing.assert_allclose(last.moments.mean[0], mean, rtol=1e-9)
    assert last.groups is not None
    assert last.groups.pairs.sum(axis=0).tolist() == last.pairs_of.tolist()
    kept = CheckpointFolder(FolderBlobs(tmp_path / "kept"))
    for sums in seen:
        loaded = kept.load(kept.save("job", sums))
        assert bits((await run(work, loaded))[-1]) == bits(last)


async def test_together_all_go_on_with_the_one_between() -> None:
    last = (await run(work_of(replace(SURE, together=True))))[-1]
    assert (last.pairs_of == MOST).all()
    assert last.race is not None
    assert np.count_nonzero(~last.race.settled) == 1


async def test_without_the_one_between_all_are_sure_at_the_first_look() -> None:
    work = work_of()
    rows = np.delete(np.arange(CLEAR + 2), BETWEEN)
    indices = tuple(rows.tolist())
    spec = replace(work.spec, indices=indices, sets=tuple((c,) for c in indices))
    last = (await run(replace(work, spec=spec, subject=work.subject.only(rows))))[-1]
    assert (last.pairs_of == LEAST_CONFIDENT_PAIRS).all()
    assert last.race is not None
    assert last.race.settled.all()


@dataclass(frozen=True)
class LayersWork(InfluenceWork):
    """A race of two layers: all channels, and two that are flat with one that is not."""

    @property
    def rule(self) -> Rule:
        layers = (range(CLEAR + 2), range(CLEAR + 2, CLEAR + 5))
        return RaceRule(LabelJudge(SURE, layers), MOST, LEAST_CONFIDENT_PAIRS // SHARD_PAIRS)


def among(work: InfluenceWork, rows: list[int]) -> InfluenceWork:
    """The same work with these rows of the known regions as its channels."""
    channels = tuple(range(len(rows)))
    spec = replace(
        work.spec, channels=len(rows), indices=channels, sets=tuple((c,) for c in channels)
    )
    return replace(work, spec=spec, subject=cast(Subject, Halves(np.array(rows))))


async def test_where_all_maps_are_flat_the_job_ends_at_the_first_look() -> None:
    for until in (SURE, replace(SURE, together=True), replace(SURE, method="kmeans")):
        work = among(work_of(until), [FLAT] * 4)
        last = (await run(work))[-1]
        assert last.pairs_of.tolist() == [LEAST_CONFIDENT_PAIRS] * 4
        assert work.rule is not None
        verdict = work.rule.verdict(last)
        assert (verdict.met, verdict.settled) == (True, 4)
        assert np.isnan(verdict.label_probability)


async def test_where_fewer_maps_than_modules_are_not_flat_only_the_flat_ones_are_known() -> None:
    work = work_of(replace(SURE, k=CLEAR + 2))
    last = (await run(work))[-1]
    expected = np.full(CLEAR + 2, MOST)
    expected[FLAT] = LEAST_CONFIDENT_PAIRS
    assert last.pairs_of.tolist() == expected.tolist()
    assert work.rule is not None
    verdict = work.rule.verdict(last)
    assert (verdict.met, verdict.settled) == (False, 1)


async def test_a_layer_without_modules_keeps_no_other_from_its_labels() -> None:
    rows = [*range(CLEAR + 2), FLAT, 0, FLAT]
    plain = among(work_of(), rows)
    work = LayersWork(plain.spec, plain.subject, plain.source, plain.plan, plain.cancellation)
    last = (await run(work, workers=1))[-1]
    expected = np.full(len(rows), LEAST_CONFIDENT_PAIRS)
    expected[[BETWEEN, CLEAR + 3]] = MOST
    assert last.pairs_of.tolist() == expected.tolist()
    assert bits((await run(work, workers=4))[-1]) == bits(last)
