"""What is tried of a model, step by step; each step may refuse it. It runs in the child alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from graftscope.bundle import MANIFEST_FILE, manifest_from_json
from graftscope.codec import DATATYPES
from graftscope.sandbox._counts import refuse_many
from graftscope.sandbox._held import held_bytes
from graftscope.sandbox._limits import Limits
from graftscope.sandbox._numbers import Place, refuse_not_numbers
from graftscope.sandbox._operations import refuse_operations
from graftscope.sandbox._reasons import Reason
from graftscope.sandbox._runs import Arrays, Opened, check_fully
from graftscope.sandbox._sizes import (
    hold_inputs,
    refuse_sizes,
    refuse_weights_elsewhere,
)
from graftscope.sandbox.errors import ModelRefusedError
from graftscope.v1 import bundle_pb2

_CHANNEL_AXES: Final = {
    bundle_pb2.LAYER_KIND_MAP: 1,
    bundle_pb2.LAYER_KIND_VECTOR: 1,
    bundle_pb2.LAYER_KIND_TOKENS: 2,
}
_NO_KERNEL: Final = "Could not find an implementation"


def try_file(
    path: Path,
    shapes: Mapping[str, Sequence[int]],
    limits: Limits,
    of_weights: Callable[[int], None],
) -> None:
    """Try a file that is exported.

    What is wrong with it in an ordinary way is let pass: whoever reads it next says it better.

    Args:
        path: An ONNX file.
        shapes: Of inputs whose shape it leaves open, the batch among them.
        limits: What it may take.
        of_weights: Hears how many bytes of weights it has.

    Raises:
        ModelRefusedError: If it takes more than it may, or holds what it may not.
    """
    model = _parsed(path, limits)
    refuse_operations(model, limits, in_bundle=False)
    places = refuse_weights_elsewhere(model, None)
    size = held_bytes([path, *(path.parent / each for each in places)])
    of_weights(size)
    known = hold_inputs(model, shapes)
    refuse_sizes(model, limits, size)
    refuse_not_numbers(model, path.parent, set())
    given = {
        value.name: _zeros(value.type.tensor_type)
        for value in model.graph.input
        if known and value.type.HasField("tensor_type")
    }
    for step in (
        lambda: check_fully(path),
        lambda: _run_as_it_is(path, given, known=known),
        lambda: Opened(path, optimised=True),
    ):
        _passing_ordinary_errors(step)


def _passing_ordinary_errors(step: Callable[[], object]) -> None:
    try:
        step()
    except ModelRefusedError as error:
        if error.reason not in (Reason.UNREADABLE, Reason.DOES_NOT_RUN):
            raise


def _run_as_it_is(path: Path, given: Arrays, *, known: bool) -> None:
    """Run a file, in ONNX's evaluator where ONNX Runtime has no kernels for it, as exports do."""
    try:
        session = Opened(path, optimised=False)
    except ModelRefusedError as error:
        if _NO_KERNEL in str(error) and known:
            _evaluate(path, given)
        raise
    if known:
        session.run(given)


