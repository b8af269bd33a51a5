"""Facts about both clients' methods, against a toy whose numbers are known."""

from inspect import getmembers, isfunction, signature
from typing import Any

import numpy as np
import pytest

from _fake_model import CHANNELS, DIGEST, SIDE, draw, influence, manifest, render
from _fake_server import Faults
from graftscope.client import (
    AsyncClient,
    Client,
    Execution,
    ImagePairs,
    InfluenceTask,
    LatentPairs,
    LayerKind,
    Method,
    ModulesTask,
    Precision,
    Prior,
)
from graftscope.client.errors import InputError, NotFoundError, UsageError
from graftscope.client.wire import manifest_from

CLIENTS = ("sync", "async")

CPU = Execution(DIGEST, Precision.FP32, "CPUExecutionProvider")


def latents(seed: int, pairs: range, which: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.stack([draw(seed, pair, which) for pair in pairs])


def test_the_two_clients_have_the_same_methods_with_the_same_arguments() -> None:
    def faces(kind: type) -> dict[str, list[tuple[str, Any, Any]]]:
        return {
            name: [(p.name, p.kind, p.default) for p in signature(method).parameters.values()]
            for name, method in getmembers(kind, isfunction)
            if not name.startswith("_") or name == "__init__"
        }

    blocking, awaited = faces(Client), faces(AsyncClient)
    # A page in a notebook is opened in a thread of its own, whatever the notebook's loop does.
    del blocking["open_explorer"]
    assert blocking == awaited


def test_models_are_described_with_their_layers(client: Any) -> None:
    (model,) = client.models()
    assert model == client.model("toy") == client.model("models/toy")
    assert [(layer.name, layer.level) for layer in model.layers] == [
        ("conv1", "coarse"),
        ("conv2", "intermediate"),
    ]
    layer = model.layer("intermediate")
    assert layer is model.layer("conv2")
    assert (layer.kind, layer.channels, layer.tensor) == (
        LayerKind.MAP,
        CHANNELS,
        "/conv2/Relu_output_0",
    )
    assert model.image.range == (-1.0, 1.0)
    assert model.manifest == manifest_from(manifest())
    with pytest.raises(
        InputError,
        match=r"layer 'conv9' is not in model 'toy'; it has: conv1 \(coarse\), conv2",
    ):
        model.layer("conv9")


def test_a_server_does_not_know_a_model(client: Any) -> None:
    with pytest.raises(NotFoundError, match="'models/none' is not served") as caught:
        client.model("none")
    assert (caught.value.reason, caught.value.field) == ("NOT_FOUND", "name")


def test_samples_of_a_seed_are_original_1_of_its_pairs(client: Any) -> None:
    samples = client.generate("toy", count=3, seed=5, first=2)
    expected = latents(5, range(2, 5), 1)
    np.testing.assert_array_equal(samples.latents["z"], expected)
    np.testing.assert_array_equal(samples.images, render(expected))
    assert samples.images.dtype == np.float32
    assert samples.execution == CPU


def test_given_latents_are_what_is_generated_from(client: Any) -> None:
    given = latents(1, range(4), 2)
    samples = client.generate("toy", latents={"z": given})
    np.testing.assert_array_equal(samples.images, render(given))


def test_the_encoder_answers_with_a_posterior_by_the_inputs_name(client: Any) -> None:
    images = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    images[1] = 255
    posterior = client.encode("toy", images)
    np.testing.assert_allclose(posterior.mean["z"], [[-1.0] * CHANNELS, [1.0] * CHANNELS])
    assert posterior.log_variance["z"].shape == (2, CHANNELS)


def test_a_hybrid_of_every_channel_is_original_2_and_of_none_original_1(client: Any) -> None:
    whole = client.hybridize("toy", "conv1", range(CHANNELS), pairs=4)
    np.testing.assert_array_equal(whole.hybrid, whole.original2)
    nothing = client.hybridize("toy", "conv1", (), pairs=4)
    np.testing.assert_array_equal(nothing.hybrid, nothing.original1)
    np.testing.assert_array_equal(nothing.original2, whole.original2)


def test_a_module_is_spliced_as_its_channels_are(client: Any) -> None:
    labels = np.array([0, 0, 1, -1, 1, 0])
    by_module = client.hybridize("toy", "conv1", labels=labels, module=1, pairs=3)
    by_channels = client.hybridize("toy", "conv1", (2, 4), pairs=3)
    np.testing.assert_array_equal(by_module.hybrid, by_channels.hybrid)


def test_image_pairs_pass_through_the_encoder(client: Any) -> None:
    dark, bright = (np.full((1, SIDE, SIDE, 3), value, np.uint8) for value in (0, 255))
    result = client.hybridize("toy", "conv1", (), originals=ImagePairs(dark, bright))
    np.testing.assert_allclose(result.original1, -result.original2, atol=1e-6)


def test_influence_maps_are_those_of_the_pairs(client: Any) -> None:
    result = client.influence("toy", "intermediate", pairs=40, seed=3, originals=Prior())
    every = influence(
        latents(3, range(40), 1), latents(3, range(40), 2), [[c] for c in range(CHANNELS)]
    )
    np.testing.assert_allclose(result.maps, every.mean(axis=0))
    np.testing.assert_allclose(result.individual, result.maps.mean(axis=(1, 2)))
    np.testing.assert_allclose(result.individual_share, result.individual / 2)
    np.testing.assert_array_equal(result.channels, np.arange(CHANNELS))
    assert (result.model, result.layer, result.originals) == ("toy", "conv2", "prior")
    assert (result.pairs, result.range_width, result.execution) == (40, 2.0, CPU)


def test_influence_of_some_channels_comes_in_their_order(client: Any) -> None:
    result = client.influence("toy", "conv1", (4, 1), pairs=5)
    np.testing.assert_array_equal(result.channels, [4, 1])
    whole = client.influence("toy", "conv1", pairs=5)
    np.testing.assert_allclose(result.maps, whole.maps[[4, 1]])


def test_one_pair_has_no_standard_error(client: Any) -> None:
    result = client.influence("toy", "conv1", pairs=1)
    assert np.isnan(result.stderr).all()
    assert np.isnan(result.individual_stderr).all()


def test_given_latents_give_the_maps_of_exactly_those_pairs(client: Any) -> None:
    first, second = latents(8, range(7), 1), latents(9, range(7), 2)
    result = client.influence("toy", "conv1", originals=LatentPairs({"z": first}, {"z": second}))
    every = influence(first, second, [[c] for c in range(CHANNELS)])
    np.testing.assert_allclose(result.maps, every.mean(axis=0), rtol=1e-6)
    assert (result.pairs, result.originals) == (7, "latents")


def test_modules_are_found_in_a_result_in_maps_and_in_an_operation(client: Any) -> None:
    maps = client.influence("toy", "conv1", pairs=20)
    for given in (maps, maps.maps, maps.operation):
        result = client.modules(given, k=3, method=Method.KMEANS, seeds=(0, 4))
        np.testing.assert_array_equal(result.labels, [0, 0, 1, 1, 2, 2])
        assert result.members(1) == (2, 3)
        assert (result.method, result.seeds, result.seeds_agreeing) == (Method.KMEANS, (0, 4), 2)
        assert result.templates.shape == (3, SIDE, SIDE)


def test_influence_of_modules_is_reported_by_module(client: Any) -> None:
    labels = np.array([2, 2, -1, -1, 0, 0])
    result = client.influence("toy", "conv1", labels=labels, pairs=5)
    np.testing.assert_array_equal(result.channels, [0, 2])


def test_an_estimate_starts_nothing(client: Any) -> None:
    estimate = client.estimate(InfluenceTask("toy", "conv1"))
    assert (estimate.duration_s, estimate.hybrids, estimate.result_bytes) == (12.5, 600, 4608)
    assert client.jobs() == ()


def test_a_job_can_be_started_and_its_result_read_later(client: Any) -> None:
    job = client.start(InfluenceTask("toy", "conv1", pairs=3))
    waited = client.wait(job.name)
    read = client.result(job.name.removeprefix("operations/"))
    np.testing.assert_array_equal(waited.maps, read.maps)
    modules = client.start(ModulesTask(job.name, k=2))
    assert client.wait(modules.name).templates.shape[0] == 2


def test_an_address_and_bundles_together_are_refused() -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(UsageError, match="`bundles` is of a server inside this process"):
            kind("localhost:1", bundles=["b"])


async def test_an_asynchronous_client_must_be_entered_first() -> None:
    with pytest.raises(UsageError, match="not connected"):
        await AsyncClient("localhost:1").models()


def test_the_address_comes_from_the_environment_where_none_is_given(
    server: tuple[str, Faults], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFTSCOPE_SERVER", server[0])
    with Client() as client:
        assert (client.address, client.embedded) == (server[0], False)
        assert client.models()[0].name == "toy"
