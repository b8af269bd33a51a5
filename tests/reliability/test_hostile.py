"""Hostile models, manifests and names: each is refused for what it is, and nothing else suffers."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest

from bundle_toys import reseal
from graftscope.client import Client, GraftscopeError
from graftscope.exporter import export
from graftscope.sandbox import Reason
from graftscope.v1 import bundle_pb2
from reliability._hostile import HOSTILE, Hostile, generator
from reliability._processes import FIGURES, MIB, server

LONGEST_S = 10.0
"""On the processor, so that a busy machine fails nobody; the clock is watched by the child."""

MOST_BYTES = 2 * 2**30
REFUSED = 4
ENVIRONMENT = {"GRAFTSCOPE_SANDBOX": "true"}
GOOD = "toy-vae"

SHORT = ("DepthToSpace by 2^32 divides by zero", "3,000 functions in a chain", "a Conv of 512 GiB")
"""Those that once ended a server that opened them."""


@dataclass(frozen=True)
class Ended:
    """A command that has ended.

    Attributes:
        status: its exit status.
        said: what it said on standard error.
        cpu_s: time on the processor that it and its children took.
        peak_bytes: the most resident memory that it or a child of it had.
    """

    status: int
    said: str
    cpu_s: float
    peak_bytes: int


def graftscope(*arguments: str | Path) -> Ended:
    """A command in a process of its own, with what it took."""
    code = (
        "import resource, sys\n"
        "from graftscope.client.cli import main\n"
        "try: main()\n"
        "finally:\n"
        "    used = [resource.getrusage(each) for each in"
        " (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]\n"
        "    peak = max(each.ru_maxrss for each in used)\n"
        "    cpu = sum(each.ru_utime + each.ru_stime for each in used)\n"
        "    sys.stderr.write(f'\\nused {peak} {cpu}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | ENVIRONMENT,
        check=False,
    )
    said, _, used = done.stderr.rpartition("\nused ")
    peak, cpu_s = used.split()
    return Ended(done.returncode, said, float(cpu_s), 1024 * int(peak))


@pytest.fixture(scope="session")
def good_bundle(bundle_root: Path) -> Path:
    """The bundle of the generator that hostile ones are made of."""
    source = bundle_root / "plain.onnx"
    onnx.save(generator(), source)
    export(source, bundle_root / "plain", image_range=(-1.0, 1.0))
    return bundle_root / "plain"


def bundle_of(crafted: Hostile, good: Path, folder: Path, name: str) -> Path:
    """A whole bundle, sealed with its hashes, whose generator is hostile."""
    shutil.copytree(good, folder)
    (folder / "generator.onnx").write_bytes(crafted.make())
    reseal(folder, name=name)
    return folder


def test_a_server_leaves_hostile_bundles_out_and_serves_the_others(
    good_bundle: Path, toy_vae_bundle: Path, tmp_path: Path
) -> None:
    crafted = [each for each in HOSTILE if each.name in SHORT]
    _served_beside(crafted, good_bundle, toy_vae_bundle, tmp_path)


@pytest.mark.soak
def test_a_server_leaves_all_hostile_bundles_out_and_serves_the_others(
    good_bundle: Path, toy_vae_bundle: Path, tmp_path: Path
) -> None:
    _served_beside(HOSTILE, good_bundle, toy_vae_bundle, tmp_path)


def _served_beside(
    crafted: tuple[Hostile, ...] | list[Hostile], good: Path, served: Path, folder: Path
) -> None:
    bad = [bundle_of(each, good, folder / f"bad{i}", f"bad{i}") for i, each in enumerate(crafted)]
    with server([served, *bad], folder / "state", environment=ENVIRONMENT) as running:
        with Client(running.address) as client:
            assert [model.name for model in client.models()] == [GOOD]
            client.hybridize(GOOD, layer="coarse", channels=[0], pairs=1)
            with pytest.raises(GraftscopeError, match="'bad0' is not served here"):
                client.model("bad0")
        log = running.log.read_text()
        assert running.process.poll() is None
        peak = running.peak_bytes
    lines = [line for line in log.splitlines() if "bundle left out" in line]
    for each, path in zip(crafted, bad, strict=True):
        (line,) = (line for line in lines if f"{path}'" in line or f'{path}"' in line)
        assert any(reason in line for reason in each.of_bundle), (each.name, line)
    assert peak < MOST_BYTES
    FIGURES.append((f"server beside {len(crafted)} hostile bundles", f"{peak // MIB} MiB", "2 GiB"))


@pytest.mark.soak
@pytest.mark.parametrize("crafted", HOSTILE, ids=lambda each: each.name)
def test_export_refuses_a_hostile_file(crafted: Hostile, tmp_path: Path) -> None:
    source = tmp_path / "crafted.onnx"
    source.write_bytes(crafted.make())
    ended = graftscope("export", source, "--out", tmp_path / "out", "--range", "-1,1")
    _refused(ended, f"export: {crafted.name}")
    assert not (tmp_path / "out").exists()


@pytest.mark.soak
@pytest.mark.parametrize("crafted", HOSTILE, ids=lambda each: each.name)
def test_inspect_refuses_a_hostile_bundle(
    crafted: Hostile, good_bundle: Path, tmp_path: Path
) -> None:
    folder = bundle_of(crafted, good_bundle, tmp_path / "bad", "bad")
    _refused(graftscope("inspect", folder), f"inspect: {crafted.name}")


def _refused(ended: Ended, what: str) -> None:
    assert ended.status == REFUSED, ended.said
    assert "onnxruntime_src" not in ended.said
    assert "Traceback" not in ended.said
    assert ended.cpu_s < LONGEST_S, what
    assert ended.peak_bytes < MOST_BYTES, what
    figure = f"{ended.cpu_s:.1f} s, {ended.peak_bytes // MIB} MiB"
    FIGURES.append((what, figure, "10 s, 2 GiB"))


Lie = Callable[[bundle_pb2.Bundle, Path], None]


def _channels(manifest: bundle_pb2.Bundle, _: Path) -> None:
    manifest.layers[-1].channels = 2**31 - 1


def _latents(manifest: bundle_pb2.Bundle, _: Path) -> None:
    manifest.inputs[0].shape[:] = [2**31 - 1]


def _image(manifest: bundle_pb2.Bundle, _: Path) -> None:
    manifest.image.height = manifest.image.width = 2**30


def _tensor(manifest: bundle_pb2.Bundle, _: Path) -> None:
    manifest.layers[-1].tensor = "nothing"


def _carried(manifest: bundle_pb2.Bundle, _: Path) -> None:
    manifest.layers[-1].carried.append("nothing")


def _above(manifest: bundle_pb2.Bundle, _: Path) -> None:
    manifest.files[0].name = "../outside"


def _absolute(manifest: bundle_pb2.Bundle, _: Path) -> None:
    manifest.files[0].name = "/etc/passwd"


def _hidden(manifest: bundle_pb2.Bundle, _: Path) -> None:
    manifest.files[0].name = "weights\x00.bin"


def _twice(manifest: bundle_pb2.Bundle, _: Path) -> None:
    manifest.files.append(manifest.files[0])


def _long(manifest: bundle_pb2.Bundle, _: Path) -> None:
    manifest.files[0].name = "x" * 100_000


def _named(manifest: bundle_pb2.Bundle, _: Path) -> None:
    manifest.name = "../../models"


def _cut(_: bundle_pb2.Bundle, folder: Path) -> None:
    os.truncate(folder / "weights.bin", 10)


LIES: dict[str, Lie] = {
    "a layer of 2^31 channels": _channels,
    "latents of 2^31 numbers": _latents,
    "an image of 2^60 pixels": _image,
    "a layer's tensor that no graph gives": _tensor,
    "a tensor beside it that no graph gives": _carried,
    "a file above the folder": _above,
    "a file of the system": _absolute,
    "a file with a zero in its name": _hidden,
    "a file that is listed twice": _twice,
    "a file with a name of 100,000 letters": _long,
    "a bundle that is named like a path": _named,
    "weights that are cut short": _cut,
}


@pytest.mark.soak
@pytest.mark.parametrize("lie", LIES)
def test_inspect_refuses_a_manifest_that_lies(lie: str, good_bundle: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good_bundle, tmp_path / "bad")
    reseal(folder, lie=LIES[lie])
    _refused(graftscope("inspect", folder), f"inspect: {lie}")


NAMES = (
    "../../etc/passwd",
    "/etc/passwd",
    "a\x00b",
    "x" * 100_000,
    "models/toy-vae",
    "@",
    "toy-vae@",
)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_hostile_name_is_not_found_or_not_allowed(name: str, toy_client: Client) -> None:
    for call in (
        lambda: toy_client.model(name + "?"),
        lambda: toy_client.hybridize(GOOD, layer=name, channels=[0]),
    ):
        with pytest.raises(GraftscopeError) as refused:
            call()
        assert refused.value.reason in ("", "NOT_FOUND", "INVALID_INPUT")
    assert toy_client.models()


def test_at_least_sixty_are_crafted() -> None:
    assert 2 * len(HOSTILE) + len(LIES) + 2 * len(NAMES) >= 60
    assert all(each.reasons and set(each.of_bundle) <= set(Reason) for each in HOSTILE)
