"""The arrays of one request: the small ones go inside it, the large ones ahead of it."""

from graftscope.client.wire._tensors import INLINE_LIMIT_BYTES, AnyArray, Packed, pack
from graftscope.v1 import tensor_pb2


class Outbox:
    """Gives every array of a request its place, and keeps those that must be uploaded first.

    The limit holds for all inline arrays of the request together, so that a generator with many
    inputs cannot make a message too large.

    Attributes:
        large: The arrays to store on the server before the request is sent.
    """

    def __init__(self, limit_bytes: int = INLINE_LIMIT_BYTES) -> None:
        self._room = limit_bytes
        self.large: list[Packed] = []

    def add(self, array: AnyArray) -> tensor_pb2.Array:
        """Place an array.

        Args:
            array: Any shape, of one of the contract's element types.

        Returns:
            What the request holds: the array itself, or the name of its artifact.
        """
        packed = pack(array)
        if packed.data.nbytes <= self._room:
            self._room -= packed.data.nbytes
            return tensor_pb2.Array(tensor=packed.to_tensor())
        self.large.append(packed)
        return tensor_pb2.Array(artifact=packed.to_artifact())
