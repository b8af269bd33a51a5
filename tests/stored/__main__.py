"""Makes the state folder anew: see the package's docstring for when not to.

Whether a job is caught half-way depends on the machine's load, and so does whether one is small
enough for the plain path; where that went wrong it says so, and may be run again.
"""

import json
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from google.longrunning import operations_pb2

from graftscope.bundle import find_shipped
from graftscope.client import Client, JobState
from graftscope.client.errors import GraftscopeError
from server_toys import Stubs, served
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

_KEEP_DAYS = 365_000
"""An answer that expires is forgotten, and the test with it."""

_HALF_WAY = 7
"""Shards of 10 or 20. The labels so far are then among those that have to agree at the end."""


def main(folder: Path) -> None:
    """Asks for everything, then writes state, answers and arrays into a new folder."""
    os.environ["GRAFTSCOPE_KEEP_DAYS"] = str(_KEEP_DAYS)
    folder.mkdir(parents=True)
    state = folder / asked.STATE.name
    with _serving(state) as (_, client):
        names = _finish(client)
        names |= _leave(client)
    _pack(state)
    jobs = _jobs(state)
    check_unfinished({name: jobs[names[name]]["operation"] for name in asked.UNFINISHED})
    answers = {
        "arithmetic": arithmetic(),
        "asked": names,
        # The newest first.
        "jobs": list(jobs.values()),
        "uninterrupted": _uninterrupted(folder / asked.UNINTERRUPTED.name),
    }
    (folder / asked.ANSWERS.name).write_text(json.dumps(answers, indent=1) + "\n")


@contextmanager
def _serving(state: Path) -> Iterator[tuple[Stubs, Client]]:
    with served([find_shipped(asked.MODEL)], state) as stubs, Client(stubs.address) as client:
        yield stubs, client


def _finish(client: Client) -> dict[str, str]:
    """The operations that came to their end, by what was asked for."""
    names: dict[str, str] = {}
    for name, task in asked.FINISHED.items():
        names[name] = client.start(task(names)).name
        try:
            client.wait(names[name])
        except GraftscopeError:
            assert name in asked.FAILING, name
    return names


def _leave(client: Client) -> dict[str, str]:
    """Cancels one job half-way, and is itself half-way with another when the server ends."""
    cancelled = client.start(asked.CANCELLED).name
    _reach(client, cancelled)
    client.cancel(cancelled)
    *_, ended = client.watch(cancelled)
    assert ended.progress.state is JobState.CANCELLED, "too late; try again"
    left, waiting = client.start(asked.LEFT).name, client.start(asked.WAITING).name
    _reach(client, left)
    return {"cancelled": cancelled, "left": left, "waiting": waiting}


def _reach(client: Client, name: str) -> None:
    for job in client.watch(name):
        if not job.done and job.progress.shards_done >= _HALF_WAY:
            return
    raise AssertionError(f"{name} ended before it was half-way; try again")


def _pack(state: Path) -> None:
    """One file that is whole, and none that only a running server needs."""
    (state / "lock").unlink()
    with closing(sqlite3.connect(state / "jobs.db")) as database:
        database.execute("PRAGMA journal_mode=DELETE")
        database.execute("PRAGMA page_size=1024")
        database.execute("VACUUM")


def _jobs(state: Path) -> dict[str, Plain]:
    """What a server tells of every job, and the specification that it stores; by their names."""
    with tempfile.TemporaryDirectory() as elsewhere:
        copy = shutil.copytree(state, Path(elsewhere) / "state")
        stored = specifications(copy)
        with _serving(copy) as (stubs, _):
            told = [plain(operation) for operation in listed(stubs.operations)]
    for each in told:
        _check_plain_path(each)
    return {
        each["name"]: {"specification": stored[each["name"]], "operation": each} for each in told
    }


def _uninterrupted(path: Path) -> dict[str, Plain]:
    """The responses of unfinished jobs where they go through; writes their arrays."""
    responses: dict[str, Plain] = {}
    arrays = {}
    with tempfile.TemporaryDirectory() as state, _serving(Path(state)) as (stubs, client):
        for name, task in asked.UNFINISHED.items():
            operation = operations_pb2.Operation(name=client.start(task).name)
            ended = plain(stubs.wait(operation))
            _check_plain_path(ended)
            responses[name] = ended["response"]
            for field, array in artifacts(ended["response"]).items():
                arrays[f"{name}/{field}"] = stubs.read(array)
    np.savez_compressed(path, allow_pickle=False, **arrays)
    return responses


def _check_plain_path(operation: Plain) -> None:
    """Elsewhere another plan may be chosen, of other bits."""
    plan = operation["metadata"].get("plan", {})
    assert "rewrites" not in plan, f"{operation['name']} took too long: {plan}; try again"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
