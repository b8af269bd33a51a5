"""Facts about where a bundle says that PyTorch computes its layers."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks.bundles import export_module
from graftscope.bundle import read_bundle
from graftscope.exporter import SourceError
from graftscope.exporter.sources._hooks import HookPlace, editing
from graftscope.exporter.sources._trace import Replay
from torch_toys import built


class Functional(nn.Module):
    """Latents (B, 6) to images; `inner` is given what a sum reads too."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 64)
        self.inner = nn.Conv2d(4, 4, 3, padding=1)
        self.outer = nn.Conv2d(4, 4, 3, padding=1)
        self.colours = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        first = self.fc(z).view(-1, 4, 4, 4).relu()
        second = self.inner(first).relu()
        return torch.tanh(self.colours(self.outer(second) + first))


class InPlace(nn.Module):
    """One activation function that changes what it is given, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 64)
        self.norm = nn.BatchNorm2d(4)
        self.inner = nn.Conv2d(4, 4, 3, padding=1)
        self.colours = nn.Conv2d(4, 3, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, z: Tensor) -> Tensor:
        first = self.relu(self.norm(self.fc(z).view(-1, 4, 4, 4)))
        return torch.tanh(self.colours(self.relu(self.inner(first))))


def places(kind: type[nn.Module], out: Path) -> dict[str, tuple[str, bool, int]]:
    """Export a module; return module, input and call by the layer's name."""
    manifest = export_module(built(kind), {"z": torch.zeros(2, 6)}, out / "toy")
    hooks = manifest.provenance.torch_hooks
    assert set(hooks) <= {layer.name for layer in manifest.layers}
    return {name: (hook.module, hook.input, hook.call) for name, hook in hooks.items()}


def test_a_module_that_is_given_what_others_read_too_is_no_place(tmp_path: Path) -> None:
    # `fc` is read by `inner` and by the sum, so an edit of what `inner` is given is another edit.
    assert places(Functional, tmp_path) == {
        "z": ("", True, 0),
        "inner": ("outer", True, 0),
        "outer": ("colours", True, 0),
    }


def test_calls_of_one_activation_function_are_told_apart(tmp_path: Path) -> None:
    assert places(InPlace, tmp_path) == {
        "z": ("", True, 0),
        "norm": ("relu", False, 0),
        "inner": ("relu", False, 1),
    }


def test_a_stage_is_preferred_to_its_parts(toy_vae_bundle: Path) -> None:
    manifest = read_bundle(toy_vae_bundle).manifest
    hooks = manifest.provenance.torch_hooks
    for layer in manifest.layers[1:]:
        assert (hooks[layer.name].module, hooks[layer.name].input) == (layer.name, False)


def test_an_edit_acts_once_and_as_long_as_it_is_wanted() -> None:
    module, z = built(InPlace), torch.ones(1, 6)
    with torch.no_grad():
        image = module(z)
        with editing(module, HookPlace(False, 0, 1, 1, "relu"), torch.zeros_like):
            edited = module(z)
        colours = torch.tanh(module.get_parameter("colours.bias"))
        assert torch.equal(edited, colours[None, :, None, None].expand_as(edited))
        assert torch.equal(module(z), image)


def test_what_is_drawn_comes_from_the_given_tensors_in_order() -> None:
    like = torch.zeros(2, 3)
    draws = [torch.full((2, 3), float(i)) for i in range(4)]
    with Replay(draws):
        drawn = [torch.randn(2, 3), torch.rand_like(like), torch.empty(2, 3).normal_()]
        scaled = torch.empty(2, 3).normal_(1.0, 2.0)
    assert [float(each.mean()) for each in drawn] == [0.0, 1.0, 2.0]
    assert torch.equal(scaled, torch.full((2, 3), 7.0))


def test_one_draw_for_a_whole_batch_is_that_of_its_first_sample() -> None:
    with Replay([torch.arange(6.0).reshape(2, 3)]):
        assert torch.equal(torch.randn(1, 3), torch.tensor([[0.0, 1.0, 2.0]]))


def test_draws_that_the_graph_does_not_have_are_refused() -> None:
    with Replay([torch.zeros(2)]):
        torch.randn(2)
        with pytest.raises(SourceError, match="more often than its graph: 1 times"):
            torch.randn(2)
    wanted = r"have shape \(3,\) where those of its graph have \(2,\)"
    with Replay([torch.zeros(2)]), pytest.raises(SourceError, match=wanted):
        torch.randn(3)
