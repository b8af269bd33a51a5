"""Interventions of every kind, at every kind of layer, against a forward pass written in numpy."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from graftscope.server.analysis import Draws
from graftscope.server.engine import (
    Cancellation,
    ChannelSets,
    Edit,
    Generator,
    Hybrids,
    Interventions,
    Latents,
    PriorPairs,
    complete,
    shard_effects,
)
from graftscope.server.engine._intervention_forms import Donors, Form, slots_of
from graftscope.server.engine._originals import prior_mean
from graftscope.server.engine._samples_and_hybrids import Drawn, grafting_by_form
from intervention_toys import (
    CHANNELS,
    LAYERS,
    Assigned,
    Hook,
    activation,
    add,
    assign,
    blend,
    conditional_generator,
    constant,
    forward,
    mean_over_prior,
    scale,
    stored,
    swap,
    write_conditional,
)

BATCH = 5
# Float32 against float64, images in [-1, 1].
TOLERANCE = 1e-5
PAIRS = 4

Values = NDArray[np.float64]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return conditional_generator(write_conditional(tmp_path_factory.mktemp("toys") / "conditional"))


@pytest.fixture
def pair(generator: Generator) -> tuple[Latents, Latents]:
    return PriorPairs(generator, seed=3).latents(range(BATCH))


def edit_at(
    generator: Generator,
    layer: str,
    channels: tuple[int, ...],
    action: Assigned = swap(),
    mask: NDArray[np.bool_] | None = None,
) -> Edit[Any]:
    return Edit(generator.layer(layer).name, channels, mask=mask, **action)


def make(
    generator: Generator, edits: tuple[Edit[Any], ...], latents: tuple[Latents, Latents]
) -> Hybrids:
    """Through the general path, also where the fast one would do."""
    kind = grafting_by_form(generator, edits)
    return kind.run([Drawn(edits, *latents)], Cancellation())[0]


def where(
    layer: str, channels: tuple[int, ...], mask: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    """Where an edit assigns, written down once more."""
    shapes = {"z": (8,), "hidden": (16,), "tokens": (3, 5), "first": (3, 4, 4), "second": (4, 4, 4)}
    chosen = np.zeros(shapes[layer], dtype=np.bool_)
    for channel in channels:
        if layer in ("z", "hidden"):
            chosen[channel] = True
        elif layer == "tokens":
            chosen[:, channel] = True if mask is None else mask[:, 0]
        else:
            chosen[channel] = True if mask is None else mask
    return chosen


def by_hand(
    latents1: Latents, edits: Mapping[str, tuple[NDArray[np.bool_], Hook]]
) -> NDArray[np.float64]:
    """Hybrids by numpy: where an edit's place is true, what its function says."""

    def hook_of(chosen: NDArray[np.bool_], change: Hook) -> Hook:
        return lambda value: np.where(chosen, change(value), value)

    return forward(latents1, {name: hook_of(*edit) for name, edit in edits.items()})


def test_the_numpy_pass_is_the_generator(
    generator: Generator, pair: tuple[Latents, Latents]
) -> None:
    for latents in pair:
        np.testing.assert_allclose(generator.generate(latents), forward(latents), atol=TOLERANCE)


@pytest.mark.parametrize("layer", LAYERS)
def test_identities_hold_exactly_on_the_general_path(
    generator: Generator, pair: tuple[Latents, Latents], layer: str
) -> None:
    every, some = tuple(range(CHANNELS[layer])), (0, CHANNELS[layer] - 1)
    rest = tuple(sorted(set(every) - set(some)))
    nothing = make(generator, (edit_at(generator, layer, ()),), pair)
    np.testing.assert_array_equal(nothing.hybrid, nothing.original1)
    same = make(generator, (edit_at(generator, layer, some),), (pair[0], pair[0]))
    np.testing.assert_array_equal(same.hybrid, same.original1)
    # What is carried beside the layer is made the same, so that nothing else differs.
    shared = {**pair[1], **{name: pair[0][name] for name in ("noise", "z", "label", "w", "v")}}
    first, second = dict(pair[0]), shared
    if layer == "z":
        second = {**shared, "z": pair[1]["z"]}
    elif layer in ("hidden", "tokens", "first"):
        second = {**shared, "label": pair[1]["label"], "w": pair[1]["w"]}
    else:
        second = dict(pair[1])
    everything = make(generator, (edit_at(generator, layer, every),), (first, second))
    np.testing.assert_array_equal(everything.hybrid, everything.original2)
    there = make(generator, (edit_at(generator, layer, some),), (first, second))
    back = make(generator, (edit_at(generator, layer, rest),), (second, first))
    np.testing.assert_array_equal(there.hybrid, back.hybrid)
    assert np.abs(there.hybrid - there.original1).max() > 0


