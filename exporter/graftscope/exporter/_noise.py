"""Random numbers that a module draws while it runs, replaced by given ones.

A graph gets them as inputs, so that an original and its hybrid share them; a module that is to be
compared with the graph must use the same ones. It knows no graph.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from graftscope.exporter.errors import SourceError

_aten = torch.ops.aten
_NEW: Final = frozenset({_aten.randn, _aten.randn_like, _aten.rand, _aten.rand_like})
_NORMAL_IN_PLACE: Final = _aten.normal_
_UNIFORM_IN_PLACE: Final = _aten.uniform_


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
