"""Whether a server serves: a port for orchestrators, and the command that asks it.

    python -m graftscope.server.health [HOST:PORT]

The port answers `grpc.health.v1` alone, without TLS and without asking who calls, since the probes
of orchestrators and balancers can do neither. The command asks it, for those that have no gRPC; it
must import little, because it is started every few seconds.
"""

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from graftscope.server._listening import listen

_VARIABLE = "GRAFTSCOPE_HEALTH"
_ANY_HOST = ("0.0.0.0", "[::]")
_PATIENCE_S = 3.0
_OPTIONS = [
    # A port in use is an error, not a share of the probes.
    ("grpc.so_reuseport", 0),
    # Probes are short, and few ask.
    ("grpc.max_allowed_incoming_connections", 64),
    # Whoever connects and asks nothing must not keep probes out.
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.max_connection_idle_ms", 20_000),
    ("grpc.max_connection_age_ms", 60 * 60_000),
]


@asynccontextmanager
async def health_port(
    address: str | None, servicer: health.aio.HealthServicer
) -> AsyncIterator[str | None]:
    """Answers for a server's health until the block is left.

    Args:
        address: HOST:PORT, or unix:PATH; None for no such port.
        servicer: what the server itself answers from.

    Yields:
        Where it listens.

    Raises:
        InvalidInput: the address is malformed.
        AddressInUse: somebody listens there already, or the host is not this machine's.
    """
    if address is None:
        yield None
        return
    server = grpc.aio.server(options=_OPTIONS)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    bound = listen(server, address)
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(0)


def status(address: str) -> str:
    """What a server says of itself: SERVING, NOT_SERVING, or why it says nothing."""
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=_PATIENCE_S)  # type: ignore[attr-defined]
        except grpc.RpcError as error:
            return f"no answer ({error.code().name})"
    return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)


def main(arguments: Sequence[str]) -> int:
    """Asks, and says what was answered; 0 if the server serves."""
    address = arguments[0] if arguments else os.environ.get(_VARIABLE)
    if not address:
        sys.stderr.write(
            f"name the port of the server's health: HOST:PORT, or ${_VARIABLE}, as its --health\n"
        )
        return 2
    host, _, port = address.rpartition(":")
    said = status(f"127.0.0.1:{port}" if host in _ANY_HOST or not host else address)
    sys.stdout.write(f"{said}\n")
    return 0 if said == "SERVING" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
