"""Facts about generators of ten architectures that were brought from PyTorch."""

import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from architecture_toys import CASES, WGANGP, Arrays, Brought, Case, brought
from every_rewrite import rewritten_effects_are_the_plain_ones
from every_verb import goes_through_every_verb
from graftscope.exporter import export
from graftscope.exporter._samples import draw_latents
from graftscope.exporter._sessions import CpuSession
from graftscope.graph import (
    HYBRIDS,
    ORIGINAL1,
    ORIGINAL2,
    SETS,
    Assignment,
    Slot,
    intervene,
    splice,
    value_name,
    where_name,
)
from graftscope.v1 import bundle_pb2
from torch_hooking import hooked, keep, swap

TOLERANCE = 1e-5
"""As a share of the image range's width: float32 sums in another order."""

BATCH = 3
LEAST_HOOKED = 0.8


@pytest.fixture(scope="module", params=[*CASES, WGANGP], ids=lambda case: case.name)
def generator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Brought:
    """Each architecture, exported once."""
    case: Case = request.param
    weights = None
    if case is WGANGP:
        if "GRAFTSCOPE_GENERATORS" not in os.environ:
            pytest.skip("GRAFTSCOPE_GENERATORS does not name the folder of other people's weights")
        weights = Path(os.environ["GRAFTSCOPE_GENERATORS"]) / "cifar10_wgangp.safetensors"
    out = tmp_path_factory.mktemp("architectures") / case.name
    exported = export(case.source, out, inputs=case.inputs, shapes=case.shapes, weights=weights)
    return brought(case, out, exported, weights)


def test_its_layers_are_found(generator: Brought) -> None:
    names = [layer.name for layer in generator.manifest.layers]
    assert set(generator.case.some) <= set(names)
    assert len(names) == generator.case.layers


def test_its_layers_have_the_paths_of_modules(generator: Brought) -> None:
    paths = [f".{path}" for path, _ in generator.module.named_modules()]
    inputs = [each.name for each in generator.manifest.inputs]
    for layer in generator.manifest.layers:
        # Modules around every layer are left out; several layers of one module are numbered.
        ends = (f".{layer.name}", "." + re.sub(r"_\d+$", "", layer.name))
        assert layer.name in inputs or any(path.endswith(ends) for path in paths), layer.name


def test_rewritten_graphs_give_the_same_effects_at_every_layer(generator: Brought) -> None:
    rewritten_effects_are_the_plain_ones(generator.folder)


def test_what_crosses_a_cut_is_carried(generator: Brought) -> None:
    carried = {layer.name: len(layer.carried) for layer in generator.manifest.layers}
    assert {**carried, **generator.case.carried} == carried


def test_downstream_after_upstream_is_pytorchs_own_image(generator: Brought) -> None:
    latents = drawn(generator, seed=3)
    image = generator.generate(latents)
    for layer in generator.manifest.layers:
        tensors = record(generator, layer, latents)
        session = CpuSession(generator.folder / layer.downstream, optimised=True)
        (found,) = session.run(tensors).values()
        assert_near(generator, found, image, layer.name)


def test_pytorch_computes_most_layers_where_the_bundle_says(generator: Brought) -> None:
    names = [layer.name for layer in generator.manifest.layers]
    without = set(names) - set(generator.hooks)
    assert without == set(generator.case.without_hook)
    assert len(without) <= (1 - LEAST_HOOKED) * len(names)


def test_a_hybrid_is_what_a_forward_hook_gives_at_every_layer(generator: Brought) -> None:
    latents1, latents2 = drawn(generator, seed=1), drawn(generator, seed=2)
    for layer in generator.manifest.layers:
        if layer.name not in generator.hooks:
            continue
        channels = some_channels(layer)
        found = spliced(generator, layer, latents1, latents2, channels)
        expected = with_hooks(generator, [layer], latents1, latents2)
        assert_near(generator, found, expected, layer.name)


def test_a_hybrid_at_two_layers_is_what_two_forward_hooks_give(generator: Brought) -> None:
    latents1, latents2 = drawn(generator, seed=1), drawn(generator, seed=2)
    hooked_layers = [each for each in generator.manifest.layers if each.name in generator.hooks]
    outermost = (hooked_layers[0], hooked_layers[-1])
    for pair in [outermost, *list(pairwise(hooked_layers))[::3]]:
        found = intervened(generator, pair, latents1, latents2)
        expected = with_hooks(generator, pair, latents1, latents2)
        assert_near(generator, found, expected, " and ".join(each.name for each in pair))


