"""Facts about what both clients ask for where something else than channels or modules is meant."""

from typing import Any

import numpy as np
import pytest

from _fake_model import CHANNELS, draw, influence, render
from _fake_server import Faults
from graftscope.client import (
    Blend,
    Constant,
    Edit,
    InfluenceTask,
    Intervention,
    MagnitudeTask,
    Scale,
)
from graftscope.client.errors import InputError, UsageError
from graftscope.client.interventions import edits_of, inline

CLIENTS = ("sync", "async")

TWO = Intervention([Edit("conv1", [0, 1], action=Scale(2.0)), Edit("conv2", [4])])


def test_hybrids_of_an_intervention_are_asked_for(client: Any, faults: Faults) -> None:
    found = client.hybridize("toy", intervention=TWO, pairs=2, seed=3)
    (request,) = faults.asked
    assert Intervention(edits_of(request.intervention, inline)) == TWO  # type: ignore[attr-defined]
    first, second = (np.stack([draw(3, i, which) for i in range(2)]) for which in (1, 2))
    first[:, [0, 1, 4]] = second[:, [0, 1, 4]]  # the toy swaps, whatever it is told
    np.testing.assert_array_equal(found.hybrid, render(first))


def test_maps_of_interventions_come_with_them(client: Any, faults: Faults) -> None:
    other = Intervention([Edit("conv1", [2], action=Blend(0.5))])
    found = client.influence("toy", interventions=[TWO, other], pairs=5)
    first, second = (np.stack([draw(0, i, which) for i in range(5)]) for which in (1, 2))
    expected = influence(first, second, [[0, 1, 4], [2]]).mean(axis=0)
    np.testing.assert_allclose(found.maps, expected)
    assert found.interventions == (TWO, other)
    assert client.job(found.operation).layer == "conv1, conv2"


def test_large_arrays_of_interventions_are_read_back(client: Any, faults: Faults) -> None:
    large = np.random.default_rng(0).standard_normal((CHANNELS, 300, 300))
    asked = Intervention([TWO.edits[0], Edit("conv1", [3], action=Constant(large))])
    found = client.influence("toy", interventions=[asked], pairs=2)
    assert "PutArtifact" in faults.calls
    assert found.interventions == (asked,)


def test_a_number_is_fixed_in_the_inputs_type_and_shape(client: Any, faults: Faults) -> None:
    given = {"share": ["z"], "fix": {"z": 2}}
    client.hybridize("toy", "conv1", [0], **given)
    client.influence("toy", "conv1", pairs=2, **given)
    client.magnitude("toy", ["conv1"], ks=[2], pairs=2, **given)
    client.estimate(InfluenceTask("toy", "conv1", share=("z",), fix={"z": 2}))
    client.start(MagnitudeTask("toy", share=("z",), fix={"z": 2}))
    client.generate("toy", fix={"z": 2})
    *pairs, generated = faults.asked
    for request in pairs:
        assert request.pairs.share == ["z"]  # type: ignore[attr-defined]
    for drawn in [*(each.pairs for each in pairs), generated.samples]:  # type: ignore[attr-defined]
        tensor = drawn.fix.inputs["z"].tensor
        assert (tensor.datatype, tensor.shape) == ("FP32", [1, CHANNELS])
        np.testing.assert_array_equal(np.frombuffer(tensor.data, "<f4"), 2.0)


def test_nothing_is_asked_of_the_model_where_nothing_is_fixed(client: Any, faults: Faults) -> None:
    client.hybridize("toy", "conv1", [0], share=["z"])
    # Afterwards for the range of the images, which is kept where the reply says which model it was.
    assert faults.calls == ["Hybridize", "GetModel"]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"layer": "conv1", "intervention": TWO}, "leave out `layer`"),
        ({"channels": [1], "intervention": TWO}, "leave out `layer`, `channels`"),
        ({"module": 1, "intervention": TWO}, "`module` and `modules`"),
        ({}, "say where: either `layer` with channels, or `intervention`"),
        ({"layer": "conv1"}, "say which channels"),
    ],
)
def test_hybrids_are_said_in_one_way(client: Any, named: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        client.hybridize("toy", **named)


@pytest.mark.parametrize(
    ("named", "kind", "message"),
    [
        ({"layer": "conv1", "interventions": [TWO]}, UsageError, "leave out `layer`"),
        ({"channels": [1], "interventions": [TWO]}, UsageError, "leave out `layer`, `channels`"),
        ({"labels": np.zeros(6, int), "interventions": [TWO]}, UsageError, "and `labels`"),
        ({"interventions": []}, InputError, "no interventions: give at least one"),
        ({}, UsageError, "say where: either `layer`, or `interventions`"),
        ({"layer": "conv1", "share": "z"}, InputError, "share 'z' is not a list of names"),
        ({"layer": "conv1", "fix": {"y": 1}}, InputError, "input 'y' is not in model 'toy'"),
    ],
)
def test_maps_are_said_in_one_way(client: Any, named: Any, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        client.influence("toy", **named)
