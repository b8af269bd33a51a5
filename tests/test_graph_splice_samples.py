"""A choice of samples and sets of channels inside the graph equals one in numpy around the half."""

import numpy as np
import pytest
from numpy.typing import NDArray

from graftscope.graph import (
    DONORS,
    FIRST,
    HYBRIDS,
    SAMPLES,
    SETS,
    UnknownTensorError,
    cut,
    find_layers,
    normalise,
    splice_samples,
)
from onnx_toys import CHAIN, REUSED_LATENT, SKIP, above, latents, parse, run

SAMPLE_COUNT = 4
IMAGES = 7

Arrays = dict[str, NDArray[np.generic]]


@pytest.mark.parametrize(
    ("text", "layer"), [(CHAIN, 0), (CHAIN, 1), (SKIP, 0), (SKIP, 1), (REUSED_LATENT, 0)]
)
def test_every_image_is_made_of_the_samples_and_channels_that_it_names(
    text: str, layer: int
) -> None:
    model = normalise(parse(text))
    halves = cut(model, find_layers(model)[layer].tensor)
    inputs = latents(model, SAMPLE_COUNT)
    upper = {str(x.name): inputs[str(x.name)] for x in above(halves).graph.inputs}
    recorded: Arrays = {**inputs, **run(above(halves), upper)}
    samples = recorded[halves.activation]
    carried = {name: recorded[name] for name in halves.carried}

    randomness = np.random.default_rng(5)
    first, donors = randomness.integers(0, SAMPLE_COUNT, (2, IMAGES))
    sets = randomness.random((IMAGES, samples.shape[1])) < 0.5
    places = sets.reshape(*sets.shape, *[1] * (samples.ndim - 2))
    spliced = np.where(places, samples[donors], samples[first])
    by_hand = {halves.activation: spliced, **{name: x[first] for name, x in carried.items()}}
    (expected,) = run(halves.downstream, by_hand).values()

    chosen = splice_samples(halves.downstream.clone(), activation=halves.activation)
    feeds = {SAMPLES: samples, FIRST: first, DONORS: donors, SETS: sets, **carried}
    np.testing.assert_array_equal(run(chosen, feeds)[HYBRIDS], expected)


def test_an_activation_that_is_no_input_is_refused_by_name() -> None:
    model = normalise(parse(CHAIN))
    halves = cut(model, find_layers(model)[0].tensor)
    with pytest.raises(UnknownTensorError, match=f"no input 'nobody'; it has: {halves.activation}"):
        splice_samples(halves.downstream, activation="nobody")
