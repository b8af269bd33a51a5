"""A server with little memory: what would take more is refused before anything is allocated."""

from collections.abc import Callable, Iterator

import grpc
import numpy as np
import pytest

from graftscope.bundle import shipped
from graftscope.v1 import analysis_service_pb2, intervention_pb2, model_service_pb2, originals_pb2
from reliability._processes import MIB, Running, server, told
from server_toys import Stubs, refused

LIMIT_MIB = 460
MODEL = "models/vae-celeba"
FEW = originals_pb2.Pairs(count=32)


def _swap() -> intervention_pb2.Intervention:
    swap = intervention_pb2.Intervention()
    swap.edits.add(layer="deconv2").channels.indices.append(0)
    return swap


SWAP = _swap()
MANY = analysis_service_pb2.Interventions(interventions=[SWAP] * 2000)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that may use 460 MiB."""
    limit = {"GRAFTSCOPE_MEMORY_GIB": str(LIMIT_MIB / 1024)}
    state = tmp_path_factory.mktemp("small") / "state"
    with server([shipped()["vae-celeba"]], state, environment=limit) as running:
        yield running


@pytest.fixture
def stubs(small: Running) -> Iterator[Stubs]:
    with grpc.insecure_channel(small.address) as channel:
        yield Stubs(small.address, channel, small.log.parent)


def _modules(stubs: Stubs) -> object:
    # 64 MiB on the disk, and several times as much while they are grouped.
    maps = stubs.put(np.zeros((512, 128, 128)))
    request = analysis_service_pb2.ModulesRequest(maps=maps, k=4)
    return stubs.analyses.Modules(request)


def _stability(stubs: Stubs) -> object:
    maps = stubs.put(np.zeros((512, 128, 128)))
    request = analysis_service_pb2.StabilityRequest(maps=maps)
    return stubs.analyses.Stability(request)


def _templates(stubs: Stubs) -> object:
    # Small maps, but 100 runs of 150 templates each.
    maps = stubs.put(np.zeros((150, 64, 64)))
    seeds = range(100)
    request = analysis_service_pb2.ModulesRequest(maps=maps, k=150, seeds=seeds)
    return stubs.analyses.Modules(request)


def _interventions(stubs: Stubs) -> object:
    request = analysis_service_pb2.InfluenceRequest(model=MODEL, each_intervention=MANY, pairs=FEW)
    return stubs.analyses.Influence(request)


def _dry_run(stubs: Stubs) -> object:
    request = analysis_service_pb2.InfluenceRequest(
        model=MODEL,
        each_intervention=MANY,
        pairs=FEW,
        dry_run=True,
    )
    return stubs.analyses.Influence(request)


def _magnitude(stubs: Stubs) -> object:
    request = analysis_service_pb2.MagnitudeRequest(
        model=MODEL, layers=["deconv1"], ks=range(2, 65), pairs=FEW
    )
    return stubs.analyses.Magnitude(request)


def _samples(stubs: Stubs) -> object:
    samples = originals_pb2.Pairs(count=5400)
    request = model_service_pb2.GenerateRequest(
        model=MODEL, samples=samples, encoding=model_service_pb2.IMAGE_ENCODING_PNG
    )
    return stubs.models.Generate(request)


def _hybrids(stubs: Stubs) -> object:
    request = model_service_pb2.HybridizeRequest(
        model=MODEL, intervention=SWAP, pairs=originals_pb2.Pairs(count=1820)
    )
    return stubs.models.Hybridize(request)


def _images(stubs: Stubs) -> object:
    images = stubs.put(np.zeros((17_000, 64, 64, 3), np.uint8))
    request = model_service_pb2.EncodeRequest(model=MODEL, images=images)
    return stubs.models.Encode(request)


@pytest.mark.parametrize(
    "call",
    [
        _modules,
        _stability,
        _templates,
        _interventions,
        _dry_run,
        _magnitude,
        _samples,
        _hybrids,
        _images,
    ],
)
def test_what_would_pass_the_limit_is_refused_before_it_is_allocated(
    small: Running, stubs: Stubs, call: Callable[[Stubs], object]
) -> None:
    refusal = refused(lambda: call(stubs))
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal.reason == "MEMORY_LIMIT"
    assert "the server's limit is 460 MiB" in refusal.message
    stubs.goes_on()
    told(f"{call.__name__} peak MiB", small.peak_bytes // MIB, f"at most {LIMIT_MIB}")
    assert small.peak_bytes <= LIMIT_MIB * MIB


def test_what_fits_is_answered(stubs: Stubs) -> None:
    request = model_service_pb2.GenerateRequest(model=MODEL, samples=originals_pb2.Pairs(count=64))
    images = stubs.models.Generate(request).images
    assert stubs.read(images).shape == (64, 3, 64, 64)
