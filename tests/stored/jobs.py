"""Jobs as a server tells of them, and as they lie in its database."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import json_format

from benchmarks.machine import this_machine
from graftscope.v1 import tensor_pb2

Plain = dict[str, Any]
"""A message, or a part of one, as JSON."""


def listed(operations: operations_pb2_grpc.OperationsStub) -> Iterator[operations_pb2.Operation]:
    """All of a server's operations, the newest first."""
    token = ""
    while True:
        page = operations.ListOperations(operations_pb2.ListOperationsRequest(page_token=token))
        yield from page.operations
        token = page.next_page_token
        if not token:
            return


def plain(operation: operations_pb2.Operation) -> Plain:
    """An operation as JSON, with the messages that it holds."""
    return json_format.MessageToDict(operation)


def artifacts(response: Plain) -> dict[str, tensor_pb2.Array]:
    """The arrays that a response names, by its fields."""
    return {
        field: json_format.ParseDict(value, tensor_pb2.Array())
        for field, value in response.items()
        if isinstance(value, dict) and "artifact" in value
    }


def specifications(state: Path) -> dict[str, str]:
    """The canonical specifications that a state folder holds, by the operations' names."""
    with closing(sqlite3.connect(state / "jobs.db")) as database:
        bodies = [json.loads(body) for (body,) in database.execute("SELECT body FROM jobs")]
    return {f"operations/{body['id']}": body["specification"] for body in bodies}


def arithmetic() -> Plain:
    """What decides bits: the processor with its instructions, and the versions of what computes."""
    machine = this_machine()
    return {
        "processor": machine.processor,
        "flags": list(machine.flags),
        "versions": machine.versions,
    }


def check_unfinished(jobs: Mapping[str, Plain]) -> None:
    """Checks that jobs stand where they are meant to, by what was asked for."""
    told = {name: job["metadata"]["progress"] for name, job in jobs.items()}
    # Nobody works on those that are left, so they are told of as if they waited.
    assert told["cancelled"]["state"] == "JOB_STATE_CANCELLED"
    assert told["left"]["state"] == told["waiting"]["state"] == "JOB_STATE_QUEUED"
    for name in ("cancelled", "left"):
        assert 0 < told[name]["shardsDone"] < told[name]["shardsTotal"]
    assert "shardsDone" not in told["waiting"]
