"""Facts about the chain of layers that `inspect` draws, and about what it is drawn from."""

import json
from pathlib import Path

import pytest

from graftscope.client import LayerKind, Model, TorchHook
from graftscope.client.cli import run
from graftscope.client.cli._generator_drawing import PLAIN, draw_chain
from graftscope.client.hooks import torch_place
from graftscope.client.wire import model_from
from graftscope.client.words import rounded
from graftscope.v1 import bundle_pb2, model_service_pb2

LONG = "decoder.up_blocks.2.resnets.1.conv_shortcut.nonlinearity"


def everything() -> bundle_pb2.Bundle:
    """A manifest with every kind of input and of layer."""
    made = bundle_pb2.Bundle(format=1, name="all", digest="a" * 64)
    made.image.CopyFrom(bundle_pb2.Image(channels=3, height=256, width=128, low=0.0, high=255.0))
    add = made.inputs.add
    add(name="z", datatype="FP32", shape=[128]).normal.SetInParent()
    add(name="u", datatype="FP32", shape=[4, 2]).uniform.CopyFrom(
        bundle_pb2.Uniform(low=-1.0, high=1.0)
    )
    add(name="t", datatype="FP32", shape=[8]).truncated_normal.threshold = 0.7
    add(name="label", datatype="INT64").classes.count = 10
    add(name="k", datatype="FP32", shape=[1]).fixed.file = "fixed.safetensors"
    add(name="w", datatype="FP32", shape=[64]).stored.count = 1500
    add(name="noise", datatype="FP32", shape=[1, 4, 4], noise=True).normal.SetInParent()
    layers = made.layers.add
    layers(name="z", kind=bundle_pb2.LAYER_KIND_VECTOR, channels=128, height=1, width=1, tensor="z")
    layers(
        name=LONG,
        level="coarse",
        kind=bundle_pb2.LAYER_KIND_MAP,
        channels=64,
        height=16,
        width=8,
        tensor="/up/Relu",
        carried=[
            "z",
            "label",
            "/a/quite/long/name/Add_output_0",
            "/another/long/name/Add_output_0",
        ],
        upstream_parameters=3_214,
        downstream_parameters=2_123_456,
        upstream_mflop=0.0125,
        downstream_mflop=12_345.6,
    )
    layers(name="tokens", kind=bundle_pb2.LAYER_KIND_TOKENS, channels=64, height=196, width=1)
    made.provenance.torch_hooks[LONG].CopyFrom(bundle_pb2.TorchHook(module="up.1", call=2))
    return made


def model_of(manifest: bundle_pb2.Bundle) -> Model:
    return model_from(model_service_pb2.Model(name="models/all", bundle=manifest))


def drawn(width: int, *, carried: bool = True) -> list[str]:
    lines = draw_chain(model_of(everything()), width, PLAIN, carried=carried)
    return [line.plain for line in lines]


def test_a_model_says_how_its_inputs_are_drawn_and_what_its_layers_cost() -> None:
    model = model_of(everything())
    assert [each.drawn for each in model.inputs] == [
        "normal",
        "uniform [-1, 1)",
        "truncated 0.7",
        "classes 10",
        "constant",
        "stored 1,500 rows",
        "normal",
    ]
    assert [layer.shape for layer in model.layers] == [(128,), (64, 16, 8), (196, 64)]
    assert [layer.kind for layer in model.layers] == [
        LayerKind.VECTOR,
        LayerKind.MAP,
        LayerKind.TOKENS,
    ]
    middle = model.layer("coarse")
    assert (middle.upstream_parameters, middle.downstream_mflop) == (3214, 12345.6)
    assert middle.torch_hook == TorchHook("up.1", False, 2)
    assert [layer.torch_hook for layer in model.layers if layer is not middle] == [None, None]


@pytest.mark.parametrize(
    ("hook", "place"),
    [
        (TorchHook("a.b", input=False, call=0), 'returned by "a.b"'),
        (TorchHook("a.b", input=True, call=1), 'given to "a.b", call 1'),
        (TorchHook("", input=True, call=0), "given to the model"),
    ],
)
def test_where_pytorch_computes_a_layer_is_what_a_module_returns_or_is_given(
    hook: TorchHook, place: str
) -> None:
    assert torch_place(hook) == place


def test_the_chain_leads_from_the_inputs_down_to_the_image() -> None:
    lines = drawn(200)
    assert "parameters" in lines[0]
    assert lines[1].split() == ["up", "down", "up", "down"]
    told = [" ".join(line.split()) for line in lines[2:]]
    assert told == [
        "o z 128 normal",
        "o u 4 x 2 uniform [-1, 1)",
        "o t 8 truncated 0.7",
        "o label scalar classes 10",
        "o k 1 constant",
        "o w 64 stored 1,500 rows",
        "o noise 1 x 4 x 4 normal, noise",
        "|",
        "* z 128 - - - -",
        f"* {LONG} 64 x 16 x 8 coarse 3.2 k 2.1 M 0.013 12,346",
        '| returned by "up.1", call 2',
        "| with z, label, /a/quite/long/name/Add_output_0, /another/long/name/Add_output_0",
        "* tokens 196 tokens x 64 - - - -",
        "v image 3 x 256 x 128 0 to 255",
    ]


def test_a_narrow_terminal_is_never_too_narrow_for_a_line() -> None:
    lines = drawn(80)
    assert max(map(len, lines)) <= 80
    # The end of a name tells most.
    assert any(line.startswith("* ") and "~" in line and "earity" in line for line in lines)
    assert "|   with z, label, /a/quite/long/name/Add_output_0 and 1 more" in lines


def test_what_is_carried_can_be_left_out() -> None:
    assert not any("with" in line for line in drawn(80, carried=False))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "-"),
        (0.004, "0.004"),
        (3.44, "3.4"),
        (9.99, "10"),
        (512, "512"),
        (999.7, "1 k"),
        (12_345, "12 k"),
        (3_440_000, "3.4 M"),
        (2e12, "2000 G"),
    ],
)
def test_amounts_are_told_in_two_or_three_digits(value: float, told: str) -> None:
    assert rounded(value) == told


def test_inspect_draws_the_chain_of_a_bundle(
    toy_skip_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads((toy_skip_bundle / "manifest.json").read_text())
    assert run(["inspect", str(toy_skip_bundle)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"toy-skip, digest {manifest['digest']}, without encoder"
    layers = [line.split()[1] for line in lines if line.startswith("●")]
    assert layers == [layer["name"] for layer in manifest["layers"]]
    assert lines[-1].startswith("▼ image")


def test_a_pipe_that_knows_ascii_alone_gets_ascii(
    toy_skip_bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "out.txt").open("w", encoding="ascii") as out:
        monkeypatch.setattr("sys.stdout", out)
        assert run(["inspect", str(toy_skip_bundle)]) == 0
    assert "v image" in (tmp_path / "out.txt").read_text(encoding="ascii")


def test_a_generator_that_ships_is_inspected_by_its_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["inspect", "gan-cifar10"]) == 0
    assert capsys.readouterr().out.startswith("gan-cifar10, digest ")
    assert run(["inspect", "nobodys"]) == 3
    assert "'nobodys' does not exist or is not a folder" in capsys.readouterr().err
