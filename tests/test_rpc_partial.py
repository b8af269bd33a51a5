"""What an influence job has found so far, from a real server."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.longrunning import operations_pb2

from graftscope.server.analysis import Method, features_of, find_modules
from graftscope.v1 import analysis_service_pb2
from request_toys import CHANNELS, LAYER, MAPS, SIDE, influence, inline, modules, pairs
from server_toys import TIMEOUT_S, Stubs, influence_of, metadata_of, refused, served

ENDLESS = 1_000_000
"""Pairs of a job that no test waits for."""

TOLERANCE = 1e-6
"""The other job measures a plan of its own, which may round otherwise; the range is 2 wide."""

ARRAYS = ("maps", "stderr", "individual", "individual_stderr", "channels")


@pytest.fixture
def server(toy_vae_bundle: Path, tmp_path: Path) -> Iterator[Stubs]:
    with served([toy_vae_bundle], tmp_path / "state") as stubs:
        yield stubs


def wanted(**fields: object) -> analysis_service_pb2.PartialModules:
    return analysis_service_pb2.PartialModules(**fields)  # type: ignore[arg-type]


def partial(
    server: Stubs,
    operation: operations_pb2.Operation,
    modules: analysis_service_pb2.PartialModules | None = None,
) -> analysis_service_pb2.PartialResultResponse:
    request = analysis_service_pb2.PartialResultRequest(name=operation.name, modules=modules)
    return server.analyses.PartialResult(request, timeout=TIMEOUT_S)


def begun(server: Stubs, **fields: object) -> operations_pb2.Operation:
    """A job that goes on, of which some shards are done."""
    operation = server.analyses.Influence(influence(pairs=pairs(count=ENDLESS), **fields))
    request = analysis_service_pb2.WatchOperationRequest(name=operation.name)
    updates = server.analyses.WatchOperation(request, timeout=TIMEOUT_S)
    next(x for x in updates if x.progress.shards_done)
    updates.cancel()
    return operation


def cancelled(server: Stubs, operation: operations_pb2.Operation) -> operations_pb2.Operation:
    server.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=operation.name))
    return server.wait(operation)


def test_a_partial_result_is_that_of_a_job_of_so_many_pairs(server: Stubs) -> None:
    told = partial(server, begun(server))
    assert not told.operation.done
    assert not told.from_checkpoint
    so_far = told.influence
    assert (so_far.pairs % 32, so_far.pairs > 0) == (0, True)
    request = influence(pairs=pairs(count=so_far.pairs))
    whole = influence_of(server.wait(server.analyses.Influence(request)))
    for name in ARRAYS:
        ours, theirs = (server.numbers(getattr(x, name)) for x in (so_far, whole))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)
    assert so_far.range_width == whole.range_width
    assert so_far.execution.provider == whole.execution.provider


def test_the_sums_of_a_cancelled_job_are_told_with_their_pairs_and_modules(server: Stubs) -> None:
    operation = cancelled(server, begun(server))
    told = partial(
        server, operation, wanted(k=2, method=analysis_service_pb2.METHOD_KMEANS, window=1)
    )
    assert told.from_checkpoint
    assert told.influence.pairs == told.modules.pairs > 0
    assert told.modules.skipped == ""
    (layer,) = told.modules.layers
    by_hand = find_modules(
        features_of(server.numbers(told.influence.maps), window=1), 2, Method.KMEANS
    )
    np.testing.assert_array_equal(server.read(layer.modules.labels), by_hand.labels)
    np.testing.assert_array_equal(server.read(layer.modules.templates), by_hand.templates)
    np.testing.assert_array_equal(server.read(layer.modules.weights), by_hand.weights)


def test_of_a_job_that_is_done_it_is_the_result(server: Stubs) -> None:
    ended = server.wait(server.analyses.Influence(influence()))
    told = partial(server, ended)
    assert told.operation.done
    assert told.influence == influence_of(ended)
    assert metadata_of(told.operation).identity == metadata_of(ended).identity


def labelled(layer: str, labels: object) -> analysis_service_pb2.LayerLabels:
    return analysis_service_pb2.LayerLabels(layer=layer, labels=labels)  # type: ignore[arg-type]


def test_modules_are_numbered_as_in_an_earlier_answer(server: Stubs) -> None:
    ended = server.wait(server.analyses.Influence(influence(pairs=pairs(count=160))))
    kmeans = {"k": 3, "method": analysis_service_pb2.METHOD_KMEANS}
    (own,) = partial(server, ended, wanted(**kmeans)).modules.layers
    labels = server.read(own.modules.labels)
    turned = np.array([2, 0, 1])
    # Channels that moved meanwhile change nothing, as long as most are where they were.
    earlier = turned[labels].tolist()
    earlier[0] = -1
    (named,) = partial(
        server, ended, wanted(**kmeans, named_as=[labelled(LAYER, earlier)])
    ).modules.layers
    for name, axis in (("labels", None), ("templates", 0), ("weights", 1), ("probabilities", 1)):
        before, after = (server.read(getattr(x.modules, name)) for x in (own, named))
        expected = turned[labels] if axis is None else np.take(before, np.argsort(turned), axis)
        np.testing.assert_array_equal(after, expected, err_msg=name)


def test_earlier_labels_that_are_not_of_the_operation_are_refused(server: Stubs) -> None:
    ended = server.wait(server.analyses.Influence(influence()))
    for given, field in (
        (labelled("elsewhere", [0] * CHANNELS), "layer"),
        (labelled(LAYER, [0] * (CHANNELS + 1)), "labels"),
        (labelled(LAYER, [2] * CHANNELS), "labels"),
    ):
        asked = wanted(k=2, named_as=[given])
        told = refused(lambda asked=asked: partial(server, ended, asked))  # type: ignore[misc]
        assert told.code is grpc.StatusCode.INVALID_ARGUMENT
        assert told.field == f"modules.named_as[0].{field}"


def test_before_the_first_shard_it_is_refused(server: Stubs) -> None:
    begun(server)
    waiting = [
        server.analyses.Influence(influence(pairs=pairs(count=ENDLESS, seed=seed)))
        for seed in range(1, 4)
    ][-1]
    told = refused(lambda: partial(server, waiting))
    assert (told.code, told.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "OPERATION_NOT_DONE",
    )
    assert "none of its 31250 shards" in told.message


def test_what_has_no_partial_result_is_refused(server: Stubs) -> None:
    found = server.wait(server.analyses.Modules(modules(maps=inline(MAPS))))
    told = refused(lambda: partial(server, found))
    assert (told.code, told.field) == (grpc.StatusCode.INVALID_ARGUMENT, "name")
    ended = server.wait(server.analyses.Influence(influence()))
    for asked, field in (
        (wanted(k=CHANNELS + 1), "modules.k"),
        (wanted(method=analysis_service_pb2.METHOD_PCA), "modules.method"),
        (wanted(window=2), "window"),
    ):
        told = refused(lambda asked=asked: partial(server, ended, asked))  # type: ignore[misc]
        assert (told.code, told.field) == (grpc.StatusCode.INVALID_ARGUMENT, field)


def test_a_watch_tells_standard_errors_and_pairs_of_each_map(server: Stubs) -> None:
    operation = server.analyses.Influence(influence(pairs=pairs(count=ENDLESS)))
    request = analysis_service_pb2.WatchOperationRequest(name=operation.name, partial_maps=True)
    updates = server.analyses.WatchOperation(request, timeout=TIMEOUT_S)
    maps = next(x.partial_maps for x in updates if x.HasField("partial_maps"))
    assert list(maps.individual_stderr.shape) == list(maps.pairs_of.shape) == [CHANNELS]
    assert list(maps.maps.shape) == [CHANNELS, SIDE, SIDE]
    assert np.frombuffer(maps.pairs_of.data, "<i8").tolist() == [maps.pairs] * CHANNELS
    updates.cancel()
    cancelled(server, operation)
