"""Encoders as they come: an ONNX file or a factory, run on images to see what they give.

Whether images go in with the channels first or last, or as rows of pixels, for one sample or for
many, is tried; which output means what is not decided here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from graftscope.exporter._encoder_choice import EncoderChoice
from graftscope.exporter._evaluator import runnable
from graftscope.exporter.errors import (
    ProofError,
    SourceError,
    SourceNotFoundError,
    one_line,
)
from graftscope.exporter.progress import quiet
from graftscope.exporter.sources._module import Made, MethodModule, is_factory, make
from graftscope.exporter.sources._onnx_file import read_onnx
from graftscope.exporter.sources._plain_ends import quantisation_changes, type_changes
from graftscope.exporter.sources._trace import trace
from graftscope.exporter.sources._weights import load_weights
from graftscope.graph import Arrangement, compute_in_float32, dequantise
from graftscope.sandbox import Sandbox
from graftscope.training.inversion import is_inverter, load_inverter

Results: TypeAlias = Mapping[str, NDArray[np.generic]]

_IMAGE: Final = "image"
_MEAN: Final = "mean"
_EXAMPLES: Final = 2
_CHANNELS_LAST: Final = (0, 2, 3, 1)
_REFUSALS: Final = (ValueError, RuntimeError, TypeError, LookupError, AttributeError)
"""What a file or a module raises for images that it does not take."""
_OBJECTS: Final = {
    "mean": ("mean", "loc"),
    "log_variance": ("logvar", "log_var", "log_variance"),
}
"""Attributes under which objects keep a posterior's parameters."""


@dataclass(frozen=True)
class ForeignEncoder:
    """An encoder that was run on images.

    Attributes:
        title: How messages call it.
        model: Its graph in plain form, with one input.
        run: Computes every output by name from images as the encoder expects them.
        outputs: Shapes behind the batch, by name, in its order.
        arrangement: Of the axes of the images that it expects.
        dtype: Of the images that it expects.
        notes: What was found on the way, one line each.
        types: What it computes in other floating-point types than its graph, by the tensor's name.
        folder: Where its graph's external weights lie.
    """

    title: str
    model: ir.Model
    run: Callable[[NDArray[np.generic]], Results]
    outputs: Mapping[str, tuple[int, ...]]
    arrangement: Arrangement
    dtype: np.dtype[np.generic]
    notes: tuple[str, ...] = ()
    types: Mapping[str, ir.DataType] = field(default_factory=dict)
    folder: Path = Path()


def read_foreign_encoder(choice: EncoderChoice, image: tuple[int, int, int]) -> ForeignEncoder:
    """Find out what an encoder's source is, read it and run it.

    Args:
        choice: The source, and weights for it.
        image: (C, H, W) of the generator's images.

    Raises:
        SourceNotFoundError: If there is nothing at that path.
        SourceError: If it is no encoder of such images.
    """
    path = Path(choice.source)
    if path.is_file() and path.suffix == ".onnx":
        if choice.weights is not None:
            raise SourceError(
                "--encoder-weights cannot be given for an ONNX file, which holds its own"
            )
        with quiet("onnx_ir"):
            return _from_onnx(path, image)
    if not path.exists() and is_factory(choice.source):
        return _from_factory(choice, image)
    if path.is_dir() and is_inverter(path):
        if choice.weights is not None:
            raise SourceError("--encoder-weights cannot be given for an inverter: it holds its own")
        return _from_inverter(path, image)
    kind, problem = (
        (SourceError, "is not supported")
        if path.exists()
        else (SourceNotFoundError, "does not exist")
    )
    raise kind(
        f"encoder {choice.source!r} {problem}; an encoder is an .onnx file, a factory, "
        "package.module:function, or the folder of a finished `train inverter`"
    )


def _from_onnx(path: Path, image: tuple[int, int, int]) -> ForeignEncoder:
    title = f"encoder {str(path)!r}"
    Sandbox().require_file(path)
    model = read_onnx(path)
    types, quantised = compute_in_float32(model), dequantise(model)
    try:
        session = runnable(path, None)
    except ProofError as error:
        raise SourceError(f"{title}: {error}") from error
    if len(session.inputs) != 1:
        raise SourceError(
            f"{title} takes {len(session.inputs)} inputs ({', '.join(session.inputs)}); it must "
            "take one, the image"
        )
    ((name, (_, dtype)),) = session.input_types.items()

    def run(images: NDArray[np.generic]) -> Results:
        # Scales that are measured over a batch are those of each sample in the graph.
        size = 1 if 1 in session.fixed_batches or quantised.measured else len(images)
        parts = [session.run({name: images[i : i + size]}) for i in range(0, len(images), size)]
        return {each: np.concatenate([part[each] for part in parts]) for each in session.outputs}

    outputs, arrangement = _tried(title, run, image, dtype)
    changes = (*type_changes(types), *quantisation_changes(quantised))
    notes = tuple(f"the encoder: {each}" for each in changes)
    return ForeignEncoder(title, model, run, outputs, arrangement, dtype, notes, types, path.parent)


