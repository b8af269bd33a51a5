"""The devices that compute, and what makes them faster."""

from collections.abc import Iterator

import onnxruntime as ort

from graftscope.server.doctor._case import Case
from graftscope.server.doctor._finding import Finding, NothingToCheck, ok, problem, warning
from graftscope.server.engine import Device, can_compile, check_device, describe_compiler
from graftscope.server.engine import describe_devices as described
from graftscope.server.engine import openvino as plug_in
from graftscope.server.errors import DeviceUnavailable


def device(case: Case) -> Iterator[Finding]:
    """That the device that is asked for is there: a session on it, which names its provider."""
    wanted = case.settings.device
    try:
        check_device(wanted)
    except DeviceUnavailable as error:
        yield problem(str(error).partition("; ")[0], _for_cuda())
        return
    yield ok(described(wanted).partition("; ")[0])


def _for_cuda() -> str:
    if Device.CUDA.provider not in ort.get_available_providers():
        return (
            "--device cpu; or install the build for GPUs: pip uninstall -y onnxruntime, "
            "then pip install"
            " 'graftscope[server]'"
        )
    return (
        "--device cpu; or check that nvidia-smi lists a GPU, and that LD_LIBRARY_PATH has the"
        f" versions of CUDA and cuDNN that ONNX Runtime {ort.__version__} needs"
    )


def openvino(case: Case) -> Iterator[Finding]:
    """OpenVINO's plug-in, where it is installed."""
    found = plug_in()
    if found.device is not None:
        yield ok("in use for device cpu" + (", in bfloat16 too" if found.bfloat16 else ""))
    elif found.absence.startswith("cannot be loaded"):
        yield warning(
            f"the plug-in {found.absence}",
            "pip install --upgrade 'graftscope[openvino]', or pip uninstall"
            " onnxruntime-ep-openvino: jobs run without it",
        )
    else:
        raise NothingToCheck(found.absence)


def compiler(case: Case) -> Iterator[Finding]:
    """That layers can be compiled, where the compiler is installed."""
    if not can_compile():
        told = describe_compiler()
        raise NothingToCheck(told if "not installed" in told else f"{told} cannot be used here")
    yield ok(describe_compiler())
