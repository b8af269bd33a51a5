"""Facts about jobs: watching, broken watches, failures, lists, cancelling."""

from typing import Any

import grpc
import pytest

from _fake_model import CHANNELS
from _fake_server import SURE_SO_FAR, Faults, fake_server
from graftscope.client import (
    Client,
    InfluenceTask,
    JobKind,
    JobState,
    Progress,
)
from graftscope.client.calls import _transfers
from graftscope.client.errors import (
    InputError,
    JobCancelledError,
    JobError,
    JobFailedError,
    NotFoundError,
    UnavailableError,
)

CLIENTS = ("sync", "async")

TASK = InfluenceTask("toy", "intermediate", pairs=3)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_transfers, "DELAYS_S", (0.0, 0.0, 0.0))


def test_progress_is_told_from_the_first_state_to_the_end(client: Any) -> None:
    told: list[Progress] = []
    client.influence("toy", "conv1", pairs=3, on_progress=told.append)
    assert [(each.state, each.shards_done) for each in told] == [
        (JobState.RUNNING, 0),
        (JobState.RUNNING, 1),
        (JobState.DONE, 2),
    ]
    assert told[0].eta_s is None
    assert (told[1].eta_s, told[1].hybrids_per_second, told[1].shards_total) == (1.5, 100.0, 2)


def test_a_watch_gives_the_job_each_time_anew(client: Any) -> None:
    job = client.start(TASK)
    seen = list(client.watch(job.name))
    assert [each.name for each in seen] == [job.name] * 3
    assert (seen[-1].done, seen[0].done) == (True, False)
    assert seen[-1].kind is JobKind.INFLUENCE
    assert (seen[-1].model, seen[-1].layer, seen[-1].created.year) == ("toy", "intermediate", 2023)


def test_a_broken_watch_is_opened_again(client: Any, faults: Faults) -> None:
    faults.broken_watches = 2
    result = client.influence("toy", "conv1", pairs=3)
    assert result.pairs == 3
    assert faults.calls.count("WatchOperation") == 3


def test_modules_keep_their_numbers_where_a_watch_is_opened_again(
    client: Any, faults: Faults
) -> None:
    faults.broken_watches = 1
    name = client.start(TASK).name
    states = list(client.watch(name, modules=3, maps=True))
    told = states[-1].so_far.modules
    assert (told.pairs, told.sure, told.labelled) == (1, SURE_SO_FAR, CHANNELS)
    first, second = faults.watched
    assert first.partial_maps
    assert not first.partial_modules.named_as
    (names,) = second.partial_modules.named_as
    assert (names.layer, names.labels) == ("conv2", told.layers["conv2"].labels.tolist())


def test_a_watch_that_breaks_again_and_again_without_progress_is_an_error(
    client: Any, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    faults.broken_watches = 1000
    name = client.start(TASK).name
    follow = f"gave up following {name}: `graftscope jobs watch {name.rpartition('/')[2]}` follows"
    with pytest.raises(UnavailableError, match=follow):
        client.wait(name)
    (told,) = caplog.messages
    assert told.endswith(
        f"is lost (the connection broke); waiting for it to come back, to follow {name} on"
    )
    assert faults.calls.count("WatchOperation") == 1 + 3


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (grpc.StatusCode.INTERNAL, "INTERNAL", JobFailedError),
        (grpc.StatusCode.FAILED_PRECONDITION, "NOT_CONVERGED", JobFailedError),
        (grpc.StatusCode.INVALID_ARGUMENT, "K_TOO_LARGE", InputError),
        (grpc.StatusCode.CANCELLED, "CANCELLED", JobCancelledError),
    ],
)
def test_a_job_that_fails_raises_what_its_status_stands_for(
    client: Any,
    faults: Faults,
    status: grpc.StatusCode,
    reason: str,
    expected: type[Exception],
) -> None:
    faults.job_error = (status, "what happened", reason)
    with pytest.raises(expected, match="job 1: what happened") as caught:
        client.influence("toy", "conv1", pairs=3)
    assert type(caught.value) is expected
    assert client.job("1").error == "what happened"


def test_a_job_that_goes_on_has_no_result_yet(client: Any, faults: Faults) -> None:
    job = client.start(TASK)
    faults.go_on.clear()
    with pytest.raises(JobError, match="operations/1 is running: it has no result yet"):
        client.result(job.name)


def test_a_cancelled_job_says_so(client: Any) -> None:
    job = client.start(TASK)
    client.cancel(job.name)
    with pytest.raises(JobCancelledError, match="the job was cancelled"):
        client.wait(job.name)


def test_jobs_are_listed_over_all_pages(client: Any, faults: Faults) -> None:
    faults.page_size = 2
    started = [client.start(TASK).name for _ in range(5)]
    assert [job.name for job in client.jobs()] == started
    assert faults.calls.count("ListOperations") == 3


def test_a_deleted_job_is_not_found(client: Any) -> None:
    job = client.start(TASK)
    client.delete(job.name)
    for ask in (client.job, client.result, client.wait, client.delete, client.cancel):
        with pytest.raises(NotFoundError, match="'operations/1' is not known"):
            ask(job.name)


def test_leaving_a_watch_early_ends_its_stream(faults: Faults) -> None:
    faults.go_on.clear()
    with fake_server(faults) as (address, _), Client(address) as client:
        for job in client.watch(client.start(TASK).name):
            assert not job.done
            break
        assert client.models()
