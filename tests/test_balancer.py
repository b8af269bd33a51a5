"""HAProxy, as `deploy/` configures it, finds replicas by names whose addresses come and change."""

import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from waiting_toys import until

DEPLOY = Path(__file__).parents[1] / "deploy"
HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
SERVING = bytes.fromhex("00000000020801")
pytestmark = pytest.mark.skipif(
    HAPROXY is None or shutil.which("openssl") is None,
    reason="needs HAProxy and OpenSSL (Debian: apt-get install haproxy openssl)",
)


class Names(socketserver.UDPServer):
    """A server of DNS that knows the address of some hosts, and that there are no others."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.addresses: dict[str, str] = {}


class Answer(socketserver.BaseRequestHandler):
    """To one question: an IPv4 address, none of IPv6, or NXDOMAIN."""

    server: Names

    def handle(self) -> None:
        asked, to = self.request
        question = asked[12 : asked.index(b"\0", 12) + 5]
        address = self.server.addresses.get(question[1 : 1 + question[0]].decode())
        answer = b""
        if address is not None and question.endswith(b"\0\1\0\1"):
            # The name as in the question, type A, class IN, 60 seconds, 4 bytes.
            record = bytes.fromhex("c00c 0001 0001 0000003c 0004")
            answer = record + bytes(map(int, address.split(".")))
        status = b"\x81\x83" if address is None else b"\x81\x80"
        counts = b"\0\1\0" + bytes([bool(answer)]) + bytes(4)
        to.sendto(asked[:2] + status + counts + question + answer, self.client_address)


class Replica(socketserver.TCPServer):
    """Says what a replica says that serves, as far as the balancer looks at it."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__((host, port), Serve)
        self.asked = threading.Event()


class Serve(socketserver.BaseRequestHandler):
    """One check of the balancer's."""

    server: Replica

    def handle(self) -> None:
        self.request.recv(1024)
        self.request.sendall(SERVING)
        self.server.asked.set()


@contextmanager
def answering(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def balancer(**environment: str) -> Iterator[None]:
    """HAProxy with the configuration of the compose file."""
    process = subprocess.Popen(
        [str(HAPROXY), "-f", str(DEPLOY / "haproxy.cfg")],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def free_address() -> str:
    """HOST:PORT that nobody listens at."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def state(metrics: str, server: str) -> str:
    """What the balancer says of a replica: UP, DOWN, MAINT; nothing until it answers."""
    try:
        with urlopen(f"http://{metrics}/metrics") as page:
            lines = page.read().decode().splitlines()
    except OSError:
        return ""
    of = f'haproxy_server_status{{proxy="replicas",server="{server}",state="'
    (line,) = (x for x in lines if x.startswith(of) and x.endswith(" 1"))
    return str(line.removeprefix(of).partition('"')[0])


def test_a_replica_is_found_once_its_name_is_known_and_again_where_its_address_is_another(
    tmp_path: Path,
) -> None:
    subprocess.run([DEPLOY / "secrets.sh", tmp_path, "lab.example"], check=True)
    names, first = Names(), Replica("127.0.0.2", 0)
    second = Replica("127.0.0.3", first.server_address[1])
    metrics = free_address()
    with ExitStack() as running:
        for server in (names, first, second):
            running.enter_context(answering(server))
        running.enter_context(
            balancer(
                LISTEN=free_address(),
                METRICS=metrics,
                REPLICA_1="replica-1:50051",
                REPLICA_2="127.0.0.1:50051",
                HEALTH_1=str(first.server_address[1]),
                HEALTH_2="50052",
                NAMESERVER=f"127.0.0.1:{names.server_address[1]}",
                SECRETS=str(tmp_path),
            )
        )
        until(lambda: state(metrics, "replica-1") == "MAINT")
        names.addresses["replica-1"] = "127.0.0.2"
        # A replica that was asked is down until the balancer has read its answer.
        until(lambda: first.asked.is_set() and state(metrics, "replica-1") == "UP")
        assert not second.asked.is_set()
        names.addresses["replica-1"] = "127.0.0.3"
        until(second.asked.is_set)
