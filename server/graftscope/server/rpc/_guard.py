"""Around every method: errors become statuses, replies name the server's version.

It must not know what the methods do.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from inspect import isawaitable
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from graftscope.server.access import Gate, Principal, Shown, set_caller
from graftscope.server.errors import InvalidInput
from graftscope.server.logs import get_logger
from graftscope.server.rpc._errors import classify, status_of_error
from graftscope.server.rpc._versions import check_known

VERSION_KEY = "graftscope-version"
"""Metadata that tell a client which version answers: trailing ones of a single reply, which cost
nothing, and initial ones of a stream, which may be long."""

_AUTHORIZATION = "authorization"
_ALTERNATIVE_NAME = "x509_subject_alternative_name"

_log = get_logger("rpc")

# In quotes: grpc's classes take parameters in their stubs alone.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
MaybeHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Guard(grpc.aio.ServerInterceptor):
    """Turns what a method raises into a status; the server goes on.

    Args:
        gate: lets callers in.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._guarded: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[MaybeHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> MaybeHandler:
        """Wraps the method's handler, whichever of the four kinds it is; once for all calls."""
        method = str(handler_call_details.method)
        if method not in self._guarded:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            self._guarded[method] = _wrapped(handler, method, self._gate)
        return self._guarded[method]


def _wrapped(handler: Handler, method: str, gate: Gate) -> Handler:
    make = _MAKERS[bool(handler.request_streaming), bool(handler.response_streaming)]
    inner = next(
        behaviour
        for behaviour in (
            handler.unary_unary,
            handler.unary_stream,
            handler.stream_unary,
            handler.stream_stream,
        )
        if behaviour is not None
    )
    wrap = _stream if handler.response_streaming else _unary
    deserialize = handler.request_deserializer
    if handler.request_streaming or deserialize is None:
        return make(wrap(inner, method, gate, _as_it_is), deserialize, handler.response_serializer)
    # One request is read inside the guard, so that a malformed one is refused like any other.
    read = partial(_read, deserialize)
    return make(wrap(inner, method, gate, read), None, handler.response_serializer)


_MAKERS: dict[tuple[bool, bool], Callable[..., Handler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def _unary(
    inner: Callable[..., Any], method: str, gate: Gate, read: Callable[[Any], Any]
) -> Callable[..., Awaitable[Any]]:
    async def guarded(request: Any, context: Context) -> Any:
        context.set_trailing_metadata(_greeting())
        with _timed(method, context) as call:
            try:
                set_caller(await _principal(gate, method, context))
                return await inner(read(request), context)
            except Exception as error:
                await _abort(error, call, context)

    return guarded


def _stream(
    inner: Callable[..., Any], method: str, gate: Gate, read: Callable[[Any], Any]
) -> Callable[..., AsyncIterator[Any]]:
    async def guarded(request: Any, context: Context) -> AsyncIterator[Any]:
        await context.send_initial_metadata(_greeting())
        with _timed(method, context) as call:
            try:
                set_caller(await _principal(gate, method, context))
                responses = inner(read(request), context)
                # grpc allows methods that write their responses themselves; health's Watch does.
                if isawaitable(responses):
                    await responses
                    return
                async for response in responses:
                    yield response
            except Exception as error:
                await _abort(error, call, context)

    return guarded


async def _principal(gate: Gate, method: str, context: Context) -> Principal:
    """Who calls, before anything of the request is read."""
    metadata = context.invocation_metadata() or ()
    header = next((str(value) for key, value in metadata if key == _AUTHORIZATION), "")
    # ipv4:HOST:PORT, ipv6:%5BHOST%5D:PORT or unix:; each connection has a port of its own.
    address = context.peer().rpartition(":")[0]
    return await gate.admit(method, Shown(header, partial(_identities, context), address))


def _identities(context: Context) -> list[str]:
    """The subject alternative names of the client's certificate."""
    names = context.auth_context().get(_ALTERNATIVE_NAME, ())
    return [name.decode(errors="replace") for name in names]


@cache
def _greeting() -> tuple[tuple[str, str]]:
    return ((VERSION_KEY, metadata.version("graftscope")),)


def _as_it_is(requests: Any) -> Any:
    """A stream of requests is read and checked by its method."""
    return requests


def _read(deserialize: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        request = deserialize(data)
    except DecodeError as error:
        raise InvalidInput(f"the request cannot be read: {error}") from error
    check_known(request)
    return request


@dataclass
class _Timed:
    """A call that is under way, for the log."""

    method: str
    status: str = "OK"
    error: str = ""


@contextmanager
def _timed(method: str, context: Context) -> Iterator[_Timed]:
    """Logs a call once it is over: from where, how long it took, and what came of it."""
    call, started_s = _Timed(method), time.perf_counter()
    if not _log.isEnabledFor(logging.DEBUG):
        yield call
        return
    peer = context.peer()  # Now: of a call that is over gRPC may know it no more.
    try:
        yield call
    except asyncio.CancelledError:
        call.status = "CANCELLED"
        raise
    finally:
        ms = round(1e3 * (time.perf_counter() - started_s), 1)
        _log.debug("call", **vars(call), ms=ms, peer=peer)


async def _abort(error: Exception, call: _Timed, context: Context) -> None:
    if isinstance(error, grpc.aio.AbortError | grpc.RpcError):
        raise error
    code, reason = classify(error)
    call.status, call.error = code.name, str(error)
    if reason == "INTERNAL":
        _log.error("unexpected error", method=call.method, exc_info=error)
    status = rpc_status.to_status(status_of_error(error))
    trailing = (*status.trailing_metadata, *_greeting())
    await context.abort(code, status.details, trailing)
