"""OpenVINO's plug-in: found, loaded once, asked for its processor, and set up through one option.

Its devices need an Intel processor, so a stand-in for ONNX Runtime offers them here.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import onnxruntime as ort
import pytest

from graftscope.server.engine import Backend, Device, Precision, describe_devices
from graftscope.server.engine._devices import offered, open_session
from graftscope.server.engine._openvino import (
    OpenVino,
    find_openvino,
    library_path,
    processor_flags,
    session_options,
)
from graftscope.server.engine._precision import CPU, OPENVINO
from graftscope.server.errors import DeviceUnavailable
from onnx_chains import chain

INSTALLED = library_path() is not None
FP32, BF16 = Backend(OPENVINO), Backend(OPENVINO, Precision.BF16)


@dataclass(frozen=True)
class FakeDevice:
    ep_name: str
    ep_metadata: dict[str, str] = field(default_factory=dict)


PLAIN = FakeDevice(CPU)
PROCESSOR = FakeDevice(OPENVINO, {"ov_device": "CPU"})
GRAPHICS = FakeDevice(OPENVINO, {"ov_device": "GPU"})


@dataclass
class FakeRuntime:
    """ONNX Runtime whose plug-in offers some devices once it is registered."""

    offers: tuple[FakeDevice, ...]
    error: str = ""
    registered: list[str] = field(default_factory=list)

    def register_execution_provider_library(self, name: str, path: str) -> None:
        if self.error:
            raise RuntimeError(self.error)
        if self.registered:
            raise RuntimeError(f"EP library is already registered under {name}")
        self.registered.append(path)

    def get_ep_devices(self) -> list[FakeDevice]:
        return [PLAIN, *(self.offers if self.registered else ())]


def found(runtime: FakeRuntime, *flags: str) -> OpenVino:
    return find_openvino(runtime, library="plugin.so", flags=flags)


def test_a_processor_with_bfloat16_instructions_runs_both_precisions() -> None:
    runtime = FakeRuntime((GRAPHICS, PROCESSOR))
    plugin = found(runtime, "avx512f", "amx_bf16")
    assert runtime.registered == ["plugin.so"]
    assert plugin.device is PROCESSOR
    assert plugin.absence == ""
    assert plugin.backends == (FP32, BF16)
    assert offered(Device.CPU, plugin) == (Backend(CPU), FP32, BF16)


def test_a_processor_without_them_runs_float32_alone() -> None:
    assert found(FakeRuntime((PROCESSOR,)), "avx512f").backends == (FP32,)


def test_a_plug_in_that_is_loaded_already_is_not_loaded_again() -> None:
    runtime = FakeRuntime((PROCESSOR,))
    for _ in range(2):
        assert found(runtime).device is PROCESSOR
    assert runtime.registered == ["plugin.so"]


@pytest.mark.parametrize("offers", [(), (GRAPHICS,)])
def test_a_plug_in_without_this_processor_is_said_and_never_used(
    offers: tuple[FakeDevice, ...],
) -> None:
    runtime = FakeRuntime(offers)
    for _ in range(2):  # The second time it is registered already, which nothing else tells.
        plugin = found(runtime, "amx_bf16")
        assert plugin.absence == "installed, offers no device on this processor"
        assert offered(Device.CPU, plugin) == (Backend(CPU),)


def test_a_plug_in_that_cannot_be_loaded_is_said_with_the_reason() -> None:
    plugin = found(FakeRuntime((PROCESSOR,), error="libtbb.so.12 is missing\nand more"))
    assert plugin.absence == "cannot be loaded: libtbb.so.12 is missing"
    assert plugin.backends == ()


def test_what_runs_is_said_in_one_line() -> None:
    told = describe_devices(Device.CPU, found(FakeRuntime((PROCESSOR,)), "avx512_bf16"))
    assert told == (
        "device cpu: fp32 (CPUExecutionProvider), fp32 (OpenVINOExecutionProvider), "
        "bf16 (OpenVINOExecutionProvider); OpenVINO: in use for device cpu"
    )
    told = describe_devices(Device.CUDA, found(FakeRuntime(())))
    assert told.endswith("OpenVINO: installed, offers no device on this processor")


@pytest.mark.parametrize(("precision", "hint"), [(Precision.FP32, "f32"), (Precision.BF16, "bf16")])
def test_precision_and_streams_go_through_load_config(precision: Precision, hint: str) -> None:
    (name, config), *others = session_options(precision, streams=2).items()
    assert (name, others) == ("load_config", [])
    assert json.loads(config) == {
        "CPU": {
            "INFERENCE_PRECISION_HINT": hint,
            "NUM_STREAMS": "2",
            "INFERENCE_NUM_THREADS": "2",
        }
    }


def test_the_processors_features_are_read_where_linux_lists_them(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name\t: any\nflags\t\t: fpu amx_bf16\nflags\t\t: other\n")
    assert processor_flags(cpuinfo) == {"fpu", "amx_bf16"}
    assert processor_flags(tmp_path / "missing") == frozenset()


def test_a_session_on_a_plug_in_without_a_device_is_refused_with_the_reason() -> None:
    with pytest.raises(DeviceUnavailable, match=r"OpenVINO.*cannot be used: not installed"):
        open_session(chain(1, 2), FP32, plugin=OpenVino(None, absence="not installed"))


def test_a_session_that_came_up_on_another_provider_is_refused() -> None:
    # The plug-in's device is the processor's own, so ONNX Runtime takes that.
    device = next(x for x in ort.get_ep_devices() if x.ep_name == CPU)
    with pytest.raises(DeviceUnavailable, match=r"bf16 \(OpenVINO.*offers CPUExecutionProvider"):
        open_session(chain(1, 2), BF16, streams=2, plugin=OpenVino(device))


@pytest.mark.skipif(not INSTALLED, reason="onnxruntime-ep-openvino is not installed")
def test_the_real_plug_in_either_offers_the_processor_or_says_why_not() -> None:
    plugin = find_openvino()
    assert (plugin.device is None) == bool(plugin.absence)
    assert any(x.ep_name == CPU for x in ort.get_ep_devices())