def _from_inverter(path: Path, image: tuple[int, int, int]) -> ForeignEncoder:
    trained = load_inverter(path)
    told, found = trained.config.generator, trained.metrics
    if (told.channels, told.height, told.width) != image:
        raise SourceError(
            f"inverter {str(path)!r} is for images ({told.channels}, {told.height}, {told.width}) "
            f"of {told.name!r}; this generator makes {image}"
        )
    title = f"inverter {str(path)!r}"

    def run(images: NDArray[np.generic]) -> Results:
        return {_MEAN: trained.encode(images.astype(np.float32, copy=False))}

    examples = torch.zeros(_EXAMPLES, *image)
    model = trace(trained.network, {_IMAGE: examples}, [_MEAN], title=title)
    note = (
        f"the encoder was trained on samples of {told.name!r} ({told.digest[:12]}): of "
        f"{found.samples.images} others its reconstructions are off by {found.samples.error:.1%} "
        "of the range (root mean square)"
    )
    if found.photographs is not None:
        count, error = found.photographs.images, found.photographs.error
        note += f", of {count} photographs that it never saw by {error:.1%}"
    shapes = {_MEAN: (told.latent_size,)}
    return ForeignEncoder(
        title, model, run, shapes, Arrangement.CHANNELS_FIRST, np.dtype(np.float32), (note,)
    )


def arranged(images: NDArray[np.generic], arrangement: Arrangement) -> NDArray[np.generic]:
    """Give images (B, C, H, W) another arrangement of their axes."""
    match arrangement:
        case Arrangement.CHANNELS_LAST:
            images = images.transpose(_CHANNELS_LAST)
        case Arrangement.FLAT:
            images = images.reshape(len(images), -1)
    return np.ascontiguousarray(images)


def _tried(
    title: str,
    run: Callable[[NDArray[np.generic]], Results],
    image: tuple[int, int, int],
    dtype: np.dtype[np.generic],
) -> tuple[dict[str, tuple[int, ...]], Arrangement]:
    """Run it on images in every arrangement; returns its outputs' shapes, and which one it took."""
    problems = []
    images = np.zeros((_EXAMPLES, *image), dtype)
    for arrangement in Arrangement:
        try:
            results = run(arranged(images, arrangement))
        except _REFUSALS as error:
            if isinstance(error, SourceError):
                raise
            kind = "" if isinstance(error, ProofError) else f"{type(error).__name__}: "
            problems.append(kind + one_line(error))
            continue
        shapes = {
            name: array.shape[1:] for name, array in results.items() if len(array) == _EXAMPLES
        }
        return shapes, arrangement
    raise SourceError(
        f"{title} cannot encode images (B, {', '.join(map(str, image))}), which the generator "
        f"makes, nor the same with the channels last or as rows of pixels: {problems[0]}"
    )


def _from_factory(choice: EncoderChoice, image: tuple[int, int, int]) -> ForeignEncoder:
    made = make(choice.source)
    notes: tuple[str, ...] = ()
    if choice.weights is not None:
        notes = load_weights(made.module, choice.weights)
    title = f"encoder {made.title}"
    module = _EncoderMethod(made, _image_argument(made))

    def run(images: NDArray[np.generic]) -> Results:
        with torch.inference_mode():
            found = _parameters(title, module.result(torch.tensor(images)))
        return {name: tensor.numpy() for name, tensor in found.items()}

    dtype = np.dtype(np.float32)
    outputs, arrangement = _tried(title, run, image, dtype)
    examples = torch.from_numpy(arranged(np.zeros((_EXAMPLES, *image), dtype), arrangement))
    model = trace(module, {_IMAGE: examples}, list(outputs), title=title)
    return ForeignEncoder(title, model, run, outputs, arrangement, dtype, notes)


class _EncoderMethod(MethodModule):
    """Calls a method with images; returns every tensor of what is selected of its result."""

    def __init__(self, made: Made, image: str) -> None:
        super().__init__(made, (image,))
        self._title = made.title

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]  # several
        return tuple(_parameters(self._title, self.result(*tensors)).values())


def _image_argument(made: Made) -> str:
    parameters = made.parameters()
    needed = [each.name for each in parameters if each.default is each.empty]
    if len(needed) > 1 or not parameters:
        raise SourceError(
            f"{made.title} takes {', '.join(needed) or 'nothing'}; an encoder takes one input, the "
            "image: let the factory give the others as keyword arguments"
        )
    return needed[0] if needed else parameters[0].name


def _parameters(title: str, result: object) -> dict[str, Tensor]:
    """Name every tensor of a result: an object's parameters, a dictionary's, or by its place."""
    found = dict(_named_tensors(result))
    if not found:
        raise SourceError(
            f"{title} gives {type(result).__name__}, which is no tensor and holds none; let the "
            "factory select the mean, or the mean and the log-variance: (module, method name, "
            "keyword arguments, attribute, key or index of them, or a function of the result)"
        )
    return found


def _named_tensors(result: object) -> Iterator[tuple[str, Tensor]]:
    if isinstance(result, Tensor):
        yield "output", result
    elif isinstance(result, Mapping):
        yield from ((str(key), each) for key, each in result.items() if isinstance(each, Tensor))
    elif isinstance(result, tuple | list):
        names = getattr(result, "_fields", None) or [f"output_{i}" for i in range(len(result))]
        pairs = zip(names, result, strict=True)
        yield from ((name, each) for name, each in pairs if isinstance(each, Tensor))
    else:
        for name, attributes in _OBJECTS.items():
            tensors = (getattr(result, attribute, None) for attribute in attributes)
            yield from ((name, each) for each in list(tensors)[:] if isinstance(each, Tensor))
