"""Plain HTTP for scrapes: a bounded number of connections, none of which stands still for long.

Anybody may connect, so whoever only holds connections must not cost a thread each, nor keep others
from scraping: where there are too many, the oldest one goes. A scrape takes milliseconds.
"""

import socket
import threading
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

MOST_CONNECTIONS = 32
"""Open at a time."""

_SILENT_S = 10.0
"""After which a connection on which nothing comes or goes is closed."""


class MetricsServer(ThreadingMixIn, WSGIServer):
    """Answers scrapes in threads; it listens once it is made.

    Args:
        host: to listen on.
        port: likewise; 0 takes any free one.
        registry: what is told.

    Raises:
        OSError: the port is in use, or the host is not this machine's.
        OverflowError: there is no such port.
    """

    daemon_threads = True
    # The usual 5 are soon taken, and whoever comes then waits for seconds.
    request_queue_size = 128

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family, _, _, _, address = found[0]
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        super().__init__((str(address[0]), port), _Handler)
        self.set_app(make_wsgi_app(registry))

    def process_request(self, request: Any, client_address: Any) -> None:
        """Takes a connection on, in place of the oldest one where there are too many."""
        with self._lock:
            if len(self._open) >= MOST_CONNECTIONS:
                _end(self._open.pop(0))
            self._open.append(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Closes a connection."""
        with self._lock:
            if request in self._open:
                self._open.remove(request)
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: clients that leave early, or speak something else, are no error here."""


class _Handler(WSGIRequestHandler):
    timeout = _SILENT_S

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: every scrape would have a line."""


def _end(connection: socket.socket) -> None:
    """Ends a connection in whose thread it is then closed."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # It has ended already.
        return
