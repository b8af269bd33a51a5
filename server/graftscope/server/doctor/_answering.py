"""Whether a server answers where one is to listen, asked as an orchestrator asks: for its health.

It is the only module here that knows gRPC.
"""

import ssl
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2

from graftscope.server._listening import UNIX, host_and_port
from graftscope.server.access import names_of, shown_certificate
from graftscope.server.errors import InvalidInput
from graftscope.server.rpc import VERSION_KEY
from graftscope.server.settings import Settings

_PATIENCE_S = 5.0
_DIRECTLY = ("grpc.enable_http_proxy", 0)
"""No proxy can follow to this machine."""
_ANY = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "::": "[::1]", "": "127.0.0.1"}
"""Where to ask a server that listens on every interface."""


def answer_at(settings: Settings) -> str | None:
    """What a Graftscope server says that listens where one with these settings would.

    Returns:
        A few words on it; None where nothing answers, or something else does.
    """
    target = _target(settings.listen)
    if target is None:
        return None
    if settings.tls_cert is None or settings.tls_key is None:
        return _health(partial(grpc.insecure_channel, target, [_DIRECTLY]), settings.listen)
    if target.startswith(UNIX):
        own = settings.tls_cert.read_bytes()
    else:
        own = _own_chain(target, settings.tls_cert)
        if not own:
            return None
    name = next(iter(names_of(settings.tls_cert, settings.tls_key)), "localhost")
    options = [_DIRECTLY, ("grpc.ssl_target_name_override", name)]
    channel = partial(grpc.secure_channel, target, grpc.ssl_channel_credentials(own), options)
    if told := _health(channel, settings.listen):
        return told
    # One that asks clients for a certificate shows its own before it breaks off.
    return None if target.startswith(UNIX) else f"what shows this certificate at {settings.listen}"


def _target(listen: str) -> str | None:
    """What a client calls; None where that is not known before a server listens."""
    if listen.startswith(UNIX):
        return listen
    try:
        host, port = host_and_port(listen)
    except InvalidInput:
        return None
    return f"{_ANY.get(host, host)}:{port}" if port else None


def _own_chain(target: str, chain: Path) -> bytes:
    """The certificate's file, where that is what is shown there; empty where it is not."""
    host, _, port = target.rpartition(":")
    with suppress(OSError):
        text = chain.read_text()
        if shown_certificate(host.strip("[]"), int(port), _PATIENCE_S) == _first(text):
            return text.encode()
    return b""


def _first(chain: str) -> bytes:
    end = "-----END CERTIFICATE-----"
    return ssl.PEM_cert_to_DER_cert(chain[chain.find("-----BEGIN") :].partition(end)[0] + end)


def _health(open_channel: "partial[grpc.Channel]", called: str) -> str | None:
    with closing(open_channel()) as channel:
        ask = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        try:
            reply, call = ask.with_call(health_pb2.HealthCheckRequest(), timeout=_PATIENCE_S)
        except grpc.RpcError:
            return None
        told = [str(value) for key, value in call.trailing_metadata() or () if key == VERSION_KEY]
    if not told:
        return None
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)
    return f"the server at {called} (graftscope {told[0]}, {status})"
