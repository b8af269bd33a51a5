"""`serve --executor ray`: the bits of one machine, whatever is killed meanwhile."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from compat._ray_nodes import RayCluster, ray_cluster, with_ray
from graftscope.bundle import find_shipped
from graftscope.client import Client, InfluenceResult, InfluenceTask, StabilityResult, StabilityTask
from reliability._processes import Running, server

pytestmark = [pytest.mark.compat, pytest.mark.timeout(1800)]

TASK = InfluenceTask(model="vae-celeba", layer="intermediate", pairs=768, seed=5)
SHORT = replace(TASK, pairs=160, seed=6)
SECONDS = 5.0


@contextmanager
def serving(
    state: Path, environment: Mapping[str, str], executor: str, listen: str = "127.0.0.1:0"
) -> Iterator[Running]:
    options = ("--executor", executor)
    more = {**environment, "GRAFTSCOPE_CHECKPOINT_S": "0.5"}
    bundle = find_shipped("vae-celeba")
    with server([bundle], state, options=options, environment=more, listen=listen) as running:
        yield running


@dataclass(frozen=True)
class Known:
    """A state whose plans were measured, without jobs, and what one machine gives by them."""

    state: Path
    influence: dict[int, InfluenceResult]
    stability: StabilityResult


def stability(of: InfluenceResult) -> StabilityTask:
    return StabilityTask(maps=of.maps, ks=(2, 3), repeats=3)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    state = tmp_path_factory.mktemp("known") / "state"
    results = {}
    with serving(state, {}, "local") as running, Client(running.address) as client:
        for task in (TASK, SHORT):
            job = client.start(task)
            result = client.wait(job.name)
            assert isinstance(result, InfluenceResult)
            results[task.pairs] = result
            client.delete(job.name)
        job = client.start(stability(results[SHORT.pairs]))
        compared = client.wait(job.name)
        assert isinstance(compared, StabilityResult)
        client.delete(job.name)
        assert running.terminate() == 0
    return Known(state, results, compared)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[RayCluster]:
    with ray_cluster(tmp_path / "ray") as cluster:
        cluster.node()
        cluster.node()
        yield cluster


def done(client: Client, name: str) -> int:
    return client.job(name).progress.shards_done


def assert_same(result: object, known: InfluenceResult) -> None:
    assert isinstance(result, InfluenceResult)
    assert result.pairs == known.pairs
    for name in ("maps", "stderr", "individual", "individual_stderr"):
        np.testing.assert_array_equal(getattr(result, name), getattr(known, name), err_msg=name)


def wait_for(client: Client, name: str, shards: int) -> None:
    while done(client, name) < shards:
        time.sleep(0.05)


def test_a_worker_a_node_and_the_server_are_killed_and_no_bit_changes(
    nodes: RayCluster, known: Known, tmp_path: Path
) -> None:
    state, results = known.state, known.influence
    executor = f"ray://{nodes.address}"
    with serving(state, nodes.environment, executor) as running, Client(running.address) as client:
        name = client.start(TASK).name
        wait_for(client, name, 3)
        (victim,) = nodes.nodes[1].actors
        victim.kill()
        wait_for(client, name, 8)
        assert "worker lost" in running.log.read_text()
        nodes.nodes[2].kill()
        wait_for(client, name, 12)
        running.kill()
    nodes.node()
    with serving(state, nodes.environment, executor) as running, Client(running.address) as client:
        taken_up = re.findall(r"'job taken up' .*shards_done=(\d+)", running.log.read_text())
        assert int(taken_up[-1]) >= 8
        assert_same(client.wait(name), results[TASK.pairs])
        assert done(client, name) == TASK.pairs // 32
        client.delete(name)


def test_workers_of_this_machine_alone_listen_to_it_alone_and_end_with_the_server(
    known: Known,
) -> None:
    state, results = known.state, known.influence
    with serving(state, with_ray(), "ray") as running, Client(running.address) as client:
        below = psutil.Process(running.pid).children(recursive=True)
        ports = [x for each in below for x in _listens(each)]
        assert ports
        assert {ip.removeprefix("::ffff:") for ip in ports} == {"127.0.0.1"}
        name = client.start(SHORT).name
        assert_same(client.wait(name), results[SHORT.pairs])
        compared = client.wait(client.start(stability(results[SHORT.pairs])).name)
        assert isinstance(compared, StabilityResult)
        np.testing.assert_array_equal(compared.consistency, known.stability.consistency)
        np.testing.assert_array_equal(compared.cosine, known.stability.cosine)
        client.delete(name)
        long = client.start(replace(TASK, pairs=12_800, seed=9)).name
        wait_for(client, long, 1)
        started = time.monotonic()
        client.cancel(long)
        while not client.job(long).done:
            time.sleep(0.02)
        assert time.monotonic() - started < SECONDS
        client.delete(long)
        running.kill()
        # Ray's agents look after their parent now and then.
        _, left = psutil.wait_procs(below, timeout=120)
        assert [each for each in left if each.status() != psutil.STATUS_ZOMBIE] == []


def _listens(process: psutil.Process) -> list[str]:
    try:
        return [x.laddr.ip for x in process.net_connections("inet") if x.status == "LISTEN"]
    except psutil.Error:
        return []


def refused(environment: Mapping[str, str], executor: str, state: Path) -> str:
    program = "from graftscope.client.cli import main; main()"
    command = ("serve", "--executor", executor, "--state", str(state), "--listen", "127.0.0.1:0")
    ran = subprocess.run(
        [sys.executable, "-c", program, *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode != 0
    assert "Traceback" not in ran.stderr
    return " ".join(ran.stderr.split())


def test_what_is_wrong_with_a_cluster_is_said(nodes: RayCluster, tmp_path: Path) -> None:
    with_token, state = dict(nodes.environment), tmp_path / "state"
    without = {name: x for name, x in with_token.items() if not name.startswith("RAY_AUTH")}
    joined = f"ray://{nodes.address}"
    assert "is used without Ray's token" in refused(without, joined, state)
    assert "nobody answers at 127.0.0.1:1" in refused(with_token, "ray://127.0.0.1:1", state)
    another = {**with_token, "RAY_AUTH_TOKEN": "0" * 64}
    assert f"the cluster at {nodes.address} cannot be joined" in refused(another, joined, state)


def test_ray_that_is_not_installed_is_said_with_what_to_install(tmp_path: Path) -> None:
    plain = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = refused(plain, "ray", tmp_path / "state")
    assert "pip install 'graftscope[ray]'" in said