def try_bundle(folder: Path, limits: Limits, size: int) -> None:
    """Try a bundle: every graph is checked and run, in the order of the generator.

    Args:
        folder: The bundle, whose files are those that its manifest lists.
        limits: What it may take.
        size: Bytes of its files.

    Raises:
        ModelRefusedError: If it takes more than it may, holds what it may not, or computes
            something else than its manifest says.
    """
    manifest = manifest_from_json((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    bundle = _Bundle(folder, manifest, limits, size)
    inputs = {each.name: _prior(each) for each in manifest.inputs}
    bundle.images(manifest.generator, inputs)
    for layer in manifest.layers:
        bundle.layer(layer, inputs)
    if manifest.HasField("encoder"):
        bundle.encoder(manifest.encoder, inputs)


class _Bundle:
    """A bundle that is tried: each of its graphs once."""

    def __init__(
        self, folder: Path, manifest: bundle_pb2.Bundle, limits: Limits, size: int
    ) -> None:
        self._folder = folder
        self._files = [each.name for each in manifest.files]
        self._image = manifest.image
        self._limits = limits
        self._size = size
        self._seen: set[Place] = set()

    def images(self, file: str, given: Arrays) -> None:
        """A graph that ends in the image."""
        image, found = self._image, self._run(file, given)
        shape = next(iter(found.values())).shape if found else ()
        _require_shape(file, "images", shape, (1, image.channels, image.height, image.width))

    def layer(self, layer: bundle_pb2.Layer, inputs: Arrays) -> None:
        """Both halves of a layer; an input has none above it."""
        held = dict(inputs) | (self._run(layer.upstream, inputs) if layer.upstream else {})
        wanted = (layer.tensor, *layer.carried)
        if missing := [name for name in wanted if name not in held]:
            raise ModelRefusedError(
                f"{layer.upstream[:80]!r} does not give {missing[0][:80]!r}, which the manifest"
                f" names; it gives: {', '.join(held)[:160]}",
                Reason.DOES_NOT_FIT,
            )
        _require_extents(layer, held[layer.tensor].shape)
        if layer.upstream:
            self.images(layer.downstream, {name: held[name] for name in wanted})

    def encoder(self, encoder: bundle_pb2.Encoder, inputs: Arrays) -> None:
        """The encoder, of one image."""
        image = self._image
        zeros = np.zeros((1, image.channels, image.height, image.width), np.float32)
        found = self._run(encoder.file, {encoder.image: zeros})
        inferred = inputs[encoder.input].shape
        for name in filter(None, (encoder.mean, encoder.log_variance)):
            if name not in found:
                raise ModelRefusedError(
                    f"{encoder.file!r} does not give {name[:80]!r}, which the manifest names",
                    Reason.DOES_NOT_FIT,
                )
            _require_shape(encoder.file, "encodings", found[name].shape, inferred)

    def _run(self, file: str, given: Arrays) -> dict[str, np.typing.NDArray[np.generic]]:
        path = self._folder / file
        try:
            model = _parsed(path, self._limits)
            refuse_operations(model, self._limits, in_bundle=True)
            refuse_weights_elsewhere(model, self._files)
            hold_inputs(model, {name: array.shape for name, array in given.items()})
            refuse_sizes(model, self._limits, self._size)
            check_fully(path)
            refuse_not_numbers(model, self._folder, self._seen)
            return Opened(path, optimised=True).run(given)
        except ModelRefusedError as error:
            raise ModelRefusedError(f"{file!r}: {error}", error.reason) from None


def _parsed(path: Path, limits: Limits) -> onnx.ModelProto:
    refuse_many(path, limits)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError:
        raise ModelRefusedError("it is no ONNX file, or damaged", Reason.UNREADABLE) from None
    if not model.graph.output:
        raise ModelRefusedError("it holds no graph", Reason.UNREADABLE)
    return model


def _prior(value: bundle_pb2.Input) -> np.typing.NDArray[np.generic]:
    return np.zeros((1, *value.shape), DATATYPES[value.datatype])


def _zeros(tensor: onnx.TypeProto.Tensor) -> np.typing.NDArray[np.generic]:
    shape = [dim.dim_value for dim in tensor.shape.dim]
    return np.zeros(shape, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))


def _evaluate(path: Path, given: Arrays) -> None:
    from onnx.reference import ReferenceEvaluator

    try:
        evaluator = ReferenceEvaluator(onnx.load(path))
        evaluator.run(None, {name: given[name] for name in evaluator.input_names})
    except MemoryError:
        raise
    except Exception:
        return


def _require_extents(layer: bundle_pb2.Layer, shape: Sequence[int]) -> None:
    axis = _CHANNEL_AXES[layer.kind]
    places = max(layer.height, 1) * max(layer.width, 1)
    fits = len(shape) > axis and shape[0] == 1 and shape[axis] == layer.channels
    if not fits or int(np.prod(shape)) != layer.channels * places:
        raise ModelRefusedError(
            f"layer {layer.name[:80]!r} is {layer.channels} x {layer.height} x {layer.width} in the"
            f" manifest, but holds {tuple(shape)[1:]}",
            Reason.DOES_NOT_FIT,
        )


def _require_shape(file: str, what: str, found: Sequence[int], said: Sequence[int]) -> None:
    if tuple(found) != tuple(said):
        raise ModelRefusedError(
            f"{file[:80]!r} gives {what} of shape {tuple(found)[1:]}, the manifest says"
            f" {tuple(said)[1:]}",
            Reason.DOES_NOT_FIT,
        )
