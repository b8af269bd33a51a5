"""Facts about arrays larger than a message, and transfers that break."""

from typing import Any

import grpc
import numpy as np
import pytest

from _fake_model import influence, render
from _fake_server import Faults
from graftscope.client import LatentPairs
from graftscope.client.calls import _transfers
from graftscope.client.errors import IntegrityError, UnavailableError

CLIENTS = ("sync", "async")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_transfers, "DELAYS_S", (0.0, 0.0, 0.0))


@pytest.fixture
def faults() -> Faults:
    return Faults(inline_limit_bytes=100, chunk_bytes=300)


def large_pairs(samples: int = 250_000) -> tuple[Any, Any]:
    """Twice 6 MB of latents: more than gRPC lets one message hold."""
    random = np.random.default_rng(0)
    first, second = random.standard_normal((2, samples, 6)).astype(np.float32)
    return first, second


def test_latents_larger_than_a_message_arrive(client: Any, faults: Faults) -> None:
    first, second = large_pairs()
    pairs = LatentPairs({"z": first}, {"z": second})
    result = client.influence("toy", "conv1", (0,), originals=pairs)
    expected = influence(first[:], second[:], [[0]]).mean(axis=0)
    np.testing.assert_allclose(result.maps, expected, rtol=1e-6)
    assert faults.calls.count("PutArtifact") == 2


def test_what_the_server_has_already_is_not_sent_again(client: Any, faults: Faults) -> None:
    first, second = large_pairs()
    pairs = LatentPairs({"z": first}, {"z": second})
    for _ in range(2):
        client.influence("toy", "conv1", (0,), originals=pairs)
    assert faults.calls.count("PutArtifact") == 2


def test_replies_larger_than_a_message_arrive_in_chunks(client: Any) -> None:
    latents = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
    samples = client.generate("toy", latents={"z": latents})
    np.testing.assert_array_equal(samples.images, render(latents))


def test_a_broken_download_goes_on_where_it_broke(client: Any, faults: Faults) -> None:
    faults.broken_reads = 2
    latents = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    samples = client.generate("toy", latents={"z": latents})
    np.testing.assert_array_equal(samples.images, render(latents))
    assert faults.broken_reads == 0


def test_a_corrupt_chunk_is_asked_for_again(client: Any, faults: Faults) -> None:
    faults.corrupt_chunks = 2
    samples = client.generate("toy", count=4)
    np.testing.assert_array_equal(samples.images, render(samples.latents["z"]))
    assert faults.corrupt_chunks == 0


def test_chunks_that_stay_corrupt_are_an_error(client: Any, faults: Faults) -> None:
    faults.damaged_byte = 300
    with pytest.raises(IntegrityError, match="at byte 300 does not match its CRC-32C"):
        client.generate("toy", count=4)


def test_an_artifact_of_other_bytes_is_an_error(client: Any, faults: Faults) -> None:
    faults.wrong_artifact = True
    with pytest.raises(IntegrityError, match="do not match its sha256"):
        client.generate("toy", count=4)


def test_a_download_that_breaks_at_every_chunk_still_ends(client: Any, faults: Faults) -> None:
    faults.broken_reads = 1000
    samples = client.generate("toy", count=4)
    np.testing.assert_array_equal(samples.images, render(samples.latents["z"]))


def test_an_upload_that_fails_again_and_again_is_an_error(client: Any, faults: Faults) -> None:
    faults.refusals["PutArtifact"] = (grpc.StatusCode.UNAVAILABLE, "Connection reset", "", "")
    first, second = large_pairs(60_000)
    with pytest.raises(UnavailableError, match=r"Connection reset|broke off PutArtifact"):
        client.hybridize("toy", "conv1", (0,), originals=LatentPairs({"z": first}, {"z": second}))
    assert faults.calls.count("PutArtifact") == 4
