"""The usage that a package's docstring shows runs, on the bundle that ships."""

import importlib
import textwrap
from pathlib import Path

import pytest

from graftscope.bundle import shipped

NAMES = (
    "graftscope.client.figures.paper",
    pytest.param("graftscope.client.reproduce", marks=pytest.mark.soak),
    "graftscope.graph",
    "graftscope.server",
    "graftscope.server.engine",
)


def example(package: str) -> str:
    """The indented lines of a package's docstring."""
    documentation = importlib.import_module(package).__doc__ or ""
    lines = [line for line in documentation.splitlines() if line.startswith("    ")]
    assert lines, f"{package} shows no usage"
    return textwrap.dedent("\n".join(lines))


@pytest.mark.parametrize("package", NAMES)
def test_the_usage_in_a_packages_docstring_runs(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = shipped()["vae-celeba"]
    (tmp_path / "bundles").symlink_to(bundle.parent)
    (tmp_path / "generator.onnx").symlink_to(bundle / "generator.onnx")
    (tmp_path / "weights.bin").symlink_to(bundle / "weights.bin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    names = {"path": bundle, **vars(importlib.import_module(package))}
    if package == "graftscope.graph":
        names["onnx_ir"] = importlib.import_module("onnx_ir")
    exec(compile(example(package), package, "exec"), names)
