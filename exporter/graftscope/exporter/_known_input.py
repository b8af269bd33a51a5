"""What is known of a generator's input before anybody says how its values come about."""

from dataclasses import dataclass

import numpy as np

from graftscope.codec import DATATYPES


@dataclass(frozen=True)
class KnownInput:
    """What is known of a generator's input before anybody says how its values come about.

    Attributes:
        name: Its name.
        datatype: One of `graftscope.codec.DATATYPES`.
        shape: Extents behind the batch.
        classes: Labels are below this number, where the generator tells; else None.
        noise: Whether it stands for random numbers that the graph drew by itself.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    classes: int | None = None
    noise: bool = False

    def __str__(self) -> str:
        """Return name, datatype and shape, as messages begin."""
        extents = ", ".join(["B", *(str(extent) for extent in self.shape)])
        return f"input {self.name!r} {self.datatype} ({extents}{'' if self.shape else ','})"

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The datatype in numpy's terms."""
        return DATATYPES[self.datatype]

    @property
    def real(self) -> bool:
        """Whether it takes numbers with a fraction."""
        return self.dtype.kind == "f"
