"""Facts about the documentation: its examples run, and it tells the exit codes as they are."""

import re
from pathlib import Path

import pytest

from graftscope.bundle import shipped
from graftscope.client import Client, errors
from graftscope.client.errors import GraftscopeError

DOCS = Path(__file__).parents[1] / "docs"


def test_the_examples_of_the_python_page_run_from_top_to_bottom(
    toy_vae_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    # The toy stands in for the generator that ships: the same layers, in small.
    code = "\n".join(blocks).replace("vae-celeba", "toy-vae")
    monkeypatch.chdir(tmp_path)
    # The paper's experiments name the generators that ship: for those it is served as well.
    bundles = [toy_vae_bundle, shipped()["vae-celeba"]]
    with Client(bundles=bundles, state=tmp_path / "state") as server:
        monkeypatch.setenv("GRAFTSCOPE_SERVER", server.address)
        exec(compile(code, str(DOCS / "python.md"), "exec"), {})
    assert (tmp_path / "maps.npz").is_file()


def test_the_command_lines_page_lists_every_exit_code() -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", page, flags=re.MULTILINE)}
    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    raised = {each.exit_code for each in kinds if issubclass(each, GraftscopeError)}
    assert listed == raised | {errors.EXIT_OK, errors.EXIT_BROKEN_PIPE}
