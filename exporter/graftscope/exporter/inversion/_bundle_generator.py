"""A bundle as what inversion works on: latents from its prior, images from its own graph.

Where its PyTorch module can be had, errors of pixels reach the latents through that; the graph
stays what is inverted, and the module must compute the same.

Rules
1. A bundle qualifies whose only input is one vector of floating-point numbers, drawn from a
   distribution; axes of extent 1 may stand around it.
2. The module of a generator that `graftscope train` trained comes out of the bundle. Other modules
   are made again from what the bundle was exported from: a checkpoint's folder or a factory.
"""

from math import prod, sqrt
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from graftscope.bundle import BundleFolder, find_shipped, read_bundle
from graftscope.codec import DATATYPES, deviation
from graftscope.exporter._samples import draw_latents
from graftscope.exporter._sessions import CpuSession
from graftscope.exporter._torch_generator import torch_generator
from graftscope.exporter.errors import SourceError, SourceNotFoundError, one_line
from graftscope.exporter.sources._module import MethodModule, is_factory, make
from graftscope.exporter.sources._weights import load_weights
from graftscope.training import load_checkpoint
from graftscope.training.inversion import GeneratorDescription, SampledGenerator
from graftscope.v1 import bundle_pb2

_DISTRIBUTIONS: Final = ("normal", "uniform", "truncated_normal")
_MOST_APART: Final = 0.01
"""In standard deviations of the images' pixels; the same weights come far closer."""
_COMPARED: Final = 4
_MOMENTS_OF: Final = 4096


def open_bundle(bundle: str | Path) -> BundleFolder:
    """Open a bundle by the name of one that ships, or by its folder.

    Raises:
        BundleError: If there is no such bundle, or it is damaged.
    """
    return read_bundle(bundle if Path(bundle).is_dir() else find_shipped(str(bundle)))


def bundle_generator(
    bundle: str | Path, *, torch_source: str | None = None, weights: str | None = None
) -> SampledGenerator:
    """Open a bundle for inversion.

    Args:
        bundle: The name of a generator that ships, or a bundle's folder.
        torch_source: What the bundle was exported from, where its PyTorch module is: a checkpoint's
            folder, or `package.module:function`. None takes the bundle's own weights, if
            `graftscope train` trained them.
        weights: Weights for what a factory makes, as of `export`.

    Raises:
        BundleError: If there is no such bundle, or it is damaged.
        SourceError: If its latent is no plain vector, or the module is of another generator.
        TrainingError: If the checkpoint is unfinished or damaged.
    """
    opened = open_bundle(bundle)
    manifest = opened.manifest
    latent = _require_vector(manifest)
    session = CpuSession(opened.file(manifest.generator), optimised=True)
    shape, (output,) = tuple(latent.shape), session.outputs
    network = _network(opened, torch_source, weights)

    def draw(seed: int, count: int) -> NDArray[np.float32]:
        drawn = draw_latents([latent], {}, count, seed=seed)[latent.name]
        return np.ascontiguousarray(drawn.reshape(count, -1), np.float32)

    def generate(latents: NDArray[np.float32]) -> NDArray[np.float32]:
        given = latents.reshape(len(latents), *shape).astype(DATATYPES[latent.datatype])
        return session.run({latent.name: given})[output].astype(np.float32, copy=False)

    mean, spread = _moments(latent)
    image = manifest.image
    description = GeneratorDescription(
        name=manifest.name,
        digest=manifest.digest,
        input=latent.name,
        latent_size=prod(shape),
        latent_mean=mean,
        latent_deviation=spread,
        channels=image.channels,
        height=image.height,
        width=image.width,
        low=image.low,
        high=image.high,
        differentiable=network is not None,
    )
    if network is not None:
        network = _Shaped(network, shape).eval().requires_grad_(False)
    generator = SampledGenerator(description, draw, generate, network)
    _require_same(generator, torch_source)
    return generator


