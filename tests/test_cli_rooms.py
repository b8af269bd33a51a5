"""Facts about the verbs that hand over to another room: train, export, serve."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from subprocess import PIPE
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from _fake_model import DIGEST, manifest
from graftscope.client.cli import run


class Stage(Enum):
    """As the rooms' own."""

    WORKING = "working"


def room(monkeypatch: pytest.MonkeyPatch, name: str, **members: object) -> None:
    """Put a room in the place of the real one."""
    module = ModuleType(f"graftscope.{name}")
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_train_hands_over_its_options_and_shows_the_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given: dict[str, Any] = {}

    def train(*arguments: Any, on_progress: Callable[[Any], None], **named: Any) -> Any:
        given.update(arguments=arguments, **named)
        on_progress(
            SimpleNamespace(
                stage=Stage.WORKING,
                step=3,
                steps=9,
                images_per_s=1500.0,
                eta_s=12.0,
                losses={"loss": 0.25},
            )
        )
        skipped = tuple(SimpleNamespace(name=f"{i}.jpg", reason="truncated") for i in range(7))
        return SimpleNamespace(checkpoint=tmp_path, skipped=skipped)

    room(monkeypatch, "training", train=train)
    options = ["--steps", "9", "--seed", "4", "--set", "epochs=2", "--set", "beta=0.1", "--resume"]
    arguments = ["train", "vae-celeba", "--data", "d.zip", "--out", str(tmp_path), *options]
    assert run([*arguments, "--json"]) == 0
    told = capsys.readouterr()
    assert given == {
        "arguments": ("vae-celeba", "d.zip", tmp_path),
        "steps": 9,
        "seed": 4,
        "resume": True,
        "overrides": ["epochs=2", "beta=0.1"],
        "on_plan": given["on_plan"],
    }
    assert json.loads(told.out) == {"checkpoint": str(tmp_path), "skipped": 7}
    lines = told.err.splitlines()
    assert lines[0] == "train: working: 3 of 9 done, 1,500 images/s, loss 0.25, 12 s left"
    assert lines[1] == "skipped 0.jpg: truncated"
    assert lines[-1] == f"skipped 7 images in all; {tmp_path}/skipped.csv lists them"


@pytest.mark.parametrize(
    ("stage", "step", "saved_step", "said"),
    [
        ("decoding", 50, None, "before the first step: start the same command again"),
        ("training", 0, 0, "after step 0; step 0 is saved"),
        ("training", 612, 500, "after step 612; step 500 is saved"),
        ("measuring", 64, 900, "after step 900; step 900 is saved"),
    ],
)
def test_an_interrupted_training_says_what_is_saved(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stage: str,
    step: int,
    saved_step: int | None,
    said: str,
) -> None:
    def train(*_: Any, on_progress: Callable[[Any], None], **__: Any) -> Any:
        on_progress(
            SimpleNamespace(
                stage=SimpleNamespace(value=stage),
                step=step,
                steps=900,
                images_per_s=0.0,
                eta_s=None,
                losses={},
                saved_step=saved_step,
            )
        )
        raise KeyboardInterrupt

    room(monkeypatch, "training", train=train)
    assert run(["train", "vae-celeba", "--data", "d", "--out", "o"]) == 130
    shown, told = capsys.readouterr().err.splitlines()
    assert shown == f"train: {stage}: {step} of 900 done"
    assert told.startswith(f"graftscope: interrupted {said}")
    assert told.endswith("--resume goes on from there") is (saved_step is not None)


@dataclass(frozen=True)
class Quality:
    """As the training room's, as far as the verb reads it."""

    halves: Any
    images: int = 994
    repeats: int = 10
    features: Any = field(
        default_factory=lambda: SimpleNamespace(
            answers=("Bald", "Young"),
            task=SimpleNamespace(value="celeba"),
            accuracy=0.89,
            commonest_accuracy=0.8,
        )
    )

    @property
    def sources(self) -> dict[str, Any]:
        samples = SimpleNamespace(
            mean=SimpleNamespace(frechet=7.0, kernel=1.5),
            deviation=SimpleNamespace(frechet=0.75, kernel=0.25),
        )
        return {"halves": self.halves, "prior": samples}


