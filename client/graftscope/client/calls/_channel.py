"""How channels to a server are made, synchronous and asynchronous alike."""

import math
from dataclasses import dataclass
from typing import TypeAlias

import grpc
import grpc.aio
from google.longrunning.operations_pb2_grpc import OperationsStub

from graftscope.client.arrays import finite_number
from graftscope.client.calls._addresses import may_be_several, proxy_to
from graftscope.client.errors import InputError, UsageError
from graftscope.v1.analysis_service_pb2_grpc import AnalysisServiceStub
from graftscope.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from graftscope.v1.model_service_pb2_grpc import ModelServiceStub

Options: TypeAlias = list[tuple[str, int | str]]

DEFAULT_TIMEOUT_S = 120.0
"""Enough for the largest reply that a server gives while the caller waits."""

LONGEST_TIMEOUT_S = 1e9
"""A timeout this long, some thirty years, means none."""


def channel_options(address: str) -> Options:
    """Choose the options of a channel to an address, each for its reason.

    The message limit is not among them: gRPC's 4 MiB are kept, and larger arrays travel as
    artifacts, so that neither side ever needs to hold a message of unknown size.
    """
    options: Options = [
        # Of itself gRPC sends calls to this machine through a proxy too, which cannot answer them.
        ("grpc.enable_http_proxy", int(proxy_to(address) is not None)),
        # A server that froze or whose machine vanished sends nothing, not even a reset: ask it.
        # Not more often than servers tolerate.
        ("grpc.keepalive_time_ms", 30_000),
        # Both are needed: the first one alone leaves HTTP/2's own timeout of a minute in force.
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.ping_timeout_ms", 10_000),
        # A watch may wait for its next shard for long; by default pings stop after two.
        ("grpc.http2.max_pings_without_data", 0),
        # This is also how long a connection may take to say that it speaks HTTP/2; something else
        # that listens at the address and says nothing is found out in time.
        ("grpc.min_reconnect_backoff_ms", 5_000),
        # A server that is being restarted should be found again within seconds.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]
    if may_be_several(address):
        # Of itself gRPC keeps to the first that answers.
        options.append(("grpc.lb_policy_name", "round_robin"))
    return options


def closed() -> UsageError:
    """Say that a client is used after its end."""
    return UsageError("the client is closed: make a new one, or use it inside its `with` block")


def deadline(timeout_s: float | None) -> float | None:
    """Turn a timeout into what gRPC takes.

    Args:
        timeout_s: Seconds, above 0; None for no timeout.

    Returns:
        The same, or None for one so long that gRPC would misread it as already over.

    Raises:
        InputError: If it is 0, negative or not a number.
    """
    if timeout_s is None or (isinstance(timeout_s, float) and timeout_s == math.inf):
        return None
    # NaN is no number above 0 either.
    if not (isinstance(timeout_s, float) and math.isnan(timeout_s)):
        finite_number("timeout_s", timeout_s)
    if not timeout_s > 0:
        raise InputError(
            f"timeout_s {timeout_s:g} is not allowed: it must be above 0, or None for no timeout"
        )
    return None if timeout_s >= LONGEST_TIMEOUT_S else timeout_s


@dataclass(frozen=True)
class Stubs:
    """The services of one server."""

    models: ModelServiceStub
    analyses: AnalysisServiceStub
    artifacts: ArtifactServiceStub
    operations: OperationsStub

    @classmethod
    def on(cls, channel: grpc.Channel | grpc.aio.Channel) -> "Stubs":
        """Make the stubs of a channel; those of an asynchronous one return awaitables."""
        # The stubs' constructors take either kind of channel, their annotations one at a time.
        either: grpc.Channel = channel  # type: ignore[assignment]
        return cls(
            models=ModelServiceStub(either),
            analyses=AnalysisServiceStub(either),
            artifacts=ArtifactServiceStub(either),
            operations=OperationsStub(either),
        )
