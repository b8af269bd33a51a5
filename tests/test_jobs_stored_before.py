"""Jobs that the version before stored are read, answered and gone on with.

What it stored, and what it answered, is in `stored`; nothing here knows how jobs are kept now.
"""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.longrunning import operations_pb2

from graftscope.bundle import find_shipped
from graftscope.client import Client, Job, JobState
from server_toys import TIMEOUT_S, Stubs, metadata_of, served
from stored import asked
from stored.jobs import (
    Plain,
    arithmetic,
    artifacts,
    check_unfinished,
    listed,
    plain,
    specifications,
)

ANSWERS = json.loads(asked.ANSWERS.read_text())
NAMES: dict[str, str] = ANSWERS["asked"]
JOBS: dict[str, Plain] = {job["operation"]["name"]: job for job in ANSWERS["jobs"]}
DONE = [name for name, job in JOBS.items() if "response" in job["operation"]]

# The plan is stored, so on one machine bits are equal. But a processor with other instructions
# rounds sums of products in float32 differently, and the first shards are from the machine that
# the state folder was made on.
RELATIVE = 1e-5
ABSOLUTE = 1e-7
"""Of a pixel of images within [-1, 1], whose last bit is worth so much."""


def copied(to: Path) -> Path:
    return shutil.copytree(asked.STATE, to / "state")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """What was stored, to be changed."""
    return copied(tmp_path)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    """A server on what was stored, which tests leave as it is."""
    with served([find_shipped(asked.MODEL)], copied(tmp_path_factory.mktemp("before"))) as stubs:
        yield stubs


def test_there_are_jobs_of_every_kind_and_state() -> None:
    metadata = [job["operation"]["metadata"] for job in JOBS.values()]
    kinds = {"influence", "modules", "stability", "magnitude"}
    assert kinds == {kind for each in metadata for kind in kinds & set(each)}
    states = {each["progress"]["state"].removeprefix("JOB_STATE_").lower() for each in metadata}
    assert states == {"queued", "done", "cancelled", "failed"}
    assert set(NAMES) == {*asked.FINISHED, *asked.UNFINISHED}
    check_unfinished({name: JOBS[NAMES[name]]["operation"] for name in asked.UNFINISHED})


def test_every_job_is_listed_and_told_word_by_word(before: Stubs) -> None:
    expected = [job["operation"] for job in JOBS.values()]
    told = [plain(operation) for operation in listed(before.operations)]
    assert all(says(*both) for both in zip(told, expected, strict=True))
    for name, job in JOBS.items():
        request = operations_pb2.GetOperationRequest(name=name)
        assert says(plain(before.operations.GetOperation(request)), job["operation"])


def test_an_identity_is_the_sha256_of_the_specification_that_is_stored(before: Stubs) -> None:
    assert specifications(before.state) == {
        name: job["specification"] for name, job in JOBS.items()
    }
    for job in JOBS.values():
        sha256 = hashlib.sha256(job["specification"].encode()).hexdigest()
        assert job["operation"]["metadata"]["identity"] == sha256


@pytest.mark.parametrize("name", DONE)
def test_every_result_is_read_to_the_bit(before: Stubs, name: str) -> None:
    with Client(before.address) as client:
        assert client.result(name)
    named = artifacts(JOBS[name]["operation"]["response"])
    assert named
    for array in named.values():
        assert hashlib.sha256(before.read(array).tobytes()).hexdigest() == array.artifact.sha256


@pytest.mark.parametrize("asked_for", sorted(set(asked.FINISHED) - asked.FAILING - asked.REFUSED))
def test_the_same_task_gets_the_job_that_is_done(before: Stubs, asked_for: str) -> None:
    with Client(before.address) as client:
        job = client.start(asked.FINISHED[asked_for](NAMES))
    assert job.name == NAMES[asked_for]
    assert job.progress.state is JobState.DONE


@pytest.mark.parametrize("name", DONE)
def test_the_request_that_a_job_tells_of_gets_that_job(before: Stubs, name: str) -> None:
    told = metadata_of(
        before.operations.GetOperation(operations_pb2.GetOperationRequest(name=name))
    )
    kind = told.WhichOneof("specification")
    assert kind is not None
    again = getattr(before.analyses, kind.title())(getattr(told, kind), timeout=TIMEOUT_S)
    assert again.name == name


def test_a_failed_job_fails_again_with_the_same_words(state: Path) -> None:
    (failed,) = asked.FAILING
    with served([find_shipped(asked.MODEL)], state) as stubs, Client(stubs.address) as client:
        again = client.start(asked.FINISHED[failed](NAMES))
        ended = plain(stubs.wait(operation_of(again)))
    before = JOBS[NAMES[failed]]["operation"]
    assert again.name != before["name"]
    assert ended["error"] == before["error"]
    assert ended["metadata"]["identity"] == before["metadata"]["identity"]


