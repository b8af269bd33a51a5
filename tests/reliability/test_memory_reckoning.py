"""What is reckoned is what a server takes, within a factor of two, whatever is asked for."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from graftscope.bundle import shipped
from graftscope.client import Client, Edit, Intervention, Method
from graftscope.client.errors import JobFailedError
from inference_toys import infer
from reliability._processes import MIB, Running, server, told

FACTOR = 2.0
MODEL, LAYER = "vae-celeba", "deconv2"
RANDOM = np.random.default_rng(0)

# Below this, what Python and the allocator keep in any case decides.
LEAST_BYTES = 24 * MIB

_SAMPLED_S = 0.02
_RECEIVES = "grpc.max_receive_message_length"

_TAKEN = re.compile(r"event='memory' .*\bheld=(\d+) sessions=(\d+)")


def _maps(channels: int, side: int, dtype: type[np.floating[Any]] = np.float64) -> Any:
    """Maps of eight groups of channels, which any method can tell apart."""
    centres = RANDOM.random((8, side, side))
    noise = 0.05 * RANDOM.random((channels, side, side))
    return (centres[np.arange(channels) % 8] + noise).astype(dtype)


def _modules(channels: int, side: int, **options: Any) -> Callable[[Client], object]:
    dtype = options.pop("dtype", np.float64)
    return lambda client: client.modules(_maps(channels, side, dtype), **options)


def _stability(channels: int, side: int, **options: Any) -> Callable[[Client], object]:
    return lambda client: client.stability(_maps(channels, side), **options)


def _images(count: int) -> Any:
    return RANDOM.integers(0, 256, (count, 64, 64, 3), np.uint8)


def _swaps(count: int) -> list[Intervention]:
    """Swaps of two channels, of which no two are alike."""
    pairs = [(i, j) for i in range(32) for j in range(i)]
    return [Intervention([Edit(LAYER, channels)]) for channels in pairs[:count]]


def _infer(part: str, count: int, *, channels: int = 0) -> Callable[[str], object]:
    """A call of the Open Inference Protocol; hybrids have a set of channels for every pair."""
    z: dict[str, NDArray[Any]] = {"z": RANDOM.standard_normal((count, 128)).astype(np.float32)}
    if channels:
        z = {"z1": z["z"], "z2": z["z"], "channels": RANDOM.random((count, channels)) < 0.5}

    def call(address: str) -> object:
        with grpc.insecure_channel(address, [(_RECEIVES, -1)]) as channel:
            return infer(channel, MODEL + part, z)

    return call


CASES: dict[str, Callable[[Client], object]] = {
    "Generate 3,000": lambda client: client.generate(MODEL, count=3000),
    "Generate 3,000 as PNG": lambda client: client.generate(MODEL, count=3000, encoding="png"),
    "Hybridize 1,000 pairs": lambda client: client.hybridize(MODEL, LAYER, [1], pairs=1000),
    "Encode 10,000": lambda client: client.encode(MODEL, _images(10_000)),
    "Influence 32 channels": lambda client: client.influence(MODEL, LAYER, pairs=96),
    "Influence 200 sets of maps": lambda client: client.influence(
        MODEL, interventions=_swaps(200), pairs=64
    ),
    "Influence with products": lambda client: client.influence(
        MODEL, "deconv1", pairs=64, products=True
    ),
    "Modules NMF": _modules(256, 96, k=3),
    "Modules FP32": _modules(512, 64, k=3, dtype=np.float32, method=Method.KMEANS),
    "Modules k-means": _modules(512, 64, k=3, method=Method.KMEANS),
    "Modules Ward": _modules(512, 64, k=3, method=Method.AGGLOMERATIVE),
    "Modules 20 seeds": _modules(64, 64, k=16, method=Method.KMEANS, seeds=tuple(range(8))),
    "Stability": _stability(256, 64, ks=[3], methods=[Method.KMEANS], repeats=3),
    "Magnitude": lambda client: client.magnitude(
        MODEL, [LAYER], ks=list(range(2, 17)), method=Method.KMEANS, pairs=64
    ),
}


INFERRED: dict[str, Callable[[str], object]] = {
    "ModelInfer 3,000": _infer("", 3000),
    "ModelInfer 1,500 upstream": _infer(f".{LAYER}.upstream", 1500),
    "ModelInfer 1,000 hybrids": _infer(f".{LAYER}.hybrid", 1000, channels=32),
}


@pytest.mark.soak
@pytest.mark.parametrize("name", [*CASES, *INFERRED])
def test_what_is_reckoned_is_what_is_taken(name: str, tmp_path: Path) -> None:
    bundle, options = shipped()[MODEL], ("--log-level", "debug")
    with (
        server([bundle], tmp_path / "state", options=options) as running,
        Client(running.address) as client,
    ):
        client.models()
        before = running.resident_bytes
        with _highest(running) as highest:
            try:
                if name in INFERRED:
                    INFERRED[name](running.address)
                else:
                    CASES[name](client)
            except JobFailedError as error:
                assert "did not converge" in str(error)  # noqa: PT017 - it took what it takes
        taken = highest[0] - before
        reckoned = _reckoned(running)
    shown = f"{reckoned / MIB:.0f} MiB reckoned, {taken / MIB:.0f} MiB taken"
    told(f"memory of {name}", f"{shown}: {reckoned / taken:.2f}", "0.5 to 2")
    assert taken / FACTOR <= reckoned
    assert reckoned <= FACTOR * max(taken, LEAST_BYTES)


@contextmanager
def _highest(running: Running) -> Iterator[list[int]]:
    """The most that a server and its children together have in memory meanwhile, as sampled."""
    highest, over = [0], threading.Event()

    def sample() -> None:
        while not over.wait(_SAMPLED_S):
            highest[0] = max(highest[0], running.resident_bytes)

    sampling = threading.Thread(target=sample)
    sampling.start()
    try:
        yield highest
    finally:
        over.set()
        sampling.join()


def _reckoned(running: Running) -> int:
    """The most that a call or job was admitted with: all that was held then, and sessions."""
    taken = _TAKEN.findall(running.log.read_text())
    return max(int(held) + int(sessions) for held, sessions in taken)
