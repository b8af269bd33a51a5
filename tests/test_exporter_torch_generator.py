"""Facts about generators of bundles as PyTorch modules."""

from pathlib import Path

import numpy as np
import pytest
import torch

from graftscope.bundle import read_bundle, shipped
from graftscope.client import Client
from graftscope.client.hooks import torch_code
from graftscope.exporter import SourceError, export, torch_generator
from graftscope.exporter._sessions import CpuSession
from torch_hooking import hooked, keep

TOLERANCE = 1e-5
"""Of the image range's width, and of an activation's largest value."""


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_generator_that_ships_computes_in_pytorch_what_its_bundle_does(name: str) -> None:
    folder, model = shipped()[name], torch_generator(name)
    manifest = read_bundle(folder).manifest
    z = torch.randn(2, *manifest.inputs[0].shape, generator=torch.Generator().manual_seed(0))
    # One that is told a class takes it as its second argument.
    arguments = [z, torch.tensor([0, 1])][: len(manifest.inputs)]
    names = [each.name for each in manifest.inputs]
    given = {name: each.numpy() for name, each in zip(names, arguments, strict=True)}
    (image,) = CpuSession(folder / manifest.generator, optimised=False).run(given).values()
    np.testing.assert_allclose(model(*arguments).numpy(), image, rtol=0, atol=2 * TOLERANCE)
    for layer in (each for each in manifest.layers if each.upstream):
        (wanted,) = (
            each
            for key, each in CpuSession(folder / layer.upstream, optimised=False).run(given).items()
            if key == layer.tensor
        )
        seen: list[torch.Tensor] = []
        with hooked(model, manifest.provenance.torch_hooks[layer.name], keep(seen)):
            model(*arguments)
        allowed = TOLERANCE * float(np.abs(wanted).max())
        np.testing.assert_allclose(seen[0].numpy(), wanted, rtol=0, atol=allowed)


def test_a_generator_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    export("factory_toys:decoder", tmp_path / "toy")
    with pytest.raises(SourceError, match="was not trained with Graftscope but made by factory_to"):
        torch_generator(tmp_path / "toy")


def test_the_printed_code_says_how_a_generator_that_ships_is_made_in_pytorch() -> None:
    with Client() as client:
        model = client.model("vae-celeba")
    code = torch_code(model, model.layer("fc"), {0: [1]})
    assert '# Here: model = graftscope.exporter.torch_generator("vae-celeba")' in code
