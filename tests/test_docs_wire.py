"""The page about the wire: every method is shown, answered as it says, and arrays decode."""

import re
from pathlib import Path

import numpy as np
import pytest
from google.longrunning import operations_pb2

from graftscope.inference.v2 import inference_service_pb2
from graftscope.v1 import analysis_service_pb2, artifact_service_pb2, model_service_pb2
from tools.wire_examples import PAGE, renewed

SERVICES = (
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"],
    analysis_service_pb2.DESCRIPTOR.services_by_name["AnalysisService"],
    artifact_service_pb2.DESCRIPTOR.services_by_name["ArtifactService"],
    operations_pb2.DESCRIPTOR.services_by_name["Operations"],
    inference_service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"],
)


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_every_method_is_shown_with_a_request(page: str) -> None:
    shown = set(re.findall(r"^```json request (\w+/\w+)$", page, flags=re.MULTILINE))
    assert shown == {f"{each.name}/{method.name}" for each in SERVICES for method in each.methods}


def test_every_request_is_answered_as_the_page_says(page: str) -> None:
    _, wrong = renewed(page)
    assert not wrong, "\n".join(wrong)


def test_arrays_decode_as_the_page_says(page: str) -> None:
    code = re.search(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    assert code is not None
    found: dict[str, object] = {}
    exec(compile(code[1], str(Path(PAGE)), "exec"), found)
    numbers = np.arange(6, dtype=np.int64).reshape(2, 3)
    decoded, files = found["decoded"], found["files"]
    assert callable(decoded)
    assert callable(files)
    np.testing.assert_array_equal(decoded(numbers.tobytes(), "INT64", [2, 3]), numbers)
    packed = b"".join(len(x).to_bytes(4, "little") + x for x in (b"one", b"", b"three"))
    assert files(packed) == [b"one", b"", b"three"]
