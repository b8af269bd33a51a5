"""Artifacts are whole or absent, stored once, checked when read, and kept while they are needed."""

import hashlib
import os
import time
from pathlib import Path

import numpy as np
import pytest

from graftscope.codec import DATATYPES, encode
from graftscope.server.errors import Corrupt, InvalidInput, NotFound
from graftscope.server.jobs import ArrayRef, ArtifactStore, decode_array

ARRAY = np.arange(12, dtype=np.float64).reshape(3, 4)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_type_survives(store: ArtifactStore, datatype: str) -> None:
    array = np.array([[0, 1, 0], [1, 1, 0]]).astype(DATATYPES[datatype])
    ref = store.put(array)
    assert (ref.datatype, ref.shape) == (datatype, (2, 3))
    found = store.get(ref)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_a_scalar_and_an_empty_array_survive(store: ArtifactStore) -> None:
    assert store.get(store.put(np.array(2.5))) == 2.5
    assert store.get(store.put(np.zeros((0, 3)))).shape == (0, 3)


def test_a_view_is_stored_in_c_order_and_little_endian(store: ArtifactStore) -> None:
    turned = ARRAY.astype(">f8").T
    found = store.get(store.put(turned))
    np.testing.assert_array_equal(found, ARRAY.T)
    datatype, data = encode(turned)
    assert (datatype, bytes(data)) == ("FP64", np.ascontiguousarray(ARRAY.T).tobytes())


def test_the_name_is_the_sha256_of_the_elements(store: ArtifactStore, folder: Path) -> None:
    ref = store.put(ARRAY)
    assert ref.sha256 == hashlib.sha256(ARRAY.tobytes()).hexdigest()
    assert [path.name for path in folder.iterdir()] == [ref.sha256]


def test_the_same_bytes_are_stored_once(store: ArtifactStore, folder: Path) -> None:
    first, second = store.put(ARRAY), store.put(ARRAY.reshape(4, 3))
    assert first.sha256 == second.sha256
    assert first.shape != second.shape
    assert len(list(folder.iterdir())) == 1


def test_a_file_that_was_damaged_is_named(store: ArtifactStore) -> None:
    ref = store.put(ARRAY)
    path = store.path(ref.sha256)
    path.write_bytes(bytes(96))
    with pytest.raises(Corrupt, match=f"{ref.sha256} is damaged on disk"):
        store.get(ref)


def test_a_writer_that_breaks_leaves_nothing(store: ArtifactStore, folder: Path) -> None:
    def write() -> None:
        with store.writer() as writer:
            writer.write(b"half of it")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert list(folder.iterdir()) == []


def test_a_writer_that_is_not_finished_leaves_nothing(store: ArtifactStore, folder: Path) -> None:
    with store.writer() as writer:
        writer.write(b"half of it")
        assert writer.size == 10
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["", "abc", "../jobs.db", "F" * 64, "0" * 63 + "\n", "0" * 65])
def test_what_is_no_sha256_is_refused_before_any_file_is_opened(
    store: ArtifactStore, name: str
) -> None:
    with pytest.raises(InvalidInput, match="64 lowercase hexadecimal digits are needed") as caught:
        store.path(name, "maps")
    assert caught.value.field == "maps"


def test_an_artifact_that_is_not_there_is_named(store: ArtifactStore) -> None:
    with pytest.raises(NotFound, match="0" * 64):
        store.get(ArrayRef("0" * 64, "FP64", (1,)))


@pytest.mark.parametrize(
    ("datatype", "shape", "complaint"),
    [
        ("FP64", (3, 5), r"holds 96 bytes; FP64 of shape \[3, 5\] takes 120"),
        ("FP32", (3, 4), r"holds 96 bytes; FP32 of shape \[3, 4\] takes 48"),
        ("FP16", (3, 4), r"'FP16'; allowed are BOOL, UINT8, INT32, INT64, FP32, FP64"),
        ("", (3, 4), "datatype ''"),
        ("FP64", (2**32 - 1,) * 8, "multiply to at most"),
        ("FP64", (0, 2**32 - 1, 2**32 - 1, 2**32 - 1), "multiply to at most"),
        ("FP64", (1,) * 65, "at most 16 axes"),
    ],
)
def test_a_layout_that_does_not_fit_is_refused(
    store: ArtifactStore, datatype: str, shape: tuple[int, ...], complaint: str
) -> None:
    ref = ArrayRef(store.put(ARRAY).sha256, datatype, shape)
    with pytest.raises(InvalidInput, match=complaint):
        store.check(ref, "maps")
    with pytest.raises(InvalidInput, match=complaint):
        decode_array(ARRAY.tobytes(), datatype, shape, "maps")


def test_a_sweep_removes_what_is_old_and_needed_by_nobody(
    store: ArtifactStore, folder: Path
) -> None:
    needed, old, young = (store.put(ARRAY + i).sha256 for i in range(3))
    (folder / "incoming-left-by-a-crash").write_bytes(b"half of it")
    past = time.time() - 100.0
    for name in (needed, old, "incoming-left-by-a-crash"):
        os.utime(folder / name, (past, past))
    assert store.sweep({needed}, older_than_s=50.0) == 2
    assert {path.name for path in folder.iterdir()} == {needed, young}
