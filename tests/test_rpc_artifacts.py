"""Arrays go up and down in chunks, each checked, and a broken one leaves nothing behind."""

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import grpc
import numpy as np
import pytest

from graftscope.v1 import artifact_service_pb2, tensor_pb2
from request_toys import MAPS, modules
from server_toys import CHUNK_BYTES, TIMEOUT_S, Stubs, chunk_of, put_requests, refused, served

Put = artifact_service_pb2.PutArtifactRequest
DATA = np.random.default_rng(0).bytes(5 * CHUNK_BYTES + 3)
ARTIFACT = tensor_pb2.Artifact(
    sha256=hashlib.sha256(DATA).hexdigest(), datatype="UINT8", shape=[len(DATA)]
)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def server(block_bundle: Path, state: Path) -> Iterator[Stubs]:
    with served([block_bundle], state) as stubs:
        yield stubs


def read(
    server: Stubs, sha256: str, offset: int = 0
) -> list[artifact_service_pb2.ReadArtifactResponse]:
    request = artifact_service_pb2.ReadArtifactRequest(sha256=sha256, offset=offset)
    return list(server.artifacts.ReadArtifact(request))


def stored(state: Path) -> list[str]:
    return [path.name for path in (state / "artifacts").iterdir()]


def test_an_artifact_larger_than_a_message_goes_up_and_down(server: Stubs) -> None:
    reply = server.artifacts.PutArtifact(iter(put_requests(ARTIFACT, DATA)))
    assert reply.artifact == ARTIFACT
    parts = read(server, ARTIFACT.sha256)
    assert b"".join(part.chunk.data for part in parts) == DATA
    assert all(len(part.chunk.data) <= CHUNK_BYTES for part in parts)
    assert all(google_crc32c.value(x.chunk.data) == x.chunk.crc32c for x in parts)
    assert {part.total_bytes for part in parts} == {len(DATA)}


def test_an_artifact_is_stored_once(server: Stubs, state: Path) -> None:
    for _ in range(2):
        server.artifacts.PutArtifact(iter(put_requests(ARTIFACT, DATA)))
    assert stored(state) == [ARTIFACT.sha256]


@pytest.mark.parametrize("offset", [0, 1, CHUNK_BYTES, len(DATA) - 1, len(DATA)])
def test_reading_goes_on_from_an_offset(server: Stubs, offset: int) -> None:
    server.artifacts.PutArtifact(iter(put_requests(ARTIFACT, DATA)))
    parts = read(server, ARTIFACT.sha256, offset)
    assert b"".join(part.chunk.data for part in parts) == DATA[offset:]
    # Told even where nothing is left to send.
    assert parts[0].total_bytes == len(DATA)


def test_an_artifact_without_elements_is_one(server: Stubs) -> None:
    empty = tensor_pb2.Artifact(sha256=hashlib.sha256().hexdigest(), datatype="FP64", shape=[0, 3])
    server.artifacts.PutArtifact(iter(put_requests(empty, b"")))
    (part,) = read(server, empty.sha256)
    assert (part.chunk.data, part.total_bytes) == (b"", 0)


def test_an_offset_behind_the_end_is_refused(server: Stubs) -> None:
    server.artifacts.PutArtifact(iter(put_requests(ARTIFACT, DATA)))
    for offset in (len(DATA) + 1, 2**64 - 1):
        told = refused(lambda offset=offset: read(server, ARTIFACT.sha256, offset))  # type: ignore[misc]
        assert (told.code, told.field) == (grpc.StatusCode.INVALID_ARGUMENT, "offset")
        assert f"the artifact has {len(DATA)} bytes" in told.message


def test_reading_what_is_not_there_is_refused(server: Stubs) -> None:
    told = refused(lambda: read(server, "0" * 64))
    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    told = refused(lambda: read(server, "../jobs.db"))
    assert (told.code, told.field) == (grpc.StatusCode.INVALID_ARGUMENT, "sha256")


WRONG_CRC = Put(chunk=artifact_service_pb2.Chunk(data=b"abc", crc32c=1))
HEAD = Put(artifact=ARTIFACT)


@pytest.mark.parametrize(
    ("messages", "code", "field", "said"),
    [
        ([HEAD, WRONG_CRC], "DATA_LOSS", "chunk", "chunk at offset 0 does not match its crc32c"),
        (
            [HEAD, Put(chunk=chunk_of(DATA[:9])), WRONG_CRC],
            "DATA_LOSS",
            "chunk",
            "chunk at offset 9 does not match its crc32c",
        ),
        (
            [HEAD, Put(chunk=chunk_of(DATA[:9]))],
            "DATA_LOSS",
            "artifact",
            f"not {ARTIFACT.sha256}; send the artifact again",
        ),
        ([], "INVALID_ARGUMENT", "artifact", "the first message must hold the artifact"),
        ([Put()], "INVALID_ARGUMENT", "artifact", "the first message must hold the artifact"),
        ([WRONG_CRC], "INVALID_ARGUMENT", "artifact", "must hold the artifact"),
        ([HEAD, HEAD], "INVALID_ARGUMENT", "chunk", "every message but the first"),
        ([HEAD, Put()], "INVALID_ARGUMENT", "chunk", "every message but the first"),
        (
            [HEAD, Put(chunk=chunk_of(DATA[: CHUNK_BYTES + 1]))],
            "INVALID_ARGUMENT",
            "chunk",
            "holds 1048577 bytes; at most 1048576",
        ),
        (
            [Put(artifact=tensor_pb2.Artifact(sha256="../x"))],
            "INVALID_ARGUMENT",
            "artifact",
            "'../x' is not a sha256",
        ),
    ],
)
def test_a_broken_upload_is_refused_and_leaves_nothing(
    server: Stubs, state: Path, messages: list[Put], code: str, field: str, said: str
) -> None:
    told = refused(lambda: server.artifacts.PutArtifact(iter(messages)))
    assert told.code is grpc.StatusCode[code]
    assert told.field == field
    assert said in told.message
    assert stored(state) == []
    server.goes_on()


