"""Facts about stability, magnitude and products as both clients ask for them."""

from typing import Any

import grpc
import numpy as np
import pytest
from google.longrunning import operations_pb2

from _fake_model import CHANNELS, DIGEST
from _fake_server import Faults
from _fake_status import pack
from graftscope.client import (
    JobKind,
    MagnitudeTask,
    Method,
    Progress,
    Regression,
    Source,
    StabilityTask,
    SuggestedK,
)
from graftscope.client.errors import InputError, ReplyError, VersionError
from graftscope.client.wire import job_from, result_from
from graftscope.v1 import analysis_service_pb2

CLIENTS = ("sync", "async")


def test_products_come_only_where_they_are_asked_for(client: Any) -> None:
    assert client.influence("toy", "conv1", pairs=5).products is None
    maps = client.influence("toy", "conv1", (3, 2, 0), pairs=5, products=True)
    assert maps.products.shape == (3, 3)
    np.testing.assert_array_equal(maps.products, maps.products.T)
    # Channels 2 and 3 reach the same rows, channel 0 others.
    assert maps.products[0, 1] > 0
    assert maps.products[0, 2] == 0


@pytest.mark.parametrize("method", [Method.PCA, Method.SPECTRAL])
def test_a_result_an_operation_and_arrays_bring_their_products(client: Any, method: Method) -> None:
    maps = client.influence("toy", "conv1", pairs=5, products=True)
    assert client.modules(maps, method=method).method is method
    assert client.modules(maps.operation, method=method).method is method
    assert client.modules(maps.maps, method=method, products=maps.products).method is method
    for given in (maps, maps.operation):
        assert client.stability(given, (2,), (Method.NMF, method)).methods == (Method.NMF, method)


def test_a_method_that_needs_products_is_refused_without_them(client: Any) -> None:
    maps = client.influence("toy", "conv1", pairs=5)
    for given in (maps, maps.maps):
        with pytest.raises(InputError, match="method pca needs the products") as caught:
            client.modules(given, method=Method.PCA)
        assert caught.value.field == "products"
    with pytest.raises(InputError, match="method spectral needs the products"):
        client.stability(maps, methods=(Method.KMEANS, Method.SPECTRAL))


def test_impure_channels_are_in_no_module_and_counted(client: Any) -> None:
    maps = client.influence("toy", "conv1", pairs=5)
    found = client.modules(maps, min_purity=0.9)
    np.testing.assert_array_equal(found.labels, [0, 0, 1, 1, 2, -1])
    assert found.impure == 1
    assert client.modules(maps).impure == 0


def test_stability_holds_every_repeat_of_every_k_and_method(client: Any) -> None:
    maps = client.influence("toy", "conv1", pairs=5)
    told: list[Progress] = []
    found = client.stability(maps, (2, 3, 4), repeats=4, seed=7, on_progress=told.append)
    np.testing.assert_array_equal(found.k, [2, 3, 4])
    assert found.methods == (Method.NMF, Method.KMEANS)
    assert found.consistency.shape == found.cosine.shape == (2, 3, 4)
    np.testing.assert_allclose(found.consistency_mean[0], [0.6, 0.9, 0.6])
    np.testing.assert_allclose(found.chance[1], [1 / 2, 1 / 3, 1 / 4])
    assert found.suggested[0] == SuggestedK(
        Method.NMF, 3, 0.9, 1 / 3, 0.01, (4,), "K = 3: it exceeds chance most"
    )
    assert (found.channels, found.source) == (CHANNELS, maps.source)
    assert told[-1].state == "done"


def test_means_and_deviations_leave_out_runs_that_did_not_settle(client: Any) -> None:
    found = client.stability(client.influence("toy", "conv1", pairs=5), (2, 3), repeats=4)
    np.testing.assert_array_equal(found.settled, [[4, 4], [4, 3]])
    np.testing.assert_allclose(found.consistency_mean[1, 1], (0.85 + 0.75 + 0.85) / 3)
    np.testing.assert_allclose(found.consistency_sd[1, 1], np.std([0.85, 0.75, 0.85], ddof=1))
    np.testing.assert_allclose(found.cosine_sd[0, 0], np.std([0.65**2, 0.55**2] * 2, ddof=1))
    alone = client.stability(client.influence("toy", "conv1", pairs=5), (2,), repeats=1)
    assert np.isnan(alone.consistency_mean[1, 0])
    assert np.isnan(alone.consistency_sd).all()


def test_stability_of_an_operation_says_what_its_maps_are_of(client: Any) -> None:
    maps = client.influence("toy", "conv1", pairs=5)
    found = client.stability(maps.operation)
    assert found.source == Source("toy", DIGEST, "conv1", maps.operation)
    assert client.stability(maps.maps).source is None


