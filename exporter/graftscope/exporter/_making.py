"""Factories of generators, `package.module:function`: imported and called without arguments.

The function returns a module, or the module, a method's name, keyword arguments and a selector of
the image, of which the last ones may be left out. Nothing of the user's code is changed or wrapped
by hand; weights may come from a file.
"""

import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Final

import torch
from torch import nn

from graftscope.exporter._call import Made
from graftscope.exporter.errors import SourceError, SourceNotFoundError

FACTORY_FORM: Final = "MODULE:FUNCTION"
_FACTORY: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_RETURNS: Final = (
    "a torch.nn.Module, or (module, method name, keyword arguments, attribute, key or index of "
    "the image)"
)


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
    if isinstance(made.module, torch.jit.ScriptModule):
        raise SourceError(
            f"factory {source!r} returns a ScriptModule, which cannot be traced; return the module "
            "that it was made from"
        )
    if not callable(getattr(made.module, made.method, None)):
        raise SourceError(
            f"factory {source!r}: {type(made.module).__name__} has no method {made.method!r}"
        )
    made.module.eval().cpu().float().requires_grad_(False)
    return made


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
    message = " ".join(str(error).split())
    return SourceError(f"factory {source!r}: {what}: {type(error).__name__}: {message}")
