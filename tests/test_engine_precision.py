"""What a device can run is found and named; what it cannot is refused with what it can."""

import json

import pytest

from graftscope.server.engine import (
    AUTO,
    Backend,
    Device,
    Precision,
    SessionPool,
)
from graftscope.server.engine._devices import backends, offered, openvino
from graftscope.server.engine._precision import (
    CPU,
    CUDA,
    OPENVINO,
    WORDS,
    choose_backends,
)
from graftscope.server.errors import PrecisionUnavailable

PLAIN, FAST, BF16 = Backend(CPU), Backend(OPENVINO), Backend(OPENVINO, Precision.BF16)
ALL = (PLAIN, FAST, BF16)


@pytest.mark.parametrize(
    ("wanted", "chosen"), [("fp32", (PLAIN, FAST)), ("bf16", (BF16,)), (AUTO, ALL)]
)
def test_a_precision_is_run_by_every_provider_that_has_it_the_plain_one_first(
    wanted: str, chosen: tuple[Backend, ...]
) -> None:
    assert choose_backends(ALL, wanted, "cpu") == chosen
    assert SessionPool(Device.CPU, 4, offers=ALL).backends(wanted) == chosen


def test_a_precision_that_cannot_be_run_is_refused_with_what_can() -> None:
    with pytest.raises(PrecisionUnavailable) as caught:
        choose_backends(ALL, "fp16", "cpu", "; and nothing else")
    assert caught.value.field == "precision"
    assert str(caught.value) == (
        "precision 'fp16' cannot be run on device 'cpu' here; it runs fp32 (CPUExecutionProvider), "
        "fp32 (OpenVINOExecutionProvider), bf16 (OpenVINOExecutionProvider); and nothing else"
    )


def test_float32_is_always_there_and_runs_on_the_devices_own_provider() -> None:
    for device in Device:
        assert backends(device, "fp32")[0] == device.plain == offered(device)[0]


def test_a_gpu_has_no_bfloat16_convolution_and_a_processor_no_float16() -> None:
    assert [x.precision.value for x in offered(Device.CUDA)] == ["fp32", "tf32", "fp16"]
    for device, wanted in ((Device.CUDA, "bf16"), (Device.CPU, "fp16"), (Device.CPU, "tf32")):
        with pytest.raises(PrecisionUnavailable, match=f"{wanted!r}.*{device.value!r}"):
            backends(device, wanted)


@pytest.mark.skipif(bool(openvino().backends), reason="OpenVINO offers this processor")
def test_the_refusal_of_bfloat16_says_what_is_missing_for_it() -> None:
    with pytest.raises(PrecisionUnavailable, match=r"OpenVINO: (not installed|installed, offers)"):
        backends(Device.CPU, "bf16")


def test_arrays_lie_where_the_provider_computes() -> None:
    assert [Backend(x).memory for x in (CPU, OPENVINO, CUDA)] == ["cpu", "cpu", "cuda"]


def test_every_precision_may_be_asked_for_and_auto_is_none() -> None:
    assert json.dumps(WORDS) == '["fp32", "bf16", "tf32", "fp16", "auto"]'
    assert AUTO not in {precision.value for precision in Precision}
