"""Modules inside of wrappers that only pass calls on: DataParallel, DDP, AveragedModel, compiled.

An export reads a module's own signature and computes on the CPU, once, so what spreads, averages or
compiles calls is in the way. Parts that are wrapped keep their paths.
"""

from inspect import Parameter, signature
from typing import Final

from torch import nn

_INNER: Final = ("_orig_mod", "module", "_forward_module")
"""Attributes in which wrappers keep the module: torch.compile, torch's own, Lightning Fabric."""

_UNNAMED: Final = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def unwrapped(module: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """Take a module out of its wrappers, and let wrapped parts compute where they are.

    Args:
        module: What a factory returned; its parts may be changed in place.

    Returns:
        The innermost module; and the names of the wrappers around it, the outermost first.
    """
    around: list[str] = []
    while (inner := _inner(module)) is not None:
        around.append(type(module).__name__)
        module = inner
    for part in module.modules():
        _call_as_written(part)
    return module, tuple(around)


def _inner(module: nn.Module) -> nn.Module | None:
    """Return what a module passes every call on to; None where it computes by itself."""
    if any(each.kind not in _UNNAMED for each in signature(module.forward).parameters.values()):
        return None
    children = dict(module.named_children())
    return next((children[name] for name in _INNER if list(children) == [name]), None)


def _call_as_written(part: nn.Module) -> None:
    """Neither compile a part nor spread it over devices."""
    if isinstance(part, nn.DataParallel):
        part.device_ids = []  # it calls its module directly then
    if getattr(part, "_compiled_call_impl", None) is not None:
        vars(part)["_compiled_call_impl"] = None
    original = part._modules.get("_orig_mod")
    if original is not None:
        vars(part)["forward"] = original
