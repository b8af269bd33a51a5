"""Seed consensus: clear maps agree under every seed, and runs are named as the first's."""

import numpy as np
import numpy.typing as npt
import pytest

from graftscope.server.analysis import (
    InvalidInputError,
    Method,
    features_of,
    find_modules,
    seed_consensus,
)
from graftscope.server.analysis._seed_consensus import AGREEMENT_THRESHOLD

BOTH = pytest.mark.parametrize("method", [Method.NMF, Method.KMEANS])


def stripes() -> npt.NDArray[np.float64]:
    """Twelve maps in three groups of four, each a vertical stripe of its own strengths."""
    maps = np.random.default_rng(0).uniform(0.0, 1e-3, (12, 12, 12))
    for channel in range(12):
        start = 4 * (channel % 3)
        maps[channel, :, start : start + 3] += np.linspace(1.0, 2.0, 12)[:, np.newaxis]
    return maps


@BOTH
def test_clear_modules_agree_under_every_seed(method: Method) -> None:
    consensus = seed_consensus(features_of(stripes()), 3, method)
    assert len(consensus.runs) == 5
    assert consensus.agreeing_count == 5
    assert consensus.agreeing.all()
    assert np.all(consensus.label_agreement == 1.0)
    np.testing.assert_allclose(consensus.template_cosine, 1.0, atol=1e-3)


@BOTH
def test_every_run_is_named_as_the_first(method: Method) -> None:
    consensus = seed_consensus(features_of(stripes()), 3, method, seeds=(4, 0, 9))
    first, *others = consensus.runs
    assert [run.seed for run in consensus.runs] == [4, 0, 9]
    for run in others:
        assert np.array_equal(run.labels, first.labels)
        np.testing.assert_allclose(run.templates, first.templates, atol=1e-2)
        assert np.array_equal(run.weights.argmax(axis=1), run.labels)


def test_a_run_differs_from_its_own_clustering_in_numbers_alone() -> None:
    maps = stripes()
    renamed = seed_consensus(features_of(maps), 3, Method.KMEANS, seeds=(0, 1)).runs[1]
    alone = find_modules(features_of(maps), 3, Method.KMEANS, seed=1)
    for channel in range(len(maps)):
        own, new = alone.labels[channel], renamed.labels[channel]
        assert np.array_equal(alone.templates[own], renamed.templates[new])
        assert alone.weights[channel, own] == renamed.weights[channel, new]


def test_modules_of_noise_are_said_to_depend_on_the_seed() -> None:
    noise = np.random.default_rng(0).random((40, 16, 16))
    consensus = seed_consensus(features_of(noise), 4, Method.KMEANS)
    assert consensus.agreeing_count == 1
    assert consensus.label_agreement[0] == 1.0
    assert consensus.label_agreement[1:].max() < AGREEMENT_THRESHOLD


@pytest.mark.parametrize("seeds", [(), (1, 2, 1)])
def test_no_seed_or_one_twice_is_refused(seeds: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInputError, match="at least one, all different"):
        seed_consensus(features_of(stripes()), 3, seeds=seeds)
