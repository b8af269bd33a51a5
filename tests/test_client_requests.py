"""Facts about what a request may hold: each refusal names the value and what is allowed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from graftscope.client import (
    ImagePairs,
    InfluenceTask,
    LatentPairs,
    MagnitudeTask,
    Method,
    ModulesTask,
    Prior,
    StabilityTask,
)
from graftscope.client.errors import InputError, UsageError
from graftscope.client.values import HybridsTask, SamplesTask
from graftscope.client.wire import Outbox, model_name, operation_name, request_of

LABELS = np.array([0, 1, -1])


def influence(**changes: Any) -> Any:
    return request_of(InfluenceTask("toy", "conv1", **changes), Outbox())


def modules(**changes: Any) -> Any:
    return request_of(ModulesTask(**{"maps": np.zeros((4, 2, 2)), **changes}), Outbox())


def hybridize(channels: Any = None, labels: Any = None, module: Any = None) -> Any:
    task = HybridsTask("toy", "conv1", channels, labels, module)
    return request_of(task, Outbox())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": ()}, "no channels"),
        ({"channels": (-1,)}, "channel -1 is not allowed: it must be from 0"),
        ({"channels": (1.5,)}, "channel 1.5 is not an integer"),
        ({"channels": "15"}, "channels '15' is not a list"),
        ({"originals": "prior"}, "originals 'prior' are of no known kind"),
        ({"share": "label"}, "share 'label' is not a list of names"),
        ({"precision": "half"}, "precision 'half' is unknown; there are: fp32, bf16, tf32, fp16"),
        ({"pairs": 0}, "pairs 0 is not allowed: it must be from 1"),
        ({"seed": 1 << 32}, "seed 4294967296 is not allowed: it must be from 0 to 4294967295"),
        ({"map_size": -1}, "map_size -1 is not allowed"),
    ],
)
def test_influence_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        influence(**changes)


def test_influence_of_no_named_channel_asks_for_all() -> None:
    request = influence()
    assert request.WhichOneof("subject") == "each_channel"
    assert not request.each_channel.indices
    assert not request.pairs.HasField("originals")


def test_channels_and_labels_together_are_refused() -> None:
    with pytest.raises(UsageError, match="either"):
        influence(channels=(1,), labels=LABELS)


def test_latents_with_a_value_that_is_not_finite_are_refused_by_name() -> None:
    latents = {"z": np.array([[0.0, np.nan], [np.inf, 1.0]])}
    with pytest.raises(InputError, match="latents1 'z': 2 of 4 values are NaN or infinite"):
        influence(originals=LatentPairs(latents, latents))


def test_latents_need_a_sample_and_as_many_of_every_input() -> None:
    with pytest.raises(InputError, match="z: 2, y: 3"):
        request_of(
            SamplesTask("toy", latents={"z": np.zeros((2, 1)), "y": np.zeros((3, 1))}), Outbox()
        )
    with pytest.raises(InputError, match="holds no array"):
        request_of(SamplesTask("toy", latents={}), Outbox())


def test_given_pairs_are_neither_counted_nor_drawn_otherwise() -> None:
    latents, images = {"z": np.zeros((5, 3))}, np.zeros((5, 2, 2, 3), np.uint8)
    for given in (LatentPairs(latents, latents), ImagePairs(images, images)):
        said: dict[str, int]
        for said in ({}, {"pairs": 5}):
            pairs = influence(originals=given, **said).pairs
            assert (pairs.count, pairs.seed, pairs.first) == (5, 0, 0)
        for said in ({"pairs": 9}, {"seed": 7}, {"first": 2}):
            ((name, value),) = said.items()
            told = (
                f"Pairs already gives all the pairs, 5 of .*: leave out `{name}`, which is {value}"
            )
            with pytest.raises(UsageError, match=told):
                influence(originals=given, **said)


def test_given_pairs_leave_the_methods_seed_alone() -> None:
    latents = {"z": np.zeros((5, 3))}
    task = MagnitudeTask("toy", seed=3, originals=LatentPairs(latents, latents))
    assert request_of(task, Outbox()).seed == 3
    with pytest.raises(UsageError, match="leave out `pairs_seed`, which is 3"):
        request_of(replace(task, pairs_seed=3), Outbox())


def test_latents_drawn_in_double_precision_are_sent_in_single() -> None:
    request = request_of(SamplesTask("toy", latents={"z": np.zeros((5, 3))}), Outbox())
    assert request.latents.inputs["z"].tensor.datatype == "FP32"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 0}, "k 0 is not allowed"),
        ({"k": 2.0}, "k 2.0 is not an integer"),
        ({"window": 2}, "window 2 is not allowed: it must be odd"),
        ({"percentile": 0.0}, "percentile 0 is not allowed: it must lie above 0"),
        ({"percentile": float("nan")}, "percentile nan"),
        ({"seeds": ()}, "no seeds"),
        ({"method": "ward"}, "method 'ward' is unknown; there are: nmf, kmeans, pca, spectral"),
        ({"method": "pca"}, "method pca needs the products of the maps"),
        ({"min_purity": 1.5}, "min_purity 1.5 is not allowed: it must be from 0 to 1"),
        ({"min_purity": float("nan")}, "min_purity nan"),
        ({"maps": ""}, "operation's name is empty"),
        ({"k": None}, "k None is not an integer"),
        ({"window": None}, "window None is not an integer"),
        ({"method": None}, "method None is unknown"),
        ({"maps": None}, "maps .* is not an array of numbers"),
    ],
)
def test_modules_refuse(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        modules(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": "x"}, "labels of shape .* they must be"),
        ({"layer": "", "interventions": [3]}, "intervention 3 is of no known kind"),
        ({"layer": 3}, "layer 3 is not a text"),
        ({"seed": None}, "seed None is not an integer"),
        ({"precision": None}, "precision None is unknown"),
    ],
)
def test_influence_refuses_what_is_of_another_type(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        request_of(InfluenceTask(**{"model": "toy", "layer": "conv1", **changes}), Outbox())


def test_what_is_no_request_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InputError, match="3 is no request; there are: SamplesTask, "):
        request_of(3, Outbox())  # type: ignore[arg-type]


def test_modules_of_an_operation_name_its_maps() -> None:
    result = modules(maps="7", method=Method.KMEANS).maps.result
    assert (result.operation, result.array) == ("operations/7", "maps")


def test_products_are_sent_to_methods_that_need_them_only() -> None:
    products = np.eye(4)
    assert not modules(products=products).HasField("products")
    assert modules(method=Method.PCA, products=products).products.tensor.shape == [4, 4]
    result = modules(maps="7", method=Method.SPECTRAL).products.result
    assert (result.operation, result.array) == ("operations/7", "products")


def stability(**changes: Any) -> Any:
    return request_of(StabilityTask(**{"maps": np.zeros((4, 2, 2)), **changes}), Outbox())


def magnitude(**changes: Any) -> Any:
    return request_of(MagnitudeTask("toy", **changes), Outbox())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ks": ()}, "no ks: name at least one"),
        ({"ks": (1, 2)}, "k 1 is not allowed: it must be from 2"),
        ({"methods": ()}, "no methods"),
        ({"methods": ("ward",)}, "method 'ward' is unknown"),
        ({"methods": (Method.NMF, Method.PCA)}, "method pca needs the products"),
        ({"repeats": 0}, "repeats 0 is not allowed: it must be from 1"),
        ({"seed": -1}, "seed -1 is not allowed"),
        ({"window": 4}, "it must be odd"),
        ({"percentile": 100.0}, "percentile 100 is not allowed"),
    ],
)
def test_stability_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        stability(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": ()}, "no layers: name at least one"),
        ({"layers": ("conv1", "conv1")}, "layers: 'conv1' is named more than once"),
        ({"ks": (0,)}, "k 0 is not allowed: it must be from 1"),
        ({"pairs": 0}, "pairs 0 is not allowed"),
        ({"pairs_seed": 1 << 32}, "pairs_seed 4294967296 is not allowed"),
        ({"map_size": -1}, "map_size -1 is not allowed"),
        ({"window": 2}, "it must be odd"),
    ],
)
def test_magnitude_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        magnitude(**changes)


def test_what_is_left_to_the_server_is_not_in_the_request() -> None:
    assert not stability().ks
    assert not magnitude().ks
    assert not magnitude().layers
    assert not magnitude().pairs.HasField("originals")


def test_the_methods_seed_and_the_pairs_seed_are_two() -> None:
    request = magnitude(seed=1, pairs_seed=2, pairs=5, first=3)
    assert (request.seed, request.pairs.seed) == (1, 2)
    assert (request.pairs.count, request.pairs.first) == (5, 3)


def test_hybridize_takes_no_channel_at_all_but_must_be_told_so() -> None:
    assert hybridize(()).intervention.edits[0].WhichOneof("target") == "channels"
    for target in ({}, {"labels": LABELS}, {"module": 1}, {"channels": (1,), "module": 0}):
        with pytest.raises(UsageError, match="say which channels"):
            hybridize(**target)


def test_a_module_beyond_the_labels_is_refused() -> None:
    with pytest.raises(InputError, match="module 2 is not allowed: it must be from 0 to 1"):
        hybridize(labels=LABELS, module=2)


def test_originals_from_the_prior_are_asked_for_by_name() -> None:
    assert influence(originals=Prior()).pairs.originals.WhichOneof("source") == "prior"


def test_names_may_be_given_with_or_without_their_prefix() -> None:
    assert model_name("toy@abc") == model_name("models/toy@abc") == "models/toy@abc"
    assert operation_name("7") == operation_name("operations/7") == "operations/7"
    with pytest.raises(InputError, match="name is empty"):
        model_name("models/")
