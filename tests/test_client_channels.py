"""Facts about how channels are named: numbers, sets, masks, modules of labels."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from graftscope.client import Client, Edit, Intervention, ModuleOf, Source
from graftscope.client.errors import InputError, UsageError
from graftscope.client.interventions import ChannelNumbers

PAIRS: dict[str, Any] = {"pairs": 2, "seed": 7}


class Named:
    """What stands for channels, as modules do."""

    def __init__(self, channels: tuple[int, ...], source: Source | None = None) -> None:
        self.channels = channels
        self.source = source


@pytest.fixture(scope="module")
def count(toy_client: Client) -> int:
    return toy_client.model("toy-vae").layer("coarse").channels


@pytest.mark.parametrize(
    "given",
    [
        {2, 0},
        frozenset({2, 0}),
        range(0, 4, 2),
        np.array([0, 2]),
        {0: "a", 2: "b"}.keys(),
        iter([2, 0]),
        Named((0, 2)),
        [Named((2,)), Named((0, 2))],
        [Named((2,)), 0],
        ModuleOf(np.array([1, 0, 1, 0, 0, 0, 0, 0]), 1),
    ],
)
def test_whatever_names_the_same_channels_makes_the_same_hybrid(
    toy_client: Client, given: Any
) -> None:
    expected = toy_client.hybridize("toy-vae", "coarse", [0, 2], **PAIRS)
    made = toy_client.hybridize("toy-vae", "coarse", given, **PAIRS)
    np.testing.assert_array_equal(made.hybrid, expected.hybrid)


def test_a_mask_means_the_channels_where_it_is_true(toy_client: Client, count: int) -> None:
    mask = np.arange(count) % 2 == 0
    expected = toy_client.hybridize("toy-vae", "coarse", range(0, count, 2), **PAIRS)
    for given in (mask, mask.tolist()):
        made = toy_client.hybridize("toy-vae", "coarse", given, **PAIRS)
        np.testing.assert_array_equal(made.hybrid, expected.hybrid)
        strip = toy_client.strip("toy-vae", "coarse", given, strengths=[1], **PAIRS)
        np.testing.assert_array_equal(strip.images[0], expected.hybrid)
    maps = toy_client.influence("toy-vae", "coarse", mask, **PAIRS)
    assert maps.channels.tolist() == list(range(0, count, 2))


def test_nothing_of_a_mask_is_original_1(toy_client: Client, count: int) -> None:
    made = toy_client.hybridize("toy-vae", "coarse", np.zeros(count, bool), **PAIRS)
    np.testing.assert_array_equal(made.hybrid, made.original1)


@pytest.mark.parametrize("longer", [-1, 1])
def test_a_mask_of_another_length_is_refused_in_words(
    toy_client: Client, count: int, longer: int
) -> None:
    mask = np.ones(count + longer, bool)
    of = f"{count + longer} channels do not fit layer '.*' of toy-vae, which has {count}$"
    several = Intervention([Edit("coarse", mask)])
    for ask in (
        lambda: toy_client.hybridize("toy-vae", "coarse", mask, **PAIRS),
        lambda: toy_client.hybridize("toy-vae", intervention=several, **PAIRS),
        lambda: toy_client.influence("toy-vae", "coarse", mask, **PAIRS),
        lambda: toy_client.influence("toy-vae", interventions=[several], **PAIRS),
    ):
        with pytest.raises(InputError, match=of):
            ask()


def test_several_modules_of_labels_are_all_of_their_channels(
    toy_client: Client, count: int
) -> None:
    labels = np.arange(count) % 3
    made = toy_client.hybridize("toy-vae", "coarse", labels=labels, modules={0, 2}, **PAIRS)
    union = [channel for channel in range(count) if channel % 3 != 1]
    expected = toy_client.hybridize("toy-vae", "coarse", union, **PAIRS)
    np.testing.assert_array_equal(made.hybrid, expected.hybrid)
    with pytest.raises(InputError, match="module 3 is not allowed: it must be from 0 to 2"):
        toy_client.hybridize("toy-vae", "coarse", labels=labels, modules=[0, 3], **PAIRS)
    with pytest.raises(InputError, match="do not fit layer"):
        toy_client.hybridize("toy-vae", "coarse", labels=labels[:-1], modules=[0], **PAIRS)
    with pytest.raises(UsageError, match="or `labels` and `module` "):
        toy_client.hybridize("toy-vae", "coarse", labels=labels, **PAIRS)


def test_modules_of_another_layer_model_or_version_are_refused(toy_client: Client) -> None:
    model = toy_client.model("toy-vae")
    here = Source("toy-vae", model.digest, "coarse", "")
    toy_client.hybridize("toy-vae", "coarse", Named((0,), here), **PAIRS)
    for source in (
        Source("toy-vae", model.digest, "intermediate", ""),
        Source("another", model.digest, "coarse", ""),
        Source("toy-vae", "0" * 64, "coarse", ""),
    ):
        with pytest.raises(InputError, match=r"the modules are of layer .* and do not fit layer"):
            toy_client.hybridize("toy-vae", "coarse", Named((0,), source), **PAIRS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("03", "channels '03' is not a list"),
        (5, "channels 5 is not a list"),
        ([0, True], "channel True is not an integer"),
        (np.ones((1, 4), bool), r"channels <bool \(1, 4\)> is not a list"),
        ([-1], "channel -1 is not allowed"),
        ({0.5}, "channel 0.5 is not an integer"),
    ],
)
def test_what_names_no_channels_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ChannelNumbers.of(given)


def test_lists_keep_their_order_and_sets_ascend() -> None:
    several: list[Iterable[int]] = [[3, 1], (3, 1), {3, 1}, frozenset({1, 3})]
    found = [ChannelNumbers.of(each) for each in several]
    assert found == [(3, 1), (3, 1), (1, 3), (1, 3)]
