"""What a shard needs on the way to another machine: values as they are, models by their digest.

Both ends are this package, of the same version. It must not import Ray.
"""

import io
import pickle
from collections.abc import Callable
from typing import cast

from graftscope.server.engine import Generator


def packed(value: object) -> bytes:
    """A value in which generators are named by their digests."""
    file = io.BytesIO()
    _Packer(file, protocol=5).dump(value)
    return file.getvalue()


def unpacked(data: bytes, generator: Callable[[str], Generator]) -> object:
    """The value, with the generators of another machine.

    Args:
        data: what `packed` gave.
        generator: the one of a digest.
    """
    unpacker = _Unpacker(io.BytesIO(data))
    unpacker.generator = generator
    return unpacker.load()


class _Packer(pickle.Pickler):
    def persistent_id(self, value: object) -> str | None:
        return value.manifest.digest if isinstance(value, Generator) else None


class _Unpacker(pickle.Unpickler):
    generator: Callable[[str], Generator]

    def persistent_load(self, digest: object) -> Generator:
        return self.generator(cast(str, digest))