@pytest.mark.parametrize("layer", LAYERS)
def test_the_fast_path_and_the_general_one_agree(
    generator: Generator, pair: tuple[Latents, Latents], layer: str
) -> None:
    edits = (edit_at(generator, layer, (1, 2)),)
    fast, general = assign(generator, edits, *pair), make(generator, edits, pair)
    for name in ("original1", "original2", "hybrid"):
        ours, theirs = getattr(fast, name), getattr(general, name)
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize(
    ("layer", "masked"),
    [*((layer, False) for layer in LAYERS), *((layer, True) for layer in ("tokens", "first"))],
)
def test_every_action_gives_what_numpy_gives(
    generator: Generator, pair: tuple[Latents, Latents], layer: str, masked: bool
) -> None:
    first, second = pair
    at = generator.layer(layer)
    mask = np.arange(at.height * at.width).reshape(at.height, at.width) % 2 == 0
    donor = activation(layer, second)
    kept = {name: value[2:3] for name, value in first.items()}
    array = np.linspace(-1, 1, donor[0].size).reshape(donor[0].shape).astype(np.float32)
    channel_values = np.linspace(1, 2, at.channels).astype(np.float32)
    spread = channel_values[:, None, None] if donor.ndim == 4 else channel_values
    mean = prior_mean(generator, at)
    means = mean[:, None, None] if donor.ndim == 4 else mean
    actions: list[tuple[Assigned, Hook]] = [
        (swap(), lambda x: donor),
        (swap(stored(kept)), lambda x: 0 * x + activation(layer, kept)),
        (constant(0.5), lambda x: np.full_like(x, 0.5)),
        (constant(array), lambda x: 0 * x + array),
        (constant(channel_values), lambda x: 0 * x + spread),
        (mean_over_prior(), lambda x: 0 * x + means),
        (scale(-1.5), lambda x: -1.5 * x),
        (add(0.25), lambda x: x + 0.25),
        (add(array), lambda x: x + array),
        (blend(0.3), lambda x: 0.3 * donor + 0.7 * x),
        (blend(1.7, stored(kept)), lambda x: 1.7 * activation(layer, kept) - 0.7 * x),
    ]
    channels = (0, 2)
    for action, change in actions:
        edits = (edit_at(generator, layer, channels, action, mask if masked else None),)
        found = make(generator, edits, pair)
        chosen = where(layer, channels, mask if masked else None)
        expected = by_hand(first, {layer: (chosen, change)})
        np.testing.assert_allclose(
            found.hybrid, expected, atol=TOLERANCE, rtol=0, err_msg=str(action)
        )
        np.testing.assert_allclose(found.original1, forward(first), atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(found.original2, forward(second), atol=TOLERANCE, rtol=0)


def test_several_layers_are_a_cascade_whose_donors_are_not_intervened_on(
    generator: Generator, pair: tuple[Latents, Latents]
) -> None:
    first, second = pair
    mask = np.arange(16).reshape(4, 4) < 8
    edits = (
        edit_at(generator, "second", (1,), swap(), mask),
        edit_at(generator, "z", (0, 1, 2), add(0.5)),
        edit_at(generator, "tokens", (4,), blend(0.5)),
        edit_at(generator, "first", (0, 2)),
        edit_at(generator, "hidden", (3, 5), constant(0.0)),
    )
    donors = {name: activation(name, second) for name in LAYERS}
    expected = by_hand(
        first,
        {
            "z": (where("z", (0, 1, 2), None), lambda x: x + 0.5),
            "hidden": (where("hidden", (3, 5), None), lambda x: 0 * x),
            "tokens": (where("tokens", (4,), None), lambda x: 0.5 * donors["tokens"] + 0.5 * x),
            "first": (where("first", (0, 2), None), lambda x: donors["first"]),
            "second": (where("second", (1,), mask), lambda x: donors["second"]),
        },
    )
    found = make(generator, edits, pair)
    np.testing.assert_allclose(found.hybrid, expected, atol=TOLERANCE, rtol=0)
    assert np.abs(expected - forward(first)).max() > 100 * TOLERANCE


def test_two_edits_of_one_channel_apply_each_in_its_own_place(
    generator: Generator, pair: tuple[Latents, Latents]
) -> None:
    top = np.zeros((4, 4), dtype=np.bool_)
    top[:2] = True
    edits = (
        edit_at(generator, "second", (0, 1), scale(2.0), top),
        edit_at(generator, "second", (1, 2), constant(1.0), ~top),
    )

    def change(x: Values) -> Values:
        changed = x.copy()
        changed[:, :2, :2] *= 2.0
        changed[:, 1:3, 2:] = 1.0
        return changed

    everywhere = np.ones((4, 4, 4), dtype=np.bool_)
    expected = by_hand(pair[0], {"second": (everywhere, change)})
    np.testing.assert_allclose(make(generator, edits, pair).hybrid, expected, atol=TOLERANCE)


def test_swapping_the_whole_latent_gives_the_other_original(
    generator: Generator, pair: tuple[Latents, Latents]
) -> None:
    first = pair[0]
    second = {**first, "z": pair[1]["z"]}
    edits = (edit_at(generator, "z", tuple(range(8))),)
    found = assign(generator, edits, first, second)
    np.testing.assert_array_equal(found.hybrid, found.original2)
    np.testing.assert_allclose(found.hybrid, forward(second), atol=TOLERANCE)


def test_a_prior_mean_is_the_mean_over_the_first_samples_and_places(generator: Generator) -> None:
    latents, _ = PriorPairs(generator, seed=0).latents(range(1024))
    for layer in LAYERS:
        values = activation(layer, latents)
        axes = {2: (0,), 3: (0, 1), 4: (0, 2, 3)}[values.ndim]
        found = prior_mean(generator, generator.layer(layer))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, values.mean(axis=axes), atol=TOLERANCE)
    again = prior_mean(generator, generator.layer("first"))
    assert again is prior_mean(generator, generator.layer("first"))


