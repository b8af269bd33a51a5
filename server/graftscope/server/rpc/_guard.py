"""Around every method: errors become statuses, replies name the server's version.

It must not know what the methods do.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from importlib import metadata
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message
from grpc_status import rpc_status

from graftscope.server.logs import get_logger
from graftscope.server.rpc._errors import classify, status_of_error
from graftscope.server.rpc._unimplemented import check_known

VERSION_KEY = "graftscope-version"
"""Initial metadata that tells a client which version answers."""

_log = get_logger("rpc")

# In quotes: grpc's classes take parameters in their stubs alone.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
MaybeHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Guard(grpc.aio.ServerInterceptor):
    """Turns what a method raises into a status; the server goes on."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[MaybeHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> MaybeHandler:
        """Wraps the method's handler, whichever of the four kinds it is."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = str(handler_call_details.method)
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
        return make(wrap(inner, method), handler.request_deserializer, handler.response_serializer)


_MAKERS: dict[tuple[bool, bool], Callable[..., Handler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def _unary(inner: Callable[..., Any], method: str) -> Callable[..., Awaitable[Any]]:
    async def guarded(request: Any, context: Context) -> Any:
        await _greet(context)
        try:
            _check(request)
            return await inner(request, context)
        except Exception as error:
            await _abort(error, method, context)

    return guarded


def _stream(inner: Callable[..., Any], method: str) -> Callable[..., AsyncIterator[Any]]:
    async def guarded(request: Any, context: Context) -> AsyncIterator[Any]:
        await _greet(context)
        try:
            _check(request)
            async for response in inner(request, context):
                yield response
        except Exception as error:
            await _abort(error, method, context)

    return guarded


@cache
def _version() -> str:
    return metadata.version("graftscope")


async def _greet(context: Context) -> None:
    await context.send_initial_metadata(((VERSION_KEY, _version()),))


def _check(request: Any) -> None:
    # Streams of requests are checked by what reads them.
    if isinstance(request, Message):
        check_known(request)


async def _abort(error: Exception, method: str, context: Context) -> None:
    if isinstance(error, grpc.aio.AbortError | grpc.RpcError):
        raise error
    code, reason = classify(error)
    if reason == "INTERNAL":
        _log.error("unexpected error", method=method, exc_info=error)
    status = rpc_status.to_status(status_of_error(error))
    await context.abort(code, status.details, status.trailing_metadata)
