"""What computes pieces of jobs: the same bits as the function itself, at a cost that is told."""

from dataclasses import dataclass
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from executor_toys import PAIRS, channels_of, generator_of
from graftscope.server.engine import (
    SHARD_PAIRS,
    Cancellation,
    Generator,
    Latents,
    PriorPairs,
    shard_effects,
)
from graftscope.server.errors import Cancelled
from job_toys import computing


@pytest.fixture
def generator(toy_vae_bundle: Path) -> Generator:
    return generator_of(toy_vae_bundle)


@dataclass(frozen=True)
class Waiting(PriorPairs):
    """Pairs that one waits for."""

    def latents(self, pairs: range) -> tuple[Latents, Latents]:
        Event().wait(0.2)
        return super().latents(pairs)


def test_some_rows_of_a_shard_are_those_of_the_whole(generator: Generator) -> None:
    subject, source = channels_of(generator), PriorPairs(generator, 0)
    plan, rows = subject.plan(), np.array([0, 2])
    known = shard_effects(subject.only(rows), plan, source, PAIRS, Cancellation())
    with computing(1).shards(subject, source, plan) as compute:
        found = compute(rows, PAIRS, (), Cancellation()).effects()
    np.testing.assert_array_equal(found.moments.mean, known.moments.mean)
    np.testing.assert_array_equal(found.pixel_means, known.pixel_means)


def test_a_shard_takes_what_it_computes_and_not_what_it_waits(generator: Generator) -> None:
    subject = channels_of(generator)
    plan = subject.plan()
    with computing(1).shards(subject, Waiting(generator, 0), plan) as compute:
        waits = 0.2 * SHARD_PAIRS / plan.batch
        assert 0 < compute(None, PAIRS, (), Cancellation()).processor_s < waits


def test_a_cancelled_shard_is_not_computed(generator: Generator) -> None:
    subject, cancellation = channels_of(generator), Cancellation()
    cancellation.cancel()
    with (
        computing(1).shards(subject, PriorPairs(generator, 0), subject.plan()) as compute,
        pytest.raises(Cancelled),
    ):
        compute(None, PAIRS, (), cancellation)


def test_one_shard_more_is_begun_than_there_are_workers(generator: Generator) -> None:
    assert computing(3).begun(generator) == 4