def test_an_upload_that_breaks_off_leaves_nothing(server: Stubs, state: Path) -> None:
    def messages() -> Iterator[Put]:
        yield HEAD
        yield Put(chunk=chunk_of(DATA[:9]))
        raise ConnectionError

    with pytest.raises(grpc.RpcError):
        server.artifacts.PutArtifact(messages())
    server.artifacts.PutArtifact(iter(put_requests(ARTIFACT, DATA)))
    assert stored(state) == [ARTIFACT.sha256]


def test_bytes_that_were_damaged_on_disk_are_set_aside_and_not_sent(
    server: Stubs, state: Path
) -> None:
    server.artifacts.PutArtifact(iter(put_requests(ARTIFACT, DATA)))
    path = state / "artifacts" / ARTIFACT.sha256
    with path.open("r+b") as file:
        file.seek(len(DATA) - 1)
        file.write(bytes([DATA[-1] ^ 1]))
    told = refused(lambda: read(server, ARTIFACT.sha256))
    assert (told.code, told.reason) == (grpc.StatusCode.DATA_LOSS, "ARTIFACT_DAMAGED")
    assert stored(state) == [f"damaged-{ARTIFACT.sha256}"]
    # Whoever reads it again is told why it is gone.
    assert refused(lambda: read(server, ARTIFACT.sha256)).reason == "ARTIFACT_DAMAGED"
    # Sent again, it is whole again.
    server.artifacts.PutArtifact(iter(put_requests(ARTIFACT, DATA)))
    assert b"".join(part.chunk.data for part in read(server, ARTIFACT.sha256)) == DATA


def test_a_stream_that_meets_bad_bytes_ends_before_them(server: Stubs, state: Path) -> None:
    data = np.random.default_rng(1).bytes(64 * CHUNK_BYTES)
    sha256 = hashlib.sha256(data).hexdigest()
    artifact = tensor_pb2.Artifact(sha256=sha256, datatype="UINT8", shape=[len(data)])
    server.artifacts.PutArtifact(iter(put_requests(artifact, data)))
    stream = server.artifacts.ReadArtifact(
        artifact_service_pb2.ReadArtifactRequest(sha256=sha256), timeout=TIMEOUT_S
    )
    got = [next(stream).chunk.data]
    # Far beyond what is on its way already.
    with (state / "artifacts" / sha256).open("r+b") as file:
        file.seek(60 * CHUNK_BYTES)
        file.write(bytes([data[60 * CHUNK_BYTES] ^ 1]))
    told = refused(lambda: got.extend(part.chunk.data for part in stream))
    assert (told.code, told.reason) == (grpc.StatusCode.DATA_LOSS, "ARTIFACT_DAMAGED")
    assert b"".join(got) == data[: 60 * CHUNK_BYTES]


def test_an_upload_that_sends_nothing_is_ended_and_leaves_nothing(
    block_bundle: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFTSCOPE_UPLOAD_IDLE_S", "1")
    with served([block_bundle], state) as server:
        done = threading.Event()

        def messages() -> Iterator[Put]:
            yield HEAD
            yield Put(chunk=chunk_of(DATA[:9]))
            done.wait(TIMEOUT_S)

        began_s = time.monotonic()
        told = refused(lambda: server.artifacts.PutArtifact(messages()))
        done.set()
        assert (told.code, told.reason) == (grpc.StatusCode.ABORTED, "UPLOAD_IDLE")
        assert 1.0 <= time.monotonic() - began_s < 10.0
        assert stored(state) == []


@pytest.mark.parametrize("storage", ["memory:///", "file"])
def test_results_lie_where_the_storage_says(
    block_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    shared = tmp_path / "shared"
    url = shared.as_uri() if storage == "file" else storage
    monkeypatch.setenv("GRAFTSCOPE_STORAGE", url)
    with served([block_bundle], tmp_path / "state") as server:
        server.artifacts.PutArtifact(iter(put_requests(ARTIFACT, DATA)))
        assert b"".join(part.chunk.data for part in read(server, ARTIFACT.sha256)) == DATA
        maps = server.put(np.random.default_rng(0).random(MAPS.shape))
        ended = server.wait(server.analyses.Modules(modules(maps=maps)))
        assert ended.HasField("response")
    assert not (tmp_path / "state" / "artifacts").exists()
    assert (shared / "artifacts" / ARTIFACT.sha256).exists() is (storage == "file")


def test_an_array_that_was_damaged_on_disk_is_named(server: Stubs, state: Path) -> None:
    array = server.put(MAPS)
    path = state / "artifacts" / array.artifact.sha256
    path.write_bytes(b"\1" * path.stat().st_size)
    failed = server.wait(server.analyses.Modules(modules(maps=array)))
    assert failed.error.code == grpc.StatusCode.DATA_LOSS.value[0]
    assert f"artifact {array.artifact.sha256} is damaged on disk" in failed.error.message
    server.goes_on()


def test_an_array_is_checked_against_its_layout_before_a_job_starts(server: Stubs) -> None:
    array = server.put(MAPS)
    array.artifact.shape[0] = 5
    told = refused(lambda: server.analyses.Modules(modules(maps=array)))
    assert (told.code, told.field) == (grpc.StatusCode.INVALID_ARGUMENT, "maps")
    assert "holds 2048 bytes; FP64 of shape [5, 8, 8] takes 2560" in told.message
