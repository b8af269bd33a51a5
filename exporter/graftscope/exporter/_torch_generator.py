"""Generators that were trained here, as PyTorch modules again, from the weights in their bundle.

A bundle of somebody else's generator holds graphs, and no code to fill with weights.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import onnx_ir as ir
import torch
from torch import Tensor, nn

from graftscope.bundle import find_shipped, read_bundle
from graftscope.exporter.errors import SourceError
from graftscope.training.conditional import build_generator
from graftscope.training.recipes import find_recipe
from graftscope.training.settings import apply_overrides

_ARCHITECTURE: Final = "architecture."
_FOLDED: Final = ".deconvolution.weight_bias"
"""Ends the name of a bias that normalisation was folded into."""


def torch_generator(bundle: str | Path) -> nn.Module:
    """Make the PyTorch module of a generator that `graftscope train` trained.

        model = torch_generator("vae-celeba")
        safetensors.torch.save_file(model.state_dict(), "vae-celeba.safetensors")

    Normalisation that the bundle has in its convolutions is there again, as one that only shifts.

    Args:
        bundle: The name of a generator that ships, or a bundle's folder.

    Returns:
        `graftscope.training.networks.Generator` in evaluation mode, on the CPU: latents (B, Z),
        float32, to images (B, C, H, W); or `graftscope.training.conditional.ConditionalGenerator`,
        which takes classes (B,), int64, as well. The bundle's layers are what its modules of the
        same names return.

    Raises:
        BundleError: If there is no such bundle, or it is damaged.
        SourceError: If it was not trained with Graftscope.
    """
    folder = Path(bundle) if Path(bundle).is_dir() else find_shipped(str(bundle))
    manifest = read_bundle(folder).manifest
    settings = manifest.provenance.settings
    changes = [f"{key}={value}" for key, value in settings.items() if key.startswith(_ARCHITECTURE)]
    if not changes:
        raise SourceError(
            f"bundle {str(bundle)!r} was not trained with Graftscope but "
            f"{manifest.provenance.recipe}, so its PyTorch module is where that came from"
        )
    recipe = apply_overrides(find_recipe(manifest.provenance.recipe), changes)
    generator = build_generator(recipe.architecture).eval().requires_grad_(False)
    generator.load_state_dict(_state(generator, _weights(folder / manifest.generator)))
    return generator


def _weights(path: Path) -> dict[str, Tensor]:
    graph = ir.load(path).graph
    return {
        name: torch.tensor(value.const_value.numpy())
        for name, value in graph.initializers.items()
        if value.const_value is not None
    }


def _state(generator: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the module's tensors; where normalisation was folded, one that adds the bias."""
    state = generator.state_dict()
    for name, tensor in state.items():
        if name in weights:
            state[name] = weights[name].reshape(tensor.shape)
            continue
        stage, _, part = name.rpartition(".norm.")
        bias = weights.get(stage + _FOLDED)
        if part == "num_batches_tracked":
            continue
        if not stage or bias is None:
            raise SourceError(f"the bundle has no tensor {name!r}, which its recipe's network has")
        norm = generator.get_submodule(f"{stage}.norm")
        assert isinstance(norm, nn.BatchNorm2d)
        state[name] = {
            "weight": torch.full_like(tensor, (1 + norm.eps) ** 0.5),
            "bias": bias,
            "running_mean": torch.zeros_like(tensor),
            "running_var": torch.ones_like(tensor),
        }[part]
    return state
