"""Inputs of foreign PyTorch modules: shapes and types that a distribution tells."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from foreign_toys import put_photographs
from graftscope.bundle import read_bundle
from graftscope.exporter import SourceError, export
from graftscope.server.engine import Device, Generator, PriorPairs, SessionPool


class Painter(nn.Module):
    """Paints over a photograph, by a class in one-hot form, at a time and a strength."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 3, 3, padding=1)
        self.label = nn.Linear(5, 6)

    def forward(self, photo: Tensor, label: Tensor, time: Tensor, strength: Tensor) -> Tensor:
        maps = self.first(photo).relu() + self.label(label)[:, :, None, None]
        maps = maps * strength[:, None, None, None] + time[:, None, None, None] / 1000
        return torch.tanh(self.second(maps.relu()))


def make_painter() -> nn.Module:
    torch.manual_seed(0)
    return Painter()


SOURCE = f"{__name__}:make_painter"
INPUTS = ["label=onehot:5", "time=choice:1,500,999", "strength=constant:0.5"]


def test_a_module_is_given_what_the_distributions_tell(tmp_path: Path) -> None:
    put_photographs(tmp_path / "photographs")
    photographs = f"photo=images:{tmp_path / 'photographs'},-1,1"
    export(SOURCE, tmp_path / "out", inputs=[photographs, *INPUTS], shapes=["photo=3,8,8"])
    generator = Generator(read_bundle(tmp_path / "out"), SessionPool(Device.CPU, 4))
    stated = {each.name: (each.datatype, list(each.shape)) for each in generator.manifest.inputs}
    assert stated == {
        "photo": ("FP32", [3, 8, 8]),
        "label": ("FP32", [5]),
        "time": ("FP32", []),
        "strength": ("FP32", []),
    }
    latents, _ = PriorPairs(generator, 0).latents(range(6))
    assert {*latents["time"].tolist()} <= {1.0, 500.0, 999.0}
    with torch.inference_mode():
        expected = make_painter()(**{name: torch.tensor(x) for name, x in latents.items()})
    np.testing.assert_allclose(generator.generate(latents), expected.numpy(), atol=2e-6)


def test_the_size_of_images_must_be_said(tmp_path: Path) -> None:
    put_photographs(tmp_path / "photographs")
    photographs = f"photo=images:{tmp_path / 'photographs'},-1,1"
    with pytest.raises(
        SourceError, match="'photo' takes images, and their size must be given: --sh"
    ):
        export(SOURCE, tmp_path / "out", inputs=[photographs, *INPUTS])
