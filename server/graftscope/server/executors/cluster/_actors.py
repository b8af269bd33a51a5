"""Actors on the nodes of a cluster: as many as there are cores, or GPUs."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray

from graftscope.server.engine import Device
from graftscope.server.errors import ClusterUnavailable
from graftscope.server.executors.cluster._bundles import default_cache
from graftscope.server.executors.cluster._executor import RayExecutor
from graftscope.server.executors.cluster._facts import facts_here
from graftscope.server.executors.cluster._members import Members
from graftscope.server.executors.cluster._node import Node
from graftscope.server.executors.cluster._where import Where
from graftscope.server.logs import get_logger

_CORE, _GPU = "CPU", "GPU"

_log = get_logger("cluster")


@contextmanager
def connected(where: Where, workers: int) -> Iterator[list[dict[str, Any]]]:
    """This process as a part of the cluster.

    Yields:
        Its machines, as Ray describes them.

    Raises:
        ClusterUnavailable: it cannot be.
    """
    if ray.is_initialized():
        raise ClusterUnavailable(
            "this process uses a cluster of Ray already; a server needs one of its own",
            field="executor",
        )
    started: dict[str, object] = {"address": where.address}
    if where.host is None:
        started = {"address": "local", "num_cpus": workers, "include_dashboard": False}
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        ray.init(
            **started,
            log_to_driver=False,
            configure_logging=False,
        )
    except Exception as error:
        raise ClusterUnavailable(_why(where, error), field="executor") from error
    try:
        yield [node for node in ray.nodes() if node["Alive"]]
    finally:
        ray.shutdown()


def _why(where: Where, error: Exception) -> str:
    lines = str(error).strip().splitlines()
    said = lines[0] if lines else type(error).__name__
    if where.host is None:
        return f"Ray cannot be started on this machine: {said}"
    return (
        f"the cluster at {where.address} cannot be joined: {said} (this machine has to be a node "
        f"of it: `ray start --address={where.address} --num-cpus=0`, with the cluster's token, and "
        "the same versions of Ray and Python)"
    )


def actors_on(
    nodes: Sequence[dict[str, Any]], device: Device, sessions: int, timeout_s: float
) -> RayExecutor:
    """Actors, one a core or one a GPU, once they are there.

    Args:
        nodes: machines, as Ray describes them.
        device: what runs graphs.
        sessions: how many stay open in each.
        timeout_s: how long they are waited for.

    Raises:
        ClusterUnavailable: there is no such core or GPU, none has started, or a machine's versions
            are not those of this one.
    """
    of = _GPU if device is Device.CUDA else _CORE
    count = sum(int(node["Resources"].get(of, 0)) for node in nodes)
    if not count:
        raise ClusterUnavailable(
            f"the cluster's {len(nodes)} nodes have no {of} that Ray may use; start nodes with "
            "`ray start --address=HOST:PORT`",
            field="executor",
        )
    kind = ray.remote(
        num_cpus=0 if of == _GPU else 1,
        num_gpus=1 if of == _GPU else 0,
        # Started again wherever there is room. What it was asked for is asked of another at once
        # (`Members`), which Ray itself would wait with until this one is back.
        max_restarts=-1,
        max_task_retries=0,
        concurrency_groups={"control": 1},
        scheduling_strategy="SPREAD",
    )(Node)
    actors = [kind.remote(device, sessions, default_cache(), ray.get) for _ in range(count)]

    def end() -> None:
        for actor in actors:
            ray.kill(actor)

    executor = RayExecutor(members := Members(actors, facts_here()), end)
    try:
        members.wait(timeout_s)
    except BaseException:
        executor.close()
        raise
    _log.info("cluster", nodes=len(nodes), workers=members.ready, of=count, each=of)
    return executor
