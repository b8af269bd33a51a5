"""Artifacts are whole or absent, stored once, checked when read, and kept while they are needed."""

import hashlib
import math
import os
import time
from pathlib import Path

import numpy as np
import pytest

from graftscope.codec import ARRAY_DATATYPES, encode
from graftscope.server.blobs import FolderBlobs
from graftscope.server.errors import Damaged, InvalidInput, NotFound
from graftscope.server.jobs import ArrayRef, ArtifactStore, decode_array

ARRAY = np.arange(12, dtype=np.float64).reshape(3, 4)

LARGE = np.random.default_rng(0).bytes(2**20 + 7)
"""More than one block."""


def flip(path: Path, at: int) -> None:
    """Changes one bit of a byte, in place."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    with path.open("r+b") as file:
        file.write(data)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(FolderBlobs(tmp_path / "artifacts"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.mark.parametrize("datatype", ARRAY_DATATYPES)
def test_every_type_survives(store: ArtifactStore, datatype: str) -> None:
    array = np.array([[0, 1, 0], [1, 1, 0]]).astype(ARRAY_DATATYPES[datatype])
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


def test_a_file_that_was_damaged_is_named_and_set_aside(store: ArtifactStore, folder: Path) -> None:
    ref = store.put(ARRAY)
    (folder / ref.sha256).write_bytes(bytes(96))
    with pytest.raises(Damaged, match=f"{ref.sha256} is damaged on disk"):
        store.get(ref)
    # It is out of the way, and what is sent again is whole.
    assert [path.name for path in folder.iterdir()] == [f"damaged-{ref.sha256}"]
    with pytest.raises(Damaged, match="set aside"):
        store.get(ref)
    np.testing.assert_array_equal(store.get(store.put(ARRAY)), ARRAY)


def test_an_artifact_is_checked_as_a_whole_when_it_is_first_read_and_after_a_change(
    store: ArtifactStore, folder: Path
) -> None:
    path = folder / store.put_bytes(LARGE)
    with store.open(path.name) as reader:
        assert (reader.size, reader.read(0, 9)) == (len(LARGE), LARGE[:9])
    flip(path, -1)
    # Not a byte of it is given, though the damage is at its end.
    with pytest.raises(Damaged), store.open(path.name):
        pass
    assert not store.has(path.name)


def test_bytes_that_change_while_they_are_read_are_not_given(
    store: ArtifactStore, folder: Path
) -> None:
    path = folder / store.put_bytes(LARGE)
    with store.open(path.name) as reader:
        assert reader.read(3, 2**20) == LARGE[3 : 3 + 2**20]
        stat = path.stat()
        flip(path, -1)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert reader.read(0, 2**20) == LARGE[: 2**20]
        with pytest.raises(Damaged):
            reader.read(2**20, 2**20)
    assert [each.name for each in folder.iterdir()] == [f"damaged-{path.name}"]


def test_a_reader_reads_what_it_has_opened_to_the_end(store: ArtifactStore, folder: Path) -> None:
    sha256 = store.put_bytes(LARGE)
    with store.open(sha256) as reader:
        store.remove(sha256, math.inf)
        assert store.has(sha256)
        assert reader.read(0, len(LARGE)) == LARGE
    assert list(folder.iterdir()) == []


def test_what_was_sent_again_since_a_job_ended_is_not_removed_with_it(
    store: ArtifactStore,
) -> None:
    sha256 = store.put_bytes(LARGE)
    store.remove(sha256, written_until_s=time.time() - 60.0)
    assert store.has(sha256)


def test_what_a_request_has_just_named_is_removed_later(store: ArtifactStore) -> None:
    ref = store.put(ARRAY)
    store.check(ref, "maps")
    store.remove(ref.sha256, math.inf)
    (info,) = store.list()
    assert not store.remove_unless_used(info)
    assert store.has(ref.sha256)


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
        store.size(name, "maps")
    assert caught.value.field == "maps"


def test_an_artifact_that_is_not_there_is_named(store: ArtifactStore) -> None:
    with pytest.raises(NotFound, match="0" * 64):
        store.get(ArrayRef("0" * 64, "FP64", (1,)))


@pytest.mark.parametrize(
    ("datatype", "shape", "complaint"),
    [
        ("FP64", (3, 5), r"holds 96 bytes; FP64 of shape \[3, 5\] takes 120"),
        ("FP32", (3, 4), r"holds 96 bytes; FP32 of shape \[3, 4\] takes 48"),
        ("FP8", (3, 4), r"'FP8'; allowed are BOOL, UINT8, INT32, INT64, FP32, FP64, FP16"),
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


@pytest.mark.parametrize("piece", [1000, 2**20, 3 * 2**20])
def test_what_was_written_in_pieces_of_any_size_is_read_without_another_look(
    store: ArtifactStore, folder: Path, piece: int
) -> None:
    with store.writer() as writer:
        for start in range(0, len(LARGE), piece):
            writer.write(LARGE[start : start + piece])
        sha256 = writer.finish()
    stat = (folder / sha256).stat()
    flip(folder / sha256, -1)
    os.utime(folder / sha256, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with store.open(sha256) as reader:
        assert reader.read(0, 2**20) == LARGE[: 2**20]
        with pytest.raises(Damaged):
            reader.read(2**20, 7)
