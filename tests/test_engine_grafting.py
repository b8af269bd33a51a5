"""Interventions of several callers, made in one run, are what each makes alone."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from graftscope.bundle import read_bundle
from graftscope.server.analysis import Draws
from graftscope.server.engine import (
    ORIGINAL2,
    Cancellation,
    Device,
    Donor,
    Edit,
    Generator,
    Graft,
    Hybrids,
    PriorPairs,
    SessionPool,
    _samples_and_hybrids,
    complete,
    grafting,
    sampling,
)
from graftscope.server.engine._samples_and_hybrids import Drawn, Grafting, grafting_by_form
from intervention_toys import (
    Assigned,
    add,
    blend,
    conditional_generator,
    constant,
    mean_over_prior,
    scale,
    stored,
    swap,
    write_conditional,
)

# The general path runs matrix products on another number of rows when several come together.
TOLERANCE = 1e-6
TIMEOUT_S = 10.0
NAMES = ("original1", "original2", "hybrid")


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return conditional_generator(write_conditional(tmp_path_factory.mktemp("toys") / "conditional"))


@pytest.fixture(scope="module")
def vae(toy_vae_bundle: Path) -> Generator:
    return Generator(read_bundle(toy_vae_bundle), SessionPool(Device.CPU, 32))


def graft(
    generator: Generator,
    layer: str,
    channels: Sequence[int],
    pairs: range,
    action: Assigned = swap(),
    mask: NDArray[np.bool_] | None = None,
) -> Graft:
    source = PriorPairs(generator, seed=pairs.start)
    edit = Edit(generator.layer(layer).name, tuple(channels), mask=mask, **action)
    return Graft((edit,), lambda: source.latents(pairs))


def made(kind: Grafting, grafts: Sequence[Graft]) -> Sequence[Hybrids]:
    return kind.run([kind.prepare(each) for each in grafts], Cancellation())


def images(hybrids: Hybrids) -> list[NDArray[np.float32]]:
    return [getattr(hybrids, name) for name in NAMES]


@pytest.mark.parametrize("layer", ["z", "hidden", "tokens", "first", "second"])
def test_swaps_made_together_are_those_made_alone_to_the_bit(
    conditional: Generator, layer: str
) -> None:
    channels = range(conditional.layer(layer).channels)
    grafts = [
        graft(conditional, layer, chosen, pairs)
        for chosen, pairs in [
            ([], range(2)),
            ([0], range(5, 6)),
            (list(channels), range(7, 10)),
            ([2, 1], range(3, 5)),
        ]
    ]
    kind = grafting(conditional, grafts[0].intervention)
    for together, each in zip(made(kind, grafts), grafts, strict=True):
        (alone,) = made(kind, [each])
        for one, other in zip(images(together), images(alone), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("layer", ["hidden", "tokens", "first"])
def test_swaps_are_those_of_the_general_path(conditional: Generator, layer: str) -> None:
    each = graft(conditional, layer, [1, 2], range(4))
    (swapped,) = made(grafting(conditional, each.intervention), [each])
    (general,) = made(grafting_by_form(conditional, each.intervention), [each])
    for one, other in zip(images(swapped), images(general), strict=True):
        np.testing.assert_allclose(one, other, atol=TOLERANCE)


def test_the_identities_hold_within_every_callers_pairs(vae: Generator) -> None:
    layer = vae.layer("intermediate")
    nothing = graft(vae, layer.name, [], range(3))
    everything = graft(vae, layer.name, range(layer.channels), range(3, 5))
    first, second = made(grafting(vae, nothing.intervention), [nothing, everything])
    np.testing.assert_array_equal(first.hybrid, first.original1)
    np.testing.assert_array_equal(second.hybrid, second.original2)


def sample(generator: Generator, seed: int) -> Donor[Any]:
    return stored(complete(generator, {}, Draws(seed, range(1), 2)))


@pytest.mark.parametrize("layer", ["tokens", "first"])
@pytest.mark.parametrize("kind", ["replace", "affine"])
def test_interventions_of_one_form_made_together_are_those_made_alone(
    conditional: Generator, layer: str, kind: str
) -> None:
    at = conditional.layer(layer)
    mask = np.zeros((at.height, at.width), dtype=np.bool_)
    mask[0] = True
    actions: dict[str, list[Assigned]] = {
        "replace": [
            constant(0.5),
            swap(),
            swap(sample(conditional, 4)),
            mean_over_prior(),
            constant(np.linspace(-1, 1, at.channels, dtype=np.float32)),
        ],
        "affine": [
            scale(2.0),
            add(0.3),
            blend(0.25),
            blend(0.5, sample(conditional, 9)),
            add(np.linspace(-1, 1, at.channels, dtype=np.float32)),
        ],
    }
    grafts = [
        graft(conditional, layer, [i % 2, 2], range(i, 2 * i + 1), action, mask if i else None)
        for i, action in enumerate(actions[kind])
    ]
    together = grafting_by_form(conditional, grafts[0].intervention)
    for all_at_once, each in zip(made(together, grafts), grafts, strict=True):
        assert grafting_by_form(conditional, each.intervention).key == together.key
        (alone,) = made(together, [each])
        for one, other in zip(images(all_at_once), images(alone), strict=True):
            np.testing.assert_allclose(one, other, atol=TOLERANCE)


def test_what_differs_in_layer_or_form_is_not_made_together(conditional: Generator) -> None:
    actions: list[tuple[str, Assigned]] = [
        ("first", swap()),
        ("second", swap()),
        ("first", constant(0.0)),
        ("first", scale(2.0)),
    ]
    keys = [
        grafting(conditional, graft(conditional, layer, [0], range(1), action).intervention).key
        for layer, action in actions
    ]
    assert len(set(keys)) == len(keys)


def test_samples_made_together_are_those_made_alone(vae: Generator) -> None:
    kind = sampling(vae)
    drawn = [PriorPairs(vae, seed).latents(range(seed, 3 * seed))[0] for seed in (1, 2, 3)]
    for together, latents in zip(kind.run(drawn, Cancellation()), drawn, strict=True):
        (alone,) = kind.run([latents], Cancellation())
        np.testing.assert_allclose(together.images, alone.images, atol=TOLERANCE)
        np.testing.assert_array_equal(together.latents["z"], latents["z"])


def test_large_images_are_made_one_at_a_time(
    vae: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_samples_and_hybrids, "LARGE_BYTES", vae.widest_bytes())
    each = graft(vae, "image", [0, 1], range(1))
    other = Generator(vae.folder, SessionPool(Device.CPU, 8))
    kind = grafting(other, each.intervention)
    assert (kind.limit, kind.key) == (1, grafting_by_form(other, each.intervention).key)
    drawn = Drawn(each.intervention, *each.draw())
    (one,) = kind.run([drawn], Cancellation())
    (usual,) = made(grafting(vae, each.intervention), [each])
    np.testing.assert_allclose(one.hybrid, usual.hybrid, atol=TOLERANCE)


EDITS: dict[str, dict[str, Any]] = {
    "swap": {"donor": ORIGINAL2},
    "scale": {"number": 0.5},
    "prior_mean": {},
}


def one_of_each(generator: Generator) -> list[Edit[NDArray[Any]]]:
    """An edit of every kind of session that is opened for it."""
    layer = generator.manifest.layers[1].name
    return [Edit(layer, (0,), action, **given) for action, given in EDITS.items()]


def test_what_a_call_can_be_made_with_is_told_while_a_mean_is_computed(
    toy_vae_bundle: Path,
) -> None:
    fresh = Generator(read_bundle(toy_vae_bundle), SessionPool(Device.CPU, 32))
    layer = fresh.manifest.layers[1].name
    begun, let_go = threading.Event(), threading.Event()

    def mean() -> None:
        begun.set()
        assert let_go.wait(TIMEOUT_S)

    with ThreadPoolExecutor(1) as threads:
        computing = threads.submit(fresh.memo.get, f"prior mean/{layer}", mean)
        assert begun.wait(TIMEOUT_S)
        # In the event loop, for the same layer as for others.
        assert not any(grafting(fresh, (edit,)).is_open() for edit in one_of_each(fresh))
        assert not computing.done()
        let_go.set()
        computing.result(TIMEOUT_S)


def test_a_kind_is_open_once_it_was_made(toy_vae_bundle: Path) -> None:
    fresh = Generator(read_bundle(toy_vae_bundle), SessionPool(Device.CPU, 32))
    source = PriorPairs(fresh, seed=0)
    for edit in one_of_each(fresh):
        kind = grafting(fresh, (edit,))
        assert not kind.is_open()
        kind.make(Graft((edit,), lambda: source.latents(range(1))), Cancellation())
        assert grafting(fresh, (edit,)).is_open()
