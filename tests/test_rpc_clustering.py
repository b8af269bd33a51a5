"""Modules, stability and magnitude over the wire: every field of their requests counts."""

import grpc
import numpy as np
import pytest
from google.longrunning import operations_pb2
from google.protobuf.message import Message
from threadpoolctl import threadpool_limits

from graftscope.server.analysis import Method, features_of, find_modules, stability, without_impure
from graftscope.v1 import analysis_service_pb2, model_service_pb2, originals_pb2
from request_toys import (
    CHANNELS,
    LATENT,
    LAYER,
    VAE,
    channels,
    each_of,
    edit,
    influence,
    inline,
    latent_pairs,
    magnitude,
    modules,
    originals,
    pairs,
    result,
)
from request_toys import stability as comparisons
from server_toys import Stubs, call_for, details_of, influence_of, metadata_of, refused

MAPS = np.random.default_rng(4).random((12, 10, 10))
_MANY_MODULES = 4


def modules_of(stubs: Stubs, request: Message) -> analysis_service_pb2.ModulesResponse:
    ended = stubs.wait(stubs.analyses.Modules(request))  # type: ignore[arg-type]
    response = analysis_service_pb2.ModulesResponse()
    assert ended.response.Unpack(response), ended.error
    return response


def magnitude_of(operation: operations_pb2.Operation) -> analysis_service_pb2.MagnitudeResponse:
    response = analysis_service_pb2.MagnitudeResponse()
    assert operation.response.Unpack(response), operation.error
    return response


def test_impure_channels_are_counted_and_put_into_no_module(toy_server: Stubs) -> None:
    expected = find_modules(features_of(MAPS), _MANY_MODULES)
    bound = float(np.median(expected.purity))
    response = modules_of(
        toy_server, modules(maps=inline(MAPS), k=_MANY_MODULES, seeds=[0, 1], min_purity=bound)
    )
    labels = toy_server.numbers(response.labels)
    np.testing.assert_array_equal(labels, without_impure(expected, bound).labels)
    assert response.impure == np.count_nonzero(expected.purity < bound) > 0
    seed_labels = toy_server.numbers(response.seed_labels)
    np.testing.assert_array_equal(seed_labels[0], labels)
    assert (seed_labels[1] == -1).any()
    np.testing.assert_allclose(toy_server.numbers(response.purity), expected.purity, rtol=1e-9)
    # The runs are compared before channels are left out.
    assert toy_server.numbers(response.agreement)[0] == 1.0


def test_no_channel_is_impure_unless_that_is_asked_for(toy_server: Stubs) -> None:
    response = modules_of(toy_server, modules(maps=inline(MAPS), k=_MANY_MODULES))
    assert response.impure == 0
    assert toy_server.numbers(response.labels).min() >= 0


@pytest.mark.parametrize("name", ["METHOD_PCA", "METHOD_SPECTRAL"])
def test_modules_by_products_are_those_of_the_function(toy_server: Stubs, name: str) -> None:
    done = toy_server.wait(toy_server.analyses.Influence(influence(products=True)))
    found = influence_of(done)
    maps, products = (toy_server.numbers(x) for x in (found.maps, found.products))
    assert products.shape == (CHANNELS, CHANNELS)
    number = analysis_service_pb2.Method.Value(name)
    response = modules_of(
        toy_server,
        modules(maps=result(done.name), products=result(done.name, "products"), method=number),
    )
    method = Method(name.removeprefix("METHOD_").lower())
    expected = find_modules(features_of(maps, products=products), 2, method)
    np.testing.assert_array_equal(toy_server.numbers(response.labels), expected.labels)
    assert response.method == number


def test_products_come_only_where_they_were_asked_for(toy_server: Stubs) -> None:
    plain = influence_of(toy_server.wait(toy_server.analyses.Influence(influence())))
    assert not plain.HasField("products")


def test_products_that_no_method_looks_at_make_no_other_job(toy_server: Stubs) -> None:
    first = toy_server.analyses.Modules(modules(maps=inline(MAPS)))
    second = toy_server.analyses.Modules(modules(maps=inline(MAPS), products=inline(np.eye(12))))
    assert first.name == second.name


def test_stability_has_the_documented_defaults(toy_server: Stubs) -> None:
    spoken = comparisons(
        maps=inline(MAPS), methods=[1, 2], repeats=20, window=3, percentile=75.0, seed=0
    )
    silent = toy_server.analyses.Stability(comparisons(maps=inline(MAPS)))
    assert toy_server.analyses.Stability(spoken).name == silent.name


def test_stability_over_the_wire_is_that_of_the_function(toy_server: Stubs) -> None:
    request = comparisons(
        maps=inline(MAPS), ks=[4, 2], methods=[2, 1], repeats=3, seed=5, window=1, percentile=60.0
    )
    ended = toy_server.wait(toy_server.analyses.Stability(request))
    response = analysis_service_pb2.StabilityResponse()
    assert ended.response.Unpack(response), ended.error
    methods = (Method.KMEANS, Method.NMF)
    # As the job computes it: NMF's path depends on how many threads BLAS sums with.
    with threadpool_limits(1):
        expected = stability(features_of(MAPS, 1, 60.0), [2, 4], methods, 3, 5)
    assert list(response.methods) == [2, 1]
    for name in ("consistency", "cosine", "chance"):
        found = toy_server.numbers(getattr(response, name))
        np.testing.assert_allclose(found, getattr(expected, name), rtol=1e-9, err_msg=name)
    for ours, theirs in zip(response.suggested, expected.suggested, strict=True):
        assert (ours.k, tuple(ours.rivals), ours.reason) == (theirs.k, theirs.rivals, theirs.reason)
        np.testing.assert_array_equal(
            [ours.consistency, ours.chance, ours.excess_stderr],
            [theirs.consistency, theirs.chance, theirs.excess_stderr],
        )
    assert response.channels == len(MAPS)