def test_influence_of_any_interventions_equals_a_slow_computation(generator: Generator) -> None:
    interventions = (
        (edit_at(generator, "first", (0,), constant(0.0)),),
        (edit_at(generator, "first", (1,), mean_over_prior()),),
        (edit_at(generator, "z", (3,)), edit_at(generator, "second", (2,), scale(0.0))),
        (edit_at(generator, "first", (2,), constant(0.0)),),
    )
    source = PriorPairs(generator, seed=8)
    subject = Interventions(generator, interventions, generator.areas(0))
    plan = subject.plan()
    shard = shard_effects(subject, plan, source, range(PAIRS), Cancellation())
    latents = source.latents(range(PAIRS))
    for i, edits in enumerate(interventions):
        found = make(generator, edits, latents)
        effects = np.abs(found.hybrid.astype(np.float64) - found.original1).mean(axis=1)
        np.testing.assert_allclose(shard.moments.mean[i], effects.mean(axis=0), atol=TOLERANCE)
        spread = effects.std(axis=0, ddof=1) / np.sqrt(PAIRS)
        np.testing.assert_allclose(shard.moments.stderr()[i], spread, atol=TOLERANCE)
        np.testing.assert_allclose(shard.pixel_means[:, i], effects.mean((1, 2)), atol=TOLERANCE)
    kinds = subject.kinds(plan)
    assert [(some.start, count) for some, count in kinds] == [(0, 3), (2, 1)]


def test_influence_of_one_swap_agrees_with_that_of_a_set(generator: Generator) -> None:
    source, areas = PriorPairs(generator, seed=8), generator.areas(0)
    for name in LAYERS:
        layer = generator.layer(name)
        sets = np.eye(layer.channels, dtype=np.bool_)[:2]
        swaps = tuple((edit_at(generator, name, (c,)),) for c in range(2))
        one = ChannelSets(generator, layer, sets, areas, products=True)
        other = Interventions(generator, swaps, areas, products=True)
        ours, theirs = (
            shard_effects(x, x.plan(), source, range(PAIRS), Cancellation()) for x in (one, other)
        )
        np.testing.assert_allclose(ours.moments.mean, theirs.moments.mean, atol=TOLERANCE)
        assert ours.products is not None
        assert theirs.products is not None
        np.testing.assert_allclose(ours.products, theirs.products, atol=TOLERANCE)


def test_an_effect_of_nothing_is_zero_to_the_bit(generator: Generator) -> None:
    nothing = ((edit_at(generator, "tokens", (), scale(3.0)),),)
    subject = Interventions(generator, nothing, generator.areas(0))
    source = PriorPairs(generator, seed=1)
    shard = shard_effects(subject, subject.plan(), source, range(PAIRS), Cancellation())
    assert not shard.moments.mean.any()


def test_interventions_of_one_form_share_their_graphs(generator: Generator) -> None:
    one = Form.of(generator, (edit_at(generator, "first", (0,), scale(2.0)),))
    other = Form.of(generator, (edit_at(generator, "first", (1,), add(1.0)),))
    third = Form.of(generator, (edit_at(generator, "first", (1,), constant(1.0)),))
    assert one == other
    assert one != third


def test_a_stored_donor_is_recorded_once_for_many_interventions(generator: Generator) -> None:
    latents, second = PriorPairs(generator, seed=0).latents(range(1))
    donor = stored(complete(generator, latents, Draws(0, range(1), 2)))
    donors = Donors(generator, second, None)
    for channel in range(3):
        slots_of((edit_at(generator, "first", (channel,), swap(donor)),), donors)
    layer = generator.layer("first")
    assert donors.activation(donor, layer) is donors.activation(donor, layer)
