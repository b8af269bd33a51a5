"""Facts about the command itself: help, exit codes, one line for whatever goes wrong."""

import subprocess
import sys

import pytest
from typer.core import TyperArgument, TyperOption

from _cli_shell import Shell
from _fake_server import Faults, fake_server
from graftscope.client import Client
from graftscope.client.cli import run
from graftscope.client.cli._commands import command_of
from graftscope.client.cli._main import JOB_VERBS, TOKEN_VERBS, VERBS
from graftscope.client.errors import MissingExtraError

BELOW = {"jobs": JOB_VERBS, "token": TOKEN_VERBS}
ALL = {
    **VERBS,
    **{f"{group} {name}": verb for group, verbs in BELOW.items() for name, verb in verbs.items()},
}
"""Every verb as it is called."""


def test_help_lists_every_verb_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f" {verb} " in told for verb in (*VERBS, *BELOW))
    assert "130 interrupted" in " ".join(told.split())


def test_no_verb_at_all_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "influence" in capsys.readouterr().out
    assert run(["jobs"]) == 0
    assert "watch" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ALL)
def test_every_verb_teaches_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*verb.split(), "--help"]) == 0
    assert f"Example: graftscope {verb}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("verb", ALL)
def test_every_option_is_explained_and_a_switch_has_no_type(verb: str) -> None:
    for option in command_of(verb, ALL[verb]).params:
        assert isinstance(option, TyperOption | TyperArgument)
        assert option.help, f"{verb}: {option.name}"
        is_switch = isinstance(option, TyperOption) and option.is_flag
        assert not (is_switch and option.metavar), f"{verb}: {option.name}"


@pytest.mark.parametrize("verb", ALL)
def test_help_lists_what_a_verb_says_of_itself(verb: str) -> None:
    first, *_ = (ALL[verb].load().__doc__ or "").split("\n\n")
    assert " ".join(first.split()) == ALL[verb].told


@pytest.mark.parametrize("verb", ["", *BELOW, "influence", "jobs list"])
def test_help_has_a_short_name_and_switches_have_no_type(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*verb.split(), "-h"]) == 0
    told = capsys.readouterr().out
    assert run([*verb.split(), "--help"]) == 0
    assert capsys.readouterr().out == told
    assert "<bool>" not in told


def test_help_loads_nothing_but_what_draws_it() -> None:
    """numpy, gRPC and protobuf take a third of a second, and help needs none of them."""
    slow = {"numpy", "grpc", "google", "PIL"}
    code = (
        "import sys; from graftscope.client.cli import run; run(['--help']); run(['jobs', '-h']); "
        f"print(sorted({slow!r} & {{name.split('.')[0] for name in sys.modules}}), file=sys.stderr)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stderr.strip() == "[]"


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("graftscope ")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Client) -> None:
        raise ZeroDivisionError("of two\nlines")

    monkeypatch.setattr(Client, "models", fail)


@pytest.mark.usefixtures("broken")
def test_what_nobody_foresaw_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--server", "localhost:1"]) == 1
    assert capsys.readouterr().err == (
        "graftscope: unexpected ZeroDivisionError: of two lines (GRAFTSCOPE_DEBUG=1 shows where)\n"
    )


@pytest.mark.usefixtures("broken")
def test_debugging_shows_where(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFTSCOPE_DEBUG", "1")
    assert run(["models", "--server", "localhost:1"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_server_of_another_version_is_warned_of_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graftscope.client.calls._peer.client_version", lambda: "0.1.7")
    with fake_server(Faults(version="0.2.0")) as (address, _):
        assert run(["models", "--server", address, "--json"]) == 0
    told = capsys.readouterr()
    assert told.err == (
        f"graftscope: warning: the server at {address} is graftscope 0.2.0, this client is 0.1.7:"
        " some calls may fail\n"
    )
    assert told.out.startswith("{")


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["models", "--bundle", "b"], "server"),
        (["inspect", "b"], "server"),
        (["serve"], "server"),
        (["train", "vae-celeba", "--data", "d", "--out", "o"], "train"),
        (["measure", "c", "--data", "d"], "train"),
        (["export", "c", "--out", "o"], "export"),
    ],
)
def test_a_part_that_is_not_installed_is_named_with_its_extra(
    arguments: list[str],
    extra: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for room in ("server", "bundle", "training", "exporter"):
        monkeypatch.setitem(sys.modules, f"graftscope.{room}", None)
    monkeypatch.delenv("GRAFTSCOPE_SERVER", raising=False)
    assert run(arguments) == MissingExtraError.exit_code
    told = capsys.readouterr().err
    assert f"pip install 'graftscope[{extra}]'" in told
    assert told.count("\n") == 1


def test_the_report_refuses_before_any_work_where_its_extra_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graftscope.client.cli._report.find_spec", lambda name: None)
    assert run(["report", "--server", "localhost:1"]) == MissingExtraError.exit_code
    assert "pip install 'graftscope[report]'" in capsys.readouterr().err


def test_the_client_and_its_command_import_no_heavy_library() -> None:
    heavy = {"torch", "onnx", "onnxruntime", "matplotlib", "sklearn", "scipy"}
    code = (
        "import sys, graftscope.client.cli; "
        f"print(sorted({heavy!r} & {{name.split('.')[0] for name in sys.modules}}))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize("place", ["before", "after"])
def test_quiet_leaves_results_warnings_and_errors(
    shell: Shell, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("influence", "--pairs", 3)
    told, out, notes = shell(*asked)
    assert "600 hybrids, about" in notes
    given = ("--quiet", *asked) if place == "before" else (*asked, "-q")
    assert shell(*given) == (told, out, "")
    assert shell.refused("influence", "--layer", "conv9", "--quiet")[0] == 4
    # Another command in the same process is as talkative as ever.
    assert shell(*asked) == (told, out, notes)
