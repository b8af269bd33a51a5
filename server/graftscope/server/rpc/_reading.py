"""From bytes to messages: what is malformed, or of too many parts, is refused before it costs much.

Two bytes are enough for an empty message within another, which takes thirty times as much once it
is read. Parts are therefore counted in the bytes; what is large is counted, read and checked in a
thread, so that the event loop goes on. It must not know what the methods do.
"""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from graftscope.server.errors import InvalidInput, Overloaded, TimedOut
from graftscope.server.rpc._versions import check_known

MAX_PARTS = 50_000
"""Fields of a message and of those within it, elements of lists counted one by one."""

MAX_NUMBERS = 65_536
"""Numbers in one list of a message."""

MAX_WAITING_BYTES = 64 * 2**20
"""Requests that wait to be read."""

EXPLORE_IDLE_S = 600.0
"""For how long an exploration may stand still, if nothing else is said."""

LARGE_BYTES = 16 * 2**10
"""What is read on the event loop is smaller."""

# Nothing so small has too many parts to be read at once.
_SMALL_BYTES = 4 * 2**10
_BYTES = 2  # The kind of a field whose length is told.
_THREADS = 2
_NOT_LAST = bytes(range(0x80, 0x100))
_WIDTHS = {
    FieldDescriptor.TYPE_DOUBLE: 8,
    FieldDescriptor.TYPE_FIXED64: 8,
    FieldDescriptor.TYPE_SFIXED64: 8,
    FieldDescriptor.TYPE_FLOAT: 4,
    FieldDescriptor.TYPE_FIXED32: 4,
    FieldDescriptor.TYPE_SFIXED32: 4,
}

_Value = TypeVar("_Value")
Deserialize = Callable[[bytes], Message]


class Reading:
    """Reads requests; what is large in threads.

    Args:
        idle_s: for how long a stream may stand still.
        explore_idle_s: for how long an exploration may.

    Attributes:
        idle_s: as given.
        explore_idle_s: as given.
        refused: requests for which too many others waited to be read.
    """

    def __init__(self, idle_s: float, explore_idle_s: float = EXPLORE_IDLE_S) -> None:
        self.idle_s, self.explore_idle_s = idle_s, explore_idle_s
        self._threads = ThreadPoolExecutor(_THREADS, "reading")
        self._waiting_bytes = self.refused = 0

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown()

    async def message(self, deserialize: Deserialize, data: bytes) -> Message:
        """One request.

        Raises:
            InvalidInput: it is malformed, or has too many parts.
            Unsupported: it has a part that this version does not know.
            Overloaded: too much waits to be read.
        """
        if len(data) < LARGE_BYTES:
            return _message(deserialize, data)
        if self._waiting_bytes + len(data) > MAX_WAITING_BYTES:
            self.refused += 1
            raise Overloaded(
                f"{self._waiting_bytes} bytes of requests wait to be read; {MAX_WAITING_BYTES} is "
                "the most at a time",
                retry_after_s=1.0,
            )
        self._waiting_bytes += len(data)
        try:
            return await self._in_thread(partial(_message, deserialize, data))
        finally:
            self._waiting_bytes -= len(data)

    async def messages(
        self, deserialize: Deserialize, stream: AsyncIterator[bytes], idle_s: float
    ) -> AsyncIterator[Message]:
        """The requests of a stream, which may stand still for so long.

        Raises as `message`, and TimedOut where it stands still for longer.
        """
        arriving = aiter(stream)
        while True:
            try:
                async with asyncio.timeout(idle_s):
                    data = await anext(arriving)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise TimedOut(
                    f"nothing came for {idle_s:g} s; the stream was ended, begin it again"
                ) from error
            # Chunks of an upload are large and have few parts: a thread would only cost time.
            yield _message(deserialize, data)

    async def checked(
        self, request: Message, check: Callable[[Any], Coroutine[Any, Any, _Value]]
    ) -> _Value:
        """What a check makes of a request; of a large one in a thread, in a loop of its own."""
        if request.ByteSize() < LARGE_BYTES:
            return await check(request)
        return await self._in_thread(lambda: asyncio.run(check(request)))

    async def _in_thread(self, work: Callable[[], _Value]) -> _Value:
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(context.run, work))


def _message(deserialize: Deserialize, data: bytes) -> Message:
    try:
        if len(data) > _SMALL_BYTES:
            check_parts(data, cast(Descriptor, deserialize(b"").DESCRIPTOR))
        request = deserialize(data)
    except DecodeError as error:
        raise InvalidInput(f"the request cannot be read: {error}") from error
    if len(data) > _SMALL_BYTES:
        check_known(request)
    elif _is_cut(request):
        check_known(deserialize(data))
    return request


def _is_cut(request: Message) -> bool:
    """Drops what this version does not know of a message, and whether there was any."""
    size = request.ByteSize()
    request.DiscardUnknownFields()
    return request.ByteSize() != size


def check_parts(data: bytes, kind: Descriptor) -> None:
    """Refuses a message of too many parts, from its bytes alone.

    What is malformed is left to whoever reads it.

    Args:
        data: the bytes.
        kind: of which message.

    Raises:
        InvalidInput: there are too many parts, or numbers in one list.
    """
    parts, inside = 0, [(0, len(data), kind)]
    while inside:
        at, end, kind = inside.pop()
        fields = kind.fields_by_number
        while at < end:
            parts += 1
            if parts > MAX_PARTS:
                raise InvalidInput(
                    f"the request has more than {MAX_PARTS} parts, counting every field and every "
                    "element of a list; send several requests, and long arrays as tensors"
                )
            try:
                tag, at = _varint(data, at)
                begin, at = _value(data, at, tag & 7)
            except IndexError:
                return
            if at > end:
                return
            field = fields.get(tag >> 3)
            if tag & 7 != _BYTES or field is None:
                continue
            if field.message_type is not None:
                inside.append((begin, at, field.message_type))
            elif field.cpp_type != FieldDescriptor.CPPTYPE_STRING:
                _check_numbers(data[begin:at], field)


def _check_numbers(data: bytes, field: FieldDescriptor) -> None:
    width = _WIDTHS.get(field.type)
    # Of a number of variable length only the last byte is below 128.
    count = len(data) // width if width else len(data.translate(None, _NOT_LAST))
    if count > MAX_NUMBERS:
        raise InvalidInput(
            f"{field.name} holds {count} numbers; at most {MAX_NUMBERS} are allowed",
            field=field.name,
        )


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends."""
    byte = data[at]
    at += 1
    if byte < 0x80:
        return byte, at
    value, shift = byte & 0x7F, 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError


def _value(data: bytes, at: int, kind: int) -> tuple[int, int]:
    """Where a field's value begins and ends."""
    match kind:
        case 0:
            return at, _varint(data, at)[1]
        case 1:
            return at, at + 8
        case 2:
            length, begin = _varint(data, at)
            return begin, begin + length
        case 5:
            return at, at + 4
        case 3 | 4:  # A group's fields follow one by one.
            return at, at
        case _:
            raise IndexError
