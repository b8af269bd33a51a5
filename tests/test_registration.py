"""Models that are added to a server and removed from it while it runs."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle_toys import reseal
from graftscope.client import Client, GraftscopeError
from graftscope.server import embedded_server
from graftscope.server.engine import ServedBundles
from reliability._hostile import HOSTILE


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAFTSCOPE_SANDBOX", "true")
    monkeypatch.setenv("GRAFTSCOPE_REGISTRATION", "true")
    return tmp_path / "state"


@pytest.fixture
def client(state: Path, block_bundle: Path) -> Iterator[Client]:
    with embedded_server([block_bundle], state=state) as address, Client(address) as client:
        yield client


def test_a_model_comes_stays_after_a_restart_and_goes(
    state: Path, block_bundle: Path, toy_vae_bundle: Path
) -> None:
    with embedded_server([block_bundle], state=state) as address, Client(address) as client:
        added = client.register(toy_vae_bundle)
        assert client.register(toy_vae_bundle).digest == added.digest  # nothing changes
        before = client.hybridize("toy-vae", layer="coarse", channels=[0], pairs=1)
    with embedded_server([block_bundle], state=state) as address, Client(address) as client:
        after = client.hybridize("toy-vae", layer="coarse", channels=[0], pairs=1)
        np.testing.assert_array_equal(before.hybrid, after.hybrid)
        client.unregister("toy-vae")
        assert [model.name for model in client.models()] == ["toy-blocks"]
        with pytest.raises(GraftscopeError, match="'toy-vae' is not served here"):
            client.model("toy-vae")
    assert list((state / "registered").iterdir()) == []


def test_the_log_tells_what_comes_and_goes_and_no_change_of_what_is_gone(
    state: Path,
    block_bundle: Path,
    toy_vae_bundle: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("INFO", "graftscope.server")
    looked: list[ServedBundles] = []
    made = ServedBundles.__init__

    def keep(bundles: ServedBundles, *given: Any) -> None:
        made(bundles, *given)
        looked.append(bundles)

    monkeypatch.setattr(ServedBundles, "__init__", keep)
    changed: list[str] = []
    with embedded_server([block_bundle], state=state) as address, Client(address) as client:
        added = client.register(toy_vae_bundle)
        client.unregister("toy-vae")
        looked[0].tell_changes(lambda held: changed.append(held.folder.manifest.name))
    assert changed == []
    told = [x.getMessage() for x in caplog.records if "'model " in x.getMessage()]
    assert [line.partition(" model=")[0] for line in told] == [
        "event='model added'",
        "event='model removed'",
    ]
    assert all(f"model='toy-vae' digest='{added.digest}'" in line for line in told)
    assert all("address='ipv4:127.0.0.1'" in line for line in told)


def test_a_hostile_model_is_refused_and_leaves_nothing(
    client: Client, state: Path, toy_vae_bundle: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(toy_vae_bundle, tmp_path / "bad")
    crafted = next(each for each in HOSTILE if each.name.startswith("DepthToSpace"))
    (folder / "generator.onnx").write_bytes(crafted.make())
    reseal(folder)
    with pytest.raises(GraftscopeError, match="is not opened here") as error:
        client.register(folder)
    assert error.value.reason in crafted.of_bundle
    assert str(state) not in str(error.value)
    assert list((state / "registered").iterdir()) == []
    assert [model.name for model in client.models()] == ["toy-blocks"]


def test_a_name_is_taken_once_and_a_given_model_stays(
    client: Client, toy_vae_bundle: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(toy_vae_bundle, tmp_path / "other")
    reseal(other, name="toy-blocks")
    with pytest.raises(GraftscopeError, match="is served already, with digest") as error:
        client.register(other)
    assert error.value.reason == "MODEL_NAME_TAKEN"
    with pytest.raises(GraftscopeError, match="was given to the server at its start"):
        client.unregister("toy-blocks")


def test_a_server_takes_no_models_unless_it_is_told_to(
    toy_client: Client, toy_vae_bundle: Path
) -> None:
    for call in (
        lambda: toy_client.register(toy_vae_bundle),
        lambda: toy_client.unregister("toy-vae"),
    ):
        with pytest.raises(GraftscopeError, match="--allow-registration") as error:
            call()
        assert error.value.reason == "REGISTRATION_OFF"


def test_registration_needs_the_sandbox(
    state: Path, block_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFTSCOPE_SANDBOX", "false")
    with (
        pytest.raises(ValueError, match="registration needs the sandbox"),
        embedded_server([block_bundle], state=state),
    ):
        pass
