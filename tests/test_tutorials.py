"""Facts about the tutorials: they run from top to bottom in a kernel, and are kept small."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TUTORIALS = ROOT / "docs" / "tutorials"
NAMES = sorted(path.stem for path in TUTORIALS.glob("*.ipynb"))
MOST_BYTES = 300_000

QUICKEST = "your-own-generator"


def ran(name: str) -> None:
    tool = ROOT / "tools" / "notebooks.py"
    done = subprocess.run(
        [sys.executable, str(tool), "check", name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def cells(name: str) -> list[dict[str, Any]]:
    document: dict[str, Any] = json.loads((TUTORIALS / f"{name}.ipynb").read_text(encoding="utf-8"))
    return list(document["cells"])


def test_the_quickest_tutorial_runs() -> None:
    ran(QUICKEST)


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name in NAMES if name != QUICKEST])
def test_a_tutorial_runs(name: str) -> None:
    ran(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_tutorial_is_kept_with_what_it_printed_and_nothing_of_a_machine(name: str) -> None:
    text = (TUTORIALS / f"{name}.ipynb").read_text(encoding="utf-8")
    assert len(text.encode()) <= MOST_BYTES
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)
    code = [cell for cell in cells(name) if cell["cell_type"] == "code"]
    outputs = [output for cell in code for output in cell["outputs"]]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert any("text/html" in output.get("data", {}) for output in outputs)
    # Progress is one line a job, and no error and no warning is among the outputs.
    assert all(len(cell["outputs"]) <= 2 for cell in code)
    assert {output["output_type"] for output in outputs} <= {
        "display_data",
        "execute_result",
        "stream",
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_tutorials_links_lead_to_pages_that_are_there(name: str) -> None:
    words = "\n".join("".join(c["source"]) for c in cells(name) if c["cell_type"] == "markdown")
    for target in re.findall(r"\]\(([^)#]+)", words):
        assert (TUTORIALS / target).is_file(), target
