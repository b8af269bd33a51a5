"""The verb that opens the explorer, as users start it."""

import gzip
import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from subprocess import PIPE

import pytest

from graftscope.client.cli import run
from page_toys import behind, state_behind


def test_explore_prints_an_address_that_opens_the_page_and_ends_when_it_is_interrupted(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    code = "from graftscope.client.cli import main; main()"
    where = ["--listen", "0", "--bundle", str(toy_vae_bundle), "--state", str(tmp_path)]
    where += ["--layer", "deconv1", "--seed", "41,12"]
    command = [sys.executable, "-c", code, "explore", "--json", *where]
    with subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True) as process:
        assert process.stdout is not None
        address, _, begun = json.loads(process.stdout.readline())["address"].partition("#")
        cookies = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with cookies.open(address) as page:
            assert b"Graftscope explorer" in page.read()
        process.send_signal(signal.SIGINT)
        out, told = process.communicate()
    assert process.returncode == 0
    assert out == ""
    state = state_behind(begun)
    assert (state["model"], state["layer"]) == ("toy-vae", "deconv1")
    assert [each["seed"] for each in state["originals"]] == [41, 12]
    admitted, stopped = told.splitlines()
    assert "another browser opens it at http://127.0.0.1:" in admitted
    assert stopped.startswith("stopped; a job that has not ended goes on")


def test_what_the_page_begins_with_is_said_once_and_where_it_can_act(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusal(*options: object) -> str:
        assert run(["explore", *map(str, options)]) != 0
        return capsys.readouterr().err

    saved = tmp_path / "graft.json"
    saved.write_text(json.dumps({"explorer": behind()}))
    assert "says all that the page begins with: leave out --seed" in refusal(saved, "--seed", "1,2")
    assert "does not say what it was made of" in refusal(Path(__file__))
    assert "'gone.png' is not there" in refusal("gone.png")
    tls = ("--tls-cert", "c", "--tls-key", "k", "--server", "localhost:1")
    cert = refusal(*tls, "--model", "toy-vae")
    assert "--tls-cert c and --tls-key k cannot be used" in cert


def test_explore_refuses_to_listen_where_others_reach_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["explore", "--listen", "0.0.0.0:8642"]) == 2
    assert "ssh -L 8642:127.0.0.1:8642" in capsys.readouterr().err


def test_the_page_is_built_from_its_sources_and_small() -> None:
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, root / "tools" / "page.py", "check"], check=True, stdout=PIPE)
    files = (root / "explorer/graftscope/explorer/static").rglob("*.*")
    assert sum(len(gzip.compress(each.read_bytes())) for each in files) < 300_000
