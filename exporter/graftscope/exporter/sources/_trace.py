"""PyTorch modules to graphs, with the batch free and without a word on the terminal.

It is the only module that calls PyTorch's ONNX exporter. Random numbers that a module draws while
it runs are inputs of its graph, so that an original and its hybrid share them; a module that is to
be compared with the graph must use the same ones.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from inspect import Parameter, signature
from typing import Any, Final

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from graftscope.exporter._subject import Arrays, Reference
from graftscope.exporter.errors import SourceError, one_line
from graftscope.exporter.progress import quiet
from graftscope.graph import (
    GraphError,
    choose_instead_of_scattering,
    free_batch,
    has_batch_axis,
    name_ends,
    normalise,
    scale_instead_of_weights,
)

IMAGE: Final = "image"
"""What a traced generator's output is called."""

OPSET: Final = 20
"""New enough for every operation that PyTorch's exporter writes, old enough for ONNX Runtime."""

_NEUTRAL: Final = "graftscope_"
"""Begins the names of inputs and outputs as they are traced: no tensor inside is called so."""

_MADE_WITH: Final = ("torch", "onnx", "onnxscript", "onnx-ir")
_CHATTY = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")

_aten = torch.ops.aten
_NEW: Final = frozenset({_aten.randn, _aten.randn_like, _aten.rand, _aten.rand_like})
_NORMAL_IN_PLACE: Final = _aten.normal_
_UNIFORM_IN_PLACE: Final = _aten.uniform_


def trace(
    module: nn.Module, examples: Mapping[str, Tensor], outputs: Sequence[str], *, title: str = ""
) -> ir.Model:
    """Turn a module into a graph in plain form, the nodes' metadata still there.

    Args:
        module: A module in evaluation mode, on the CPU.
        examples: An example of every argument, by the name of the graph's input and in the
            order of the arguments: (B, ...) with B of at least 2, so that no extent looks fixed.
        outputs: Names for the graph's outputs; one that an argument has is numbered.
        title: How messages call the module; empty takes its class's name.

    Where PyTorch cannot leave the batch free, one sample is traced, weights of its own are taken
    apart, and the batch is made free.

    Raises:
        SourceError: If the module is in training mode, or there is no graph whose batch is free.
    """
    title = title or type(module).__name__
    _require_evaluation_mode(module, title)
    try:
        model = _traced(module, examples, outputs, _dynamic_shapes(module, len(examples)))
        _require_free_batch(model)
        return model
    except _UntraceableError as error:
        problem = f"PyTorch cannot turn {title} into a graph whose batch is free: {error}"
        cause = error
    single = {name: example[:1] for name, example in examples.items()}
    try:
        model = _traced(module, single, outputs, None)
    except _UntraceableError:
        raise SourceError(problem) from cause
    try:
        choose_instead_of_scattering(model)
        scale_instead_of_weights(model)
        free_batch(model)
    except GraphError as error:
        raise SourceError(f"{problem}; for one sample: {error}") from error
    return model


class _UntraceableError(Exception):
    """Why PyTorch made no graph, or none whose batch is free."""


def _traced(
    module: nn.Module,
    examples: Mapping[str, Tensor],
    outputs: Sequence[str],
    shapes: tuple[object, ...] | None,
) -> ir.Model:
    try:
        with quiet(*_CHATTY), warnings.catch_warnings(action="ignore"), _unchecked():
            program = torch.onnx.export(
                module,
                tuple(examples.values()),
                input_names=[f"{_NEUTRAL}input_{index}" for index in range(len(examples))],
                output_names=[f"{_NEUTRAL}output_{index}" for index in range(len(outputs))],
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=shapes,
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, TypeError) as error:
        raise _UntraceableError(_root_cause(error)) from error
    assert program is not None
    model = normalise(program.model)
    name_ends(model.graph, list(examples), outputs)
    return model


def reference(module: nn.Module, noise: int = 0) -> Reference:
    """Return a function that computes with the module what its graph should.

    Args:
        module: The module that was traced.
        noise: How many of the graph's inputs, the last ones, stand for random numbers that the
            module draws by itself.
    """

    def compute(inputs: Arrays, /) -> list[NDArray[np.float32]]:
        tensors = [torch.tensor(array) for array in inputs.values()]
        given = len(tensors) - noise
        draws = Replay(tensors[given:]) if noise else nullcontext()
        with torch.inference_mode(), draws:
            result = module(*tensors[:given])
        results = (result,) if isinstance(result, Tensor) else result
        return [tensor.numpy() for tensor in results]

    return compute


class Replay(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """While it is active, what is drawn comes from the given tensors, one after the other.

    Raises:
        SourceError: From within, if more is drawn than given, or tensors of other shapes.
    """

    def __init__(self, draws: Sequence[Tensor]) -> None:
        """Take the tensors, in the order in which they are drawn.

        Args:
            draws: Standard normal or, for a uniform draw, uniform values within its bounds.
        """
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self._draws = list(draws)
        self._next = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operation, or give the next tensor instead of a draw."""
        kind = func.overloadpacket
        if kind is _NORMAL_IN_PLACE:
            mean, deviation = tuple(args[1:]) + (0.0, 1.0)[len(args) - 1 :]
            return args[0].copy_(self._take(args[0]) * deviation + mean)
        if kind is _UNIFORM_IN_PLACE:
            return args[0].copy_(self._take(args[0]))
        result = func(*args, **(kwargs or {}))
        return self._take(result) if kind in _NEW else result

    def _take(self, drawn: Tensor) -> Tensor:
        """Return the next tensor, which must be shaped like what would be drawn."""
        if self._next == len(self._draws):
            raise SourceError(
                f"the module draws random numbers more often than its graph: {self._next} times"
            )
        given = self._draws[self._next]
        self._next += 1
        if given.shape != drawn.shape and given[0].numel() == drawn.numel():
            given = given[0].reshape(drawn.shape)  # one draw for the whole batch
        if given.shape != drawn.shape:
            raise SourceError(
                f"the module's random numbers have shape {tuple(drawn.shape)} where those of its "
                f"graph have {tuple(given.shape)}"
            )
        return given.to(drawn.dtype)


def versions() -> dict[str, str]:
    """Return the versions of what a graph is traced with."""
    return {package: version(package) for package in _MADE_WITH}


@contextmanager
def _unchecked() -> Iterator[None]:
    """Let distributions take any parameters: their checks ask for values, and a graph has none."""
    kind = torch.distributions.Distribution
    before = kind._validate_args
    kind.set_default_validate_args(False)
    try:
        yield
    finally:
        kind.set_default_validate_args(before)


def _dynamic_shapes(module: nn.Module, count: int) -> tuple[object, ...]:
    """Say of each argument that its first extent, and no other, is free."""
    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} for _ in range(count))
    kinds = {each.kind for each in signature(module.forward).parameters.values()}
    # What a module takes as `*arguments` counts as one argument, a tuple.
    return (shapes,) if Parameter.VAR_POSITIONAL in kinds else shapes


def _require_free_batch(model: ir.Model) -> None:
    """Refuse what PyTorch traced for the examples' number of samples alone."""
    for value in model.graph.outputs:
        if not has_batch_axis(value):
            raise _UntraceableError(f"its output {value.name!r} has shape {value.shape}")


def _require_evaluation_mode(module: nn.Module, title: str) -> None:
    training = [name or "itself" for name, part in module.named_modules() if part.training]
    if training:
        raise SourceError(
            f"{title} is in training mode ({', '.join(training[:5])}); "
            "call its eval() first, since an export fixes how it computes"
        )


def _root_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return one_line(error)[:500]
