"""Facts about what cannot act: it is refused or said, on the command line and in Python alike."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graftscope.client import AsyncClient, Client
from graftscope.client.calls import SERVER_SETTINGS, check_environment, import_room
from graftscope.client.cli import run
from graftscope.client.errors import MissingExtraError, UsageError
from graftscope.server.settings import declared

ADDRESS = "127.0.0.1:1"
IDLE = {"workers": 2, "device": "cuda", "state": "folder"}
CLIENTS: list[Callable[..., Any]] = [Client, AsyncClient]


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("field", IDLE)
def test_what_is_of_an_embedded_server_is_refused_beside_another(
    kind: Callable[..., Any], field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: Any = {field: IDLE[field]}
    told = f"`{field}` is of a server inside this process"
    with pytest.raises(UsageError, match=f"{told}, and `address` names another, '{ADDRESS}'"):
        kind(ADDRESS, **given)
    monkeypatch.setenv("GRAFTSCOPE_SERVER", ADDRESS)
    with pytest.raises(UsageError, match=f"{told}, and GRAFTSCOPE_SERVER names another"):
        kind(**given)


@pytest.mark.parametrize("field", IDLE)
def test_the_command_line_refuses_it_too_in_its_own_words(
    field: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRAFTSCOPE_SERVER", ADDRESS)
    assert run(["models", f"--{field}", str(IDLE[field])]) == 2
    assert capsys.readouterr().err == (
        f"graftscope: --{field} is of a server inside this process, and GRAFTSCOPE_SERVER names"
        f" another, '{ADDRESS}': leave it out, unset GRAFTSCOPE_SERVER, or name bundles with"
        " --bundle\n"
    )
    assert run(["models", f"--{field}", str(IDLE[field]), "--server", ADDRESS]) == 2
    assert f"--{field} is of a server inside" in capsys.readouterr().err


def test_bundles_that_are_given_count_for_more_than_the_environment(
    toy_vae_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFTSCOPE_SERVER", ADDRESS)
    with Client(bundles=[toy_vae_bundle], workers=1, device="cpu", state=tmp_path) as client:
        assert client.embedded
        assert [model.name for model in client.models()] == ["toy-vae"]


def test_variables_set_an_embedded_server_as_any_other(
    toy_vae_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFTSCOPE_BUNDLES", str(toy_vae_bundle))
    monkeypatch.setenv("GRAFTSCOPE_STATE", str(tmp_path / "state"))
    with Client() as client:
        assert [model.name for model in client.models()] == ["toy-vae"]
    assert (tmp_path / "state" / "jobs.db").is_file()
    monkeypatch.setenv("GRAFTSCOPE_WORKERS", "many")
    with pytest.raises(ValueError, match=r"GRAFTSCOPE_WORKERS 'many' is not allowed: .* 1 to 256"):
        Client()


def test_the_client_knows_the_servers_settings() -> None:
    known = [each.name for each in SERVER_SETTINGS]
    assert known == [each.name for each in declared()], "run 'make settings'"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("GRAFTSCOPE_WORKER", "GRAFTSCOPE_WORKERS"),
        ("GRAFTSCOPE_SERVR", "GRAFTSCOPE_SERVER"),
        ("GRAFTSCOPE_LOGLEVEL", "GRAFTSCOPE_LOG_LEVEL"),
        ("GRAFTSCOPE_BUNDLE", "GRAFTSCOPE_BUNDLES"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_one_that_is_meant(
    name: str,
    meant: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, "3")
    line = f"environment variable {name} is unknown, and sets nothing: do you mean {meant}?"
    for kind in CLIENTS:
        with pytest.raises(UsageError, match=line.replace("?", r"\?")):
            kind(ADDRESS)
    for verb in (["models", "--server", ADDRESS], ["serve", "--listen", "127.0.0.1:0"]):
        assert run(verb) == 2
        assert capsys.readouterr().err == f"graftscope: {line}\n"


def test_another_unknown_variable_is_said_with_the_nearest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    check_environment({"GRAFTSCOPE_DEVICE_NAME": "x", "GRAFTSCOPE_IMAGE": "x", "PATH": "/"})
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    near, far = (record.getMessage() for record in caplog.records)
    assert near == (
        "environment variable GRAFTSCOPE_DEVICE_NAME is unknown, and sets nothing; there is:"
        " GRAFTSCOPE_DEVICE"
    )
    assert "there are: GRAFTSCOPE_SERVER, " in far


def test_what_kubernetes_sets_for_a_service_called_graftscope_is_no_slip(
    caplog: pytest.LogCaptureFixture,
) -> None:
    check_environment(
        {
            "GRAFTSCOPE_SERVICE_HOST": "10.0.0.1",
            "GRAFTSCOPE_SERVICE_PORT": "50051",
            "GRAFTSCOPE_SERVICE_PORT_GRPC": "50051",
            "GRAFTSCOPE_PORT": "tcp://10.0.0.1:50051",
            "GRAFTSCOPE_PORT_50051_TCP": "tcp://10.0.0.1:50051",
            "GRAFTSCOPE_PORT_50051_TCP_ADDR": "10.0.0.1",
        }
    )
    assert not caplog.records


def test_a_part_that_an_installed_room_lacks_is_a_bug_and_no_missing_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "graftscope.server")
    monkeypatch.setitem(sys.modules, "graftscope.server._running", None)
    with pytest.raises(ModuleNotFoundError, match="_running") as caught:
        import_room("graftscope.server", "server")
    assert not isinstance(caught.value, MissingExtraError)


CODE = "from graftscope.client.cli import main; main()"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["influence", "--help"], ["inspect"], ["inspect", "--json"]]
)
def test_a_reader_that_goes_away_ends_the_command_in_silence(
    arguments: list[str], toy_vae_bundle: Path
) -> None:
    if arguments[0] == "inspect":
        arguments = [*arguments, str(toy_vae_bundle)]
    read, write = os.pipe()
    os.close(read)  # The reader is gone before the first line.
    command = [sys.executable, "-c", CODE, *arguments]
    try:
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_notices_name_no_option_in_python(
    toy_vae_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with Client(bundles=[toy_vae_bundle]), Client(bundles=[toy_vae_bundle]):
        pass
    (record,) = caplog.records
    assert "another server or command holds" in record.getMessage()
    assert "--" not in record.getMessage()
