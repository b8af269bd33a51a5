"""The name of an array in the artifact store. It must not know what the array is for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class ArrayRef:
    """An array in the artifact store.

    Attributes:
        sha256: of the elements in C order, little-endian; lowercase hexadecimal.
        datatype: KServe's name, such as FP64.
        shape: extents, outermost axis first.
    """

    sha256: str
    datatype: str
    shape: tuple[int, ...]

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """The inverse of `dataclasses.asdict` after a trip through JSON."""
        shape = value["shape"]
        assert isinstance(shape, list | tuple)
        return cls(str(value["sha256"]), str(value["datatype"]), tuple(int(x) for x in shape))
