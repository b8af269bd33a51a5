"""Precisions on the wire: what the device cannot run is refused, what ran is told."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message

from graftscope.bundle import read_bundle
from graftscope.server import embedded_server
from graftscope.server.engine import (
    ORIGINAL2,
    Backend,
    Batching,
    Deviation,
    Device,
    Edit,
    Generator,
    Precision,
    PriorPairs,
    SessionPool,
)
from graftscope.server.engine._devices import openvino
from graftscope.server.engine._precision import CPU
from graftscope.server.jobs import (
    Result,
)
from graftscope.server.jobs._job import Json
from graftscope.server.rpc import InteractiveRuns
from graftscope.server.rpc._replies import execution, response
from graftscope.v1 import analysis_service_pb2, precision_pb2
from request_toys import SIDE, channels, edit, encode, generate, hybridize, influence, inline, pairs
from server_toys import Stubs, call_for, refused

# ONNX Runtime's CPU provider computes a float16 graph with roundings.
HALF = Backend(CPU, Precision.FP16)
IMAGES = np.zeros((2, SIDE, SIDE, 3), dtype=np.uint8)
ASKED: dict[str, Callable[[int], Message]] = {
    "generate": lambda wanted: generate(samples=pairs(), precision=wanted),
    "encode": lambda wanted: encode(inline(IMAGES), precision=wanted),
    "hybridize": lambda wanted: hybridize(edit(channels=channels(0)), precision=wanted),
    "influence": lambda wanted: influence(precision=wanted),
}
PLAIN_ONLY = pytest.mark.skipif(
    bool(openvino().backends), reason="OpenVINO offers this processor, which then runs more"
)


@pytest.mark.parametrize("what", ASKED)
@pytest.mark.parametrize("wanted", ["TF32", "FP16", pytest.param("BF16", marks=PLAIN_ONLY)])
def test_a_precision_that_the_device_cannot_run_is_refused_with_what_it_can(
    toy_server: Stubs, what: str, wanted: str
) -> None:
    request = ASKED[what](precision_pb2.Precision.Value(f"PRECISION_{wanted}"))
    told = refused(call_for(toy_server, request))
    assert (told.code, told.reason, told.field) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "PRECISION_UNAVAILABLE",
        "precision",
    )
    assert f"precision '{wanted.lower()}' cannot be run on device 'cpu'" in told.message
    assert "it runs fp32 (CPUExecutionProvider)" in told.message
    toy_server.goes_on()


@PLAIN_ONLY
@pytest.mark.parametrize("wanted", ["UNSPECIFIED", "FP32", "AUTO"])
@pytest.mark.parametrize("what", ["generate", "encode", "hybridize"])
def test_float32_is_what_runs_where_there_is_nothing_else(
    toy_server: Stubs, what: str, wanted: str
) -> None:
    request = ASKED[what](precision_pb2.Precision.Value(f"PRECISION_{wanted}"))
    said = call_for(toy_server, request)().execution  # type: ignore[attr-defined]
    assert (said.precision, said.provider) == (
        precision_pb2.PRECISION_FP32,
        "CPUExecutionProvider",
    )
    assert not said.HasField("deviation")


def test_a_job_tells_what_was_asked_and_what_ran(toy_server: Stubs) -> None:
    request = influence(precision=precision_pb2.PRECISION_AUTO)
    ended = toy_server.wait(toy_server.analyses.Influence(request))
    metadata = analysis_service_pb2.AnalysisMetadata()
    found = analysis_service_pb2.InfluenceResponse()
    assert ended.metadata.Unpack(metadata)
    assert ended.response.Unpack(found)
    assert metadata.influence.precision == precision_pb2.PRECISION_AUTO
    assert found.execution.precision != precision_pb2.PRECISION_AUTO
    assert found.execution.provider == metadata.plan.provider


def test_rewrites_and_deviation_are_said() -> None:
    backend = Backend("OpenVINOExecutionProvider", Precision.BF16)
    said = execution("abc", backend, ("folded",), Deviation(8, 16, 0.001, 0.01, 0.05))
    assert said.precision == precision_pb2.PRECISION_BF16
    assert (list(said.rewrites), said.deviation.sets, said.deviation.worst) == (
        ["folded"],
        16,
        0.05,
    )


def test_results_of_before_there_were_precisions_are_plain_float32() -> None:
    scalars: dict[str, Json] = {
        "range_width": 2.0,
        "pairs": 4,
        "distinct_images": 0,
        "originals": "prior",
        "layer": "conv1",
        "model_digest": "abc",
        "provider": "CPUExecutionProvider",
    }
    said = response("influence", Result({}, scalars))
    assert isinstance(said, analysis_service_pb2.InfluenceResponse)
    assert said.execution == precision_pb2.Execution(
        model_digest="abc",
        precision=precision_pb2.PRECISION_FP32,
        provider="CPUExecutionProvider",
    )


@pytest.mark.parametrize("wanted", ["fp16", "auto"])
async def test_what_is_made_while_one_waits_is_made_in_the_precision_that_is_asked_for(
    toy_vae_bundle: Path, wanted: str
) -> None:
    offers = (Backend(CPU), HALF)
    generator = Generator(read_bundle(toy_vae_bundle), SessionPool(Device.CPU, 16, offers=offers))
    source, layer = PriorPairs(generator, 0), generator.manifest.layers[1]
    swap = (Edit(layer.name, (0,), donor=ORIGINAL2),)
    images = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE, 3), dtype=np.uint8)
    with ThreadPoolExecutor(2) as executor:
        runs = InteractiveRuns(Batching(executor, 2, generator.turns))
        samples = await runs.samples(generator, wanted, source, range(6))
        hybrids = await runs.hybrids(generator, wanted, swap, source, range(6))
        posterior = await runs.posterior(generator, wanted, images)
    for ran in (samples, hybrids, posterior):
        assert ran.backend == HALF
        assert ran.deviation is not None
        assert (ran.deviation.pairs, ran.deviation.sets) == (4, 0)
        assert 0 < ran.deviation.worst < 0.02
    assert len(samples.made.images) == len(hybrids.made.hybrid) == len(posterior.made[0]) == 6


def test_a_server_says_what_its_device_runs_when_it_starts(
    toy_vae_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "graftscope.server")
    with embedded_server([toy_vae_bundle], state=tmp_path):
        pass
    said = [x.getMessage() for x in caplog.records if x.getMessage().startswith("event='devices'")]
    assert len(said) == 1
    assert "device cpu: fp32 (CPUExecutionProvider)" in said[0]
    assert "OpenVINO: " in said[0]
