"""What holds of every place that keeps bytes, and what a full disk and a killed writer leave."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from blob_toys import PLACES, put, whole
from graftscope.server.blobs import BlobMissing, Blobs, FolderBlobs, open_blobs
from graftscope.server.errors import InvalidInput, StorageFailed, StorageFull

DATA = bytes(range(256)) * 40_000
"""More than an object store sends at once."""


@pytest.fixture(params=PLACES)
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return PLACES[request.param](tmp_path / "place")


def test_bytes_come_back_whole_and_in_pieces(blobs: Blobs) -> None:
    with blobs.incoming() as incoming:
        for start in range(0, len(DATA), 2**20):
            incoming.write(DATA[start : start + 2**20])
        assert (incoming.size, incoming.digest) == (len(DATA), hashlib.sha256(DATA).hexdigest())
        # Until they have their name nobody sees them.
        assert blobs.list() == []
        incoming.sync()
        incoming.keep("name-1.npz")
    assert whole(blobs, "name-1.npz") == DATA
    with blobs.reader("name-1.npz") as reader:
        assert reader.read(7, 300) == DATA[7:307]
        assert reader.read(len(DATA) - 3, 300) == DATA[-3:]
        assert reader.read(len(DATA), 1) == b""


def test_no_bytes_are_bytes_too(blobs: Blobs) -> None:
    put(blobs, "none", b"")
    assert whole(blobs, "none") == b""


def test_what_is_not_there_is_said(blobs: Blobs) -> None:
    assert blobs.info("absent") is None
    with pytest.raises(BlobMissing), blobs.reader("absent"):
        pass
    blobs.remove("absent")
    blobs.rename("absent", "elsewhere")
    blobs.touch("absent")
    assert blobs.list() == []


def test_what_is_there_is_listed_with_its_age_and_size(blobs: Blobs) -> None:
    before_s = time.time() - 2.0
    put(blobs, "b", b"12")
    put(blobs, "a", b"123")
    found = sorted(blobs.list(), key=lambda info: info.name)
    assert [(info.name, info.size) for info in found] == [("a", 3), ("b", 2)]
    assert all(before_s < info.written_s <= info.used_s <= time.time() + 2.0 for info in found)
    assert found == [blobs.info("a"), blobs.info("b")]


def test_another_version_of_the_same_name_is_another(blobs: Blobs) -> None:
    put(blobs, "name", b"1")
    first = blobs.info("name")
    put(blobs, "name", b"2")
    second = blobs.info("name")
    assert first is not None
    assert second is not None
    assert first.version != second.version
    assert whole(blobs, "name") == b"2"


def test_bytes_are_renamed_and_removed(blobs: Blobs) -> None:
    put(blobs, "one", b"1")
    put(blobs, "two", b"2")
    blobs.rename("one", "damaged-one")
    blobs.remove("two")
    assert [info.name for info in blobs.list()] == ["damaged-one"]
    assert whole(blobs, "damaged-one") == b"1"


def test_what_is_not_kept_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    with blobs.incoming() as incoming:
        incoming.write(DATA)
    assert blobs.list() == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_bytes_that_are_being_written_are_not_swept(blobs: Blobs) -> None:
    with blobs.incoming() as incoming:
        incoming.write(b"half of it")
        assert blobs.sweep_incoming() == 0
        incoming.keep("name")
    assert whole(blobs, "name") == b"half of it"


def test_a_use_is_seen_and_makes_no_other_version(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    put(blobs, "name", b"1")
    hour_ago = time.time() - 3600.0
    os.utime(tmp_path / "name", (hour_ago, hour_ago))
    before = blobs.info("name")
    blobs.touch("name")
    after = blobs.info("name")
    assert before is not None
    assert after is not None
    assert before.used_s == pytest.approx(hour_ago)
    assert after.used_s == pytest.approx(time.time(), abs=60.0)
    assert (after.version, after.written_s) == (before.version, before.written_s)


def test_a_file_that_is_removed_meanwhile_is_read_to_its_end(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    put(blobs, "name", DATA)
    with blobs.reader("name") as reader:
        blobs.remove("name")
        assert reader.read(0, len(DATA)) == DATA


def test_a_file_that_is_closed_by_another_thread_is_neither_read_nor_written(
    tmp_path: Path,
) -> None:
    blobs = FolderBlobs(tmp_path)
    put(blobs, "name", DATA)
    with blobs.incoming() as incoming, blobs.reader("name") as reader:
        incoming.write(b"1")
    # Their numbers are those of other files by now.
    with (tmp_path / "one").open("w+b") as one, (tmp_path / "two").open("w+b") as two:
        with pytest.raises(ValueError, match="closed"):
            incoming.write(b"2")
        with pytest.raises(ValueError, match="closed"):
            reader.read(0, 1)
        assert (one.tell(), two.tell()) == (0, 0)
    assert not (tmp_path / "one").read_bytes()


@pytest.mark.parametrize("name", ["", "../jobs.db", ".hidden", "a/b", "a\0", "-x"])
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        FolderBlobs(tmp_path).remove(name)


CHILD = """
import resource, signal, sys
from pathlib import Path
from graftscope.server.blobs import FolderBlobs
from graftscope.server.errors import StorageFull

blobs = FolderBlobs(Path(sys.argv[1]))
mine = blobs.incoming()
mine.write(bytes(1000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))
try:
    with blobs.incoming() as incoming:
        for _ in range(3):
            incoming.write(bytes(2**15))
except StorageFull as error:
    print(error, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on a file's size")
def test_without_room_nothing_is_left_behind_and_what_a_killed_writer_left_is_swept(
    tmp_path: Path,
) -> None:
    blobs = FolderBlobs(tmp_path)
    # As earlier versions wrote checkpoints, and left them when they were killed.
    (tmp_path / ".job-3.npz").write_bytes(b"half of it")
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child, blobs.incoming() as mine:
        assert child.stdout is not None
        assert child.stdout.readline().startswith("there is no room left where results are kept")
        # Of what there was no room for nothing is left; the two others are being written.
        assert blobs.sweep_incoming() == 1
        assert len(list(tmp_path.iterdir())) == 2
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert blobs.sweep_incoming() == 1
        mine.keep("mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_errors_hold_no_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFailed) as caught:
        FolderBlobs(tmp_path / "file" / "folder")
    assert str(caught.value) == "what is kept cannot be read or written: Not a directory"
    assert not isinstance(caught.value, StorageFull)


def test_a_place_is_opened_by_its_url(tmp_path: Path) -> None:
    put(open_blobs(tmp_path, "artifacts"), "name", b"1")
    assert whole(open_blobs(tmp_path.as_uri(), "artifacts"), "name") == b"1"
    assert (tmp_path / "artifacts" / "name").read_bytes() == b"1"
    memory = open_blobs("memory:///", "artifacts")
    put(memory, "name", b"1")
    assert [info.name for info in memory.list()] == ["name"]


@pytest.mark.parametrize("url", ["", "/srv/shared", "ftp://host/x", "file://host/x", "s3:bucket"])
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="it must be a URL: file:///PATH") as caught:
        open_blobs(url, "artifacts")
    assert caught.value.field == "storage"


@pytest.mark.parametrize("url", ["http://host/x?sig=secret", "ftp://ann:secret@host"])
def test_a_refused_url_is_not_repeated(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_blobs(url, "artifacts")
    assert "secret" not in str(caught.value)
