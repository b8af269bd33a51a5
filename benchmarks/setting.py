"""What all ways compute: every channel's influence at one level, over the same pairs."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.bundles import export_module
from benchmarks.residual import LATENTS, LEVELS, residual_decoder
from graftscope.bundle import read_bundle
from graftscope.exporter import export
from graftscope.server.engine import Device, Generator, GivenPairs, PriorPairs, SessionPool
from graftscope.training.architecture import (
    GAN_CELEBA,
    GAN_CIFAR10,
    VAE_CELEBA,
    VAE_CIFAR10,
    Architecture,
)
from graftscope.training.networks import Generator as TorchGenerator
from graftscope.v1 import bundle_pb2

PAIRS = 32
GENERATORS = "GRAFTSCOPE_GENERATORS"
NETWORKS = {
    "vae-celeba": VAE_CELEBA,
    "gan-celeba": GAN_CELEBA,
    "vae-cifar10": VAE_CIFAR10,
    "gan-cifar10": GAN_CIFAR10,
}
DCGAN = "celeba64_dcgan"
RESIDUAL = "residual"
MODELS = (*NETWORKS, RESIDUAL, DCGAN)
MAIN = "vae-celeba"
"""Looked at more thoroughly than the others."""

# Sessions of one generator's halves, in a few precisions.
_SESSIONS = 64
_CALIBRATION = 256
# Its layers are wide: a whole one would take minutes.
_DCGAN_PAIRS, _DCGAN_CHANNELS = 16, 32


class NotHere(Exception):
    """Something cannot be measured on this machine; the message says why."""


@dataclass(frozen=True, eq=False)
class Model:
    """A generator, as a module of PyTorch where there is one and as a bundle."""

    name: str
    network: nn.Module | None
    generator: Generator
    folder: Path

    def levels(self) -> list[str]:
        """Names of its levels, or of its layers of maps where they have no levels."""
        layers = self.generator.manifest.layers
        return [x.level for x in layers if x.level] or [x.name for x in layers if x.height > 1]


@dataclass(frozen=True, eq=False)
class Setting:
    """Where a model is cut, and the pairs.

    Attributes:
        model: the generator.
        layer: where it is cut.
        first: latents of the originals 1, by input's name, each (PAIRS, ...).
        second: latents of the originals 2.
        pairs: how many of them are looped over.
        channels: how many of the layer's are swapped, the first ones.
    """

    model: Model
    layer: bundle_pb2.Layer
    first: Mapping[str, NDArray[np.generic]]
    second: Mapping[str, NDArray[np.generic]]
    pairs: int
    channels: int

    @property
    def source(self) -> GivenPairs:
        """The pairs, as the engine takes them."""
        return GivenPairs(self.first, self.second)

    @property
    def network(self) -> nn.Module:
        """The module.

        Raises:
            NotHere: the generator came as an ONNX file.
        """
        if self.model.network is None:
            raise NotHere("the generator is an ONNX file, so there is no PyTorch module")
        return self.model.network


@contextmanager
def opened(name: str, workers: int) -> Iterator[Model]:
    """A generator of this name, exported into a folder that is deleted afterwards.

    Raises:
        NotHere: its file is not on this machine.
    """
    if name in NETWORKS:
        with opened_network(NETWORKS[name], workers, name) as model:
            yield model
        return
    with TemporaryDirectory() as folder:
        place = Path(folder) / name
        if name == RESIDUAL:
            decoder = residual_decoder()
            export_module(decoder, {"z": torch.randn(2, LATENTS)}, place, levels=LEVELS)
            yield _model(name, decoder, place, workers)
            return
        export(str(_dcgan_file()), str(place), image_range=(-1.0, 1.0))
        yield _model(name, None, place, workers)


@contextmanager
def opened_network(
    architecture: Architecture, workers: int, name: str = "network"
) -> Iterator[Model]:
    """A network of random weights, exported into a folder that is deleted afterwards."""
    with TemporaryDirectory() as folder:
        place = Path(folder) / name
        network = random_network(architecture)
        export_network(network, place)
        yield _model(name, network, place, workers)


def cut_at(model: Model, level: str) -> Setting:
    """A model at one of its levels."""
    latents = PriorPairs(model.generator, 0).latents(range(PAIRS))
    layer = model.generator.layer(level)
    if model.name == DCGAN:
        return Setting(model, layer, *latents, _DCGAN_PAIRS, min(_DCGAN_CHANNELS, layer.channels))
    return Setting(model, layer, *latents, PAIRS, layer.channels)


def random_network(architecture: Architecture) -> TorchGenerator:
    """A network of random weights: they cost the same as trained ones.

    Batch normalisation gets the statistics of the network's own activations. With torch's initial
    ones images would be flat, and what bfloat16 rounds away larger than any influence.
    """
    torch.manual_seed(0)
    network = TorchGenerator(architecture)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean over what is seen
    with torch.no_grad():
        network(torch.randn(_CALIBRATION, architecture.latent_size))
    return network.eval()


def export_network(network: TorchGenerator, place: Path) -> None:
    """Writes a module as a bundle, its layers with their levels."""
    latents = torch.randn(2, network.architecture.latent_size)
    levels = {layer.name: layer.level for layer in network.architecture.layers if layer.level}
    export_module(network, {"z": latents}, place, levels=levels)


def _model(name: str, network: nn.Module | None, place: Path, workers: int) -> Model:
    pool = SessionPool(Device.CPU, _SESSIONS, streams=workers)
    return Model(name, network, Generator(read_bundle(place), pool), place)


def _dcgan_file() -> Path:
    folder = os.environ.get(GENERATORS)
    if not folder:
        raise NotHere(f"{GENERATORS} names no folder with {DCGAN}.onnx")
    path = Path(folder) / f"{DCGAN}.onnx"
    if not path.is_file():
        raise NotHere(f"{path} does not exist")
    return path
