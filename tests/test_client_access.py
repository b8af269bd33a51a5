"""How a client shows who it is, and knows whom it speaks to; a token goes nowhere else."""

import asyncio
import logging
import os
import re
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from _either_client import opened
from access_toys import Papers, papers, protected, token_of
from graftscope.client import TLS, AsyncClient, Client
from graftscope.client.calls import Access, ServerChoice
from graftscope.client.cli import run
from graftscope.client.errors import (
    AccessError,
    InputError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from graftscope.server.access import Role

SECRET = "gs_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRAFTSCOPE_TOKEN", "GRAFTSCOPE_CA", "GRAFTSCOPE_SERVER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def secured(toy_vae_bundle: Path, state: Path, made: Papers) -> Iterator[str]:
    """A server with TLS that asks for tokens."""
    cert, key = made.of_server()
    with protected([toy_vae_bundle], state, tls_cert=cert, tls_key=key) as address:
        yield address


@pytest.fixture(scope="module")
def mutual(
    toy_vae_bundle: Path, tmp_path_factory: pytest.TempPathFactory, made: Papers
) -> Iterator[str]:
    """A server that asks for clients' certificates."""
    cert, key = made.of_server()
    settings: dict[str, object] = {"tls_cert": cert, "tls_key": key, "tls_client_ca": made.ca}
    folder = tmp_path_factory.mktemp("mutual")
    with protected([toy_vae_bundle], folder, **settings, auth=None) as address:
        yield address


@pytest.fixture(scope="module")
def token(state: Path) -> str:
    return token_of(state, "alice")


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_client_with_a_token_and_an_authority_is_let_in(
    kind: str, secured: str, token: str, made: Papers
) -> None:
    for address in (secured, f"https://{secured}", f"grpcs://{secured}/"):
        with opened(kind, address, token=token, tls=made.ca) as client:
            assert [model.name for model in client.models()] == ["toy-vae"]
            assert client.address == secured
            client.influence("toy-vae", "coarse", [0], pairs=2)


def test_the_environment_says_what_an_argument_does(
    secured: str, token: str, made: Papers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFTSCOPE_TOKEN", token)
    monkeypatch.setenv("GRAFTSCOPE_CA", str(made.ca))
    with Client(secured) as client:
        assert client.models()
    with Client(secured, tls=True) as client:
        assert client.models()


def test_the_command_line_takes_files(
    secured: str,
    token: str,
    made: Papers,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "alice.token"
    file.write_text(token + "\n")
    asked = ["models", "--server", secured, "--ca", str(made.ca)]
    assert run([*asked, "--token-file", str(file)]) == 0
    assert "toy-vae" in capsys.readouterr().out
    assert run(asked) == AccessError.exit_code
    assert "asks for a token: name its file with --token-file" in capsys.readouterr().err
    assert run(["models", "--server", secured, "--token-file", str(file)]) == UsageError.exit_code
    told = capsys.readouterr().err
    assert "in the clear: say which certificates to trust with --ca or GRAFTSCOPE_CA" in told
    file.write_text("two words")
    assert run([*asked, "--token-file", str(file)]) == InputError.exit_code
    told = capsys.readouterr().err
    assert "alice.token is no token (what was given is not shown)" in told
    assert "two words" not in told
    assert run([*asked, "--token-file", str(tmp_path / "none")]) == NotFoundError.exit_code


def test_a_clients_certificate_is_who_it_is(kind: str, mutual: str, made: Papers) -> None:
    chain, key = made.of_client()
    with opened(kind, mutual, tls=TLS(made.ca, chain, key)) as client:
        assert client.influence("toy-vae", "coarse", [0], pairs=2).operation
    with (
        opened(kind, mutual, tls=made.ca) as client,
        pytest.raises(UnavailableError, match="ask for a client's certificate"),
    ):
        client.models()


def test_a_refused_token_is_an_access_error_with_its_reason(
    kind: str, secured: str, made: Papers, state: Path
) -> None:
    with (
        opened(kind, secured, token=SECRET, tls=made.ca) as client,
        pytest.raises(AccessError, match="does not know the token") as caught,
    ):
        client.models()
    assert caught.value.reason == "BAD_TOKEN"
    reader = token_of(state, f"reader-{kind}", Role.READER)
    with opened(kind, secured, token=reader, tls=made.ca) as client:
        with pytest.raises(AccessError, match="takes the role analyst") as caught:
            client.influence("toy-vae", "coarse", [0], pairs=2)
        assert caught.value.reason == "PERMISSION_DENIED"


def test_a_server_that_is_not_trusted_is_told_in_one_line(
    kind: str, secured: str, token: str, made: Papers, tmp_path: Path
) -> None:
    other = papers(tmp_path)
    for tls, told in ((other.ca, "trusted: the authority that"), (True, "trusted: name the file")):
        with (
            opened(kind, secured, token=token, tls=tls) as client,
            pytest.raises(UnavailableError, match=told),
        ):
            client.models()
    with (
        opened(kind, secured) as client,
        pytest.raises(UnavailableError, match="it may speak TLS"),
    ):
        client.models()


def test_a_certificate_of_another_host_is_not_taken(
    toy_vae_bundle: Path, tmp_path: Path, made: Papers
) -> None:
    cert, key = made.issue("elsewhere", "lab.example")
    with protected([toy_vae_bundle], tmp_path, tls_cert=cert, tls_key=key) as address:
        with (
            Client(address, tls=made.ca) as client,
            pytest.raises(UnavailableError, match="is for another host"),
        ):
            client.models()


def test_tls_at_a_server_without_is_told(kind: str, address: str, made: Papers) -> None:
    with (
        opened(kind, address, tls=made.ca) as client,
        pytest.raises(UnavailableError, match="does not speak TLS: leave out `tls`"),
    ):
        client.models()


def test_a_token_never_leaves_in_the_clear(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(UsageError, match=r"not sent to .* in the clear"):
            with opened(kind, address, token=SECRET):
                pass
        with pytest.raises(UsageError, match=r"not sent to .* in the clear"):
            with opened(kind, address, token=SECRET, tls=False):
                pass
        monkeypatch.setenv("GRAFTSCOPE_TOKEN", SECRET)
        with pytest.raises(UsageError, match=r"not sent to .* in the clear"):
            with opened(kind, f"dns:{address}"):
                pass
        # Nobody even connected.
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_unix_socket_is_private_enough_for_a_token(
    kind: str, toy_vae_bundle: Path, tmp_path: Path
) -> None:
    where = f"unix:{tmp_path / 'socket'}"
    token = token_of(tmp_path / "s", "alice")
    with protected([toy_vae_bundle], tmp_path / "s", listen=where):
        with opened(kind, where, token=token) as client:
            assert client.models()
        with opened(kind, where) as client, pytest.raises(AccessError, match="asks for a token"):
            client.models()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"token": ""}, "token is no token"),
        ({"token": "a b"}, "token is no token"),
        ({"token": "é"}, "token is no token"),
        ({"token": "a\nb"}, "token is no token"),
        ({"token": 3}, "token is no token"),
        ({"tls": 3}, "3"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Access(**given)  # type: ignore[arg-type]


def test_files_are_refused_by_name(made: Papers, tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("x")
    with pytest.raises(NotFoundError, match=r"ca '.*none.pem' is not there"):
        Client("lab:1", tls=tmp_path / "none.pem")
    with pytest.raises(InputError, match=r"ca '.*x.pem' is no certificate in PEM"):
        Client("lab:1", tls=TLS(tmp_path / "x.pem"))
    _, key = made.of_server()
    with pytest.raises(InputError, match=r"ca '.*server.key' is no certificate in PEM"):
        Client("lab:1", tls=key)
    with pytest.raises(InputError, match=r"key '.*ca.pem' is no key in PEM"):
        Client("lab:1", tls=TLS(made.ca, made.ca, made.ca))
    for slip in ("alice.token", made.ca):
        with pytest.raises(InputError, match="was a file's name, or another file"):
            Client("lab:1", token=slip, tls=made.ca)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="`cert` and `key` go together"):
        TLS(cert="c.pem")
    with pytest.raises(UsageError, match="contradicts the address"):
        Client("https://lab:1", tls=False)


def test_a_token_is_of_no_use_to_an_embedded_server() -> None:
    with pytest.raises(UsageError, match="`token` is for another server, and none is named"):
        Client(token=SECRET)
    with pytest.raises(UsageError, match="`tls` is for another server"):
        Client(tls=True)


def test_no_repr_log_or_error_holds_the_token(
    secured: str, made: Papers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    access = Access(SECRET, made.ca)
    way = access.to(secured)
    told += [repr(access), str(access), repr(way), repr(ServerChoice(secured, access=access))]
    with Client(secured, token=SECRET, tls=made.ca) as client:
        told += [repr(client), str(client)]
        with pytest.raises(AccessError) as refused:
            client.models()
        told += traceback.format_exception(refused.value)
        told += [repr(refused.value), repr(refused.value.__cause__)]

    async def asynchronous() -> None:
        async with AsyncClient(secured, token=SECRET, tls=made.ca) as client:
            told.append(repr(client))
            with pytest.raises(AccessError) as refused:
                await client.models()
            told.extend(traceback.format_exception(refused.value))
            told.append(repr(refused.value.__cause__))

    asyncio.run(asynchronous())
    for wrong in (f"{SECRET} {SECRET}", f"{SECRET}\n"):
        with pytest.raises(InputError) as odd:
            Client(secured, token=wrong, tls=made.ca)
        told += traceback.format_exception(odd.value)
    with pytest.raises(UsageError) as clear:
        Client(secured, token=SECRET)
    told += traceback.format_exception(clear.value)
    told += [record.getMessage() for record in caplog.records]
    assert any("BAD_TOKEN" in text or "does not know the token" in text for text in told)
    assert not [text for text in told if SECRET in text or SECRET[3:] in text]


LISTS = """
import sys
from pathlib import Path
from graftscope.client.cli import run
code = run(sys.argv[1:])
sys.stderr.write(Path("/proc/self/cmdline").read_text())
sys.exit(code)
"""


def test_no_process_list_holds_the_token(
    secured: str, token: str, made: Papers, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(token)
    command = [sys.executable, "-c", LISTS, "models", "--server", secured, "--ca", str(made.ca)]
    done = subprocess.run(
        [*command, "--token-file", str(file)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "GRPC_VERBOSITY": "debug"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "toy-vae" in done.stdout
    assert "--token-file" in done.stderr
    assert token not in done.stdout + done.stderr
    assert not re.search("gs_[A-Za-z0-9_-]{20}", done.stderr)
