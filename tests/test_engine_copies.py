"""What is served lies where nobody changes it: the source may be cut, rewritten or removed."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from graftscope.bundle import CorruptBundleError, shipped
from graftscope.client import Client
from graftscope.sandbox import Limits, ModelRefusedError
from graftscope.server.engine import HeldBundle, ServedBundles
from graftscope.server.engine._copies import BundleCopies

UNTRIED = Limits(sandbox=False)


@pytest.fixture
def source(toy_vae_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(toy_vae_bundle, tmp_path / "source")


def copies_of(state: Path) -> list[str]:
    return sorted(path.name for path in state.iterdir() if len(path.name) >= 64)


@pytest.mark.parametrize("harm", ["cut", "rewritten", "removed"])
def test_what_happens_to_the_files_does_not_reach_what_is_served(
    source: Path, tmp_path: Path, harm: str
) -> None:
    weights = source / "weights.bin"
    with Client(bundles=[source], state=tmp_path / "state") as client:
        before = client.hybridize("toy-vae", layer="coarse", channels=[0], pairs=2).hybrid
        if harm == "cut":
            os.truncate(weights, 0)
        elif harm == "rewritten":
            weights.write_bytes(bytes(weights.stat().st_size))
        else:
            shutil.rmtree(source)
        # A layer whose sessions are not open yet, and one whose are.
        client.hybridize("toy-vae", layer="intermediate", channels=[0], pairs=2)
        after = client.hybridize("toy-vae", layer="coarse", channels=[0], pairs=2).hybrid
    np.testing.assert_array_equal(before, after)


def test_a_changed_source_is_told_of_once(source: Path, tmp_path: Path) -> None:
    told: list[HeldBundle] = []
    served = ServedBundles(tmp_path / "state", UNTRIED)
    served.open(source)
    served.tell_changes(told.append)
    assert told == []
    with (source / "weights.bin").open("ab") as file:
        file.write(b"more")
    for _ in range(2):
        served.tell_changes(told.append)
    assert [held.source for held in told] == [source]
    served.close()


def test_a_copy_is_made_once_and_again_where_it_is_damaged(source: Path, tmp_path: Path) -> None:
    copies = BundleCopies(tmp_path / "models")
    made = copies.hold(source).folder.file("weights.bin")
    number = made.stat().st_ino
    copies.close()
    copies.hold(source)
    assert made.stat().st_ino == number
    copies.close()
    made.chmod(0o600)
    made.write_bytes(bytes(made.stat().st_size))
    again = copies.hold(source).folder.file("weights.bin")
    assert again.read_bytes() == (source / "weights.bin").read_bytes()
    copies.close()


def test_a_damaged_source_is_named_though_there_is_a_copy(source: Path, tmp_path: Path) -> None:
    copies = BundleCopies(tmp_path / "models")
    copies.hold(source)
    copies.close()
    (source / "weights.bin").write_bytes(b"short")
    with pytest.raises(CorruptBundleError, match=r"source'.*'weights.bin' is damaged"):
        copies.hold(source)


@pytest.mark.parametrize("name", ["weights.bin", "manifest.json"])
def test_files_that_are_not_the_bundles_own_are_not_copied(
    source: Path, tmp_path: Path, name: str
) -> None:
    served = ServedBundles(tmp_path / "state", UNTRIED)
    elsewhere = (source / name).rename(tmp_path / "elsewhere")
    (source / name).symlink_to(elsewhere)
    with pytest.raises(CorruptBundleError, match=rf"file '{name}' is a symbolic link"):
        served.open(source)
    (source / name).unlink()
    (source / name).hardlink_to(elsewhere)
    with pytest.raises(CorruptBundleError, match=rf"file '{name}' has 2 names"):
        served.open(source)
    assert copies_of(tmp_path / "state" / "models") == []
    served.close()


def test_copies_go_when_no_server_uses_them(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    mine, anothers = BundleCopies(folder), BundleCopies(folder)
    anothers.hold(source)
    mine.hold(source)
    mine.close()
    mine.sweep()
    assert len(copies_of(folder)) == 1
    anothers.close()
    (folder / f"incoming-{'0' * 64}.half").mkdir()
    mine.sweep()
    assert copies_of(folder) == []


def test_a_bundle_that_is_refused_leaves_no_copy(source: Path, tmp_path: Path) -> None:
    served = ServedBundles(tmp_path / "state", Limits(sandbox_nodes=1))
    with pytest.raises(ModelRefusedError, match="GRAFTSCOPE_SANDBOX_NODES"):
        served.open(source)
    served.sweep()
    assert copies_of(tmp_path / "state" / "models") == []


def test_shipped_bundles_are_copied_but_never_tried(tmp_path: Path) -> None:
    served = ServedBundles(tmp_path / "state", Limits(sandbox_nodes=1))
    for path in shipped().values():
        served.open(path)
    assert len(copies_of(tmp_path / "state" / "models")) == len(shipped())
    served.close()
