"""How commands and Python that are copied from the page reach its server."""

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from graftscope import explorer
from graftscope.client import TLS, ImageFormat, Model
from graftscope.client.calls import Access
from graftscope.client.cli import _explore
from graftscope.client.cli._shared_options import ServerOptions
from graftscope.client.programs import own_program, own_python
from graftscope.explorer import Way
from graftscope.explorer._asked import Show, Step
from graftscope.explorer._originals import Sample
from graftscope.explorer._recipes import recipe

MODEL = Model("toy", "", (), ImageFormat(1, 4, 4, 0.0, 1.0), (), has_encoder=False, manifest={})
SHOWN = Show("toy", (Sample(7), Sample(8)), (Step("conv", (0,), 1.0),))


def script(folder: Path, name: str) -> Path:
    """A program in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_program_is_called_by_name_only_where_the_shell_finds_that_very_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = script(tmp_path / ".venv" / "bin", "graftscope")
    other = script(tmp_path / "other", "graftscope")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [".venv/bin/graftscope", "explore"])
    for path, called in (
        (tmp_path, str(own)),
        (other.parent, str(own)),
        (own.parent, "graftscope"),
    ):
        monkeypatch.setenv("PATH", str(path))
        assert own_program() == called
    # The Python of an environment is a link to the one that it was made with.
    python = tmp_path / ".venv" / "bin" / "python"
    python.symlink_to(script(tmp_path / "usr", "python"))
    monkeypatch.setattr(sys, "executable", str(python))
    assert own_python() == "python"
    monkeypatch.setenv("PATH", str(tmp_path / "usr"))
    assert own_python() == str(python)


def test_recipes_name_the_program_and_files_and_never_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "my token"
    token.write_text("gs_secret")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(script(tmp_path / "in here", "graftscope"))])
    monkeypatch.setenv("GRAFTSCOPE_CA", "/ca.pem")
    options = ServerOptions(server="https://lab:1", token_file=token)
    way = _explore._way(explorer, options)
    assert isinstance(way, Way)
    told = recipe(SHOWN, way, MODEL)
    words = shlex.split(str(told["cli"]).splitlines()[-1])
    assert words[0] == str(tmp_path / "in here" / "graftscope")
    assert words[-4:] == ["--server", "https://lab:1", "--token-file", str(token)]
    assert str(told["cli"]).startswith("# First set GRAFTSCOPE_CA to the file of")
    assert "gs_secret" not in str(told)
    made = made_client(str(told["python"]))
    assert made == (("https://lab:1",), {"token": "gs_secret"})
    assert "from pathlib import Path\n" in str(told["python"])


def made_client(python: str) -> Any:
    """What Python gives its client."""
    (line,) = [each for each in python.splitlines() if each.startswith("with ")]
    expression = line.removeprefix("with ").removesuffix(" as client:")
    return eval(
        expression, {"Client": lambda *args, **named: (args, named), "TLS": TLS, "Path": Path}
    )


def test_python_gives_the_certificates_that_the_command_line_names() -> None:
    files = {"ca": "/a b.pem", "cert": "/cert.pem", "key": "/key.pem"}
    way = Way("lab:1", files=files)
    told = str(recipe(SHOWN, way, MODEL)["python"])
    assert "import Client, Intervention, LatentPairs, TLS\n" in told
    assert made_client(told)[1] == {"tls": TLS("/a b.pem", "/cert.pem", "/key.pem")}
    only = Way("lab:1", files={"ca": "/a b.pem"})
    assert made_client(str(recipe(SHOWN, only, MODEL)["python"]))[1] == {"tls": "/a b.pem"}


def test_a_clients_own_way_says_what_another_needs(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----\n")
    there = Access("gs_secret", str(ca)).to("lab:1")
    assert (there.named, there.needs) == ("https://lab:1", ("token", "ca"))
    assert Access(tls=False).to("lab:1").needs == ()
    told = str(recipe(SHOWN, Way(there.named, needs=there.needs), MODEL)["cli"]).splitlines()
    assert told[0] == "# First set GRAFTSCOPE_TOKEN to your token, which the server asks for."
    assert told[1].startswith("# First set GRAFTSCOPE_CA to ")
    assert not any("gs_secret" in each for each in told)
