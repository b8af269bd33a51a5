"""Networks that take images: somebody's classifier, or what gives the features of a distance."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import Checked, Real, Several, Whole
from graftscope.client.errors import InputError, NotFoundError


class Layout(StrEnum):
    """How a network wants images to lie in memory."""

    NCHW = "nchw"
    NHWC = "nhwc"


@dataclass(frozen=True)
class Preprocessing(Checked):
    """What is done with an image before a network takes it, in this order.

    Args:
        height: Resized bilinearly to so many pixels; 0 leaves the image's own.
        width: Likewise.
        low: What the low end of the image's range becomes.
        high: What its high end becomes.
        mean: Subtracted from each colour; None for 0.
        deviation: What each colour is divided by then; None for 1.
        layout: (B, C, H, W) or (B, H, W, C).
        bgr: Whether blue comes first.
    """

    height: Annotated[int, Whole(0, 4096)] = 0
    width: Annotated[int, Whole(0, 4096)] = 0
    low: float = 0.0
    high: float = 1.0
    mean: Annotated[Sequence[float] | None, Several(Real(-1e6, 1e6))] = None
    deviation: Annotated[Sequence[float] | None, Several(Real(0, 1e6, inside=True))] = None
    layout: Layout = Layout.NCHW
    bgr: bool = False

    def __post_init__(self) -> None:
        """Check the fields, and that the range has a width."""
        super().__post_init__()
        if not self.low < self.high:
            raise InputError(f"low {self.low} must be below high {self.high}", field="low")


@dataclass(frozen=True, eq=False, repr=False)
class ImageNetwork:
    """A network that takes images and gives features, or a score for each class or attribute.

    Args:
        name: Of one that the server brings, such as ``"celeba"`` or ``"cifar10"``, or
            ``"encoder"`` for the model's own; empty with `file`. With neither, the one that suits
            the model.
        file: An ONNX file with its weights inside: its path, or its bytes.
        preprocessing: How it takes images; None for what the file's metadata says, else images in
            [0, 1] as they are.
        output: Name of its output; empty for the one that the metadata names, else the first.
        classes: Names of its classes or attributes; empty for those of the metadata, else numbers.
        title: What results call it; empty for its name, or that of its file.
        attributes: Whether its scores are of attributes, of which an image has any number; else an
            image is of one class, unless the file's metadata says otherwise.
    """

    name: str = ""
    file: Path | str | bytes | None = None
    preprocessing: Preprocessing | None = None
    output: str = ""
    classes: Sequence[str] = ()
    title: str = ""
    attributes: bool = False

    def __post_init__(self) -> None:
        """Read the file, and refuse a name beside it."""
        if self.name and self.file is not None:
            raise InputError(f"a network is either {self.name!r} or a file; leave one of them out")
        if isinstance(self.file, str | Path):
            path = Path(self.file)
            object.__setattr__(self, "title", self.title or path.stem)
            try:
                object.__setattr__(self, "file", path.read_bytes())
            except OSError as error:
                raise NotFoundError(f"cannot read {path}: {error.strerror}") from error

    def said(self) -> dict[str, object]:
        """Say it in the contract's fields."""
        data: NDArray[np.uint8] | None = None
        if isinstance(self.file, bytes):
            data = np.frombuffer(self.file, np.uint8)
        return {**vars(self), "file": data, "classes": tuple(self.classes)}

    @classmethod
    def named(cls, given: "AnyNetwork | None") -> "ImageNetwork":
        """Take a network, a server's name of one, or a path that ends in .onnx."""
        if given is None or isinstance(given, ImageNetwork):
            return given or cls()
        is_file = isinstance(given, Path) or given.endswith(".onnx") or Path(given).is_file()
        return cls(file=given) if is_file else cls(name=str(given))


AnyNetwork: TypeAlias = ImageNetwork | Path | str
"""A network, its name at the server, or the path of an ONNX file."""