def test_every_layer_changes_the_image(generator: Brought) -> None:
    latents1, latents2 = drawn(generator, seed=1), drawn(generator, seed=2)
    image = generator.generate(latents1)
    for layer in generator.manifest.layers:
        every = np.ones(layer.channels, np.bool_)
        hybrid = spliced(generator, layer, latents1, latents2, every)
        assert np.abs(hybrid - image).mean() > 1e-3 * width(generator), layer.name


def drawn(generator: Brought, seed: int) -> Arrays:
    stored: dict[str, Arrays] = {}
    return draw_latents(generator.manifest.inputs, stored, BATCH, seed=seed)


def some_channels(layer: bundle_pb2.Layer) -> NDArray[np.bool_]:
    """Return every other channel."""
    chosen = np.zeros(layer.channels, np.bool_)
    chosen[::2] = True
    return chosen


def record(generator: Brought, layer: bundle_pb2.Layer, latents: Arrays) -> Arrays:
    """Return the latents, and what the upper half gives."""
    if not layer.upstream:
        return latents
    upstream = CpuSession(generator.folder / layer.upstream, optimised=True)
    return {**latents, **upstream.run(latents)}


def channel_axis(layer: bundle_pb2.Layer) -> int:
    return 2 if layer.kind == bundle_pb2.LAYER_KIND_TOKENS else 1


def spliced(
    generator: Brought,
    layer: bundle_pb2.Layer,
    latents1: Arrays,
    latents2: Arrays,
    channels: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Compute hybrids from the bundle's halves."""
    path = generator.folder / layer.downstream
    model = splice(ir.load(path), activation=layer.tensor, channel_axis=channel_axis(layer))
    tensors = record(generator, layer, latents1)
    donors = record(generator, layer, latents2)
    given = {
        **tensors,
        ORIGINAL1: tensors[layer.tensor],
        ORIGINAL2: donors[layer.tensor],
        SETS: channels[None],
    }
    return run(path, model, given)[HYBRIDS]


def intervened(
    generator: Brought,
    layers: Sequence[bundle_pb2.Layer],
    latents1: Arrays,
    latents2: Arrays,
) -> NDArray[np.float32]:
    """Compute hybrids with some channels of several layers from original 2's own run."""
    path = generator.folder / generator.manifest.generator
    slots = [Slot(layer.tensor, Assignment.REPLACE) for layer in layers]
    built = intervene(ir.load(path), slots)
    tensors = dict(latents1)
    if built.upstream is not None:
        tensors |= run(path, built.upstream, latents1)
    for i, layer in enumerate(layers):
        donor = record(generator, layer, latents2)[layer.tensor]
        shape = [1] * donor.ndim
        shape[channel_axis(layer)] = -1
        tensors |= {value_name(i): donor, where_name(i): some_channels(layer).reshape(shape)}
    return run(path, built.downstream, tensors)[HYBRIDS]


def run(path: Path, model: ir.Model, tensors: Arrays) -> dict[str, NDArray[np.float32]]:
    content = ir.to_proto(model).SerializeToString()
    return CpuSession(path, optimised=True, content=content).run(tensors)


def with_hooks(
    generator: Brought,
    layers: Sequence[bundle_pb2.Layer],
    latents1: Arrays,
    latents2: Arrays,
) -> NDArray[np.float32]:
    """Compute the same hybrids with PyTorch alone."""
    module, hooks = generator.module, generator.hooks
    donors: list[list[Tensor]] = [[] for _ in layers]
    with ExitStack() as stack:
        for layer, kept in zip(layers, donors, strict=True):
            stack.enter_context(hooked(module, hooks[layer.name], keep(kept)))
        generator.generate(latents2)
    with ExitStack() as stack:
        for layer, (donor,) in zip(layers, donors, strict=True):
            channels = torch.from_numpy(some_channels(layer))
            edit = swap(donor, channels, channel_axis(layer))
            stack.enter_context(hooked(module, hooks[layer.name], edit))
        return generator.generate(latents1)


def width(generator: Brought) -> float:
    return generator.manifest.image.high - generator.manifest.image.low


def assert_near(
    generator: Brought, found: NDArray[np.float32], expected: NDArray[np.float32], where: str
) -> None:
    allowed = TOLERANCE * width(generator)
    np.testing.assert_allclose(found, expected, rtol=0, atol=allowed, err_msg=where)


def test_it_goes_through_every_verb(generator: Brought, tmp_path: Path) -> None:
    goes_through_every_verb(generator.folder, tmp_path)
