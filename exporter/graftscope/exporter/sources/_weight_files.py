"""Files of weights: which dictionaries of tensors lie in them, and where.

Safetensors files, and what `torch.save` wrote. Nothing in a file is run: PyTorch reads tensors and
plain containers alone (`weights_only`), and what is of any other class, such as a trainer's
settings, becomes an empty stand-in. It knows no module.
"""

import re
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from graftscope.exporter.errors import SourceError, SourceNotFoundError, one_line

_PICKLES: Final = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".tar")
_FOREIGN: Final = re.compile(r"GLOBAL ([\w.]+) was not an allowed global")
_MOST_CLASSES: Final = 200

Tensors = Mapping[str, Tensor]


class _StandIn:
    """An object of a class that is not known: it takes anything, and does nothing."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def split_key(text: str) -> tuple[Path, str]:
    """Return the file and the key of `FILE` or `FILE:KEY`; the key is empty where there is none."""
    file, _, key = text.rpartition(":")
    return (Path(file), key) if file and not Path(text).exists() else (Path(text), "")


def read_tensors(path: Path) -> dict[str, Tensors]:
    """Read the dictionaries of tensors in a file.

    Args:
        path: A .safetensors file, or a .pt, .pth, .ckpt, .bin, .pkl or .tar file of `torch.save`.

    Returns:
        Each by its keys in the file, joined by dots; the file's own is ''. At least one.

    Raises:
        SourceNotFoundError: If there is no such file.
        SourceError: If it cannot be read, or holds no dictionary of tensors.
    """
    if not path.is_file():
        raise SourceNotFoundError(f"weights {str(path)!r} do not exist")
    if path.suffix in _PICKLES:
        content = _unpickled(path)
        found = dict(_dictionaries(content))
        if not found:
            raise _without_tensors(path, content)
        return found
    try:
        return {"": load_file(path)}
    except (SafetensorError, OSError) as error:
        raise SourceError(
            f"weights {str(path)!r} are no Safetensors file: {error}; files of torch.save end in "
            f"{', '.join(_PICKLES)}"
        ) from error


def _unpickled(path: Path) -> object:
    kind: type = _StandIn
    foreign: list[str] = []
    while True:
        stand_ins: list[Callable[..., object] | tuple[Callable[..., object], str]]
        stand_ins = [(kind, name) for name in foreign]
        try:
            with (
                warnings.catch_warnings(action="ignore"),  # of other pickle protocols
                torch.serialization.safe_globals(stand_ins),
            ):
                return torch.load(path, map_location="cpu", weights_only=True)
        except UnpicklingError as error:
            named = _FOREIGN.search(str(error))
            if named is not None and len(foreign) < _MOST_CLASSES:
                foreign.append(named[1])
            elif kind is _StandIn and _StandIn.__name__ in str(error):
                kind = OrderedDict  # some of them are dictionaries
            else:
                raise _unreadable(path, error) from error
        except (RuntimeError, ValueError, LookupError, OSError, EOFError, TypeError) as error:
            raise _unreadable(path, error) from error


def _dictionaries(content: object, key: str = "") -> Iterator[tuple[str, Tensors]]:
    """Yield every dictionary that holds tensors, the outermost first."""
    if isinstance(content, list | tuple):
        content = dict(enumerate(content))
    if not isinstance(content, Mapping):
        return
    tensors = {
        name: each
        for name, each in content.items()
        if isinstance(name, str) and isinstance(each, Tensor)
    }
    if tensors:
        yield key, tensors
    for name, each in content.items():
        yield from _dictionaries(each, f"{key}.{name}" if key else str(name))


def _without_tensors(path: Path, content: object) -> SourceError:
    if isinstance(content, _StandIn):
        return _unreadable(path, ValueError("a module that was saved whole, not its state dict"))
    held = ", ".join(map(repr, content)) if isinstance(content, Mapping) else type(content).__name__
    return SourceError(
        f"weights {str(path)!r} hold no tensors by name, but {held or 'nothing'}; a state dict is "
        "needed"
    )


def _unreadable(path: Path, reason: BaseException) -> SourceError:
    # PyTorch's own advice stands around it.
    text = one_line(reason).rpartition("WeightsUnpickler error: ")[2].partition(" Check the ")[0]
    return SourceError(
        f"weights {str(path)!r} cannot be read without running what they hold: {text[:200]}; if "
        "you trust the file, let the factory load it, with torch.load(FILE, weights_only=False) or "
        "pickle.load"
    )
