"""Facts about files of weights: where in them a module's tensors are found, and what is refused."""

import argparse
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import factory_toys
from graftscope.exporter import SourceError, SourceNotFoundError, export
from graftscope.exporter.sources._weights import load_weights

STATE = {
    "fc.weight": torch.arange(6.0).reshape(2, 3),
    "fc.bias": torch.tensor([7.0, 8.0]),
    "norm.weight": torch.tensor([9.0, 10.0]),
    "norm.bias": torch.tensor([11.0, 12.0]),
    "norm.running_mean": torch.tensor([13.0, 14.0]),
    "norm.running_var": torch.tensor([15.0, 16.0]),
}
"""Known tensors, BatchNorm's counter left out."""

OTHER = {name: -tensor for name, tensor in STATE.items()}
COUNTER = {"norm.num_batches_tracked": torch.tensor(5)}
STRANGE = {"conv.weight": torch.ones(4, 4), "conv.bias": torch.ones(4)}


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)


class Around(nn.Module):
    """All of its names begin alike."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Small()


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3, bias=False)
        self.second = nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight


class Settings:
    """A class that whoever reads the file does not have, and that must not be made."""

    def __init__(self) -> None:
        self.rate = 0.1

    def __setstate__(self, state: object) -> None:
        raise AssertionError("code of the file was run")


class EasyDict(dict[str, object]):
    """A dictionary of a class of its own."""


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def loaded(content: object, tmp_path: Path, key: str = "", module: nn.Module | None = None) -> str:
    """Load known tensors from what `torch.save` writes; return the note."""
    torch.save(content, tmp_path / "w.pt")
    module = Small() if module is None else module
    notes = load_weights(module, f"{tmp_path / 'w.pt'}{key}")
    found = {name.removeprefix("model."): tensor for name, tensor in module.state_dict().items()}
    for name, tensor in STATE.items():
        assert torch.equal(found[name], tensor), name
    return "".join(notes)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin", ".pkl", ".tar"])
def test_a_state_dict_of_torch_save_is_loaded(tmp_path: Path, suffix: str) -> None:
    torch.save(OrderedDict(STATE | COUNTER), tmp_path / f"w{suffix}")
    module = Small()
    assert load_weights(module, tmp_path / f"w{suffix}") == ()
    assert torch.equal(module.fc.weight.data, STATE["fc.weight"])


def test_the_only_dictionary_that_fits_is_found_and_said(tmp_path: Path) -> None:
    content = {
        "epoch": 3,
        "state_dict": STATE | COUNTER,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]},
    }
    assert loaded(content, tmp_path) == "weights: 'state_dict' of w.pt"


def test_a_list_is_looked_into(tmp_path: Path) -> None:
    assert loaded([7, {"net": STATE | COUNTER}, STRANGE], tmp_path) == "weights: '1.net' of w.pt"


@pytest.mark.parametrize("prefix", ["module.", "generator.", "_orig_mod.", "a.b.c."])
def test_a_common_prefix_is_stripped_and_said(tmp_path: Path, prefix: str) -> None:
    content = prefixed(prefix, STATE | COUNTER)
    assert loaded(content, tmp_path) == f"weights: w.pt, prefix {prefix!r} stripped"


def test_what_lies_beside_the_prefix_is_another_networks(tmp_path: Path) -> None:
    both = prefixed("generator.", STATE | COUNTER) | prefixed("discriminator.", STRANGE)
    wanted = "'state_dict' of w.pt, prefix 'generator.' stripped; 2 tensors beside it left alone"
    assert loaded({"state_dict": both}, tmp_path).endswith(wanted)


def test_names_may_lack_what_all_of_the_modules_begin_with(tmp_path: Path) -> None:
    assert loaded(STATE | COUNTER, tmp_path, module=Around()) == ""
    assert loaded(prefixed("model.", STATE | COUNTER), tmp_path, module=Around()) == ""


def test_steps_of_wrappers_inside_of_names_are_left_out(tmp_path: Path) -> None:
    inside = {name.replace(".", ".module.", 1): each for name, each in (STATE | COUNTER).items()}
    wanted = "weights: w.pt, steps 'module' and '_orig_mod' left out of names"
    assert loaded(inside, tmp_path) == wanted


@pytest.mark.parametrize("key", ["g_ema", "model.g_ema", "model.g_ema.net"])
def test_a_key_names_a_dictionary_or_a_prefix_however_deep(tmp_path: Path, key: str) -> None:
    content: dict[str, object] = {"g": OTHER, "g_ema": STATE}
    if key == "model.g_ema":
        content = {"model": content}
    if key == "model.g_ema.net":
        content = {"model": {"g_ema": prefixed("net.", STATE) | prefixed("other.", OTHER)}}
    assert loaded(content, tmp_path, f":{key}") == (
        "weights: " + (f"{key!r} of w.pt, ") + "without BatchNorm's counters, which are not needed"
    )


def test_a_key_is_a_prefix_in_safetensors(tmp_path: Path) -> None:
    save_file(prefixed("a.", STATE) | prefixed("b.", OTHER), tmp_path / "w.safetensors")
    module = Small()
    load_weights(module, f"{tmp_path / 'w.safetensors'}:b")
    assert torch.equal(module.get_buffer("norm.running_var"), OTHER["norm.running_var"])


def test_several_that_fit_are_asked_about(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"hold 2 sets of tensors that fit Small: 'g', 'g_ema'; "
    ) as e:
        loaded({"g": STATE, "g_ema": OTHER}, tmp_path)
    assert str(e.value).endswith(f"say which, such as --weights {tmp_path / 'w.pt'}:g_ema")
    with pytest.raises(SourceError, match="fit Small: 'a', 'b'; say which"):
        loaded(prefixed("a.", STATE) | prefixed("b.", OTHER), tmp_path)


def test_counters_may_lack_or_be_left_over(tmp_path: Path) -> None:
    assert loaded(STATE, tmp_path).endswith("without BatchNorm's counters, which are not needed")
    more = STATE | COUNTER | {"other.num_batches_tracked": torch.tensor(1)}
    assert loaded(more, tmp_path) == ""


def test_one_of_the_tensors_that_a_module_shares_is_enough(tmp_path: Path) -> None:
    torch.save({"first.weight": torch.eye(3)}, tmp_path / "w.pt")
    module = Tied()
    assert load_weights(module, tmp_path / "w.pt") == ()
    assert torch.equal(module.second.weight, torch.eye(3))


def test_nothing_in_a_file_is_run_and_settings_beside_tensors_do_no_harm(tmp_path: Path) -> None:
    content = {"g": STATE | COUNTER, "args": argparse.Namespace(a=1), "settings": Settings()}
    assert loaded(content, tmp_path) == "weights: 'g' of w.pt"
    assert loaded(content | {"more": EasyDict(a=1)}, tmp_path) == "weights: 'g' of w.pt"


def test_a_module_that_was_saved_whole_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r": a module that was saved whole, .* the factory load"):
        loaded(Small(), tmp_path)


def test_a_plain_pickle_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "network.pkl"
    path.write_bytes(pickle.dumps({"G_ema": Settings()}))
    with pytest.raises(
        SourceError, match=r"cannot be read without running .* let the factory"
    ) as e:
        load_weights(Small(), path)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc.bias": None}, "missing: fc.bias$"),
        ({"extra": torch.ones(1)}, "unexpected: extra$"),
        ({"fc.bias": torch.ones(3)}, r"of another shape: fc\.bias \(3,\) instead of \(64,\)$"),
        (
            dict.fromkeys(["fc.bias", "fc.weight", "colours.bias", "colours.weight"]),
            "missing: fc.weight, fc.bias, colours.weight and 1 more$",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(
    tmp_path: Path, change: dict[str, Tensor | None], message: str
) -> None:
    state = {**factory_toys.decoder().state_dict(), **change}
    path = tmp_path / "decoder.safetensors"
    save_file({name: tensor for name, tensor in state.items() if tensor is not None}, path)
    with pytest.raises(SourceError, match=rf"do not fit Decoder; {message}"):
        load_weights(factory_toys.decoder(), path)


def test_what_does_not_fit_tells_the_nesting_and_the_prefixes_that_were_seen(
    tmp_path: Path,
) -> None:
    missing = {name: each for name, each in STATE.items() if name != "fc.bias"}
    content = {
        "state_dict": prefixed("generator.", missing) | prefixed("discriminator.", STRANGE),
        "ema": STRANGE,
    }
    with pytest.raises(SourceError) as e:
        loaded(content, tmp_path)
    assert str(e.value).endswith(
        "do not fit Small (nearest is 'state_dict.generator' of: 'state_dict' (7 tensors "
        "generator., discriminator.), 'ema' (2 tensors conv.)); missing: fc.bias"
    )
    with pytest.raises(SourceError, match=r"have no 'g'; they hold: 'state_dict' \(7 tensors gen"):
        loaded(content, tmp_path, ":g")


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    for text in ("none.safetensors", "none.pt:g_ema"):
        with pytest.raises(SourceNotFoundError, match=r"none\.(safetensors|pt)' do not exist"):
            load_weights(factory_toys.decoder(), tmp_path / text)
    (tmp_path / "bad.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(SourceError, match=r"bad\.safetensors' are no Safetensors file: "):
        load_weights(factory_toys.decoder(), tmp_path / "bad.safetensors")
    for content in (b"nothing of the kind", b""):
        (tmp_path / "bad.pt").write_bytes(content)
        with pytest.raises(SourceError, match=r"bad\.pt' cannot be read without running"):
            load_weights(factory_toys.decoder(), tmp_path / "bad.pt")
    for nothing in ({"epoch": 3}, {}, 5):
        with pytest.raises(SourceError, match=r"hold no tensors by name, but "):
            loaded(nothing, tmp_path)


def test_the_key_is_told_where_the_bundle_comes_from(tmp_path: Path) -> None:
    torch.save({"g_ema": factory_toys.decoder().state_dict()}, tmp_path / "w.pt")
    exported = export(
        "factory_toys:decoder", tmp_path / "toy", weights=f"{tmp_path / 'w.pt'}:g_ema"
    )
    assert exported.manifest.provenance.recipe == "made by factory_toys:decoder with w.pt:g_ema"
