"""A module's method as a module of its own, so that it can be traced, hooked and run.

It knows neither ONNX nor where a module comes from.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from torch import Tensor, nn

from graftscope.exporter.errors import SourceError

_REGISTRIES: Final = (
    "_buffers",
    "_modules",
    "_non_persistent_buffers_set",
    "_parameters",
    "training",
)
"""Where a module keeps its parts; shared, so that they stay the same whoever changes them."""

Selector = str | int | Callable[[object], object]
"""Which part of a result is the image: an attribute or a key, an index, or a function of it."""


@dataclass(frozen=True)
class Made:
    """What a factory returns.

    Attributes:
        module: The module, with its weights.
        method: The method that generates images.
        keywords: Keyword arguments that the method is always given.
        select: Which part of its result is the image; None if that is all of it.
    """

    module: nn.Module
    method: str = "forward"
    keywords: Mapping[str, object] = field(default_factory=dict)
    select: Selector | None = None

    @property
    def title(self) -> str:
        """How messages call it, such as `AutoencoderKL.decode`."""
        return f"{type(self.module).__name__}.{self.method}"

    def parameters(self) -> tuple[inspect.Parameter, ...]:
        """Return the method's named parameters that are not among the keyword arguments."""
        parameters = inspect.signature(getattr(self.module, self.method)).parameters.values()
        unnamed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        return tuple(p for p in parameters if p.kind not in unnamed and p.name not in self.keywords)


class Call(nn.Module):
    """Calls a method with tensors for some of its parameters; returns the image.

    Its parts are the module's own, under the same paths, so that what a graph or a hook says of
    them is said of the module.
    """

    def __init__(self, made: Made, inputs: tuple[str, ...]) -> None:
        """Wrap what a factory returned.

        Args:
            made: The module and how it is called; the module itself stays as it is.
            inputs: The parameters that get a tensor each, in the order of the call's arguments.
        """
        super().__init__()
        for registry in _REGISTRIES:
            vars(self)[registry] = vars(made.module)[registry]
        self._made, self._inputs = made, inputs
        self._compute = getattr(made.module, made.method)
        known = {parameter.name: parameter.kind for parameter in made.parameters()}
        self._positional = [
            name for name in inputs if known[name] is inspect.Parameter.POSITIONAL_ONLY
        ]

    def forward(self, *tensors: Tensor) -> Tensor:
        """Generate images from one tensor for each of the inputs."""
        values = dict(zip(self._inputs, tensors, strict=True))
        positional = [values.pop(name) for name in self._positional]
        result = self._compute(*positional, **values, **self._made.keywords)
        return _image(self._made, _selected(self._made, result))


def _selected(made: Made, result: object) -> object:
    select = made.select
    if select is None:
        return result
    try:
        if callable(select):
            return select(result)
        if isinstance(select, str) and hasattr(result, select):
            return getattr(result, select)
        return result[select]  # type: ignore[index]  # whatever has keys or indices
    except (TypeError, LookupError, AttributeError) as error:
        raise SourceError(
            f"{made.title} returns {type(result).__name__}, which has no {select!r}"
        ) from error


def _image(made: Made, found: object) -> Tensor:
    if not isinstance(found, Tensor):
        raise SourceError(
            f"{made.title} gives {type(found).__name__}, not one tensor; let the factory return "
            "(module, method name, keyword arguments, attribute, key or index of the image)"
        )
    return found
