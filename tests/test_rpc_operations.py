"""Operations are got, listed, watched, waited for, cancelled and deleted over the wire."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.longrunning import operations_pb2
from google.protobuf import duration_pb2

from graftscope.server.rpc._previews import shrunk
from graftscope.v1 import analysis_service_pb2, precision_pb2
from request_toys import CHANNELS, LAYER, MAPS, SIDE, VAE, influence, inline, modules, pairs
from server_toys import (
    TIMEOUT_S,
    Stubs,
    details_of,
    influence_of,
    metadata_of,
    refused,
    served,
)

CANCEL_LIMIT_S = 10.0
"""Far below what is cancelled would take; how long it takes is measured by the soak."""
ENDLESS = 1_000_000
"""Pairs of a job that no test waits for."""

JobState = analysis_service_pb2.JobState


@pytest.fixture
def server(toy_vae_bundle: Path, tmp_path: Path) -> Iterator[Stubs]:
    with served([toy_vae_bundle], tmp_path / "state") as stubs:
        yield stubs


def endless(server: Stubs, seed: int = 0) -> operations_pb2.Operation:
    return server.analyses.Influence(influence(pairs=pairs(count=ENDLESS, seed=seed)))


def cancel(server: Stubs, operation: operations_pb2.Operation) -> None:
    server.operations.CancelOperation(
        operations_pb2.CancelOperationRequest(name=operation.name), timeout=TIMEOUT_S
    )


def get(server: Stubs, operation: operations_pb2.Operation) -> operations_pb2.Operation:
    return server.operations.GetOperation(operations_pb2.GetOperationRequest(name=operation.name))


def kept(operation: operations_pb2.Operation) -> tuple[object, ...]:
    """What stays of an operation; the rate is told to those who watched it."""
    metadata = metadata_of(operation)
    metadata.progress.hybrids_per_second = 0
    return operation.name, operation.done, operation.response, operation.error, metadata


def listed(server: Stubs, size: int = 0, token: str = "") -> operations_pb2.ListOperationsResponse:
    request = operations_pb2.ListOperationsRequest(page_size=size, page_token=token)
    return server.operations.ListOperations(request)


def watch(
    server: Stubs, operation: operations_pb2.Operation, *, partial_maps: bool = False
) -> Iterator[analysis_service_pb2.WatchOperationResponse]:
    request = analysis_service_pb2.WatchOperationRequest(
        name=operation.name, partial_maps=partial_maps
    )
    yield from server.analyses.WatchOperation(request, timeout=TIMEOUT_S)


def test_an_operation_describes_its_arrays_which_are_read_as_artifacts(server: Stubs) -> None:
    ended = server.wait(server.analyses.Influence(influence()))
    response = influence_of(ended)
    shapes = {
        "maps": (CHANNELS, SIDE, SIDE),
        "stderr": (CHANNELS, SIDE, SIDE),
        "individual": (CHANNELS,),
        "individual_stderr": (CHANNELS,),
    }
    for name, shape in shapes.items():
        described = getattr(response, name)
        assert described.WhichOneof("source") == "artifact"
        array = server.read(described)
        assert (array.dtype.name, array.shape) == ("float64", shape)
        assert np.isfinite(server.numbers(described)).all()
    np.testing.assert_array_equal(server.read(response.channels), np.arange(CHANNELS))
    assert (response.pairs, response.distinct_images, response.range_width) == (40, 0, 2.0)
    assert (response.originals, response.layer) == ("encoded", LAYER)
    assert response.execution.precision == precision_pb2.PRECISION_FP32
    assert response.execution.provider == "CPUExecutionProvider"


def test_metadata_tell_specification_plan_progress_and_times(server: Stubs) -> None:
    ended = server.wait(server.analyses.Influence(influence(layer="intermediate")))
    told = metadata_of(ended)
    assert told.influence.model == VAE
    assert told.influence.layer == LAYER
    assert told.influence.pairs.count == 40
    assert list(told.influence.each_channel.indices) == list(range(CHANNELS))
    assert told.influence.pairs.originals.WhichOneof("source") == "encoded"
    assert (told.influence.map_size, told.influence.precision) == (SIDE, 1)
    assert told.model_digest == influence_of(ended).execution.model_digest
    assert len(told.identity) == 64
    assert (told.plan.provider, told.plan.arithmetic_version) == ("CPUExecutionProvider", 1)
    assert told.plan.batch >= 1
    assert (told.progress.shards_done, told.progress.shards_total) == (2, 2)
    assert told.progress.state == JobState.JOB_STATE_DONE
    assert told.estimate.hybrids == 40 * CHANNELS
    created, ended_s, expires = (
        x.ToSeconds() for x in (told.create_time, told.end_time, told.expire_time)
    )
    assert created <= ended_s < expires


def test_the_specification_of_an_operation_asks_for_the_same_operation(server: Stubs) -> None:
    ended = server.wait(server.analyses.Influence(influence()))
    assert server.analyses.Influence(metadata_of(ended).influence).name == ended.name
    maps = influence_of(ended).maps
    found = server.wait(server.analyses.Modules(modules(maps=maps)))
    assert server.analyses.Modules(metadata_of(found).modules).name == found.name


def test_a_level_and_its_layer_are_one_specification(server: Stubs) -> None:
    by_layer = server.analyses.Influence(influence())
    assert server.analyses.Influence(influence(layer="intermediate")).name == by_layer.name
    explicit = influence(each_channel={"indices": range(CHANNELS)}, map_size=128)
    assert server.analyses.Influence(explicit).name == by_layer.name


def test_a_dry_run_tells_the_estimate_and_starts_nothing(server: Stubs) -> None:
    planned = server.analyses.Influence(influence(dry_run=True))
    assert (planned.name, planned.done) == ("", False)
    told = metadata_of(planned)
    assert told.estimate.hybrids == 40 * CHANNELS
    assert told.estimate.duration.ToNanoseconds() > 0
    # 40 pairs are two groups, of float16, with how many pairs each has; and a unit a channel.
    groups = CHANNELS * (2 * (SIDE * SIDE * 2 + 8) + 8)
    maps = 2 * CHANNELS * SIDE * SIDE * 8 + 3 * CHANNELS * 8
    assert told.estimate.result_bytes == maps + groups
    assert list(listed(server).operations) == []


def test_a_watch_has_the_whole_state_first_and_last_and_progress_between(server: Stubs) -> None:
    operation = server.analyses.Influence(influence(pairs=pairs(count=2000)))
    kinds, last = [], None
    for update in watch(server, operation):
        kinds.append(update.WhichOneof("update"))
        last = update
    assert last is not None
    assert kinds[0] == kinds[-1] == "operation"
    assert set(kinds[1:-1]) == {"progress"}
    assert kept(last.operation) == kept(get(server, operation))
    assert last.operation.done


def test_a_watch_of_what_has_ended_is_one_message(server: Stubs) -> None:
    ended = server.wait(server.analyses.Influence(influence()))
    (only,) = watch(server, ended, partial_maps=True)
    assert kept(only.operation) == kept(ended)


def test_progress_tells_rate_and_time_to_go(server: Stubs) -> None:
    operation = endless(server)
    updates = watch(server, operation)
    told = next(x.progress for x in updates if x.progress.shards_done)
    assert told.state == JobState.JOB_STATE_RUNNING
    assert told.shards_total == ENDLESS // 32
    assert told.hybrids_per_second > 0
    assert told.eta.ToNanoseconds() > 0
    cancel(server, operation)
    assert [x.WhichOneof("update") for x in updates][-1] == "operation"


def test_partial_maps_come_on_request_and_never_last(server: Stubs) -> None:
    operation = endless(server)
    updates = watch(server, operation, partial_maps=True)
    told = next(x.partial_maps for x in updates if x.HasField("partial_maps"))
    assert told.pairs % 32 == 0
    assert told.pairs > 0
    assert (told.maps.datatype, list(told.maps.shape)) == ("FP32", [CHANNELS, SIDE, SIDE])
    assert (told.individual.datatype, list(told.individual.shape)) == ("FP64", [CHANNELS])
    cancel(server, operation)
    assert [x.WhichOneof("update") for x in updates][-1] == "operation"


@pytest.mark.parametrize(
    ("shape", "small_shape"),
    [((2, 128, 100), (2, 32, 25)), ((5, 7, 33), (5, 7, 17)), ((1000, 64, 64), (1000, 16, 16))],
)
def test_previews_fit_into_a_message(
    shape: tuple[int, int, int], small_shape: tuple[int, int, int]
) -> None:
    maps = np.random.default_rng(0).random(shape)
    small = shrunk(maps)
    assert small.shape == small_shape
    assert small.astype(np.float32).nbytes <= 2**20
    height, width = (-(-shape[axis] // small_shape[axis]) for axis in (1, 2))
    np.testing.assert_allclose(small[:, 0, 0], maps[:, :height, :width].mean(axis=(1, 2)))


def test_cancelling_ends_a_job_soon_for_every_watcher(server: Stubs) -> None:
    operation = endless(server)
    with ThreadPoolExecutor() as threads:
        streams = [watch(server, operation) for _ in range(4)]
        assert [next(stream).WhichOneof("update") for stream in streams] == ["operation"] * 4
        started = time.monotonic()
        cancel(server, operation)
        lasts = [tuple(updates)[-1] for updates in threads.map(tuple, streams)]
    assert time.monotonic() - started < CANCEL_LIMIT_S
    for last in lasts:
        assert last.operation.done
        assert last.operation.error.code == grpc.StatusCode.CANCELLED.value[0]
        assert details_of(last.operation.error) == ("CANCELLED", "")
    cancel(server, operation)


def test_waiting_ends_with_the_timeout_or_the_job(server: Stubs) -> None:
    operation = endless(server)
    for timeout in (
        duration_pb2.Duration(),
        duration_pb2.Duration(nanos=1000),
        duration_pb2.Duration(seconds=-5),
        duration_pb2.Duration(seconds=-(2**63)),
    ):
        request = operations_pb2.WaitOperationRequest(name=operation.name, timeout=timeout)
        assert not server.operations.WaitOperation(request, timeout=TIMEOUT_S).done
    long = operations_pb2.WaitOperationRequest(
        name=operation.name, timeout=duration_pb2.Duration(seconds=2**63 - 1)
    )
    waiting = server.operations.WaitOperation.future(long, timeout=TIMEOUT_S)
    cancel(server, operation)
    assert waiting.result().done


def test_pages_list_every_operation_once_the_newest_first(server: Stubs) -> None:
    names = [
        server.wait(server.analyses.Influence(influence(pairs=pairs(count=1, seed=seed)))).name
        for seed in range(5)
    ]
    pages: list[list[str]] = []
    token = ""
    while not pages or token:
        page = listed(server, size=2, token=token)
        pages.append([operation.name for operation in page.operations])
        token = page.next_page_token
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [name for page in pages for name in page] == names[::-1]
    assert [x.name for x in listed(server).operations] == names[::-1]
    filtered = operations_pb2.ListOperationsRequest(filter="done")
    told = refused(lambda: server.operations.ListOperations(filtered))
    assert (told.code, told.field) == (grpc.StatusCode.UNIMPLEMENTED, "filter")


def test_an_operation_is_deleted_once_it_is_done(server: Stubs) -> None:
    operation = endless(server)
    request = operations_pb2.DeleteOperationRequest(name=operation.name)
    told = refused(lambda: server.operations.DeleteOperation(request))
    assert (told.code, told.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "OPERATION_NOT_DONE",
    )
    cancel(server, operation)
    server.wait(operation)
    server.operations.DeleteOperation(request)
    assert refused(lambda: get(server, operation)).code is grpc.StatusCode.NOT_FOUND
    assert list(listed(server).operations) == []


def test_a_request_id_that_was_used_for_something_else_is_refused(server: Stubs) -> None:
    first = server.analyses.Influence(influence(request_id="größe"))
    assert server.analyses.Influence(influence(request_id="größe")).name == first.name
    told = refused(lambda: server.analyses.Influence(influence(request_id="größe", layer="fc")))
    assert told.code is grpc.StatusCode.ALREADY_EXISTS
    assert (told.reason, told.field) == ("REQUEST_ID_REUSED", "request_id")


def test_a_job_that_fails_ends_with_a_reason_and_the_server_goes_on(server: Stubs) -> None:
    failed = server.wait(server.analyses.Modules(modules(maps=inline(MAPS))))
    assert failed.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert details_of(failed.error) == ("K_TOO_LARGE", "")
    assert "all 4 influence maps are flat" in failed.error.message
    assert metadata_of(failed).progress.state == JobState.JOB_STATE_FAILED
    server.goes_on()


def test_operations_survive_a_restart(toy_vae_bundle: Path, tmp_path: Path) -> None:
    with served([toy_vae_bundle], tmp_path) as before:
        done = before.wait(before.analyses.Influence(influence()))
        interrupted = endless(before)
    with served([toy_vae_bundle], tmp_path) as after:
        assert kept(get(after, done)) == kept(done)
        assert after.analyses.Influence(influence()).name == done.name
        # An embedded server leaves it until somebody asks for it.
        left = get(after, interrupted)
        assert not left.done
        assert metadata_of(left).progress.state == JobState.JOB_STATE_QUEUED
