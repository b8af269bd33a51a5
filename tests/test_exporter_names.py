"""Facts about arguments of modules that are called like something else in their graph."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import naming_toys
from graftscope.client import Client
from graftscope.exporter import export
from graftscope.exporter._sessions import CpuSession


@pytest.mark.parametrize("name", ["image", "linear", "scale", "noise", "batch"])
def test_an_argument_keeps_its_name_whatever_else_is_called_so(name: str, tmp_path: Path) -> None:
    manifest = export(f"naming_toys:{name}", tmp_path / "toy").manifest
    assert manifest.inputs[0].name == name
    assert manifest.layers[0].name == name
    z = torch.linspace(-1, 1, 15).reshape(3, 5)
    model = onnx.load(tmp_path / "toy" / manifest.generator)
    onnx.checker.check_model(model, full_check=True)
    given = {each.name: np.zeros((3, *each.shape), np.float32) for each in manifest.inputs}
    session = CpuSession(tmp_path / "toy" / manifest.generator, optimised=True)
    (found,) = session.run({**given, name: z.numpy()}).values()
    with torch.no_grad():
        wanted = getattr(naming_toys, name)().eval()(z)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=1e-5)


def test_an_argument_called_image_goes_through_an_analysis(tmp_path: Path) -> None:
    export("naming_toys:image", tmp_path / "toy")
    with Client(bundles=[tmp_path / "toy"], state=tmp_path / "state") as client:
        result = client.influence("toy", layer="act", pairs=8)
        assert np.isfinite(result.maps).all()
        assert client.generate("toy", count=2).images.shape == (2, 3, 4, 4)
