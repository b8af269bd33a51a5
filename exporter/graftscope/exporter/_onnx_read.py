"""Read ONNX files: whatever is wrong with one is said in one line, before anything runs it."""

from pathlib import Path

import onnx_ir as ir
from google.protobuf.message import DecodeError

from graftscope.exporter._opset import raise_opset
from graftscope.exporter.errors import SourceError
from graftscope.graph import normalise


def read_onnx(path: Path) -> ir.Model:
    """Read a graph in plain form, of an operation set that splicing knows.

    Args:
        path: An ONNX file; weights in external data lie below its folder.

    Raises:
        SourceError: If it is no ONNX file, is damaged, lacks its weights, or is too old to be
            converted.
    """
    model = _load(path)
    _require_weights(path, model)
    try:
        return raise_opset(normalise(model))
    except SourceError:
        raise
    except Exception as error:  # passes have no common base of what they raise
        raise SourceError(f"source {str(path)!r} is damaged: {_one_line(error)}") from error


def _load(path: Path) -> ir.Model:
    try:
        model = ir.load(path)
    except DecodeError as error:
        raise SourceError(f"source {str(path)!r} is no ONNX file: {_one_line(error)}") from error
    except Exception as error:  # what onnx-ir meets in a damaged file has no common base
        raise SourceError(
            f"source {str(path)!r} cannot be read as an ONNX file: {_one_line(error)}"
        ) from error
    if not list(model.graph) or not model.graph.outputs:
        raise SourceError(f"source {str(path)!r} is no ONNX file: it holds no graph")
    return model


def _require_weights(path: Path, model: ir.Model) -> None:
    """Refuse a graph whose external data is missing, too short or elsewhere."""
    folder = path.parent.resolve()
    for graph in model.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if not isinstance(tensor, ir.ExternalTensor):
                continue
            file = (folder / tensor.location).resolve()
            if not file.is_relative_to(folder):
                problem = "lie outside of its folder"
            elif not file.is_file():
                problem = "are missing"
            elif file.stat().st_size < (tensor.offset or 0) + (tensor.length or tensor.nbytes):
                problem = "are cut short"
            else:
                continue
            raise SourceError(
                f"source {str(path)!r}: weights of {value.name!r} {problem}: {tensor.location}"
            )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
