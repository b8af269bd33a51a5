"""A program ends by itself, whether or not it closed the client that has a server of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

OPEN = """
import sys
from graftscope.client import Client, InfluenceTask
client = Client(bundles=[sys.argv[1]], state=sys.argv[2])
layer = client.model("toy-vae").layers[0].name
"""
OPEN_ASYNC = """
import asyncio, sys
from graftscope.client import AsyncClient
async def main():
    client = await AsyncClient(bundles=[sys.argv[1]], state=sys.argv[2]).__aenter__()
    await client.models()
asyncio.run(main())
"""
START = 'print(client.start(InfluenceTask("toy-vae", layer, pairs=10_000_000)).name)\n'
WATCHED = """
import threading
heard = threading.Event()
def watch():
    client.influence("toy-vae", layer, pairs=10_000_000, on_progress=lambda job: heard.set())
threading.Thread(target=watch).start()
heard.wait()
"""
FORKED = """
import multiprocessing
child = multiprocessing.get_context("fork").Process(target=print, args=("from the child",))
child.start()
child.join()
raise SystemExit(child.exitcode)
"""
SPAWNED = """
import concurrent.futures, multiprocessing, operator
spawn = multiprocessing.get_context("spawn")
with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
    raise SystemExit(pool.submit(operator.add, 2, 3).result())
"""


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param(OPEN, 0, id="open"),
        pytest.param(OPEN + "raise SystemExit(3)\n", 3, id="exit", marks=pytest.mark.soak),
        pytest.param(OPEN + "1 / 0\n", 1, id="exception", marks=pytest.mark.soak),
        pytest.param(OPEN + START, 0, id="job"),
        pytest.param(OPEN + WATCHED, 0, id="watched", marks=pytest.mark.soak),
        pytest.param(OPEN + FORKED, 0, id="forked", marks=pytest.mark.soak),
        pytest.param(OPEN + SPAWNED, 5, id="spawned", marks=pytest.mark.soak),
        pytest.param(OPEN_ASYNC, 0, id="async"),
    ],
)
def test_a_program_that_leaves_its_client_open_ends(
    toy_vae_bundle: Path, tmp_path: Path, script: str, code: int
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", script, str(toy_vae_bundle), str(tmp_path)],
        timeout=60,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    # A server that was cut off while it put its jobs away would say so.
    assert "after shutdown" not in ended.stderr
    assert "interpreter shutdown" not in ended.stderr
