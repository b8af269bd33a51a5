"""What export and inspect say of a generator that is not float32 with channels first."""

from pathlib import Path

import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto

from graftscope.client.cli import run
from onnx_toys import CHAIN, parse
from whole_graphs import in_type


def test_what_was_cast_and_how_far_images_may_be_apart_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "half.onnx", tmp_path / "half"
    onnx.save(in_type(ir.to_proto(parse(CHAIN)), TensorProto.FLOAT16), path)
    assert run(["export", str(path), "--out", str(out)]) == 0
    exported = capsys.readouterr().err
    assert run(["inspect", str(out)]) == 0
    inspected = capsys.readouterr().out.splitlines()
    for lines in (exported.splitlines(), inspected):
        assert "computed in float32: what is float16 in the source (9 of its tensors)" in lines
        (apart,) = [line for line in lines if line.startswith("images are within ")]
        assert "of the range of the source's, which rounds; allowed: 0.0" in apart
