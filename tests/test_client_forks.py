"""Clients in forked processes: one of a running server goes on, an embedded one is refused."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from graftscope.client import AsyncClient, Client
from graftscope.client.errors import UsageError
from server_toys import Stubs

FORKING = """
import os, sys
from graftscope.client import Client

def in_child(act):
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        print("child:", act())
    except Exception as error:
        print("child:", type(error).__name__, error)
    sys.stdout.flush()
    os._exit(0)

def names(client):
    return [model.name for model in client.models()]

def fresh(**chosen):
    with Client(**chosen) as client:
        return names(client)
"""
RUNNING = """
address = sys.argv[1]
client = Client(address)
names(client)
"""
EMBEDDED = """
chosen = {"bundles": [sys.argv[1]], "state": sys.argv[2]}
client = Client(**chosen)
names(client)
"""


def lines(script: str, *arguments: str) -> list[str]:
    """What a program says whose processes end by themselves, each with 0."""
    ended = subprocess.run(
        [sys.executable, "-c", FORKING + script, *arguments],
        timeout=60,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_a_client_of_a_running_server_goes_on_in_a_forked_process(toy_server: Stubs) -> None:
    script = RUNNING + (
        "print(in_child(lambda: names(client)))\n"
        "print(in_child(lambda: fresh(address=address)))\n"
        "print(names(client))\n"
    )
    expected = "['toy-blocks', 'toy-skip', 'toy-vae']"
    told = lines(script, toy_server.address)
    assert told == [f"child: {expected}", "0", f"child: {expected}", "0", expected]


def test_an_embedded_server_is_refused_in_a_forked_process_and_goes_on_in_its_own(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    script = EMBEDDED + (
        "print(in_child(lambda: names(client)))\n"
        "print(in_child(lambda: fresh(**chosen)))\n"
        "print(in_child(client.close))\n"
        "print(names(client))\n"
    )
    told = lines(script, str(toy_vae_bundle), str(tmp_path))
    refused = [line for line in told if line.startswith("child: UsageError")]
    assert len(refused) == 2
    assert all("in which an embedded server ran" in line for line in refused)
    assert all("get_context('spawn')" in line and "graftscope serve" in line for line in refused)
    assert told[1] == told[3] == told[5] == "0"
    assert told[6] == "['toy-vae']"


def test_a_forked_process_may_embed_a_server_where_its_parent_has_none(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    script = EMBEDDED + (
        "client.close()\nprint(in_child(lambda: fresh(**chosen)))\nprint(fresh(**chosen))\n"
    )
    told = lines(script, str(toy_vae_bundle), str(tmp_path))
    assert told == ["child: ['toy-vae']", "0", "['toy-vae']"]


def test_an_entered_asynchronous_client_is_refused_in_a_forked_process(toy_server: Stubs) -> None:
    script = """
import asyncio
from graftscope.client import AsyncClient

async def main():
    async with AsyncClient(sys.argv[1]) as client:
        await client.models()
        print(in_child(lambda: client.models().send(None)))

asyncio.run(main())
"""
    told = lines(script, toy_server.address)
    assert told[0].startswith("child: UsageError an AsyncClient entered in process")
    assert told[1] == "0"


def test_a_client_cannot_be_pickled_and_says_what_to_do(toy_server: Stubs) -> None:
    with Client(toy_server.address) as client:
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(UsageError, match=f"another Client there.*{toy_server.address}"):
                attempt(client)
    with pytest.raises(UsageError, match="an AsyncClient cannot be pickled"):
        pickle.dumps(AsyncClient(toy_server.address))