def _require_vector(manifest: bundle_pb2.Bundle) -> bundle_pb2.Input:
    """Return the only input, if it is a vector of random numbers."""
    latent, *others = manifest.inputs
    allowed = (
        "allowed is one latent vector of floating-point numbers, normal, uniform or truncated "
        "normal"
    )
    if others:
        names = ", ".join(repr(each.name) for each in manifest.inputs)
        raise SourceError(f"bundle {manifest.name!r} takes {names}, not a latent alone; {allowed}")
    shape, kind = tuple(latent.shape), latent.WhichOneof("distribution")
    long = [extent for extent in shape if extent != 1]
    if DATATYPES[latent.datatype].kind != "f" or len(long) > 1 or kind not in _DISTRIBUTIONS:
        raise SourceError(
            f"bundle {manifest.name!r} takes {latent.name!r} {shape} ({latent.datatype}, "
            f"{kind}); {allowed}, with no more than one axis longer than 1"
        )
    return latent


def _moments(latent: bundle_pb2.Input) -> tuple[float, float]:
    """Mean and standard deviation of a latent's elements."""
    match latent.WhichOneof("distribution"):
        case "normal":
            return latent.normal.mean, deviation(latent.normal) or 1.0
        case "uniform":
            low, high = latent.uniform.low, latent.uniform.high
            return (low + high) / 2, (high - low) / sqrt(12) or 1.0
        case _:
            drawn = draw_latents([latent], {}, _MOMENTS_OF)[latent.name]
            return 0.0, float(drawn.astype(np.float64).std())


def _network(opened: BundleFolder, source: str | None, weights: str | None) -> nn.Module | None:
    """Find the bundle's PyTorch module, if it can be had."""
    if source is None:
        if weights is not None:
            raise SourceError("--weights is for a factory: give it with --torch MODULE:FUNCTION")
        trained_here = any(
            key.startswith("architecture.") for key in opened.manifest.provenance.settings
        )
        return torch_generator(opened.path) if trained_here else None
    if Path(source).is_dir():
        if weights is not None:
            raise SourceError("--weights cannot be given for a checkpoint, which holds its own")
        return load_checkpoint(source).generator
    if not is_factory(source):
        raise SourceNotFoundError(
            f"--torch {source!r} does not exist; it is a checkpoint's folder or "
            "package.module:function"
        )
    made = make(source)
    if weights is not None:
        load_weights(made.module, weights)
    needed = [each.name for each in made.parameters() if each.default is each.empty]
    names = needed or [each.name for each in made.parameters()][:1]
    if len(names) != 1:
        raise SourceError(
            f"{made.title} takes {', '.join(names) or 'nothing'}; to invert it, it must take one "
            "input, the latent: let the factory give the others as keyword arguments"
        )
    return MethodModule(made, (names[0],))


class _Shaped(nn.Module):
    """A generator that takes its latents as rows, whatever axes it wants around them."""

    def __init__(self, network: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self._shape = network, shape

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (B, Z) to images (B, C, H, W)."""
        images: Tensor = self.network(latents.reshape(-1, *self._shape))
        return images


def _require_same(generator: SampledGenerator, source: str | None) -> None:
    """Refuse a module that computes other images than the bundle."""
    if generator.network is None:
        return
    told = generator.description
    latents = generator.draw(1, _COMPARED)
    expected = generator.generate(latents)
    where = f"--torch {source}" if source else f"the PyTorch module of bundle {told.name!r}"
    try:
        with torch.no_grad():
            found = generator.network(torch.from_numpy(latents)).numpy()
    except (RuntimeError, ValueError, TypeError) as error:
        raise SourceError(
            f"{where} does not take the bundle's latents: {one_line(error)}"
        ) from error
    if found.shape != expected.shape:
        raise SourceError(
            f"{where} makes images {found.shape[1:]}, bundle {told.name!r} {expected.shape[1:]}"
        )
    # Not of the range: generators that are hardly trained all make nearly the same grey image.
    apart = float(np.abs(found - expected).max()) / (float(expected.std()) or 1.0)
    if not apart <= _MOST_APART:
        raise SourceError(
            f"{where} is another generator than bundle {told.name!r}: images differ by {apart:.2g} "
            f"standard deviations of their pixels; allowed: {_MOST_APART:g}"
        )
