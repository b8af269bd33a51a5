"""Weights from a Safetensors file into a module: every tensor, and no other.

Pickles are refused, since reading one runs whatever it holds.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from graftscope.exporter.errors import SourceError, SourceNotFoundError

_PICKLES: Final = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
_SHOWN: Final = 3


def load_weights(module: nn.Module, path: Path) -> None:
    """Fill a module's parameters and buffers, in place.

    Args:
        module: The module.
        path: A Safetensors file with a tensor for each.

    Raises:
        SourceNotFoundError: If there is no such file.
        SourceError: If it is of another kind or damaged, or its tensors are not the module's; the
            message names the first of those that are missing, unexpected or of another shape.
    """
    if path.suffix in _PICKLES:
        raise SourceError(
            f"weights {str(path)!r} are a pickle, which may run code when it is read; if you trust "
            f"it, convert it: {_conversion(path)}"
        )
    if not path.is_file():
        raise SourceNotFoundError(f"weights {str(path)!r} do not exist")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise SourceError(f"weights {str(path)!r} are no Safetensors file: {error}") from error
    _require_same(path, module, module.state_dict(), tensors)
    module.load_state_dict(tensors)


def _conversion(path: Path) -> str:
    """Return the one line that makes a Safetensors file of a pickle."""
    code = (
        "import sys, torch; from safetensors.torch import save_file; "
        "s = torch.load(sys.argv[1], map_location='cpu', weights_only=True); "
        "save_file({k: v.clone() for k, v in s.get('state_dict', s).items()}, sys.argv[2])"
    )
    return f'python -c "{code}" {path} {path.with_suffix(".safetensors")}'


def _require_same(
    path: Path, module: nn.Module, wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]
) -> None:
    other = [
        f"{name} {tuple(given[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in given and given[name].shape != tensor.shape
    ]
    problems = {
        "missing": [name for name in wanted if name not in given],
        "unexpected": [name for name in given if name not in wanted],
        "of another shape": other,
    }
    told = [f"{what}: {_first(names)}" for what, names in problems.items() if names]
    if told:
        raise SourceError(
            f"weights {str(path)!r} do not fit {type(module).__name__}; {'; '.join(told)}"
        )


def _first(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
