"""PyTorch modules in other types than float32, and with other images than (B, C, H, W)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from graftscope.exporter import export
from whole_graphs import bundle_image

CLOSE = 2e-6


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(8, 64)
        self.up = nn.ConvTranspose2d(4, 6, 4, 2, 1)
        self.out = nn.Conv2d(6, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        maps = torch.relu(self.linear(z).view(-1, 4, 4, 4))
        return torch.tanh(self.out(torch.relu(self.up(maps))))


class Last(Toy):
    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z).permute(0, 2, 3, 1)


class Bytes(Toy):
    def forward(self, z: Tensor) -> Tensor:
        wide = (super().forward(z) * 127.5 + 127.5).clamp(0, 255)
        return wide.to(torch.uint8).permute(0, 2, 3, 1)


def make_plain() -> nn.Module:
    return Toy().eval()


def make_last() -> nn.Module:
    return Last().eval()


def make_bytes() -> nn.Module:
    return Bytes().eval()


def make_half() -> nn.Module:
    return Toy().half().eval()


def make_double() -> nn.Module:
    return Toy().double().eval()


def image_of(
    module: nn.Module, z: torch.Tensor
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    with torch.inference_mode():
        return np.asarray(module(z).numpy(), np.float64)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("last", "image 'image' [batch,8,8,3]: channels last; taken as (B, C, H, W)"),
        ("half", "computed in float32: the module, whose weights are float16"),
        ("double", "computed in float32: the module, whose weights are float64"),
    ],
)
def test_other_forms_give_the_bundle_of_the_plain_module(
    name: str, said: str, tmp_path: Path
) -> None:
    found = export(
        f"test_exporter_factory_forms:make_{name}", tmp_path / "toy", inputs=["z=normal"]
    )
    assert said in found.notes
    assert said in found.manifest.provenance.changes
    assert [each.name for each in found.manifest.layers] == ["z", "linear", "up"]
    assert set(found.manifest.provenance.torch_hooks) >= {"up"}
    z = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    plain = make_plain().half().float() if name == "half" else make_plain()
    image = bundle_image(tmp_path / "toy", {"z": z.numpy()})
    assert np.abs(image - image_of(plain, z)).max() < CLOSE


def test_an_image_of_bytes_is_taken_before_it_is_rounded(tmp_path: Path) -> None:
    found = export("test_exporter_factory_forms:make_bytes", tmp_path / "toy", inputs=["z=normal"])
    image = found.manifest.image
    assert (image.channels, image.low, image.high) == (3, 0, 255)
    z = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    exact = bundle_image(tmp_path / "toy", {"z": z.numpy()})
    assert np.abs(exact - (image_of(make_plain(), z) * 127.5 + 127.5)).max() < 255 * CLOSE
