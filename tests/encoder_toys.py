"""Encoders that are linear, so that every encoding is known exactly; right ones and wrong ones.

The generators are `onnx_toys.CHAIN`, latents (B, 8) to images (B, 3, 8, 8) in [-1, 1], and
`factory_toys:decoder`, (B, 5) to (B, 3, 4, 4). Factories are for `--encoder encoder_toys:NAME`.
"""

from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from onnx_toys import CHAIN, parse

LATENTS, SIDE = 8, 8
PIXELS = 3 * SIDE * SIDE

_RANDOMNESS = np.random.default_rng(17)
W_MEAN = (_RANDOMNESS.standard_normal((PIXELS, LATENTS)) / 8).astype(np.float32)
B_MEAN = _RANDOMNESS.standard_normal(LATENTS).astype(np.float32)
W_SPREAD = (_RANDOMNESS.standard_normal((PIXELS, LATENTS)) / 16).astype(np.float32)
B_SPREAD = _RANDOMNESS.standard_normal(LATENTS).astype(np.float32)

HEAD = '<ir_version: 10, opset_import: ["": 20]>\nencoder '
BODY = "    flat = Flatten(x)\n    first = Gemm(flat, w_mean, b_mean)\n"
SECOND = "    second = Gemm(flat, w_spread, b_spread)\n"
MEAN = f"{HEAD}(float[batch, 3, 8, 8] x) => (float[batch, 8] first) {{\n{BODY}}}"
TWO = (
    f"{HEAD}(float[batch, 3, 8, 8] x) => (float[batch, 8] first, float[batch, 8] second) {{\n"
    f"{BODY}{SECOND}}}"
)
DOUBLE = (
    f"{HEAD}(float[batch, 3, 8, 8] x) => (float[batch, 16] both) {{\n{BODY}{SECOND}"
    "    both = Concat<axis = 1>(first, second)\n}"
)


def save_encoder(path: Path, text: str = MEAN, **constants: NDArray[np.generic]) -> Path:
    """Write an encoder; its weights are those above, unless others are given."""
    known = {"w_mean": W_MEAN, "b_mean": B_MEAN, "w_spread": W_SPREAD, "b_spread": B_SPREAD}
    ir.save(parse(text, **{**known, **constants}), path)
    return path


def save_generator(path: Path, text: str = CHAIN) -> Path:
    """Write the generator that the encoders are for."""
    ir.save(parse(text), path)
    return path


def save_photographs(path: Path, count: int = 40, side: int = SIDE) -> NDArray[np.uint8]:
    """Write photographs of the generator's size into a zip; returns them, (count, H, W, 3)."""
    pixels = np.random.default_rng(23).integers(256, size=(count, side, side, 3), dtype=np.uint8)
    with ZipFile(path, "w") as archive:
        for at, each in enumerate(pixels):
            with archive.open(f"{at:03d}.png", "w") as file:
                Image.fromarray(each).save(file, "PNG")
    return pixels


def in_range(
    pixels: NDArray[np.uint8], low: float = -1.0, high: float = 1.0
) -> NDArray[np.float64]:
    """Photographs as images (N, 3, H, W), in double precision."""
    return pixels.transpose(0, 3, 1, 2) / 255 * (high - low) + low


def encodings(images: NDArray[np.floating]) -> NDArray[np.float64]:
    """What the linear encoder gives for images: means (N, 8), in double precision."""
    return images.reshape(len(images), -1).astype(np.float64) @ W_MEAN + B_MEAN


def log_variances(images: NDArray[np.floating]) -> NDArray[np.float64]:
    """The log-variances likewise."""
    return images.reshape(len(images), -1).astype(np.float64) @ W_SPREAD + B_SPREAD


@dataclass
class Gaussian:
    """A distribution as libraries give it."""

    mean: Tensor
    logvar: Tensor


class Linear(nn.Module):
    """Images (B, 3, 4, 4) to means and log-variances (B, 5)."""

    def __init__(self) -> None:
        super().__init__()
        randomness = torch.Generator().manual_seed(5)
        self.weight = nn.Parameter(torch.randn(48, 10, generator=randomness) / 4)

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, spread = (x.flatten(1) @ self.weight).chunk(2, dim=1)
        return mean, spread

    def forward(self, x: Tensor) -> Tensor:
        return self.both(x)[0]

    def encode(self, x: Tensor, kind: str = "tuple") -> object:
        mean, spread = self.both(x)
        kinds = {
            "tuple": (mean, spread),
            "dict": {"logvar": spread, "mu": mean, "kind": kind},
            "object": Gaussian(mean, spread),
            "nothing": None,
            "wide": torch.cat([mean, spread], dim=1),
        }
        return kinds[kind]

    def sampled(self, x: Tensor) -> Tensor:
        mean, spread = self.both(x)
        return mean + torch.randn_like(mean) * (spread / 2).exp()

    def drawn(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return (*self.both(x), self.sampled(x))

    def conditioned(self, x: Tensor, label: Tensor) -> Tensor:
        return self.both(x)[0] + label


def mean() -> nn.Module:
    return Linear()


def pair() -> tuple[object, ...]:
    return Linear(), "encode"


def by_name() -> tuple[object, ...]:
    return Linear(), "encode", {"kind": "dict"}


def by_attributes() -> tuple[object, ...]:
    return Linear(), "encode", {"kind": "object"}


def wide() -> tuple[object, ...]:
    return Linear(), "encode", {"kind": "wide"}


def selected() -> tuple[object, ...]:
    return Linear(), "encode", {"kind": "object"}, lambda found: (found.mean, found.logvar)


def nothing() -> tuple[object, ...]:
    return Linear(), "encode", {"kind": "nothing"}


def sampled() -> tuple[object, ...]:
    return Linear(), "sampled"


class FlatLinear(nn.Module):
    """The same for images in one row, as networks of linear layers take them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(48, 10, bias=False)
        self.layer.weight = nn.Parameter(Linear().weight.detach().T.clone())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, spread = self.layer(x).chunk(2, dim=1)
        return mean, spread


def flat() -> nn.Module:
    return FlatLinear()


class Maps(nn.Module):
    """Latents that are maps (B, 4, 2, 2), both ways, with a posterior as diffusion VAEs have it."""

    def __init__(self) -> None:
        super().__init__()
        randomness = torch.Generator().manual_seed(8)
        self.moments = nn.Conv2d(3, 8, 4, stride=4)
        self.inner = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.outer = nn.ConvTranspose2d(4, 3, 2, stride=2)
        for each in self.parameters():
            nn.init.normal_(each, std=0.3, generator=randomness)

    def encode(self, x: Tensor, wrapped: bool = True) -> object:
        moments = self.moments(x)  # (B, 8, 2, 2)
        return {"latent_dist": Gaussian(*moments.chunk(2, dim=1))} if wrapped else moments

    def decode(self, z: Tensor) -> Tensor:
        image: Tensor = self.outer(self.inner(z).relu()).tanh()
        return image


def maps_decoder() -> tuple[object, ...]:
    return Maps(), "decode"


def maps_encoder() -> tuple[object, ...]:
    return Maps(), "encode", {}, "latent_dist"


def maps_moments() -> tuple[object, ...]:
    return Maps(), "encode", {"wrapped": False}


def drawn() -> tuple[object, ...]:
    return Linear(), "drawn"


def conditioned() -> tuple[object, ...]:
    return Linear(), "conditioned"


def of_another_size() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
