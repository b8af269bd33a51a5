"""Joins a cluster, or starts one of this machine alone, and has actors on it.

Whoever reaches a cluster's ports runs code on its machines, so none is used without Ray's token.
"""

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from graftscope.server.engine import Device
from graftscope.server.errors import ClusterUnavailable, InvalidInput
from graftscope.server.executors._executor import Executor
from graftscope.server.executors.cluster._where import Where
from graftscope.server.logs import get_logger

_MODE, _TOKEN = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"

# Before Ray is imported, which reads them then. Nothing is told to its makers; what is lost is
# found after seconds; a cluster of this machine alone listens to this machine alone.
_ALWAYS = {"RAY_USAGE_STATS_ENABLED": "0"}
_ALONE = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "2",
}

_REACH_S = 5.0
_START_S = 90.0

_log = get_logger("cluster")


@contextmanager
def open_cluster(
    where: Where, device: Device, workers: int, sessions: int, *, insecure: bool = False
) -> Iterator[Executor]:
    """What computes on a cluster, for as long as the block lasts.

    Args:
        where: which one.
        device: what actors run graphs on: a core each, or a GPU each.
        workers: cores of a cluster that is started.
        sessions: how many stay open in each actor.
        insecure: whether a cluster without tokens is used.

    Raises:
        InvalidInput: Ray is not installed, or the cluster has no tokens.
        ClusterUnavailable: it cannot be reached or started, or its machines have other versions.
    """
    _require_installed()
    check_usable(where, insecure=insecure)
    os.environ.update(_ALWAYS if where.host is not None else _ALWAYS | _ALONE)
    # Ray is an extra, slow to import, and reads its environment meanwhile.
    from graftscope.server.executors.cluster._actors import actors_on, connected

    with connected(where, workers) as nodes:
        executor = actors_on(nodes, device, sessions, _START_S)
        try:
            yield executor
        finally:
            executor.close()


def check_usable(where: Where, *, insecure: bool) -> None:
    """Looks, without Ray, whether a cluster is to be used and answers. Raises as `open_cluster`."""
    _require_token(where, insecure=insecure)
    if where.host is not None:
        _require_reachable(where)


def _require_installed() -> None:
    try:
        version("ray")
    except PackageNotFoundError as error:
        raise InvalidInput(
            "jobs cannot run on Ray, which is not installed: pip install 'graftscope[ray]'",
            field="executor",
        ) from error


def _require_token(where: Where, *, insecure: bool) -> None:
    """Makes a token for a cluster that is started; one that is joined must have one."""
    if where.host is None:
        os.environ[_MODE] = "token"
        os.environ.setdefault(_TOKEN, secrets.token_hex(32))
        return
    if os.environ.get(_MODE) == "token":
        return
    told = (
        f"the cluster at {where.address} is used without Ray's token: whoever reaches its ports "
        "runs code on all of its machines"
    )
    if not insecure:
        raise InvalidInput(
            f"{told}; start its nodes and this server with {_MODE}=token and the same "
            f"{_TOKEN} (docs/operations.md, More machines), or allow it with --insecure",
            field="executor",
        )
    _log.warning(told)


def _require_reachable(where: Where) -> None:
    """Ray itself tries for minutes."""
    assert where.host is not None
    try:
        socket.create_connection((where.host, where.port), _REACH_S).close()
    except OSError as error:
        raise ClusterUnavailable(
            f"nobody answers at {where.address} ({error.strerror or error}): the address is that "
            "of the cluster's head, as `ray start --head --port=6379` was given it",
            field="executor",
        ) from error
