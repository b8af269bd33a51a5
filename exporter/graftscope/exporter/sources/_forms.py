"""How a parameter gets its tensors, where it is not simply one: lists, counts, and nothing.

A list of styles, `styles=[z]`, holds the input `styles`, or `styles.0`, `styles.1` and so on. A
number of samples makes the method draw its latents itself; the first draw of a batch is an input
then. The labels of an unconditional model are (B, 0), which is no input. It knows no graph.
"""

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from inspect import Parameter
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from graftscope.exporter.errors import SourceError

_ELEMENT: Final = re.compile(r"(.+)\.(\d+)")
_SEQUENCE: Final = re.compile(r"(typing\.|collections\.abc\.)?(list|List|tuple|Tuple|Sequence)\b")
_COUNT_NAMES: Final = frozenset(
    (
        "batch_size", "bs", "count", "n", "n_images", "n_imgs", "n_sample", "n_samples", "nsamples",
        "num", "num_images", "num_imgs", "num_sample", "num_samples", "number", "sample_size",
    )
)  # fmt: skip
_LABEL_NAMES: Final = frozenset(
    ("c", "class_labels", "classes", "cond", "condition", "label", "labels", "y")
)
_LABEL_SIZES: Final = (
    "c_dim", "class_dim", "cond_dim", "label_dim", "label_size", "n_classes", "num_classes",
    "num_labels", "y_dim",
)  # fmt: skip
"""Attributes in which authors keep how many classes there are; 0 for an unconditional model."""


class Form(Enum):
    """How a parameter gets its tensors."""

    TENSOR = "one tensor"
    LIST = "a list of tensors"
    COUNT = "the number of samples"
    EMPTY = "an empty tensor (B, 0)"


_TENSORS: Final = (Form.TENSOR, Form.LIST)


def likely_forms(parameter: Parameter, module: nn.Module, *, said: bool) -> tuple[Form, ...]:
    """Return how a parameter may get its tensors, the likeliest first.

    Args:
        parameter: Of the method; what its annotation tells counts.
        module: Whose method it is; what its attributes tell counts.
        said: Whether somebody said how the values come about, or their shape: they are tensors.
    """
    forms = _forms(parameter, module)
    return tuple(each for each in forms if each in _TENSORS) or _TENSORS if said else forms


def _forms(parameter: Parameter, module: nn.Module) -> tuple[Form, ...]:
    told = parameter.annotation
    written = told if isinstance(told, str) else inspect.formatannotation(told)
    if told is int or written == "int":
        return (Form.COUNT,)
    if parameter.name.lower() in _LABEL_NAMES and _is_unconditional(module):
        return (Form.EMPTY,)
    if re.match(
        r"(typing\.)?(list|List|tuple|Tuple|Sequence|collections\.abc\.Sequence)\b", written
    ):
        return (Form.LIST,)
    if parameter.name.lower() in _COUNT_NAMES:
        return (Form.COUNT, *_TENSORS)
    return _TENSORS


def _is_unconditional(module: nn.Module) -> bool:
    sizes = [getattr(part, name, None) for part in module.modules() for name in _LABEL_SIZES]
    known = [size for size in sizes if isinstance(size, int)]
    return bool(known) and not any(known)


def parameter_of(name: str, parameters: Iterable[str]) -> str:
    """Return the parameter that an input belongs to: `styles` for `styles.0`; else its own name."""
    found = _ELEMENT.fullmatch(name)
    return found[1] if found and name not in parameters and found[1] in parameters else name


def argument(name: str, form: Form, values: Mapping[str, Tensor], batch: int) -> object:
    """Return what a parameter is given.

    Args:
        name: The parameter's.
        form: How it gets its tensors.
        values: Every input's tensor (B, ...), by its name.
        batch: B.
    """
    if form is Form.COUNT:
        return batch
    if form is Form.EMPTY:
        return torch.zeros(batch, 0)
    if form is Form.LIST:
        return [each for own, each in values.items() if parameter_of(own, (name,)) == name]
    return values[name]


class BatchDraw(TorchFunctionMode):
    """While it is active, the first random numbers that are drawn for a batch are the latent.

    Attributes:
        shape: Extents of the draw behind the batch; None as long as there was none.
        bounds: Of a uniform draw (low, high); None for a normal one.
    """

    def __init__(self, batch: int, latent: Tensor | None = None) -> None:
        """Wait for a draw.

        Args:
            batch: B.
            latent: What is given instead, (B, ...); None lets it be drawn.
        """
        super().__init__()
        self.shape: tuple[int, ...] | None = None
        self.bounds: tuple[float, float] | None = None
        self._batch, self._latent = batch, latent

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a function, or give the latent instead of a draw."""
        kwargs = kwargs or {}
        extents = _drawn_extents(func, args, kwargs) if self.shape is None else None
        if not extents or extents[0] != self._batch:
            return func(*args, **kwargs)
        self.shape = tuple(extents[1:])
        self.bounds = (0.0, 1.0) if func in _UNIFORM else None
        if func is Tensor.uniform_:
            self.bounds = _bounds(args[1:], kwargs)
        if self._latent is None:
            return func(*args, **kwargs)
        return self._given(func, args, kwargs, self._latent)

    def _given(
        self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], latent: Tensor
    ) -> Any:
        if func is torch.normal:
            mean, deviation = _moments(args, kwargs)
            return latent * deviation + mean
        if func is Tensor.normal_:
            mean, deviation = _moments(args[1:], kwargs)
            return args[0].copy_(latent * deviation + mean)
        return args[0].copy_(latent) if func is Tensor.uniform_ else latent


_SIZED: Final = (torch.randn, torch.rand)
_LIKE: Final = (torch.randn_like, torch.rand_like, Tensor.normal_, Tensor.uniform_)
_UNIFORM: Final = (torch.rand, torch.rand_like, Tensor.uniform_)


def _drawn_extents(
    func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Sequence[int] | None:
    """Return the shape that a function draws; None if it draws nothing."""
    if func in _SIZED:
        size = kwargs.get("size", args[0] if args and isinstance(args[0], Sequence) else args)
        return tuple(size)
    if func in _LIKE:
        return tuple(args[0].shape)
    if func is not torch.normal:
        return None
    if "size" in kwargs or len(args) > 2:
        return tuple(kwargs.get("size", args[-1]))
    tensors = [each for each in _moments(args, kwargs) if isinstance(each, Tensor)]
    # NumPy's own would make a number of the free batch.
    return tuple(torch.broadcast_tensors(*tensors)[0].shape)  # type: ignore[no-untyped-call]


def _moments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    given = [*args[:2], *(0.0, 1.0)[len(args) :]]
    return kwargs.get("mean", given[0]), kwargs.get("std", given[1])


def _bounds(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[float, float]:
    given = [*args[:2], *(0.0, 1.0)[len(args) :]]
    return float(kwargs.get("from", given[0])), float(kwargs.get("to", given[1]))


def require_draw(title: str, draw: BatchDraw) -> None:
    """Refuse a method that is given the number of samples and draws nothing of that number.

    Raises:
        SourceError: If it drew nothing.
    """
    if draw.shape is None:
        raise SourceError(
            f"{title} is given the number of samples, but draws no batch of random numbers with "
            "PyTorch (randn, rand, normal and their like), so nothing could differ between samples"
        )
