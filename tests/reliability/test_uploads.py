"""Uploads that a kill or a full disk interrupts, with a real server: nothing of them is left."""

import hashlib
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from graftscope.v1 import artifact_service_pb2, artifact_service_pb2_grpc, tensor_pb2
from reliability._processes import Running, server, told
from server_toys import put_requests, refused

WAIT_S = 60.0
DATA = np.random.default_rng(0).bytes(8 * 2**20)
ARTIFACT = tensor_pb2.Artifact(
    sha256=hashlib.sha256(DATA).hexdigest(), datatype="UINT8", shape=[len(DATA)]
)
UPLOADS = 20


def stub(channel: grpc.Channel) -> artifact_service_pb2_grpc.ArtifactServiceStub:
    return artifact_service_pb2_grpc.ArtifactServiceStub(channel)


def names(state: Path) -> list[str]:
    return sorted(path.name for path in (state / "artifacts").iterdir())


def half_sent(channel: grpc.Channel, ended: threading.Event) -> object:
    """An upload that is left open after its first half."""
    messages = put_requests(ARTIFACT, DATA)

    def send() -> Iterator[artifact_service_pb2.PutArtifactRequest]:
        yield from messages[: len(messages) // 2]
        ended.wait(WAIT_S)

    return stub(channel).PutArtifact.future(send(), timeout=WAIT_S)


def written(state: Path) -> int:
    return sum(path.stat().st_size for path in (state / "artifacts").glob("incoming-*"))


@pytest.mark.soak
def test_uploads_whose_server_is_killed_leave_nothing_after_the_next_start(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    state, ended = tmp_path / "state", threading.Event()
    with (
        server([toy_vae_bundle], state) as running,
        grpc.insecure_channel(running.address) as open_,
    ):
        calls = [half_sent(open_, ended) for _ in range(UPLOADS)]
        while written(state) < UPLOADS * len(DATA) // 4:
            assert running.process.poll() is None
        running.kill()
        ended.set()
        assert len(calls) == UPLOADS
    assert len(names(state)) == UPLOADS
    with server([toy_vae_bundle], state):
        told("files of 20 killed uploads after the next start", len(names(state)), 0)
        assert names(state) == []


@pytest.mark.soak
def test_an_upload_to_a_full_disk_is_refused_and_the_next_one_taken(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with (
        server([toy_vae_bundle], state) as running,
        grpc.insecure_channel(running.address) as open_,
    ):
        limit(running, 2**20)
        told_now = refused(lambda: stub(open_).PutArtifact(iter(put_requests(ARTIFACT, DATA))))
        assert (told_now.code, told_now.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "STORAGE_FULL",
        )
        assert str(tmp_path) not in told_now.message
        assert names(state) == []
        limit(running, resource.RLIM_INFINITY)
        stub(open_).PutArtifact(iter(put_requests(ARTIFACT, DATA)))
        assert names(state) == [ARTIFACT.sha256]
        # One byte too many closes it again.
        bad = [*put_requests(ARTIFACT, DATA[:-1]), *put_requests(ARTIFACT, b"xx")[1:]]
        refused(lambda: stub(open_).PutArtifact(iter(bad)))
        assert names(state) == [ARTIFACT.sha256]


def limit(running: Running, size: int) -> None:
    """How large the server's files may be, which is how full its disk is."""
    _, hard = resource.prlimit(running.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (size, hard))
