"""Modules that factories make, `package.module:function`: imported, and called without arguments.

The function returns a module, or the module, a method's name, keyword arguments and a selector of
the image, of which the last ones may be left out. Nothing of the user's code is changed or wrapped
by hand; a method becomes a module of its own, so that it can be traced, hooked and run. It does not
know ONNX.
"""

import importlib
import inspect
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from graftscope.exporter._options import Shape
from graftscope.exporter.errors import SourceError, SourceNotFoundError, one_line
from graftscope.exporter.sources._forms import BatchDraw, Form, argument, parameter_of
from graftscope.exporter.sources._image import CHANNELS
from graftscope.exporter.sources._wrapped import unwrapped

_FACTORY: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_RETURNS: Final = (
    "a torch.nn.Module, or (module, method name, keyword arguments, attribute, key or index of "
    "the image)"
)
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
        wrappers: Classes that were around the module, such as DataParallel; the outermost first.
        image_shape: The image's channels, height and width, or these with the channels last, where
            the method gives flat images; else None.
        types: Floating-point types that its weights had before they were float32, such as
            `float16`; empty where they were float32.
    """

    module: nn.Module
    method: str = "forward"
    keywords: Mapping[str, object] = field(default_factory=dict)
    select: Selector | None = None
    wrappers: tuple[str, ...] = ()
    image_shape: Shape | None = None
    types: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """How messages call it, such as `AutoencoderKL.decode`."""
        return f"{type(self.module).__name__}.{self.method}"

    def parameters(self) -> tuple[inspect.Parameter, ...]:
        """Return the method's named parameters that are not among the keyword arguments."""
        parameters = inspect.signature(getattr(self.module, self.method)).parameters.values()
        unnamed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        return tuple(p for p in parameters if p.kind not in unnamed and p.name not in self.keywords)


def is_factory(source: str) -> bool:
    """Tell whether a source has the form of a factory, `package.module:function`."""
    return _FACTORY.fullmatch(source) is not None


def make(source: str) -> Made:
    """Import a factory and call it; the current folder can be imported from.

    Args:
        source: `package.module:function`.

    Returns:
        What it made, in evaluation mode on the CPU, in float32.

    Raises:
        SourceNotFoundError: If there is no such module or function.
        SourceError: If the module cannot be imported, the function raises, or it returns
            something else; the message has their own in one line.
    """
    module, _, function = source.partition(":")
    # What a user's code prints must not mix with a document on standard output.
    with _current_folder_importable(), redirect_stdout(sys.stderr):
        made = _read(source, _called(source, _function(source, module, function)))
    module_inside, wrappers = unwrapped(made.module)
    made = replace(made, module=module_inside, wrappers=wrappers)
    if isinstance(made.module, torch.jit.ScriptModule):
        raise SourceError(
            f"factory {source!r} returns a ScriptModule, which cannot be traced; return the module "
            "that it was made from"
        )
    if not callable(getattr(made.module, made.method, None)):
        raise SourceError(
            f"factory {source!r}: {type(made.module).__name__} has no method {made.method!r}"
        )
    made = replace(made, types=_other_types(made.module))
    made.module.eval().cpu().float().requires_grad_(False)
    return made


def _other_types(module: nn.Module) -> tuple[str, ...]:
    tensors = (*module.parameters(), *module.buffers())
    types = {each.dtype for each in tensors if each.is_floating_point()} - {torch.float32}
    return tuple(sorted(str(each).removeprefix("torch.") for each in types))