def test_magnitude_has_a_row_a_module_and_a_line_a_layer(client: Any) -> None:
    found = client.magnitude("toy", ("coarse", "conv2"), (2, 3), pairs=9, pairs_seed=3, first=4)
    assert found.layers == ("conv1", "conv2")
    assert found.layer.tolist() == ["conv1"] * 5 + ["conv2"] * 5
    assert found.k.tolist() == [2, 2, 3, 3, 3] * 2
    assert found.module.tolist() == [0, 1, 0, 1, 2] * 2
    np.testing.assert_allclose(found.share, found.channels / CHANNELS)
    np.testing.assert_allclose(found.individual_share, found.individual / 2)
    assert [line.layer for line in found.by_share] == ["conv1", "conv2", None]
    assert found.by_channels[-1] == Regression(None, 0.015, 0.25, 0.5, 0.002, 0.1, 9)
    assert np.isnan(found.by_channels[1].slope)
    assert (found.method, found.model, found.pairs) == (Method.NMF, "toy", 9)
    assert found.source == Source("toy", DIGEST, "conv1, conv2", found.operation)


def test_magnitude_is_estimated_before_it_is_started(client: Any) -> None:
    estimate = client.estimate(MagnitudeTask("toy"))
    assert (estimate.duration_s, estimate.hybrids, estimate.result_bytes) == (12.5, 600, 4608)
    assert client.jobs() == ()


def test_jobs_tell_their_kind_and_what_they_are_of(client: Any) -> None:
    maps = client.influence("toy", "conv1", pairs=5).maps
    stability = client.start(StabilityTask(maps))
    magnitude = client.start(MagnitudeTask("toy", ("conv1", "conv2")))
    assert (stability.kind, stability.model, stability.layer) == (JobKind.STABILITY, "", "")
    assert (magnitude.kind, magnitude.model) == (JobKind.MAGNITUDE, "toy")
    assert magnitude.layer == "conv1, conv2"
    assert client.wait(stability.name).consistency.shape == (2, 2, 20)
    assert client.result(magnitude.name).layers == ("conv1", "conv2")


def test_a_server_that_lacks_an_analysis_is_named_as_such(client: Any, faults: Faults) -> None:
    text = "Method not found!"
    faults.refusals["Magnitude"] = (grpc.StatusCode.UNIMPLEMENTED, text, "", "")
    with pytest.raises(VersionError, match="does not know Magnitude"):
        client.magnitude("toy")


def test_an_operation_of_an_unknown_kind_is_one_of_a_newer_server() -> None:
    metadata = analysis_service_pb2.AnalysisMetadata()
    with pytest.raises(VersionError, match="upgrade the client"):
        job_from(operations_pb2.Operation(metadata=pack(metadata)))


def test_a_magnitude_without_a_line_for_every_layer_makes_no_sense() -> None:
    metadata = analysis_service_pb2.AnalysisMetadata()
    metadata.magnitude.model = "models/toy"
    operation = operations_pb2.Operation(name="operations/1", metadata=pack(metadata))
    columns = ("individual", "individual_stderr", "share")
    arrays: dict[str, Any] = {
        **dict.fromkeys(("layer", "k", "module", "channels"), np.zeros(1, np.int64)),
        **dict.fromkeys(columns, np.zeros(1)),
    }
    response = analysis_service_pb2.MagnitudeResponse(layers=["conv1"])
    with pytest.raises(ReplyError, match=r"regressions of \[\] for layers \('conv1',\)"):
        result_from(operation, response, arrays)
    with pytest.raises(ReplyError, match="'layer' with an index"):
        result_from(operation, response, arrays | {"layer": np.ones(1, np.int64)})


def test_a_stability_whose_arrays_do_not_fit_makes_no_sense() -> None:
    arrays: dict[str, Any] = {
        "k": np.array([2, 3]),
        "consistency": np.zeros((1, 2, 4)),
        "cosine": np.zeros((1, 1, 4)),
        "chance": np.zeros((1, 2)),
    }
    response = analysis_service_pb2.StabilityResponse(methods=[analysis_service_pb2.METHOD_NMF])
    for name in arrays:
        getattr(response, name).SetInParent()
    metadata = analysis_service_pb2.AnalysisMetadata()
    metadata.stability.SetInParent()
    operation = operations_pb2.Operation(name="operations/1", metadata=pack(metadata))
    with pytest.raises(
        ReplyError, match=r"'cosine' of shape \(1, 1, 4\) does not go with 'k': n is 2"
    ):
        result_from(operation, response, arrays)
