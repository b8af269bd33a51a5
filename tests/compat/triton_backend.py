"""A backend `onnxruntime` for Triton, in Python, for a Triton that comes without one.

Triton runs it with a Python of its own, which finds the packages of an environment only where it is
told; it needs numpy 1, or every output is empty.
"""

import os
import sys

sys.path.insert(0, os.environ["TRITON_PACKAGES"])

import onnxruntime as ort
import triton_python_backend_utils as utils


class TritonPythonModel:
    """One model of a repository."""

    def initialize(self, told: dict[str, str]) -> None:
        folder = os.path.join(told["model_repository"], told["model_version"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        path = os.path.join(folder, "model.onnx")
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[object]) -> list[object]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: object) -> object:
        feeds = {each.name(): each.as_numpy() for each in request.inputs()}  # type: ignore[attr-defined]
        names = list(request.requested_output_names())  # type: ignore[attr-defined]
        made = self._session.run(names, feeds)
        tensors = [utils.Tensor(name, array) for name, array in zip(names, made, strict=True)]
        return utils.InferenceResponse(tensors)