def test_a_stability_that_cannot_be_says_what_is_allowed(toy_server: Stubs) -> None:
    ended = toy_server.wait(toy_server.analyses.Stability(comparisons(maps=inline(MAPS), ks=[9])))
    assert details_of(ended.error)[0] == "K_TOO_LARGE"
    assert "so K is 2 to 8" in ended.error.message


def test_magnitude_takes_the_last_three_layers_and_every_number_that_fits(
    toy_server: Stubs,
) -> None:
    request = analysis_service_pb2.MagnitudeRequest(
        model=VAE, pairs=pairs(count=8, seed=2), method=analysis_service_pb2.METHOD_KMEANS
    )
    ended = toy_server.wait(toy_server.analyses.Magnitude(request))
    response = magnitude_of(ended)
    described = toy_server.models.GetModel(model_service_pb2.GetModelRequest(name=VAE))
    last = list(described.model.bundle.layers)[-3:]
    assert list(response.layers) == [layer.name for layer in last]
    layer, k = toy_server.numbers(response.layer), toy_server.numbers(response.k)
    for index, each in enumerate(last):
        assert k[layer == index].max() <= each.channels
    assert [line.layer for line in response.by_share] == [*response.layers, ""]
    assert [line.rows for line in response.by_channels][-1] == len(k)
    assert (response.pairs, response.originals) == (8, "encoded")
    assert response.execution.provider == "CPUExecutionProvider"


def test_given_pairs_are_halved_and_their_second_half_measures(toy_server: Stubs) -> None:
    random = np.random.default_rng(7)
    z1, z2 = (random.standard_normal((13, LATENT)).astype(np.float32) for _ in range(2))
    given = latent_pairs(z1, z2)
    given.first = 1
    ended = toy_server.wait(toy_server.analyses.Magnitude(magnitude(ks=[1], pairs=given)))
    response = magnitude_of(ended)
    assert (response.pairs, response.originals) == (6, "latents")
    labels = inline(np.zeros(CHANNELS, dtype=np.int64))
    second = influence(each_module=labels, pairs=latent_pairs(z1[7:], z2[7:]))
    plain = influence_of(toy_server.wait(toy_server.analyses.Influence(second)))
    np.testing.assert_allclose(
        toy_server.numbers(response.individual), toy_server.numbers(plain.individual), atol=1e-6
    )


def test_a_dry_run_of_magnitude_has_no_name_and_an_estimate(toy_server: Stubs) -> None:
    fresh = pairs(count=40, seed=77)
    planned = toy_server.analyses.Magnitude(magnitude(pairs=fresh, dry_run=True))
    assert (planned.name, planned.done) == ("", False)
    estimate = metadata_of(planned).estimate
    assert estimate.hybrids == 40 * (CHANNELS + 2 + 3)
    assert estimate.duration.ToNanoseconds() > 0
    # Not even an influence job was started.
    listed = toy_server.operations.ListOperations(operations_pb2.ListOperationsRequest())
    assert all(metadata_of(x).influence.pairs.seed != 77 for x in listed.operations)


def _asked() -> list[tuple[str, Message]]:
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    drawn = originals(images=originals_pb2.Images(images=inline(images)))
    swaps = each_of([edit(channels=channels(4, 1))], [edit(channels=channels(1))])
    products = inline(np.eye(12))
    return [
        ("influence", influence(each_intervention=swaps)),
        ("influence", influence(products=True)),
        ("modules", modules(maps=inline(MAPS), method=3, products=products, min_purity=0.25)),
        ("stability", comparisons(maps=inline(MAPS), ks=[3, 2], methods=[4], products=products)),
        ("stability", comparisons(maps=inline(MAPS), repeats=2, seed=3, window=5, percentile=50)),
        ("magnitude", magnitude(pairs=drawn, seed=4, map_size=8, window=1, percentile=60)),
        ("magnitude", magnitude(layers=["image", "coarse"], ks=[], method=2)),
    ]


@pytest.mark.parametrize(("kind", "request_"), _asked())
def test_the_specification_in_the_metadata_asks_for_the_same_operation(
    toy_server: Stubs, kind: str, request_: Message
) -> None:
    operation = call_for(toy_server, request_)()
    assert isinstance(operation, operations_pb2.Operation)
    told = getattr(metadata_of(operation), kind)
    again = call_for(toy_server, told)()
    assert isinstance(again, operations_pb2.Operation)
    assert again.name == operation.name


def test_the_order_in_which_channels_or_numbers_are_named_makes_no_other_job(
    toy_server: Stubs,
) -> None:
    for one, other in (
        (
            influence(each_intervention=each_of([edit(channels=channels(4, 1))])),
            influence(each_intervention=each_of([edit(channels=channels(1, 4))])),
        ),
        (comparisons(maps=inline(MAPS), ks=[2, 3]), comparisons(maps=inline(MAPS), ks=[3, 2])),
        (magnitude(ks=[2, 3]), magnitude(layers=["intermediate"], ks=[3, 2])),
    ):
        first, second = (call_for(toy_server, request)() for request in (one, other))
        assert isinstance(first, operations_pb2.Operation)
        assert isinstance(second, operations_pb2.Operation)
        assert first.name == second.name


def test_an_empty_intervention_has_no_influence(toy_server: Stubs) -> None:
    told = refused(
        call_for(toy_server, influence(each_intervention=each_of([edit(channels=channels())])))
    )
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "intervention 0 has an edit of no channels, so its E is empty" in told.message
    assert told.field == "each_intervention"
    assert LAYER not in told.message
