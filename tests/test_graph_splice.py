"""Splicing and reduction inside the graph equal the same done in numpy around the half."""

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from graftscope.graph import (
    HYBRIDS,
    IMAGE1,
    MOMENT,
    ORIGINAL1,
    ORIGINAL2,
    PIXEL_MEANS,
    SETS,
    TOTAL,
    Areas,
    Cut,
    GraphError,
    cut,
    find_layers,
    normalise,
    reduce_effects,
    splice,
)
from onnx_toys import CHAIN, REUSED_LATENT, SKIP, above, latents, parse, run

PAIRS = 3
# float32 images, float64 sums: only the order of a few additions differs.
TOLERANCE = 1e-6

Arrays = dict[str, NDArray[np.generic]]


class Setting:
    """A graph cut at a layer, and what both originals leave there."""

    def __init__(self, text: str, layer: int) -> None:
        model = normalise(parse(text))
        halves = cut(model, find_layers(model)[layer].tensor)
        self.halves: Cut = halves
        self.inputs = latents(model, 2 * PAIRS)
        recorded = {**self.inputs, **run(above(halves), self._for(above(halves)))}
        self.first = {name: value[:PAIRS] for name, value in recorded.items()}
        self.second = {name: value[PAIRS:] for name, value in recorded.items()}
        self.carried: Arrays = {name: self.first[name] for name in halves.carried}

    def _for(self, model: ir.Model) -> Arrays:
        return {str(x.name): self.inputs[str(x.name)] for x in model.graph.inputs}

    @property
    def channels(self) -> int:
        return int(self.first[self.halves.activation].shape[1])

    def downstream(self, activation: NDArray[np.generic]) -> NDArray[np.float32]:
        (image,) = run(
            self.halves.downstream, {self.halves.activation: activation, **self.carried}
        ).values()
        return image  # type: ignore[return-value]

    def by_hand(self, chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
        spliced = self.first[self.halves.activation].copy()
        spliced[:, chosen] = self.second[self.halves.activation][:, chosen]
        return self.downstream(spliced)

    def feeds(self, sets: NDArray[np.bool_]) -> Arrays:
        name = self.halves.activation
        return {
            ORIGINAL1: self.first[name],
            ORIGINAL2: self.second[name],
            SETS: sets,
            **self.carried,
        }


SETTINGS = [(CHAIN, 0), (CHAIN, 1), (SKIP, 0), (SKIP, 1), (REUSED_LATENT, 0)]


@pytest.fixture(params=SETTINGS, ids=["chain-0", "chain-1", "skip-0", "skip-1", "reused-0"])
def setting(request: pytest.FixtureRequest) -> Setting:
    return Setting(*request.param)


def test_hybrids_of_several_sets_equal_a_splice_by_hand(setting: Setting) -> None:
    sets = np.random.default_rng(1).random((4, setting.channels)) < 0.5
    hybrids = run(splice(setting.halves.downstream.clone()), setting.feeds(sets))[HYBRIDS]
    by_hand = np.concatenate([setting.by_hand(chosen) for chosen in sets])
    np.testing.assert_array_equal(hybrids, by_hand)


def test_splicing_nothing_gives_original_1(setting: Setting) -> None:
    nothing = np.zeros((1, setting.channels), dtype=np.bool_)
    hybrids = run(splice(setting.halves.downstream.clone()), setting.feeds(nothing))[HYBRIDS]
    original = setting.downstream(setting.first[setting.halves.activation])
    np.testing.assert_array_equal(hybrids, original)


def test_splicing_every_channel_gives_original_2_where_nothing_is_carried() -> None:
    setting = Setting(CHAIN, 1)
    assert not setting.halves.carried
    everything = np.ones((1, setting.channels), dtype=np.bool_)
    hybrids = run(splice(setting.halves.downstream.clone()), setting.feeds(everything))[HYBRIDS]
    original = setting.downstream(setting.second[setting.halves.activation])
    np.testing.assert_array_equal(hybrids, original)


@pytest.mark.parametrize("areas", [Areas(), Areas(2, 2), Areas(3, 4)])
def test_sums_equal_those_of_numpy_in_float64(setting: Setting, areas: Areas) -> None:
    sets = np.eye(setting.channels, dtype=np.bool_)
    image1 = setting.downstream(setting.first[setting.halves.activation])
    model = reduce_effects(splice(setting.halves.downstream.clone()), areas=areas)
    sums = run(model, {**setting.feeds(sets), IMAGE1: image1})
    for i, chosen in enumerate(sets):
        effect = np.abs(setting.by_hand(chosen).astype(np.float64) - image1).mean(axis=1)
        maps = block_means(effect, areas)
        np.testing.assert_allclose(sums[TOTAL][i], maps.sum(axis=0), atol=TOLERANCE)
        moment = ((maps - maps.mean(axis=0)) ** 2).sum(axis=0)
        np.testing.assert_allclose(sums[MOMENT][i], moment, atol=TOLERANCE)
        np.testing.assert_allclose(sums[PIXEL_MEANS][i], effect.mean(axis=(1, 2)), atol=TOLERANCE)


def test_sums_are_float64_and_the_moment_is_never_negative(setting: Setting) -> None:
    sets = np.zeros((2, setting.channels), dtype=np.bool_)
    image1 = setting.downstream(setting.first[setting.halves.activation])
    model = reduce_effects(splice(setting.halves.downstream.clone()))
    sums = run(model, {**setting.feeds(sets), IMAGE1: image1})
    assert {value.dtype for value in sums.values()} == {np.dtype(np.float64)}
    for name in (TOTAL, MOMENT, PIXEL_MEANS):
        np.testing.assert_array_equal(sums[name], np.zeros_like(sums[name]))


def test_a_graph_of_an_old_opset_is_refused_by_its_number() -> None:
    downstream = Setting(CHAIN, 0).halves.downstream.clone()
    downstream.graph.opset_imports[""] = 13
    with pytest.raises(GraphError, match="opset 13; splicing needs 18"):
        splice(downstream)


def test_a_graph_with_two_outputs_is_refused() -> None:
    downstream = Setting(CHAIN, 0).halves.downstream.clone()
    downstream.graph.outputs.append(downstream.graph.outputs[0])
    with pytest.raises(GraphError, match="2 outputs"):
        splice(downstream)


def block_means(maps: NDArray[np.float64], areas: Areas) -> NDArray[np.float64]:
    """(B, H, W) averaged over areas, the last ones smaller where they do not fit."""
    _, height, width = maps.shape
    rows = [
        [
            maps[:, y : y + areas.height, x : x + areas.width].mean(axis=(1, 2))
            for x in range(0, width, areas.width)
        ]
        for y in range(0, height, areas.height)
    ]
    return np.array(rows).transpose(2, 0, 1)
