"""Facts about the verb that examines a machine, settings or a server: doctor."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from access_toys import Papers, papers, protected, token_of
from graftscope.bundle import find_shipped
from graftscope.client.cli import run
from graftscope.client.errors import UnsoundError
from graftscope.server.access import Role


@dataclass(frozen=True)
class Doctor:
    """Runs the verb, and reads what it says."""

    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: object) -> tuple[int, list[str], list[str]]:
        code = run(["doctor", *map(str, arguments)])
        told = self.capture.readouterr()
        return code, told.out.splitlines(), told.err.splitlines()

    def json(self, *arguments: object) -> dict[str, Any]:
        """The document."""
        _, out, _ = self(*arguments, "--json")
        (line,) = out
        document: dict[str, Any] = json.loads(line)
        return document


@pytest.fixture
def doctor(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Doctor:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    monkeypatch.setenv("GRAFTSCOPE_STATE", str(state))
    for name in ("GRAFTSCOPE_TOKEN", "GRAFTSCOPE_CA", "GRAFTSCOPE_SERVER", "GRAFTSCOPE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return Doctor(capsys)


def test_a_finding_is_a_line_and_what_to_do_another(doctor: Doctor) -> None:
    code, out, err = doctor("--device", "cuda", "--only", "ports,device", "--listen", "0")
    assert code == UnsoundError.exit_code == 8
    found, advice, port = out
    assert found.startswith("problem  device        device 'cuda' cannot be used")
    assert advice.startswith(" " * 23 + "what to do: --device cpu; or ")
    assert port == "ok       ports         any free port will be taken"
    assert err[0].startswith("1 problem, 1 ok, ")
    assert err[1:] == ["graftscope: 1 problem: device"]


def test_without_a_problem_the_exit_code_is_0_whatever_the_warnings(doctor: Doctor) -> None:
    code, out, err = doctor("--only", "sandbox", "--no-sandbox", "--quiet")
    assert (code, err) == (0, [])
    assert [line.split()[:2] for line in out] == [["warning", "sandbox"], ["what", "to"]]


def test_the_document_holds_every_finding(doctor: Doctor) -> None:
    document = doctor.json("--only", "state", "--only", "sandbox", "--no-sandbox")
    assert (document["status"], document["problems"], document["warnings"]) == ("warning", 0, 1)
    sandbox, state = document["findings"]
    assert set(sandbox) == {"check", "status", "found", "advice", "seconds"}
    assert (sandbox["check"], sandbox["status"]) == ("sandbox", "warning")
    assert (state["status"], state["advice"]) == ("ok", None)
    assert 0 <= state["seconds"] <= document["seconds"]


def test_a_check_that_is_none_is_refused_with_those_there_are(doctor: Doctor) -> None:
    code, out, err = doctor("--only", "port")
    assert (code, out) == (4, [])
    assert err[0].startswith("graftscope: --only 'port' is no check; there are: python, ")


def test_a_misspelt_variable_is_a_finding_and_ends_nothing(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFTSCOPE_WORKRES", "3")
    document = doctor.json("--only", "settings")
    assert [each["status"] for each in document["findings"]] == ["warning", "ok"]
    assert document["findings"][0]["advice"] == "set GRAFTSCOPE_WORKERS instead, or unset it"


def test_settings_come_from_the_file_too_and_what_is_wrong_there_is_a_finding(
    doctor: Doctor, tmp_path: Path
) -> None:
    file = tmp_path / "server.toml"
    file.write_text('listen = "unix:nowhere/socket"\n')
    (finding,) = doctor.json("--config", file, "--only", "ports")["findings"]
    assert "has no folder 'nowhere'" in finding["found"]
    file.write_text("worker = 3\n")
    settings, port = doctor.json("--config", file, "--only", "settings,ports")["findings"]
    assert (settings["status"], port["status"]) == ("problem", "skipped")
    assert str(file) in settings["found"]
    assert "workers" in settings["found"]


@dataclass(frozen=True)
class Elsewhere:
    """A server with TLS that asks for tokens."""

    address: str
    papers: Papers
    state: Path

    def shown(self, name: str, role: Role) -> Sequence[object]:
        """The options of whoever has a new token."""
        file = self.papers.folder / f"{name}.token"
        file.write_text(token_of(self.state, name, role))
        return ["--server", self.address, "--ca", self.papers.ca, "--token-file", file]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    folder = tmp_path_factory.mktemp("elsewhere")
    made, state = papers(folder), folder / "state"
    chain, key = made.of_server()
    bundle = find_shipped("gan-cifar10")
    with protected([bundle], state, tls_cert=chain, tls_key=key) as address:
        yield Elsewhere(address, made, state)


@pytest.mark.parametrize("role", Role)
def test_a_server_elsewhere_tells_how_far_it_is_and_what_it_lets_one_do(
    doctor: Doctor, elsewhere: Elsewhere, role: Role
) -> None:
    shown = elsewhere.shown(f"doctor-{role.word}", role)
    document = doctor.json(*shown, "--only", "server")
    answers, names, version, allowed, serves = (each["found"] for each in document["findings"])
    assert document["status"] == "ok"
    assert answers.startswith(f"https://{elsewhere.address} answers through TLS in ")
    assert names.startswith("its certificate is for localhost, 127.0.0.1, until ")
    assert version.startswith("it is graftscope ")
    assert allowed == f"you may do what the role {role.word} may"
    assert serves == "it serves gan-cifar10"


def test_what_a_server_elsewhere_refuses_is_a_problem(
    doctor: Doctor, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    reached = ["--server", elsewhere.address, "--only", "server"]

    def refused(*shown: object) -> str:
        (finding,) = doctor.json(*reached, *shown)["findings"]
        assert finding["status"] == "problem"
        return f"{finding['found']}; {finding['advice']}"

    assert "asks for a token" in refused("--ca", elsewhere.papers.ca)
    assert "is not trusted" in refused("--ca", papers(tmp_path).ca)
    assert "broke off at once: it may speak TLS" in refused()
    assert "see that a server runs there" in refused("--ca", papers(tmp_path).ca)


WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"onnx", "onnxruntime", "psutil", "pydantic_settings",
                                      "sqlalchemy", "structlog"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from graftscope.client.cli import run
sys.exit(run(["doctor", "--json"]))
"""


def test_a_client_without_a_server_is_examined_too() -> None:
    command = [sys.executable, "-c", WITHOUT]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    findings = {each["check"]: each for each in json.loads(ended.stdout)["findings"]}
    assert {findings[name]["status"] for name in ("python", "libraries")} == {"ok"}
    for name in ("settings", "device", "store", "computation"):
        assert findings[name]["status"] == "skipped"
        assert findings[name]["found"].endswith("which is not installed")
        assert findings[name]["advice"] == "pip install 'graftscope[server]'"
