"""Handlers that gRPC finds by name, in one queue of calls.

What generated code adds to a server it also registers method by method, and grpc.aio then waits for
each method by itself: with every call it looks at as many tasks as there are methods, which took a
tenth of the event loop's time. Found by name, the guard's table of handlers serves as well.
"""

from collections.abc import Sequence
from typing import cast

import grpc


class _OneQueue:
    """The part of a server that generated code adds handlers to.

    Args:
        server: the server.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Adds handlers that are found by name."""
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """Leaves the same handlers unregistered."""


def one_queue(server: grpc.aio.Server) -> grpc.aio.Server:
    """A server as generated code takes it, whose handlers share a queue.

    Args:
        server: the server.
    """
    return cast(grpc.aio.Server, _OneQueue(server))
