"""Checkpoints keep every bit, and damage to them is noticed."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graftscope.server.analysis import MapMoments
from graftscope.server.errors import Corrupt
from graftscope.server.jobs import (
    CheckpointFolder,
    Sums,
)
from graftscope.server.jobs._checkpoints import Looks
from graftscope.server.jobs._job import Checkpoint

RANDOM = np.random.default_rng(0)
SUMS = Sums(
    3,
    MapMoments(96, RANDOM.standard_normal((4, 8, 8)), RANDOM.random((4, 8, 8))),
    MapMoments(96, RANDOM.standard_normal((4, 1, 1)), RANDOM.random((4, 1, 1))),
)

WITH_PRODUCTS = replace(SUMS, products=RANDOM.random((4, 4)))
WITH_LOOKS = replace(
    SUMS, looks=Looks.none(4).and_then(64, np.array([0, 1, -1, 0])).and_then(96, np.zeros(4, int))
)
WITHOUT_LOOKS_YET = replace(SUMS, looks=Looks.none(4))


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path / "checkpoints")


def bits(sums: Sums) -> list[object]:
    parts = (sums.moments, sums.individual)
    products = None if sums.products is None else (sums.products.shape, sums.products.tobytes())
    seen = sums.looks
    looks = seen and [(x.shape, x.tolist()) for x in (seen.pairs, seen.labels)]
    return [
        sums.shards,
        products,
        looks,
        *((x.count, x.mean.tobytes(), x.m2.tobytes()) for x in parts),
    ]


@pytest.mark.parametrize("sums", [SUMS, WITH_PRODUCTS, WITH_LOOKS, WITHOUT_LOOKS_YET])
def test_sums_keep_every_bit(folder: CheckpointFolder, sums: Sums) -> None:
    assert bits(folder.load(folder.save("job", sums))) == bits(sums)


def test_a_checkpoint_from_before_there_were_products_is_read(
    folder: CheckpointFolder, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoints" / folder.save("job", SUMS).file
    with np.load(path) as file:
        earlier = {name: file[name] for name in file if name != "products"}
    np.savez(path, allow_pickle=False, **earlier)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert bits(folder.load(Checkpoint(path.name, sha256))) == bits(SUMS)


def test_a_checkpoint_is_named_by_its_job_and_shards(
    folder: CheckpointFolder, tmp_path: Path
) -> None:
    assert folder.save("job", SUMS).file == "job-3.npz"
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["job-3.npz"]


@pytest.mark.parametrize("damage", ["missing", "shorter", "changed"])
def test_damage_is_noticed(folder: CheckpointFolder, tmp_path: Path, damage: str) -> None:
    checkpoint = folder.save("job", SUMS)
    path = tmp_path / "checkpoints" / checkpoint.file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data if damage == "changed" else data[:-1])
    with pytest.raises(Corrupt, match=r"job-3\.npz is missing or damaged"):
        folder.load(checkpoint)


def test_removing_takes_one_checkpoint_and_does_not_mind_its_absence(
    folder: CheckpointFolder,
) -> None:
    first, second = folder.save("a", SUMS), folder.save("b", SUMS)
    folder.remove(first)
    folder.remove(first)
    folder.remove(None)
    assert bits(folder.load(second)) == bits(SUMS)


def test_a_sweep_removes_files_that_no_job_names(folder: CheckpointFolder, tmp_path: Path) -> None:
    kept, orphan = folder.save("a", SUMS), folder.save("b", SUMS)
    (tmp_path / "checkpoints" / ".c-1.npz").write_bytes(b"half of it")
    assert folder.sweep({kept.file}) == 2
    assert bits(folder.load(kept)) == bits(SUMS)
    with pytest.raises(Corrupt):
        folder.load(orphan)
