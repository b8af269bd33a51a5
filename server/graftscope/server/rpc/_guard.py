"""Around every method: who calls, whether there is room, what is asked, and how errors are told.

It must not know what the methods do.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from inspect import isawaitable
from traceback import clear_frames
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message
from grpc_status import rpc_status

from graftscope.server.access import Gate, Principal, Shown, Work, method_of, set_caller
from graftscope.server.errors import TimedOut
from graftscope.server.rpc._admission import Admission
from graftscope.server.rpc._calls import REQUEST_ID_KEY, Call, Calls, note, status_name
from graftscope.server.rpc._draining import Drain, stopping
from graftscope.server.rpc._errors import reason_of, status_of_error
from graftscope.server.rpc._reading import Reading
from graftscope.server.rpc._subjects import subject_of

VERSION_KEY = "graftscope-version"
"""Metadata that tell a client which version answers, beside the call's id: trailing ones of a
single reply, which cost nothing, and initial ones of a stream, which may be long."""

_AUTHORIZATION = "authorization"
_ALTERNATIVE_NAME = "x509_subject_alternative_name"

# In quotes: grpc's classes take parameters in their stubs alone.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
MaybeHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Guard(grpc.aio.ServerInterceptor):
    """Asks who calls, takes on what there is room for, reads requests, and turns what a method
    raises into a status; the server goes on.

    Args:
        gate: lets callers in.
        admission: how much is taken on at a time.
        reading: reads requests.
        drain: counts the calls that go on.
        calls: tells of those that are over.
    """

    def __init__(
        self,
        gate: Gate,
        admission: Admission,
        reading: Reading,
        drain: Drain,
        calls: Calls | None = None,
    ) -> None:
        self._around = _Around(gate, admission, reading, drain, calls or Calls())
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
            if handler is None:  # gRPC itself answers.
                unknown = Call(method, "", status=grpc.StatusCode.UNIMPLEMENTED.name)
                self._around.calls.tell(unknown)
                return None
            self._guarded[method] = self._wrapped(handler, method)
        return self._guarded[method]

    def _wrapped(self, handler: Handler, method: str) -> Handler:
        guarded = _Guarded(handler, method, self._around)
        make = _MAKERS[bool(handler.request_streaming), bool(handler.response_streaming)]
        behaviour = guarded.stream if handler.response_streaming else guarded.unary
        # Requests are read inside, so that a malformed one is refused like any other.
        return make(behaviour, None, _serialised)


_MAKERS: dict[tuple[bool, bool], Callable[..., Handler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


@dataclass(frozen=True, eq=False)
class _Around:
    """What is done around every method, as of `Guard`."""

    gate: Gate
    admission: Admission
    reading: Reading
    drain: Drain
    calls: Calls


class _Guarded:
    """A method, with what is done around it.

    Args:
        handler: the method.
        method: its path.
        around: what is done.
    """

    def __init__(self, handler: Handler, method: str, around: _Around) -> None:
        kinds = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
        self._inner: Callable[..., Any] = next(filter(None, (getattr(handler, x) for x in kinds)))
        self._deserialize = handler.request_deserializer or _as_it_is
        self._reads_stream = bool(handler.request_streaming)
        self._method, self._asked, self._gate = method, method_of(method), around.gate
        self._admission, self._reading = around.admission, around.reading
        self._drain, self._calls = around.drain, around.calls

    async def unary(self, request: Any, context: Context) -> Any:
        """A method with one reply."""
        with self._calls.told(self._method, context) as call:
            context.set_trailing_metadata(_greeting(call))
            async with self._taken_on(call, context):
                return await self._inner(await self._read(request), context)

    async def stream(self, request: Any, context: Context) -> None:
        """A method with a stream of replies."""
        with self._calls.told(self._method, context) as call:
            await context.send_initial_metadata(_greeting(call))
            async with self._taken_on(call, context):
                replies = self._inner(await self._read(request), context)
                # grpc allows methods that write their replies themselves; health's Watch does.
                if isawaitable(replies):
                    await replies
                    return
                async with aclosing(replies):
                    async for reply in replies:
                        # A token may be revoked, or its time be over, while a stream goes on.
                        await _principal(self._gate, self._method, context)
                        await self._write(reply, context)

    @asynccontextmanager
    async def _taken_on(self, call: Call, context: Context) -> AsyncIterator[None]:
        """A call, if there is room for it; what goes wrong inside is told to its caller."""
        try:
            with self._drain.counted(self._asked), await self._admitted(call, context):
                yield
        except asyncio.CancelledError:
            if not self._drain.over:
                raise  # The caller has left.
            await _abort(stopping(), call, context)
        except Exception as error:
            await _abort(error, call, context)

    async def _admitted(self, call: Call, context: Context) -> AbstractContextManager[None]:
        """Asks who calls, before anything of the request is read."""
        principal = await _principal(self._gate, self._method, context)
        set_caller(principal)
        call.principal = principal
        work = self._asked.work if self._asked else Work.CONTROL
        return self._admission.admitted(work, principal.share, context.time_remaining())

    async def _read(self, request: Any) -> Any:
        if self._reads_stream:
            explores = self._asked is not None and self._asked.work is Work.EXPLORE
            idle_s = self._reading.explore_idle_s if explores else self._reading.idle_s
            return self._reading.messages(self._deserialize, request, idle_s)
        message = await self._reading.message(self._deserialize, request)
        note(**subject_of(message))
        return message

    async def _write(self, reply: Any, context: Context) -> None:
        try:
            async with asyncio.timeout(self._reading.idle_s):
                await context.write(reply)
        except TimeoutError as error:
            raise TimedOut(
                f"nothing was taken for {self._reading.idle_s:g} s; the stream was ended"
            ) from error


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


def _greeting(call: Call) -> tuple[tuple[str, str], ...]:
    return ((VERSION_KEY, _version()), (REQUEST_ID_KEY, call.request))


@cache
def _version() -> str:
    return metadata.version("graftscope")


def _as_it_is(data: bytes) -> Any:
    return data


def _serialised(reply: Message | bytes) -> bytes:
    """A reply; those that hold arrays are serialised where these are at hand."""
    return reply if isinstance(reply, bytes) else reply.SerializeToString()


async def _abort(error: Exception, call: Call, context: Context) -> None:
    if isinstance(error, grpc.aio.AbortError | grpc.RpcError):
        call.status, call.error = status_name(context), context.details()
        raise error
    told = status_of_error(error)
    status = rpc_status.to_status(told)
    call.status, call.reason, call.error = status.code.name, reason_of(told), status.details
    # gRPC keeps the last error, and with it what the method had in hand: arrays, recordings.
    clear_frames(error.__traceback__)
    trailing = (*status.trailing_metadata, *_greeting(call))
    await context.abort(status.code, status.details, trailing)