def test_measure_hands_over_its_options_and_tells_the_distances(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {}
    halves = SimpleNamespace(
        mean=SimpleNamespace(frechet=2.0, kernel=0.0),
        deviation=SimpleNamespace(frechet=0.5, kernel=0.125),
    )

    def measure(*arguments: Any, on_progress: Callable[[Any], None], **named: Any) -> Any:
        given.update(arguments=arguments, **named)
        on_progress(
            SimpleNamespace(
                stage=Stage.WORKING, step=1, steps=2, images_per_s=0.0, eta_s=None, losses={}
            )
        )
        return Quality(halves)

    room(monkeypatch, "training", measure=measure)
    options = ["--features", "f.safetensors", "--labels", "l.txt", "--seed", "3"]
    arguments = ["measure", "runs/a", "--data", "d.zip", *options]
    assert run(arguments) == 0
    told = capsys.readouterr()
    assert given == {
        "arguments": (Path("runs/a"), "d.zip"),
        "features": Path("f.safetensors"),
        "labels": Path("l.txt"),
        "seed": 3,
    }
    assert told.err == "measure: working: 1 of 2 done\n"
    _, other_half, samples, note = told.out.splitlines()
    assert other_half.split("  ")[0] == "other half of the held-out"
    assert samples.split() == ["samples,", "prior", "7", "±", "0.75", "3.5", "1.5", "±", "0.25"]
    assert "2 celeba labels with accuracy 0.890 (0.800 for the commonest answer)" in note
    assert note.endswith("-> runs/a/quality.json")
    assert run([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 994


def test_train_classifier_hands_over_its_options_and_tells_what_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {}

    def train_classifier(*arguments: Any, on_progress: Callable[[Any], None], **named: Any) -> Any:
        given.update(arguments=arguments, **named)
        told = [SimpleNamespace(name="Bald", held_out=27, accuracy=0.75)]
        return SimpleNamespace(told=told, accuracy=0.75, held_out=1000)

    room(monkeypatch, "exporter", train_classifier=train_classifier)
    options = ["--labels", "l.txt", "--epochs", "2", "--seed", "3", "--overwrite"]
    arguments = ["train-classifier", "celeba", "--data", "d.zip", "--out", "c.onnx", *options]
    assert run(arguments) == 0
    assert given == {
        "arguments": ("celeba", "d.zip", Path("c.onnx")),
        "labels": Path("l.txt"),
        "epochs": 2,
        "seed": 3,
        "overwrite": True,
    }
    _, row, last = capsys.readouterr().out.splitlines()
    assert row.split() == ["Bald", "27", "0.750"]
    assert last == "mean accuracy 0.750 on 1,000 held-out images -> c.onnx"
    assert run([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["told"] == {"Bald": 0.75}
    assert run(["train-classifier", "cats", "--data", "d", "--out", "c.onnx"]) == 2
    assert "'cats' cannot be learnt; there are: celeba, cifar10" in capsys.readouterr().err


def exporting(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put an exporter in the place of the real one; what it is given is kept."""
    given: dict[str, Any] = {}

    def export(*arguments: Any, on_progress: Callable[[Any], None], **named: Any) -> Any:
        given.update(arguments=arguments, **named)
        on_progress(SimpleNamespace(stage=Stage.WORKING, done=1, total=2))
        return SimpleNamespace(manifest=manifest(), notes=("input 'z' (6,): normal, guessed",))

    room(monkeypatch, "exporter", export=export)
    return given


def test_export_tells_the_bundle_that_it_wrote(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exporting(monkeypatch)
    arguments = ["export", "model.onnx", "--out", "b"]
    assert run([*arguments, "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {
        "bundle": "b",
        "name": "toy",
        "digest": DIGEST,
        "layers": ["conv1", "conv2"],
        "notes": ["input 'z' (6,): normal, guessed"],
    }
    assert told.err == "export: working: 1 of 2 done\ninput 'z' (6,): normal, guessed\n"
    assert run(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "exported toy with 2 layers -> b"
    assert [line.split()[1] for line in lines if line[:1] in ("○", "●", "▼")] == [
        "z",
        "conv1",
        "conv2",
        "image",
    ]


def test_export_hands_over_its_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = exporting(monkeypatch)
    assert run(["export", "runs/a", "--out", "b"]) == 0
    unsaid: dict[str, Any] = {
        "data": None,
        "encoder": None,
        "encoder_outputs": [],
        "encoder_range": None,
        "encoder_weights": None,
        "layers": [],
        "replace_encoder": False,
    }
    plain: dict[str, Any] = {
        **unsaid,
        "inputs": [],
        "shapes": [],
        "output": None,
        "image_range": None,
        "image_shape": None,
        "weights": None,
    }
    assert given == {
        "arguments": ("runs/a", Path("b")),
        **plain,
        "image_range": None,
        "weights": None,
        "name": None,
        "licence": None,
        "overwrite": False,
    }
    options = ["--name", "faces", "--licence", "CC0", "--overwrite", "--output", "sample"]
    inputs = ["--input", "z=truncated:0.7", "--input", "label=classes:10", "--shape", "z=100,1,1"]
    weights = ["--weights", "w.safetensors", "--range", "-1,1"]
    weights += ["--image-shape", "1,28,28"]
    assert run(["export", "my.models:make", "--out", "b", *options, *inputs, *weights]) == 0
    capsys.readouterr()
    assert given == {
        "arguments": ("my.models:make", Path("b")),
        **unsaid,
        "inputs": ["z=truncated:0.7", "label=classes:10"],
        "shapes": ["z=100,1,1"],
        "output": "sample",
        "image_range": (-1.0, 1.0),
        "image_shape": (1, 28, 28),
        "weights": "w.safetensors",
        "name": "faces",
        "licence": "CC0",
        "overwrite": True,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1", "is not two numbers"),
        ("0,1,2", "is not two numbers"),
        ("a,b", "is not two numbers"),
        ("0,inf", "is not two numbers"),
        ("1,-1", "the first number must be the lower one"),
    ],
)
def test_a_range_that_is_none_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    exporting(monkeypatch)
    assert run(["export", "m.onnx", "--out", "b", "--range", text]) == 4
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert said in told[0]


def test_serve_leaves_to_the_server_what_is_not_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[dict[str, object]] = []

    def configure(flags: dict[str, object], config: Path | None) -> Any:
        given.append({**flags, "config": config})
        return SimpleNamespace(settings=SimpleNamespace(log_format="text"))

    def serve(settings: Any, on_ready: Callable[[str], None]) -> None:
        on_ready("127.0.0.1:1")

    room(monkeypatch, "server", serve=serve)
    room(monkeypatch, "server.settings", configure=configure)
    assert run(["serve", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"address": "127.0.0.1:1"}
    options = ["--bundle", "a", "--bundles", "b", "--workers", "2", "--no-resume", "--insecure"]
    assert run(["serve", *options, "--config", "c.toml"]) == 0
    assert given == [
        {"config": None},
        {
            "bundles": ["a", "b"],
            "workers": "2",
            "resume": False,
            "insecure": True,
            "config": Path("c.toml"),
        },
    ]
    assert capsys.readouterr().err.splitlines() == [
        "serving at 127.0.0.1:1",
        "stopped; a job that has not ended goes on at the next start",
    ]


def test_what_runs_and_where_a_server_serves_are_said_once_at_the_default_log_level(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    code = "from graftscope.client.cli import main; main()"
    where = ["--listen", "127.0.0.1:0", "--bundle", str(toy_vae_bundle), "--state", str(tmp_path)]
    command = [sys.executable, "-c", code, "serve", *where]
    with subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True) as process:
        assert process.stderr is not None
        memory, devices, callers, serving = (process.stderr.readline() for _ in range(4))
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate()
    assert process.returncode == 0
    assert "event='memory' limit=" in memory
    assert "device cpu: fp32 (CPUExecutionProvider)" in devices
    assert "event='callers' tls=False auth='none'" in callers
    assert serving.startswith("serving at 127.0.0.1:")
    stopping, stopped = rest.splitlines()
    assert "event='stopping' grace_s=30.0" in stopping
    assert stopped == "stopped; a job that has not ended goes on at the next start"
    assert out == ""


def test_a_setting_that_is_not_allowed_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--log-level", "loud"]) == 4
    told = capsys.readouterr().err
    assert told.startswith("graftscope: --log-level 'loud' is not allowed: it must be debug, info,")
    assert told.count("\n") == 1


@pytest.mark.usefixtures("server_logger")
def test_a_port_in_use_is_one_line(
    toy_vae_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        options = ["--bundle", str(toy_vae_bundle), "--state", str(tmp_path)]
        assert run(["serve", "--listen", address, *options, "--log-level", "error"]) == 5
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("graftscope")]
    (line,) = said
    assert f"cannot listen on '{address}'" in line
