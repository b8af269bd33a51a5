"""How a server is named, and which servers are called through the proxy of the environment."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest

from graftscope.client import Client
from graftscope.client.calls._addresses import proxy_to, resolve
from graftscope.client.calls._channel import channel_options
from graftscope.client.errors import InputError, UnavailableError
from graftscope.v1.model_service_pb2 import ListModelsRequest, ListModelsResponse

PROXY = {"http_proxy": "http://name:secret@proxy.example:3128"}
ELSEWHERE = "192.0.2.7:50051"
"""An address for documentation, which no machine has."""


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("18126", "127.0.0.1:18126"),
        (":18126", "127.0.0.1:18126"),
        ("lab:50051", "lab:50051"),
        ("[::1]:50051", "[::1]:50051"),
        ("unix:/run/graftscope.sock", "unix:/run/graftscope.sock"),
        ("dns:lab:50051", "dns:lab:50051"),
    ],
)
def test_a_port_alone_is_one_of_this_machine(given: str, taken: str) -> None:
    assert resolve(given) == (taken, False)


@pytest.mark.parametrize(
    "given", ["lab", "lab:", "lab:0", "lab:65536", "70000", "lab:x", "http://lab:1"]
)
def test_what_names_no_port_is_refused_with_what_is_allowed(given: str) -> None:
    with pytest.raises(InputError, match=r"HOST:PORT"):
        Client(given)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:1",
        "127.8.9.10:1",
        "localhost:1",
        "[::1]:1",
        "ipv6:[::1]:1",
        "dns:localhost:1",
        "dns:///localhost:1",
        "unix:/run/x",
        "unix-abstract:x",
    ],
)
def test_this_machine_is_never_behind_a_proxy(address: str) -> None:
    assert proxy_to(address, PROXY) is None


def test_the_proxy_of_another_machine_is_told_without_its_password() -> None:
    proxy = proxy_to(ELSEWHERE, PROXY)
    assert proxy is not None
    assert (proxy.address, proxy.variable) == ("proxy.example:3128", "http_proxy")
    assert "secret" not in str(proxy)
    assert proxy_to(ELSEWHERE, {}) is None
    # The order is gRPC's.
    more = PROXY | {"https_proxy": "http://b:1", "grpc_proxy": "http://a:1"}
    assert proxy_to(ELSEWHERE, more) == type(proxy)("a:1", "grpc_proxy")


@pytest.mark.parametrize(
    ("excepted", "direct"),
    [
        ("lab.example", True),
        (".example", True),
        ("other,  lab.example ", True),
        ("*", True),
        ("LAB.example", True),
        ("lab", False),
        ("", False),
        (",", False),
    ],
)
def test_no_proxy_names_hosts_and_ends_of_hosts(excepted: str, direct: bool) -> None:
    assert (proxy_to("lab.example:1", PROXY | {"no_proxy": excepted}) is None) is direct


def test_no_proxy_names_networks() -> None:
    assert proxy_to(ELSEWHERE, PROXY | {"no_proxy": "192.0.2.0/24"}) is None
    assert proxy_to(ELSEWHERE, PROXY | {"no_proxy": "10.0.0.0/8"}) is not None
    assert proxy_to("lab:1", PROXY | {"no_proxy": "10.0.0.0/8"}) is not None


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """What a proxy that answers nobody was asked for; the environment names it."""
    heard: list[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def refuse() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    heard.append(connection.recv(4096))
                    connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        yield heard
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_an_embedded_server_and_one_by_its_port_are_reached_past_a_proxy(
    toy_vae_bundle: Path, tmp_path: Path, asked: list[bytes]
) -> None:
    with Client(bundles=[toy_vae_bundle], state=tmp_path) as client:
        names = [model.name for model in client.models()]
        with Client(client.address.rpartition(":")[2]) as other:
            assert [model.name for model in other.models()] == names == ["toy-vae"]
    assert not asked


def test_a_server_elsewhere_is_called_through_the_proxy_and_the_error_says_so(
    asked: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    with (
        Client(ELSEWHERE, timeout_s=20) as client,
        pytest.raises(UnavailableError, match=r"through the proxy 127\.0\.0\.1:\d+ of http_proxy"),
    ):
        client.models()
    assert asked[0].startswith(f"CONNECT {ELSEWHERE}".encode())
    assert "through the proxy" in caplog.text


@contextmanager
def _counting() -> Iterator[tuple[list[object], int]]:
    """A server without models; its port, and what it was asked."""
    asked: list[object] = []

    def models(request: object, context: grpc.ServicerContext) -> ListModelsResponse:
        asked.append(request)
        return ListModelsResponse()

    method = grpc.unary_unary_rpc_method_handler(
        models,
        request_deserializer=ListModelsRequest.FromString,
        response_serializer=ListModelsResponse.SerializeToString,
    )
    server = grpc.server(ThreadPoolExecutor(1))
    handler = grpc.method_handlers_generic_handler(
        "graftscope.v1.ModelService", {"ListModels": method}
    )
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield asked, port
    finally:
        server.stop(None).wait()


def test_calls_are_spread_over_the_replicas_that_an_address_stands_for() -> None:
    with _counting() as (one, first), _counting() as (two, second):
        with Client(f"ipv4:127.0.0.1:{first},127.0.0.1:{second}") as client:
            # Which of them is connected first, is chance.
            while not (one and two):
                client.models()
            before = len(one), len(two)
            for _ in range(20):
                client.models()
            assert (len(one), len(two)) == (before[0] + 10, before[1] + 10)


@pytest.mark.parametrize(
    ("address", "several"),
    [("dns:///graftscope.lab:50051", True), ("localhost:50051", False), ("unix:/run/x", False)],
)
def test_a_name_with_dns_may_stand_for_replicas(address: str, several: bool) -> None:
    assert (("grpc.lb_policy_name", "round_robin") in channel_options(address)) is several
