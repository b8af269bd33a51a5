"""Sources: what a generator is read from, as a `GeneratorSubject`.

A checkpoint of `graftscope.training`, an ONNX file, or a Python function that makes a module.
"""

from pathlib import Path

from graftscope.exporter._options import Options
from graftscope.exporter._subject import GeneratorSubject
from graftscope.exporter.errors import SourceError, SourceNotFoundError
from graftscope.exporter.sources._checkpoint import subject_from_checkpoint
from graftscope.exporter.sources._encoder import with_encoder
from graftscope.exporter.sources._factory import subject_from_factory
from graftscope.exporter.sources._module import is_factory
from graftscope.exporter.sources._onnx import subject_from_onnx
from graftscope.training.inversion import is_inverter

__all__ = ["read_subject", "with_encoder"]


def read_subject(source: str, name: str, licence: str | None, options: Options) -> GeneratorSubject:
    """Find out what a source is, and read it.

    Args:
        source: The folder of a finished checkpoint, an .onnx file, or `package.module:function`.
        name: The bundle's name, for the model card.
        licence: The terms of the images it was trained on, if known.
        options: What the caller says of it; what a kind of source has no use for is refused.

    Raises:
        SourceNotFoundError: If there is nothing at that path.
        SourceError: If what is there cannot be exported.
        TrainingError: If the checkpoint is unfinished or damaged.
    """
    path = Path(source)
    if path.is_dir() and is_inverter(path):
        raise SourceError(
            f"source {source!r} is an encoder, no generator: give it with --encoder, and the "
            "bundle that it was trained for as SOURCE"
        )
    if path.is_dir():
        options.refuse(
            "a checkpoint", "inputs", "shapes", "output", "image_range", "image_shape", "weights"
        )
        return subject_from_checkpoint(path, name, licence)
    if path.is_file() and path.suffix == ".onnx":
        options.refuse("an ONNX file", "weights")
        return subject_from_onnx(path, licence, options)
    if not path.exists() and is_factory(source):
        options.refuse("a factory", "output")
        return subject_from_factory(source, licence, options)
    kind, problem = (
        (SourceError, "is not supported")
        if path.exists()
        else (SourceNotFoundError, "does not exist")
    )
    raise kind(
        f"source {source!r} {problem}; a source is the folder of a finished checkpoint, an .onnx "
        "file or a factory, package.module:function"
    )