def operation_of(job: Job) -> operations_pb2.Operation:
    return operations_pb2.Operation(name=job.name)


def test_a_cancelled_job_goes_on_where_it_was(state: Path) -> None:
    before = JOBS[NAMES["cancelled"]]
    with served([find_shipped(asked.MODEL)], state) as stubs, Client(stubs.address) as client:
        job = client.start(asked.CANCELLED)
        assert job.name != NAMES["cancelled"]
        assert job.progress.shards_done >= before["operation"]["metadata"]["progress"]["shardsDone"]
        check_ending(stubs, stubs.wait(operation_of(job)), "cancelled")
        assert specifications(state)[job.name] == before["specification"]


@pytest.mark.parametrize("asked_for", ["left", "waiting"])
def test_a_job_that_was_left_is_taken_up_when_it_is_asked_for(state: Path, asked_for: str) -> None:
    before = JOBS[NAMES[asked_for]]["operation"]["metadata"]["progress"]
    with served([find_shipped(asked.MODEL)], state) as stubs, Client(stubs.address) as client:
        job = client.start(asked.UNFINISHED[asked_for])
        assert job.name == NAMES[asked_for]
        assert job.progress.shards_done >= before.get("shardsDone", 0)
        check_ending(stubs, stubs.wait(operation_of(job)), asked_for)


SERVE = """
import sys
from pathlib import Path
from graftscope.server import make_settings, serve

bundle, state = map(Path, sys.argv[1:])
settings = make_settings(bundles=(bundle,), listen="127.0.0.1:0", state=state, workers=1)
serve(settings, lambda address: print(address, flush=True))
"""


def test_jobs_that_were_left_are_taken_up_at_the_start(state: Path) -> None:
    command = [sys.executable, "-c", SERVE, str(find_shipped(asked.MODEL)), str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        try:
            with grpc.insecure_channel(address) as channel:
                stubs = Stubs(address, channel, state)
                for asked_for in ("left", "waiting"):
                    check_ending(stubs, ended_by_itself(stubs, NAMES[asked_for]), asked_for)
        finally:
            process.send_signal(signal.SIGTERM)


def ended_by_itself(stubs: Stubs, name: str) -> operations_pb2.Operation:
    """Looks, without a call that would take the job up."""
    deadline = time.monotonic() + TIMEOUT_S
    request = operations_pb2.GetOperationRequest(name=name)
    while not (operation := stubs.operations.GetOperation(request)).done:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return operation


def check_ending(stubs: Stubs, ended: operations_pb2.Operation, asked_for: str) -> None:
    """That a job came to what it would have come to, and is told of as before."""
    told, before = plain(ended), JOBS[NAMES[asked_for]]["operation"]
    for field in ("@type", "identity", "influence", "modelDigest", "plan"):
        assert says(told["metadata"][field], before["metadata"][field])
    response, expected = told["response"], ANSWERS["uninterrupted"][asked_for]
    assert set(response) >= set(expected)
    # A job that had begun kept no groups of pairs, and one that had not does now.
    groups = [field for field in response if field.startswith("group")]
    assert len(groups) == (3 if asked_for == "waiting" else 0)
    named = {field: array for field, array in artifacts(response).items() if field in expected}
    for field in set(expected) - set(named) - {"stopping"}:
        assert response[field] == expected[field]
    # Labels may turn with the last bit, and so may the share of those that agree.
    stopping, rule = response["stopping"], expected["stopping"]
    assert stopping["maxPairs"] == rule["maxPairs"]
    error = pytest.approx(rule["relativeStandardError"], rel=RELATIVE)
    assert stopping["relativeStandardError"] == error
    with np.load(asked.UNINTERRUPTED) as file:
        for field, array in named.items():
            whole = file[f"{asked_for}/{field}"]
            np.testing.assert_allclose(stubs.numbers(array), whole, rtol=RELATIVE, atol=ABSOLUTE)
    if arithmetic() == ANSWERS["arithmetic"]:
        assert says(response, expected)


def says(told: object, before: object) -> bool:
    """Whether all that was said is said still; what has been added since may stand beside it."""
    if isinstance(told, dict) and isinstance(before, dict):
        return all(name in told and says(told[name], before[name]) for name in before)
    if isinstance(told, list) and isinstance(before, list):
        return len(told) == len(before) and all(map(says, told, before))
    return told == before


@pytest.mark.parametrize(
    ("told", "is_said"),
    [
        ({"a": [{"b": 1, "c": 2}], "d": 0}, True),
        ({"a": [{"b": 2, "c": 2}]}, False),
        ({"a": [{"c": 2}]}, False),
        ({"a": [{"b": 1}, {}]}, False),
    ],
)
def test_what_is_compared_may_grow_but_not_change(told: object, is_said: bool) -> None:
    assert says(told, {"a": [{"b": 1}]}) is is_said
