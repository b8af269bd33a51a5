"""Checkpoints keep every bit, and damage to them is noticed."""

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graftscope.server.analysis import MapMoments, ShardGroups
from graftscope.server.blobs import FolderBlobs
from graftscope.server.errors import Corrupt
from graftscope.server.jobs import (
    CheckpointFolder,
    Sums,
)
from graftscope.server.jobs._checkpoints import Looks, Race
from graftscope.server.jobs._job import Checkpoint, Estimate, Job

RANDOM = np.random.default_rng(0)
COUNT = np.full(4, 96)
SUMS = Sums(
    3,
    MapMoments(COUNT, RANDOM.standard_normal((4, 8, 8)), RANDOM.random((4, 8, 8))),
    MapMoments(COUNT, RANDOM.standard_normal((4, 1, 1)), RANDOM.random((4, 1, 1))),
)

WITH_PRODUCTS = replace(SUMS, products=RANDOM.random((4, 4)))
WITH_LOOKS = replace(
    SUMS, looks=Looks.none(4).and_then(64, np.array([0, 1, -1, 0])).and_then(96, np.zeros(4, int))
)
WITHOUT_LOOKS_YET = replace(SUMS, looks=Looks.none(4))
SOME_COUNT = np.array([64, 96, 96, 64])
SOME_STOPPED = replace(
    SUMS,
    moments=replace(SUMS.moments, count=SOME_COUNT),
    individual=replace(SUMS.individual, count=SOME_COUNT),
    groups=ShardGroups.none(4, (8, 8)).and_then(SUMS.moments.mean, np.array([0, 32, 32, 0])),
    product_groups=ShardGroups.none_of_products(4).and_then(RANDOM.random((4, 1, 4)), 32),
    race=Race(np.array([True, False, False, True]), np.array([0.99, 0.5, math.nan, 0.97])),
)

JOB = Job("a", "influence", "{}", "0" * 64, "toy", {}, Estimate(0.0, 0, 0), 9)


def some(sums: Sums | None) -> Sums:
    assert sums is not None
    return sums


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    return CheckpointFolder(FolderBlobs(tmp_path / "checkpoints"))


def bits(sums: Sums) -> list[object]:
    parts = (sums.moments, sums.individual)
    products = None if sums.products is None else (sums.products.shape, sums.products.tobytes())
    seen = sums.looks
    looks = seen and [(x.shape, x.tolist()) for x in (seen.pairs, seen.labels)]
    return [
        sums.shards,
        products,
        looks,
        *(
            None if groups is None else [x.tobytes() for x in vars(groups).values()]
            for groups in (sums.groups, sums.product_groups)
        ),
        None if sums.race is None else [x.tobytes() for x in vars(sums.race).values()],
        *((x.count.tolist(), x.mean.tobytes(), x.m2.tobytes()) for x in parts),
    ]


@pytest.mark.parametrize("sums", [SUMS, WITH_PRODUCTS, WITH_LOOKS, WITHOUT_LOOKS_YET, SOME_STOPPED])
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


def test_a_checkpoint_from_before_maps_had_a_count_each_is_read(
    folder: CheckpointFolder, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoints" / folder.save("job", SUMS).file
    with np.load(path) as file:
        earlier = {**file, "count": np.int64(96)}
    np.savez(path, allow_pickle=False, **earlier)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert bits(folder.load(Checkpoint(path.name, sha256))) == bits(SUMS)


def test_a_checkpoint_is_named_by_its_job_attempt_shards_and_bytes(
    folder: CheckpointFolder, tmp_path: Path
) -> None:
    checkpoint = folder.save("job", SUMS, fence=2)
    assert checkpoint.file == f"job-2-3-{checkpoint.sha256[:16]}.npz"
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [checkpoint.file]


def test_a_checkpoint_that_is_written_again_leaves_the_first_as_it_is(
    folder: CheckpointFolder,
) -> None:
    other = replace(SUMS, products=np.zeros((4, 4)))
    first, second = folder.save("job", SUMS), folder.save("job", other)
    assert bits(folder.load(first)) == bits(SUMS)
    assert bits(folder.load(second)) == bits(other)


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
    with pytest.raises(Corrupt, match=rf"{checkpoint.file} is (missing|damaged)"):
        folder.load(checkpoint)


def test_removing_takes_one_checkpoint_and_does_not_mind_its_absence(
    folder: CheckpointFolder,
) -> None:
    first, second = folder.save("a", SUMS), folder.save("b", SUMS)
    folder.remove(first)
    folder.remove(first)
    folder.remove(None)
    assert bits(folder.load(second)) == bits(SUMS)


def test_a_job_goes_on_from_the_checkpoint_before_where_the_last_is_damaged(
    folder: CheckpointFolder, tmp_path: Path
) -> None:
    before, last = folder.save("a", SUMS), folder.save("a", WITH_PRODUCTS)
    job = replace(JOB, checkpoint=last, checkpoint_before=before)
    assert bits(some(folder.newest(job))) == bits(WITH_PRODUCTS)
    path = tmp_path / "checkpoints" / last.file
    path.write_bytes(path.read_bytes()[:-1])
    assert bits(some(folder.newest(job))) == bits(SUMS)
    # It is set aside, for whoever wants to know why.
    assert not folder.has(last)
    assert (path.parent / f"damaged-{last.file}").exists()
    folder.remove(before)
    assert folder.newest(job) is None


def test_of_a_job_only_what_it_names_is_kept_and_what_a_later_attempt_wrote(
    folder: CheckpointFolder, tmp_path: Path
) -> None:
    last, before = folder.save("a", SUMS, fence=1), folder.save("a", WITH_PRODUCTS, fence=1)
    folder.save("a", WITH_LOOKS, fence=1)
    folder.save("a", WITHOUT_LOOKS_YET)
    (tmp_path / "checkpoints" / "a-7.npz").write_bytes(b"of an earlier version")
    later, other = folder.save("a", SUMS, fence=2), folder.save("b", SUMS)
    folder.keep_only(replace(JOB, fence=1, checkpoint=last, checkpoint_before=before))
    kept = {checkpoint.file for checkpoint in (last, before, later, other)}
    assert {info.name for info in folder.list()} == kept
