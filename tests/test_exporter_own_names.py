"""Facts about names: nothing that a user calls something collides with what Graftscope calls it."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import factory_toys
from graftscope.exporter import Exported, export
from graftscope.graph import (
    HYBRIDS,
    IMAGE1,
    ORIGINAL1,
    ORIGINAL2,
    PIXEL_MEANS,
    SETS,
    TOTAL,
    cut,
    distinct_names,
    free_batch,
    normalise,
    reduce_effects,
    splice,
)
from onnx_cases import FIXED, one_sample, save
from onnx_toys import REUSED_LATENT, SKIP, above, latents, parse, run

Arrays = dict[str, NDArray[np.generic]]

OWN_NAMES = {
    "z": ORIGINAL1,
    "noise": SETS,
    "first": HYBRIDS,
    "second": ORIGINAL2,
    "styled": PIXEL_MEANS,
    "colours": TOTAL,
    "image": IMAGE1,
    "w_fc": "graftscope.mean",
    "w_out": "graftscope.where.0",
    "style": "graftscope.kept.0",
}
"""As if the user had looked up how splicing calls its tensors."""


def renamed(text: str, names: dict[str, str]) -> ir.Model:
    """Return a graph of the toys' in which tensors are called otherwise."""
    model = parse(text)
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.name = names.get(value.name or "", value.name)
    for node in model.graph:
        for value in node.outputs:
            value.name = names.get(value.name or "", value.name)
    return model


def saved(path: Path, model: ir.Model) -> Path:
    ir.save(model, path)
    return path


def stored(folder: Path, exported: Exported) -> ir.Model:
    return ir.external_data.load_to_model(ir.load(folder / exported.manifest.generator))


def effects(model: ir.Model, layer: str, given: Arrays) -> dict[str, NDArray[np.generic]]:
    """Take half of the channels of a layer from the next sample; hybrids and their sums."""
    halves = cut(model, layer)
    crossing = {**given, **run(above(halves), given)}
    activation = crossing[layer]
    channels = np.arange(activation.shape[1]) % 2 == 1
    whole = next(iter(run(model, given).values()))
    tensors = {
        **crossing,
        ORIGINAL1: activation,
        ORIGINAL2: np.roll(activation, 1, axis=0),
        SETS: np.stack([channels, ~channels, channels & False]),
        IMAGE1: whole,
    }
    spliced = splice(halves.downstream, activation=layer)
    hybrids = run(spliced, tensors)[HYBRIDS]
    return {HYBRIDS: hybrids, **run(reduce_effects(spliced), tensors)}


def assert_same_effects(
    found: ir.Model, given: Arrays, twin: ir.Model, twins: Arrays, layers: dict[str, str]
) -> None:
    for layer, other in layers.items():
        one, two = effects(found, layer, given), effects(twin, other, twins)
        for name, array in two.items():
            np.testing.assert_array_equal(one[name], array)


def test_tensors_called_as_splicing_calls_its_own_compute_what_their_twin_does(
    tmp_path: Path,
) -> None:
    source = saved(tmp_path / "toy.onnx", renamed(REUSED_LATENT, OWN_NAMES))
    exported = export(source, tmp_path / "toy", inputs=[f"{SETS}=normal"])
    assert [each.name for each in exported.manifest.inputs] == ["original1_2", "sets_2"]
    assert (
        "input 'graftscope.original1' is called 'original1_2' in the bundle: what begins with "
        "'graftscope.' is Graftscope's own"
    ) in exported.notes
    inner = [layer.tensor for layer in exported.manifest.layers if layer.upstream]
    assert inner == ["hybrids_2", "noisy"]
    twin = normalise(parse(REUSED_LATENT))
    twins = latents(twin, 3)
    given = {"original1_2": twins["z"], "sets_2": twins["noise"]}
    layers = {"hybrids_2": "first", "noisy": "noisy"}
    assert_same_effects(stored(tmp_path / "toy", exported), given, twin, twins, layers)


def test_tensors_called_as_libraries_call_new_ones_compute_what_their_twin_does(
    tmp_path: Path,
) -> None:
    twin = normalise(parse(REUSED_LATENT))
    every = [value for node in twin.graph for value in node.outputs]
    every += [*twin.graph.inputs, *twin.graph.initializers.values()]
    names = {str(value.name): f"val_{i}" for i, value in enumerate(every)}
    model = renamed(REUSED_LATENT, names)
    for i, node in enumerate(model.graph):
        node.name = f"node_Constant_{i}"
    exported = export(
        saved(tmp_path / "toy.onnx", model), tmp_path / "toy", inputs=[f"{names['noise']}=normal"]
    )
    twins = latents(twin, 3)
    given = {names[name]: array for name, array in twins.items()}
    layers = {names[name]: name for name in ("first", "noisy")}
    assert_same_effects(stored(tmp_path / "toy", exported), given, twin, twins, layers)


