"""Triton's own client gets from a server what Graftscope's client gets, to the bit."""

import json
import os
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from access_toys import papers, protected, token_of
from compat._environments import ROOT, Environment, environment
from graftscope.bundle import shipped
from graftscope.server import embedded_server
from graftscope.server.access import Role

pytestmark = pytest.mark.compat

ASKS = Path(__file__).with_name("triton_asks.py")
PAGE = ROOT / "docs/wire.md"
CHECKS = (
    *("metadata", "a_model", "hybrids", "halves", "some_outputs", "without_waiting"),
    *("mistakes", "deadlines", "callers", "same_on_the_wire", "the_page"),
)
ENDS_WITHIN_S = 240.0


@pytest.fixture(scope="module")
def both_clients() -> Environment:
    """Ours with what it needs, and Triton's, whose extra asks for a protobuf that is too old."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = ("python-rapidjson", "urllib3", "ml-dtypes", "packaging", "aiohttp")
    return environment((*project["dependencies"], *needs), ("--no-deps", "tritonclient>=2.60"))


def asked(by: Environment, *arguments: object) -> dict[str, str]:
    """What came of each check."""
    paths = [str(ROOT / root) for root in ("client", "proto")]
    made = subprocess.run(
        [by.python, ASKS, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_S,
        check=False,
    )
    assert not made.returncode, made.stderr
    told: dict[str, str] = json.loads(made.stdout.splitlines()[-1])
    return told


@pytest.fixture(scope="module", params=["plaintext", "tls and tokens"])
def outcomes(
    request: pytest.FixtureRequest,
    both_clients: Environment,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, str]]:
    bundles, state = list(shipped().values()), tmp_path_factory.mktemp("state")
    if request.param == "plaintext":
        with embedded_server(bundles, state=state) as address:
            yield asked(both_clients, address, PAGE)
        return
    made, token = papers(tmp_path_factory.mktemp("papers")), token_of(state, "reads", Role.READER)
    cert, key = made.of_server()
    with protected(bundles, state, tls_cert=cert, tls_key=key) as address:
        yield asked(both_clients, address, PAGE, made.ca, token)


@pytest.mark.parametrize("check", CHECKS)
def test_what_tritons_client_gets_is_what_ours_gets(outcomes: dict[str, str], check: str) -> None:
    assert set(outcomes) == set(CHECKS)
    assert not outcomes[check], outcomes[check]
