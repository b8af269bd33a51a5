"""Facts about exporting some of a generator's layers, and how long the rest of an export takes."""

from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from graftscope.bundle import read_bundle
from graftscope.client.cli import run
from graftscope.client.cli._export_pace import ExportPace
from graftscope.client.display import Advance
from graftscope.exporter import ExportProgress, SourceError, export
from graftscope.exporter.progress import ExportStage
from onnx_cases import save
from onnx_toys import SKIP, parse

ALL = ["z", "first", "second", "joined"]


def exported(tmp_path: Path, *layers: str) -> list[str]:
    found = export(save(tmp_path / "toy.onnx", SKIP), tmp_path / "toy", layers=layers)
    names = [layer.name for layer in read_bundle(tmp_path / "toy").manifest.layers]
    (told,) = [x for x in found.notes if "--layer" in x] or [""]
    assert told == (
        ""
        if names == ALL
        else f"{len(names)} of 4 layers; --layer takes another "
        "number, or names and patterns such as 'up.*'"
    )
    return names


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ((), ALL),
        (("3",), ALL),
        (("1",), ["z", "second"]),
        (("2",), ["z", "first", "joined"]),
        (("joined,f*",), ["z", "first", "joined"]),
        (("joined", "first"), ["z", "first", "joined"]),
        (("z",), ["z"]),
    ],
)
def test_a_number_is_spread_evenly_and_names_are_taken_as_patterns(
    tmp_path: Path, layers: tuple[str, ...], names: list[str]
) -> None:
    assert exported(tmp_path, *layers) == names


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("fist", "--layer 'fist' is the name of none of 4 layers: z, first, second, joined"),
        ("0", "--layer '0' cannot be read; allowed: how many, at least 1, or names and patterns"),
        ("2,first", "--layer '2,first' cannot be read; allowed: how many"),
        ("-1", "--layer '-1' cannot be read"),
    ],
)
def test_what_names_no_layer_is_refused(tmp_path: Path, layers: str, message: str) -> None:
    with pytest.raises(SourceError) as refused:
        exported(tmp_path, layers)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ("2", ["z", "2"]),
        ("2,joined", ["z", "2", "joined"]),
        ("1", ["z", "2"]),  # names no layer: one, from the middle
        ("3", ["z", "first", "2", "joined"]),
    ],
)
def test_a_number_that_is_a_layers_name_takes_that_layer(
    tmp_path: Path, layers: str, names: list[str]
) -> None:
    model = parse(SKIP)
    (second,) = (each for node in model.graph for each in node.outputs if each.name == "second")
    second.name = "2"
    onnx.save(ir.to_proto(model), tmp_path / "toy.onnx")
    found = export(tmp_path / "toy.onnx", tmp_path / "toy", layers=[layers]).manifest
    assert [layer.name for layer in found.layers] == names


def test_the_command_line_takes_layers_once_or_often(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(save(tmp_path / "toy.onnx", SKIP))
    given = ["export", source, "--out", str(tmp_path / "toy"), "--layer", "first"]
    assert run([*given, "--layer", "joined"]) == 0
    assert "exported toy with 3 layers" in capsys.readouterr().out


def test_a_long_proof_tells_its_time_and_what_takes_less(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown: list[Advance] = []
    seconds = iter(range(0, 10_000, 5))
    pace = ExportPace(shown.append, clock=lambda: float(next(seconds)))
    for done in range(8):
        pace(ExportProgress(ExportStage.PROVING, done, 560))
    assert [advance.eta_s for advance in shown[:6]] == [None] * 6
    # Two looks at the clock where a stage begins, then one a report: 5 s each.
    assert shown[6].eta_s == pytest.approx(35 / 6 * 554)
    told = capsys.readouterr().err
    assert told.count("--layer 20 keeps that many layers") == 1
