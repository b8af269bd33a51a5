"""Values over a pipe: pickled, with their arrays beside the pickle, so that none is copied into it.

Both ends are this package, over a pipe that nobody else has.
"""

import pickle
import struct
from typing import BinaryIO

_COUNT = struct.Struct("<I")
_SIZE = struct.Struct("<Q")


def write_frame(file: BinaryIO, value: object) -> None:
    """Sends a value.

    Raises:
        OSError: the other end is gone.
    """
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(body), *(buffer.raw() for buffer in buffers)]
    file.write(_COUNT.pack(len(parts)) + b"".join(_SIZE.pack(part.nbytes) for part in parts))
    for part in parts:
        file.write(part)
    file.flush()


def read_frame(file: BinaryIO) -> object:
    """Receives a value, whose arrays can be written to.

    Raises:
        EOFError: the other end is gone.
    """
    (count,) = _COUNT.unpack(_exactly(file, _COUNT.size))
    sizes = [_SIZE.unpack(_exactly(file, _SIZE.size))[0] for _ in range(count)]
    body, *buffers = [_exactly(file, size) for size in sizes]
    return pickle.loads(body, buffers=buffers)


def _exactly(file: BinaryIO, size: int) -> bytearray:
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        count = file.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        done += count
    return data