@pytest.mark.parametrize("symbol", ["sets", "channels", "images", "height", "colour"])
def test_a_batch_called_as_splicing_calls_an_axis_is_called_otherwise(symbol: str) -> None:
    """ONNX Runtime takes axes of one name for equally long, and reuses memory so."""
    model = normalise(parse(SKIP.replace("batch", symbol)))
    free_batch(model)
    twin = normalise(parse(SKIP))
    given = latents(twin, 5)
    assert_same_effects(model, given, twin, given, {"second": "second", "joined": "joined"})
    shape = model.graph.inputs[0].shape
    assert shape is not None
    assert str(shape[0]) == "batch"


def test_names_that_are_made_for_a_free_batch_are_free(tmp_path: Path) -> None:
    """Names of tensors and of nodes, both taken."""
    model = renamed(one_sample(SKIP), {"shape_fc": "maps_extents", "middle": "maps_batch"})
    for constant in model.graph.initializers.values():
        if constant.name == "maps_extents":
            constant.const_value = ir.tensor(FIXED["shape_fc"], name="maps_extents")
    next(iter(model.graph)).name = "maps_extents_2"
    exported = export(saved(tmp_path / "toy.onnx", model), tmp_path / "toy")
    twin = normalise(parse(SKIP))
    given = latents(twin, 4)
    found = run(stored(tmp_path / "toy", exported), given)["image"]
    assert np.abs(np.subtract(found, run(twin, given)["image"])).max() < 1e-6


def test_names_inside_of_a_branch_are_names_too(tmp_path: Path) -> None:
    text = SKIP.replace(
        "second = Relu(middle)",
        """second = If <then_branch = one () => (float[batch, 4, 4, 4] x)
            { noise = Relu(middle)  x = Identity(noise) },
            else_branch = two () => (float[batch, 4, 4, 4] y) { y = Abs(middle) }> (yes)""",
    ).replace(
        "joined = Add(last, first)",
        "drawn = RandomNormalLike(last)\n    moved = Add(last, drawn)\n"
        "    joined = Add(moved, first)",
    )
    exported = export(save(tmp_path / "toy.onnx", text, yes=np.array(True)), tmp_path / "toy")
    assert [each.name for each in exported.manifest.inputs] == ["z", "noise_2"]


def test_of_two_tensors_of_one_name_the_input_keeps_it() -> None:
    model = parse(SKIP)
    inputs, nodes = model.graph.inputs, list(model.graph)
    nodes[0].outputs[0].name = nodes[2].outputs[0].name = "z"
    assert distinct_names(model) == {}
    assert inputs[0].name == "z"
    assert nodes[0].outputs[0].name == "z_2"
    assert nodes[2].outputs[0].name == "z_3"


class Named(nn.Module):
    """Computes with a weight of its own, of a name that an input, the image or splicing has too."""

    def __init__(self, weight: str) -> None:
        super().__init__()
        self.weight_name = weight
        self.inside = factory_toys.decoder()
        part: nn.Module = self
        *parents, name = weight.split(".")
        for parent in parents:
            part.add_module(parent, nn.Module())
            part = part.get_submodule(parent)
        part.register_parameter(name, nn.Parameter(torch.linspace(0.5, 1.5, 5)))

    def scaled(self, z: Tensor) -> Tensor:
        image: Tensor = self.inside(z * self.get_parameter(self.weight_name))
        return image


class Z(Named):
    def forward(self, z: Tensor) -> Tensor:
        return self.scaled(z)


class Val(Named):
    def forward(self, val_0: Tensor) -> Tensor:
        return self.scaled(val_0)


MADE: dict[str, nn.Module] = {}


def make() -> nn.Module:
    return MADE["module"]


@pytest.mark.parametrize(
    ("kind", "weight"),
    [(Z, "image"), (Z, "z"), (Z, "graftscope.sets"), (Val, "val_0")],
)
def test_what_a_module_calls_its_inputs_and_weights_does_not_matter(
    tmp_path: Path, kind: type[Named], weight: str
) -> None:
    MADE["module"] = module = kind(weight)
    exported = export(f"{__name__}:make", tmp_path / "toy")
    name = exported.manifest.inputs[0].name
    assert name in ("z", "val_0")
    assert [layer.name for layer in exported.manifest.layers] == [name, "inside"]
    z = torch.randn(3, 5)
    with torch.inference_mode():
        expected = module(z).numpy()
    (found,) = run(stored(tmp_path / "toy", exported), {name: z.numpy()}).values()
    assert np.abs(np.subtract(found, expected)).max() < 1e-5
