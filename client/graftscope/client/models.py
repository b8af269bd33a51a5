"""What a server says of its models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from graftscope.client.arrays import Displayed, told
from graftscope.client.errors import InputError

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
"""What a JSON document is made of."""


class LayerKind(StrEnum):
    """Shape of a layer's activation."""

    MAP = "map"
    """(B, C, H, W)"""
    VECTOR = "vector"
    """(B, C)"""
    TOKENS = "tokens"
    """(B, N, C)"""


@dataclass(frozen=True)
class TorchHook:
    """Where PyTorch computes a layer: what a forward hook sees.

    Args:
        module: The module's path, as `torch.nn.Module.named_modules` gives it.
        input: Whether the layer is what the module is given; else what it returns.
        call: Which of the module's calls in one forward pass, from 0.
    """

    module: str
    input: bool
    call: int


@dataclass(frozen=True)
class Layer:
    """A point at which the generator can be cut.

    Args:
        name: Its name in the bundle.
        level: coarse, intermediate, fine or image (section 4), empty where there are no levels.
        kind: Shape of the activation.
        channels: Number of channels, C.
        height: Rows of the activation map; the number of tokens for `LayerKind.TOKENS`.
        width: Columns of the activation map.
        tensor: The activation's name in the source graph.
        carried: Tensors that cross the cut beside the activation.
        upstream_parameters: Number of weights from the inputs to the layer; 0 if not known.
        downstream_parameters: The same from the layer to the image.
        upstream_mflop: Cost of one sample, in millions of floating-point operations, from the
            inputs to the layer; 0 if not known.
        downstream_mflop: The same from the layer to the image.
        torch_hook: Where PyTorch computes it; None where the generator did not come from there.
    """

    name: str
    level: str
    kind: LayerKind
    channels: int
    height: int
    width: int
    tensor: str
    carried: tuple[str, ...]
    upstream_parameters: int = 0
    downstream_parameters: int = 0
    upstream_mflop: float = 0.0
    downstream_mflop: float = 0.0
    torch_hook: TorchHook | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents after the batch axis: (C, H, W), (C,) or (N, C)."""
        match self.kind:
            case LayerKind.MAP:
                return self.channels, self.height, self.width
            case LayerKind.VECTOR:
                return (self.channels,)
            case LayerKind.TOKENS:
                return self.height, self.channels


@dataclass(frozen=True)
class Input:
    """An input of the generator: a part of the latents.

    Args:
        name: Its name, under which latents are given.
        datatype: Element type in the contract's words, such as FP32.
        shape: Extents after the batch axis.
        distribution: normal, uniform, classes, truncated_normal, fixed, stored, choice, one_hot or
            pictures.
        noise: Whether it is randomness from inside the graph.
        drawn: The distribution in words, with its numbers: uniform [-1, 1), classes 10.
        classes: How many classes there are, where it is a label, an integer or one-hot; else 0.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    distribution: str
    noise: bool
    drawn: str = ""
    classes: int = 0


@dataclass(frozen=True)
class ImageFormat:
    """The generator's images.

    Args:
        channels: Colours: 1 or 3 for pictures, 4 with transparency.
        height: Rows, in pixels.
        width: Columns, in pixels.
        low: Lower end of the output's range.
        high: Upper end.
    """

    channels: int
    height: int
    width: int
    low: float
    high: float

    @property
    def range(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high


@dataclass(frozen=True)
class Model(Displayed):
    """A generator that a server holds.

    Args:
        name: Its name, without ``models/``.
        digest: sha256 that tells its version.
        inputs: The generator's inputs.
        image: Size and range of its images.
        layers: From the latents to the image.
        has_encoder: Whether images can be encoded to latents.
        manifest: The whole manifest in JSON form.
    """

    name: str
    digest: str
    inputs: tuple[Input, ...]
    image: ImageFormat
    layers: tuple[Layer, ...]
    has_encoder: bool
    manifest: Mapping[str, Json] = field(repr=False)

    def __repr__(self) -> str:
        """Tell it in a line: its name and version, its image, its layers' names."""
        image = self.image
        return (
            f"Model({self.name}@{self.digest[:12]}, image {image.channels} x {image.height} x"
            f" {image.width}, layers {', '.join(layer.name for layer in self.layers)})"
        )

    def layer(self, name: str) -> Layer:
        """Find a layer by its name or its level's.

        Args:
            name: Such as ``intermediate``.

        Returns:
            The layer.

        Raises:
            InputError: If the model has none of that name.
        """
        for layer in self.layers if isinstance(name, str) else ():
            if name and name in (layer.name, layer.level):
                return layer
        raise InputError(
            f"layer {told(name)} is not in model {self.name!r}; it has: {self.layer_names()}",
            field="layer",
        )

    def layer_names(self) -> str:
        """List the layers for a message: name, and the level in brackets."""
        return ", ".join(
            f"{layer.name} ({layer.level})" if layer.level else layer.name for layer in self.layers
        )
