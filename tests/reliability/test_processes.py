"""The harness itself: a process is measured, frozen and killed as it says."""

import signal
from pathlib import Path

import grpc
import pytest

from graftscope.client import Client
from reliability._processes import MIB, server, told


def test_a_server_of_its_own_process(toy_vae_bundle: Path, tmp_path: Path) -> None:
    with server([toy_vae_bundle], tmp_path / "state") as running:
        with Client(running.address) as client:
            assert [model.name for model in client.models()] == ["toy-vae"]
        told("a server with one toy model, resident MiB", running.resident_bytes // MIB, "none")
        assert 20 * MIB < running.resident_bytes <= running.peak_bytes
        assert running.descriptors > 3
        assert running.threads > 1
        assert running.cpu_s > 0
        running.freeze()
        channel = grpc.insecure_channel(running.address)
        with channel, pytest.raises(grpc.FutureTimeoutError):
            grpc.channel_ready_future(channel).result(timeout=0.3)
        running.thaw()
        running.kill()
        assert running.process.returncode == -signal.SIGKILL
    assert running.log.read_text()
