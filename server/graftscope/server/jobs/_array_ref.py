"""The name of an array in the artifact store. It must not know what the array is for."""

from dataclasses import dataclass


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