class MethodModule(nn.Module):
    """Calls a method with tensors for some of its parameters; returns the image.

    Its parts are the module's own, under the same paths, so that what a graph or a hook says of
    them is said of the module.
    """

    def __init__(
        self,
        made: Made,
        inputs: tuple[str, ...],
        forms: Mapping[str, Form] | None = None,
        latent: str | None = None,
    ) -> None:
        """Wrap what a factory returned.

        Args:
            made: The module and how it is called; the module itself stays as it is.
            inputs: What gets a tensor each, in the order of the call's arguments: parameters, and
                elements of parameters that take lists.
            forms: How parameters get their tensors that do not get just one, by name.
            latent: The input that stands for what the method draws.
        """
        super().__init__()
        for registry in _REGISTRIES:
            vars(self)[registry] = vars(made.module)[registry]
        self._made, self._inputs, self._latent = made, inputs, latent
        self._compute = getattr(made.module, made.method)
        self._forms = dict(forms or {})
        known = {parameter.name: parameter.kind for parameter in made.parameters()}
        given = (*(parameter_of(each, known) for each in inputs if each != latent), *self._forms)
        self._taken = [name for name in known if name in given]
        self._positional = [
            name for name in self._taken if known[name] is inspect.Parameter.POSITIONAL_ONLY
        ]

    def forward(self, *tensors: Tensor) -> Tensor:
        """Generate images from one tensor for each of the inputs."""
        return _image(self._made, self.result(*tensors))

    def result(self, *tensors: Tensor) -> object:
        """Call the method; returns what is selected of what it gives."""
        values, batch = dict(zip(self._inputs, tensors, strict=True)), tensors[0].shape[0]
        if self._latent is None:
            return self._called(values, batch)
        with BatchDraw(batch, values.pop(self._latent)):
            return self._called(values, batch)

    def generate(self, values: Mapping[str, Tensor], batch: int) -> Tensor:
        """Generate images.

        Args:
            values: A tensor (B, ...) for each of the inputs but the latent, by name.
            batch: B.
        """
        return _image(self._made, self._called(values, batch))

    def _called(self, values: Mapping[str, Tensor], batch: int) -> object:
        arguments = {
            name: argument(name, self._forms.get(name, Form.TENSOR), values, batch)
            for name in self._taken
        }
        positional = [arguments.pop(name) for name in self._positional]
        result = self._compute(*positional, **arguments, **self._made.keywords)
        return _selected(self._made, result)


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
    return found if made.image_shape is None else _shaped(made, found, made.image_shape)


def _shaped(made: Made, found: Tensor, shape: Shape) -> Tensor:
    """Return flat images as (B, C, H, W)."""
    if found.dim() == 0 or math.prod(found.shape[1:]) != math.prod(shape):
        raise SourceError(
            f"{made.title} gives shape {tuple(found.shape)}, which has not the {math.prod(shape)} "
            f"elements a sample of --image-shape {','.join(map(str, shape))}"
        )
    image = found.reshape(-1, *shape)
    return image if shape[0] in CHANNELS else image.permute(0, 3, 1, 2)


@contextmanager
def _current_folder_importable() -> Iterator[None]:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _function(source: str, module: str, function: str) -> Callable[[], object]:
    try:
        found = getattr(importlib.import_module(module), function, None)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise SourceNotFoundError(
                f"factory {source!r}: there is no module {error.name!r} in {str(Path.cwd())!r} or "
                "among the installed packages"
            ) from error
        raise _failed(source, f"importing {module!r} failed", error) from error
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise _failed(source, f"importing {module!r} failed", error) from error
    if not callable(found):
        problem = "has no" if found is None else f"has a {type(found).__name__}, not a function,"
        raise SourceNotFoundError(f"factory {source!r}: module {module!r} {problem} {function!r}")
    return found  # type: ignore[no-any-return]  # callable; what it returns is looked at below


def _called(source: str, function: Callable[[], object]) -> object:
    try:
        return function()
    except (Exception, SystemExit) as error:  # a user's function may raise anything
        raise _failed(source, "it raised", error) from error


def _read(source: str, returned: object) -> Made:
    parts = returned if isinstance(returned, tuple) else (returned,)
    kinds = (nn.Module, str, Mapping)
    fitting = 1 <= len(parts) <= 4 and all(map(isinstance, parts, kinds))
    if not fitting or not (len(parts) < 4 or isinstance(parts[3], str | int) or callable(parts[3])):
        types = ", ".join(type(part).__name__ for part in parts)
        raise SourceError(f"factory {source!r} returned ({types}), not {_RETURNS}")
    return Made(*parts)


def _failed(source: str, what: str, error: BaseException) -> SourceError:
    return SourceError(f"factory {source!r}: {what}: {type(error).__name__}: {one_line(error)}")
