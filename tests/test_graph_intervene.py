"""Facts about `graftscope.graph.intervene`: interventions equal a cascade of halves in numpy."""

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from graftscope.graph import (
    HYBRIDS,
    IMAGE1,
    PIXEL_MEANS,
    TOTAL,
    Assignment,
    CutError,
    GraphError,
    Slot,
    UnknownTensorError,
    cut,
    factor_name,
    intervene,
    reduce_effects,
    value_name,
    where_name,
)
from onnx_toys import CHAIN, REUSED_LATENT, SKIP, latents, parse, run

REPLACE, AFFINE = Assignment.REPLACE, Assignment.AFFINE
Arrays = dict[str, NDArray[np.generic]]


def halves_at(model: ir.Model, tensor: str, given: Arrays) -> tuple[Arrays, ir.Model]:
    """Return what crosses a cut, and the lower half."""
    parts = cut(model, tensor)
    upper = given if parts.upstream is None else {**given, **run(parts.upstream, given)}
    names = [tensor, *parts.carried]
    return {name: upper[name] for name in names}, parts.downstream


def some(channels: list[int], value: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return where these channels of a map are, (1, C, 1, 1)."""
    chosen = np.zeros((1, value.shape[1], *(1,) * (value.ndim - 2)), dtype=np.bool_)
    chosen[:, channels] = True
    return chosen


def number(value: float) -> NDArray[np.float32]:
    """Return a number that can be broadcast against a map."""
    return np.full((1, 1, 1, 1), value, np.float32)


def recorded(model: ir.Model, slots: list[Slot], given: Arrays) -> tuple[Arrays, ir.Model]:
    """Return what crosses into an intervention's lower half, and that half."""
    built = intervene(model, slots)
    upper = given if built.upstream is None else {**given, **run(built.upstream, given)}
    return {name: upper[name] for name in (*built.recorded, *built.carried)}, built.downstream


@pytest.mark.parametrize("text", [CHAIN, SKIP, REUSED_LATENT])
@pytest.mark.parametrize("tensor", ["z", "first", "second"])
def test_replacing_channels_is_what_numpy_does_between_the_halves(text: str, tensor: str) -> None:
    model = parse(text)
    one, two = latents(model, 3), latents(model, 3, seed=1)
    crossing, lower = halves_at(model, tensor, one)
    donor = halves_at(model, tensor, two)[0][tensor]
    where = some([0, 2], donor)
    (expected,) = run(
        lower, {**crossing, tensor: np.where(where, donor, crossing[tensor])}
    ).values()
    given, lower = recorded(model, [Slot(tensor, REPLACE)], one)
    found = run(lower, {**given, where_name(0): where, value_name(0): donor})[HYBRIDS]
    np.testing.assert_array_equal(found, expected)


def test_an_affine_slot_scales_and_adds_where_it_is_true_alone() -> None:
    model = parse(SKIP)
    one = latents(model, 2)
    crossing, lower = halves_at(model, "second", one)
    plain = crossing["second"].astype(np.float32)
    where = some([1], plain) & (np.arange(4) < 2)
    edited = np.where(where, np.float32(0.5) * plain + np.float32(3), plain)
    (expected,) = run(lower, {**crossing, "second": edited}).values()
    given, lower = recorded(model, [Slot("second", AFFINE)], one)
    numbers = {value_name(0): number(3), factor_name(0): number(0.5)}
    found = run(lower, {**given, where_name(0): where, **numbers})[HYBRIDS]
    np.testing.assert_allclose(found.astype(float), expected.astype(float), atol=1e-6)


@pytest.mark.parametrize("text", [SKIP, REUSED_LATENT])
def test_a_later_edit_sees_what_an_earlier_one_gave(text: str) -> None:
    model = parse(text)
    one, two = latents(model, 3), latents(model, 3, seed=1)
    upper, lower = halves_at(model, "first", one)
    donor1 = halves_at(model, "first", two)[0]["first"]
    donor2 = halves_at(model, "second", two)[0]["second"]
    where1, where2 = some([0, 1], donor1), some([2], donor2)
    # By hand: edit `first`, compute everything below it again up to `second`, edit that.
    edited = {**upper, "first": np.where(where1, donor1, upper["first"])}
    again = cut(lower, "second")
    assert again.upstream is not None
    between = {**edited, **run(again.upstream, edited)}
    between["second"] = np.where(where2, donor2, between["second"])
    (expected,) = run(again.downstream, between).values()

    slots = [Slot("second", REPLACE), Slot("first", REPLACE)]
    built = intervene(model, slots)
    assert built.recorded == ("first",)
    given, lower = recorded(model, slots, one)
    places = {where_name(0): where2, where_name(1): where1}
    values = {value_name(0): donor2, value_name(1): donor1}
    np.testing.assert_array_equal(run(lower, {**given, **places, **values})[HYBRIDS], expected)


def test_edits_of_branches_that_do_not_meet_are_both_recorded() -> None:
    model = parse(REUSED_LATENT)
    built = intervene(model, [Slot("again", REPLACE), Slot("middle", REPLACE)])
    assert built.recorded == ("middle", "again")
    assert built.carried == ("noise",)


def test_edits_of_one_tensor_read_what_it_was_before_any() -> None:
    model = parse(CHAIN)
    one = latents(model, 2)
    given, lower = recorded(model, [Slot("first", AFFINE), Slot("first", AFFINE)], one)
    everywhere = np.ones((1, 1, 1, 4), np.bool_)
    left = everywhere & (np.arange(4) < 2)
    numbers = {f(i): number(v) for i in (0, 1) for f, v in ((factor_name, 2), (value_name, 1))}
    both = run(lower, {**given, **numbers, where_name(0): left, where_name(1): ~left})[HYBRIDS]
    given, lower = recorded(model, [Slot("first", AFFINE)], one)
    once = run(lower, {**given, **numbers, where_name(0): everywhere})[HYBRIDS]
    np.testing.assert_array_equal(both, once)


def test_effects_of_an_intervention_are_reduced_as_one_set() -> None:
    model = parse(SKIP)
    one, two = latents(model, 4), latents(model, 4, seed=1)
    donor = halves_at(model, "first", two)[0]["first"]
    given, lower = recorded(model, [Slot("first", REPLACE)], one)
    feeds = {**given, where_name(0): some([3], donor), value_name(0): donor}
    hybrids = run(lower, feeds)[HYBRIDS]
    (image1,) = run(model, one).values()
    change = hybrids.astype(np.float64) - image1.astype(np.float64)
    effect = np.abs(change).mean(axis=1)  # (B, H, W)
    reduced = run(reduce_effects(lower), {**feeds, IMAGE1: image1})
    total, means = (reduced[name].astype(np.float64) for name in (TOTAL, PIXEL_MEANS))
    np.testing.assert_allclose(total, effect.sum(axis=0)[np.newaxis], atol=1e-6)
    np.testing.assert_allclose(means, effect.mean(axis=(1, 2))[np.newaxis], atol=1e-6)


def test_what_cannot_be_intervened_on_is_refused() -> None:
    model = parse(SKIP)
    with pytest.raises(GraphError, match="at least one slot"):
        intervene(model, [])
    with pytest.raises(UnknownTensorError, match="'nine' is not in the graph"):
        intervene(model, [Slot("nine", REPLACE)])
    with pytest.raises(CutError, match="'w_fc' cannot be cut at: it is the same for every latent"):
        intervene(model, [Slot("w_fc", REPLACE)])
