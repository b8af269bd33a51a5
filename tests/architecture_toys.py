"""The architectures of `architectures` as bundles, and what is expected of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from graftscope.exporter import Exported
from graftscope.exporter.sources._module import MethodModule, make
from graftscope.exporter.sources._trace import reference
from graftscope.exporter.sources._weights import load_weights
from graftscope.v1 import bundle_pb2

Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Case:
    """An architecture.

    Attributes:
        name: Its module below `architectures`.
        layers: How many layers it has, the latents among them.
        some: Names of layers that a researcher would look for.
        without_hook: Layers that no module of PyTorch returns or is given.
        carried: For some layers, how many tensors cross beside the activation.
        inputs: What --input says.
        shapes: What --shape says.
    """

    name: str
    layers: int
    some: tuple[str, ...]
    without_hook: tuple[str, ...] = ()
    carried: Mapping[str, int] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        return f"architectures.{self.name}:make_generator"


CASES: Final = (
    Case("dcgan", 4, ("input", "main.2", "main.5", "main.8"), carried={"main.5": 0}),
    Case("vae", 4, ("z", "decoder_input", "deconv1", "deconv2"), carried={"deconv1": 0}),
    Case(
        "began",
        10,
        ("z", "fc", "conv1", "conv2", "conv6"),
        without_hook=("fc",),  # it is reshaped outside of any module
        carried={"fc": 0, "conv1": 2, "conv4": 1, "conv6": 0},
    ),
    Case(
        "sngan",
        12,
        ("z", "linear", "blocks.0.residual.1", "blocks.0", "blocks.2", "output"),
        carried={"blocks.0": 0, "blocks.1.residual.5": 1},
    ),
    Case(
        "biggan",
        11,
        ("z", "linear", "blocks.0.bn1", "blocks.0", "attention", "output_layer"),
        carried={"z": 1, "blocks.1": 0},
    ),
    Case(
        "stylegan2",
        16,
        ("z", "style.1", "style.2", "conv1.activate", "convs.0.activate", "convs.3.activate"),
        carried={"z": 5, "style.2": 5, "convs.3.activate": 2},  # noise; noise and colours so far
    ),
    Case(
        "autoencoder_kl",
        26,
        (
            "z",
            "post_quant_conv",
            "decoder.conv_in",
            "decoder.mid_block.attentions.0",
            "decoder.up_blocks.0.resnets.1",
        ),
        without_hook=("decoder.mid_block.attentions.0_2",),  # transposed inside the attention
        carried={"post_quant_conv": 0, "decoder.mid_block.resnets.0.norm1": 1},
        shapes=("z=4,8,8",),
    ),
    Case(
        "unet",
        24,
        ("sample", "time_embedding.act", "down1", "downsample", "mid", "upsample", "act_out"),
        # Five modules compute it, each for itself; the graph computes it once.
        without_hook=("time_embedding.linear_2",),
        carried={"down1": 4, "mid": 4, "up1": 0},
        inputs=("timestep=classes:1000",),
        shapes=("sample=3,8,8",),
    ),
    Case(
        "transformer",
        15,
        ("z", "embed", "blocks.0.norm1", "blocks.0.attn", "blocks.0.mlp", "blocks.0", "norm"),
        without_hook=("blocks.0_2", "blocks.1_2"),  # sums in the middle of a block
        carried={"blocks.0.attn": 1, "blocks.0": 0},
    ),
    Case("dense", 3, ("code", "decoder.1", "decoder.4")),
)

WGANGP: Final = Case("wgangp", 4, ("z", "batch_norm1", "batch_norm2", "batch_norm3"))
"""It needs weights from a file."""

Hooks = Mapping[str, bundle_pb2.TorchHook]


@dataclass(frozen=True)
class Brought:
    """An architecture that was exported, beside the module that it was made from."""

    case: Case
    folder: Path
    exported: Exported
    module: nn.Module
    """Takes the inputs that are not noise, in order; its parts have the user's own paths."""

    @property
    def manifest(self) -> bundle_pb2.Bundle:
        return self.exported.manifest

    @property
    def hooks(self) -> Hooks:
        return self.manifest.provenance.torch_hooks

    def layer(self, name: str) -> bundle_pb2.Layer:
        return next(layer for layer in self.manifest.layers if layer.name == name)

    def generate(self, latents: Arrays) -> NDArray[np.float32]:
        """Generate images with PyTorch."""
        noise = sum(each.noise for each in self.manifest.inputs)
        (images,) = reference(self.module, noise)(latents)
        return images


def brought(case: Case, folder: Path, exported: Exported, weights: Path | None = None) -> Brought:
    """Return an export beside its module, made anew."""
    made = make(case.source)
    if weights is not None:
        load_weights(made.module, weights)
    names = tuple(each.name for each in exported.manifest.inputs if not each.noise)
    return Brought(case, folder, exported, MethodModule(made, names))
