"""The room's door: what importing it costs, and what it says when its extra is missing."""

import subprocess
import sys

import pytest

import graftscope.training


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )


def test_every_public_name_is_there() -> None:
    for name in graftscope.training.__all__:
        assert getattr(graftscope.training, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'trains'"):
        graftscope.training.trains  # noqa: B018


def test_listing_the_recipes_does_not_load_torch() -> None:
    done = run_python(
        "import sys; from graftscope.training import RECIPES; sys.exit('torch' in sys.modules)"
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("library", ["torch", "accelerate", "safetensors", "torchmetrics"])
def test_a_missing_library_is_named_with_the_extra_that_brings_it(library: str) -> None:
    done = run_python(f"import sys; sys.modules[{library!r}] = None; import graftscope.training")

    assert f"graftscope.training needs {library}, which is not installed" in done.stderr
    assert "pip install 'graftscope[train]'" in done.stderr
