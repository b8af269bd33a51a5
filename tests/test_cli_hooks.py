"""Modules as PyTorch code: run on the original model, it makes the server's hybrids."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf import json_format
from torch import Tensor, nn

from _cli_shell import Shell
from architectures.biggan import make_generator
from benchmarks.bundles import export_module
from graftscope.client import Blend, Client, Edit, Intervention, LatentPairs
from graftscope.client.arrays import write_npz
from graftscope.client.cli import run
from graftscope.client.errors import InputError
from graftscope.client.hooks import TorchGraft, torch_code, torch_hybrid_code
from graftscope.client.models import Layer, LayerKind
from graftscope.v1 import bundle_pb2
from torch_toys import BUMP_GROUPS, built, bumps

LATENTS = len(BUMP_GROUPS)
# ONNX Runtime and PyTorch add up in other orders.
TOLERANCE = 1e-5


class Shared(nn.Module):
    """Latents (B, 24) to images (B, 3, 8, 8); one activation is called after both convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(LATENTS, 6 * 16)
        self.first = nn.Conv2d(6, 6, 3, padding=1)
        self.second = nn.ConvTranspose2d(6, 5, 4, stride=2, padding=1)
        self.activation = nn.ReLU()
        self.colours = nn.Conv2d(5, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        maps = self.activation(self.first(self.fc(z).view(-1, 6, 4, 4)))
        image: Tensor = self.colours(self.activation(self.second(maps))).tanh()
        return image


HOOKS: dict[str, list[tuple[str, bool, int] | None]] = {
    "bumps": [("paint", True, 0)],
    "shared": [None, ("activation", False, 0), ("activation", False, 1)],
    "nowhere": [],
}
"""Of each generator's maps, from the latents to the image."""


def state_hooks(bundle: Path, hooks: list[tuple[str, bool, int] | None]) -> None:
    """Say in a bundle's manifest where PyTorch computes its maps."""
    path = bundle / "manifest.json"
    manifest = json_format.Parse(path.read_text(), bundle_pb2.Bundle())
    manifest.provenance.torch_hooks.clear()
    for layer, hook in zip(maps_of(manifest.layers), hooks, strict=False):
        if hook is not None:
            module, given, call = hook
            stated = bundle_pb2.TorchHook(module=module, input=given, call=call)
            manifest.provenance.torch_hooks[layer.name].CopyFrom(stated)
    path.write_text(json_format.MessageToJson(manifest, always_print_fields_with_no_presence=True))


def maps_of(layers: Any) -> list[Any]:
    return [layer for layer in layers if layer.kind in (LayerKind.MAP, bundle_pb2.LAYER_KIND_MAP)]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server of generators that say where PyTorch computes their layers, or do not."""
    root, zeros = tmp_path_factory.mktemp("torch"), {"z": torch.zeros(2, LATENTS)}
    models = {"bumps": bumps(), "shared": built(Shared), "nowhere": built(Shared)}
    for name, model in models.items():
        export_module(model, zeros, root / name)
        state_hooks(root / name, HOOKS[name])
    bundles = [root / name for name in models]
    with Client(bundles=bundles, state=tmp_path_factory.mktemp("state")) as running:
        yield running


def layer_of(client: Client, name: str, place: int) -> str:
    """The name of a generator's map, from the latents on."""
    found: str = maps_of(client.model(name).layers)[place].name
    return found


@pytest.fixture
def address(client: Client) -> str:
    return client.address


def latents(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((3, LATENTS)).astype(np.float32)


CASES = [
    ("bumps", 0, np.array(BUMP_GROUPS)),
    ("shared", 1, np.array([0, 1, 1, 0, -1, 1])),
    ("shared", 2, np.array([1, 0, 1, 0, 1])),
]


@pytest.mark.parametrize(("name", "place", "labels"), CASES)
def test_the_printed_hook_makes_the_hybrids_of_the_server(
    shell: Shell, client: Client, tmp_path: Path, name: str, place: int, labels: np.ndarray
) -> None:
    layer = layer_of(client, name, place)
    write_npz(tmp_path / "modules.npz", {"labels": labels})
    asked = ("modules", "--model", name, "--layer", layer, "--modules", tmp_path / "modules.npz")
    code, printed, err = shell(*asked, "--as", "torch")
    assert (code, err) == (0, "")
    scope: dict[str, Any] = {"model": bumps() if name == "bumps" else built(Shared)}
    exec(printed, scope)
    z1, z2 = torch.from_numpy(latents(1)), torch.from_numpy(latents(2))
    seen: list[Tensor] = []
    with torch.no_grad():
        with scope["graft"](seen):
            scope["model"](z2)
        with scope["graft"]([], seen, scope["module_1"]):
            hybrid = scope["model"](z1).numpy()
        without = scope["model"](z1).numpy()
    pairs = LatentPairs({"z": latents(1)}, {"z": latents(2)})
    known = client.hybridize(name, layer, labels=labels, module=1, originals=pairs)
    np.testing.assert_allclose(hybrid, known.hybrid, atol=TOLERANCE)
    np.testing.assert_allclose(without, known.original1, atol=TOLERANCE)
    assert np.abs(hybrid - without).max() > 0.01


def test_grafts_of_several_layers_and_weights_are_one_hybrid_as_the_server_makes_it(
    client: Client,
) -> None:
    model = client.model("shared")
    first, second = (layer_of(client, "shared", place) for place in (1, 2))
    grafts = [
        TorchGraft(first, [0, 3], 0.6),
        TorchGraft(first, [1], -1.0),
        TorchGraft(second, [2]),
    ]
    scope: dict[str, Any] = {"model": built(Shared)}
    exec(torch_hybrid_code(model, grafts), scope)
    donor: dict[Any, Tensor] = {}
    with torch.no_grad():
        with scope["graft"](donor):
            scope["model"](torch.from_numpy(latents(2)))
        with scope["graft"]({}, donor):
            hybrid = scope["model"](torch.from_numpy(latents(1))).numpy()
    edits = [Edit(each.layer, each.channels, action=Blend(each.weight)) for each in grafts]
    pairs = LatentPairs({"z": latents(1)}, {"z": latents(2)})
    known = client.hybridize("shared", intervention=Intervention(edits), originals=pairs)
    np.testing.assert_allclose(hybrid, known.hybrid, atol=TOLERANCE)
    assert np.abs(hybrid - known.original1).max() > 0.01


def test_a_hybrid_of_a_layer_that_pytorch_does_not_know_is_refused(client: Client) -> None:
    model = client.model("shared")
    with pytest.raises(InputError, match="layers that are: "):
        torch_hybrid_code(model, [TorchGraft(layer_of(client, "shared", 0), [0])])
    with pytest.raises(InputError, match="at least one graft"):
        torch_hybrid_code(model, [])


def test_a_factory_is_exported_with_the_hooks_of_its_layers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, factory = tmp_path / "big", "architectures.biggan:make_generator"
    asked = ["--input", "z=normal", "--shape", "z=12", "--input", "y=classes:5"]
    assert run(["export", factory, *asked, "--out", str(bundle)]) == 0
    assert "blocks.0.bn2" in capsys.readouterr().out
    write_npz(tmp_path / "modules.npz", {"labels": np.array([0, 1, 1, 0, -1, 1])})
    with Client(bundles=[bundle], state=tmp_path / "state") as client:
        shell = Shell(client.address, capsys)
        where = ("--modules", tmp_path / "modules.npz", "--layer", "blocks.0.bn2")
        code = shell.json("modules", *where, "--as", "torch")["code"]
        pairs = [client.generate("big", count=3, seed=seed).latents for seed in (1, 2)]
        known = client.hybridize("big", "blocks.0.bn2", [1, 2, 5], originals=LatentPairs(*pairs))
    scope: dict[str, Any] = {"model": make_generator().eval()}
    exec(code, scope)
    inputs = [[torch.from_numpy(latents[name].copy()) for name in "zy"] for latents in pairs]
    donor: list[Tensor] = []
    with torch.no_grad():
        with scope["graft"](donor):
            scope["model"](*inputs[1])
        with scope["graft"]([], donor, scope["module_1"]):
            hybrid = scope["model"](*inputs[0]).numpy()
    np.testing.assert_allclose(hybrid, known.hybrid, atol=TOLERANCE)


def test_a_hook_is_five_lines_and_differentiable(client: Client) -> None:
    model = client.model("shared")
    code = torch_code(model, maps_of(model.layers)[2], {0: [1, 3]})
    lines = code.splitlines()
    first = lines.index("    def hook(module, inputs, output):")
    assert lines[first + 5].startswith('    return model.get_submodule("activation")')
    scope: dict[str, Any] = {"model": built(Shared)}
    exec(code, scope)
    donor: list[Tensor] = []
    with scope["graft"](donor):
        scope["model"](torch.zeros(1, LATENTS))
    z = torch.ones(1, LATENTS, requires_grad=True)
    with scope["graft"]([], donor, scope["module_0"]):
        scope["model"](z).sum().backward()
    assert z.grad is not None
    assert z.grad.abs().sum() > 0


def test_tokens_are_swapped_along_their_last_axis_and_other_inputs_are_kept() -> None:
    class Scaled(nn.Module):
        def forward(self, tokens: Tensor, factor: float) -> Tensor:
            return tokens * factor

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Scaled()

        def forward(self, tokens: Tensor) -> Tensor:
            scaled: Tensor = self.inner(tokens, 2.0)
            return scaled

    model = bare_model(("inner", True, 0), LayerKind.TOKENS)
    scope: dict[str, Any] = {"model": Outer()}
    exec(torch_code(model, model.layers[0], {0: [], 4: [1]}), scope)
    assert scope["module_0"] == []
    donor: list[Tensor] = []
    with scope["graft"](donor):
        scope["model"](torch.ones(1, 3, 2))
    with scope["graft"]([], donor, scope["module_4"]):
        swapped = scope["model"](torch.zeros(1, 3, 2))
    np.testing.assert_array_equal(swapped, [[[0.0, 2.0]] * 3])


def bare_model(hook: tuple[str, bool, int], kind: LayerKind) -> Any:
    from graftscope.client import ImageFormat, Model, TorchHook

    layer = Layer("mid", "", kind, 2, 3, 1, "t", (), torch_hook=TorchHook(*hook))
    return Model("bare", "0" * 64, (), ImageFormat(3, 4, 4, -1.0, 1.0), (layer,), False, {})


def test_modules_that_are_found_now_are_printed_too(
    shell: Shell, client: Client, tmp_path: Path
) -> None:
    out, layer = tmp_path / "found.npz", layer_of(client, "bumps", 0)
    asked = ("modules", "--model", "bumps", "--layer", layer, "--pairs", 32, "--k", 4)
    code, printed, _ = shell(*asked, "--as", "torch", "--out", out)
    assert code == 0
    again = shell("modules", "--modules", out, "--as", "torch")
    assert again == (0, printed, "")
    document = shell.json("modules", "--modules", out, "--as", "torch")
    assert document["code"] == printed.rstrip("\n")
    assert document["torch_hook"] == {"module": "paint", "input": True, "call": 0}
    listed = [channel for each in document["modules"] for channel in each["channels"]]
    assert sorted(listed) == list(range(LATENTS))


@pytest.mark.parametrize(
    ("name", "place", "asked", "code", "said"),
    [
        ("nowhere", 1, (), 4, "'nowhere' does not say where PyTorch computes its layers"),
        ("shared", 0, (), 4, "is no output or input of a PyTorch module; layers that are: "),
        ("shared", 2, (), 4, "is of 6 channels, layer "),
        ("shared", 1, ("--as", "jax"), 4, "there is: torch"),
        ("shared", 1, ("--out", "m.npz"), 2, "leave out --maps, --out, --dry-run"),
    ],
)
def test_what_has_no_hook_is_one_line(
    shell: Shell,
    client: Client,
    tmp_path: Path,
    name: str,
    place: int,
    asked: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    write_npz(tmp_path / "modules.npz", {"labels": np.array([0, 0, 1, 1, -1, 0])})
    where = ("--model", name, "--layer", layer_of(client, name, place))
    form = () if "--as" in asked else ("--as", "torch")
    told = shell.refused("modules", *where, "--modules", tmp_path / "modules.npz", *form, *asked)
    assert told[0] == code
    assert said in told[1]


def test_a_layer_without_hook_is_refused_before_maps_are_computed(
    shell: Shell, client: Client
) -> None:
    where = ("--model", "nowhere", "--layer", layer_of(client, "nowhere", 0))
    code, err = shell.refused("modules", *where, "--as", "torch")
    assert code == 4
    assert "does not say where PyTorch computes its layers" in err
