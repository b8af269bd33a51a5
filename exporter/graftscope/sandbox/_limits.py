"""How much a model may ask for before it is refused.

Every limit is a number that a user can raise by a variable of the environment, and what a model's
own weights need comes on top.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from graftscope.sandbox._reasons import Reason
from graftscope.sandbox.errors import ModelRefusedError, SandboxError

PREFIX: Final = "GRAFTSCOPE_"

_MIB: Final = 2**20
_COPIES: Final = 4
"""A session's weights: as the file has them, packed for its kernels, and both while it opens."""
_SECONDS_A_GIB: Final = 20.0
_WALL: Final = 6.0
"""Time on the clock, as a multiple of time on the processor: others have work to do too."""
_EACH_NODE: Final = {
    "nodes": 1,
    "initializers": 4,
    "values": 16,
    "attributes": 16,
    "numbers": 128,
    "bytes of shapes": 1024,
    "bytes of text": 16 * 1024,  # PyTorch notes a stack trace for each
}


@dataclass(frozen=True)
class Limits:
    """What one model may take while it is tried.

    Attributes:
        sandbox: Whether models are tried in a child process at all.
        sandbox_nodes: How many nodes its graphs may have, functions written out.
        sandbox_tensor_mib: Size of the largest tensor of one sample, beside its weights.
        sandbox_memory_mib: Address space of the child, beside four times the weights.
        sandbox_seconds: Time on the processor, beside 20 s for every GiB of weights.
    """

    sandbox: bool = True
    sandbox_nodes: int = 10_000
    sandbox_tensor_mib: int = 512
    sandbox_memory_mib: int = 1_792
    sandbox_seconds: float = 4.0

    def memory_bytes(self, weights_bytes: int) -> int:
        """Address space of a child that opens these weights."""
        return self.sandbox_memory_mib * _MIB + _COPIES * weights_bytes

    def tensor_bytes(self, weights_bytes: int) -> int:
        """Size of the largest tensor beside these weights."""
        return self.sandbox_tensor_mib * _MIB + _COPIES * weights_bytes

    def cpu_s(self, weights_bytes: int) -> float:
        """Time on the processor."""
        return self.sandbox_seconds + _SECONDS_A_GIB * weights_bytes / 2**30

    def wall_s(self, weights_bytes: int) -> float:
        """Time on the clock."""
        return _WALL * self.cpu_s(weights_bytes)

    def counts(self) -> dict[str, int]:
        """How many of each a file may hold."""
        return {name: times * self.sandbox_nodes for name, times in _EACH_NODE.items()}

    def refuse(self, line: str, limit: str) -> ModelRefusedError:
        """An error for what passes a limit; it tells how to raise it."""
        variable = PREFIX + limit.upper()
        return ModelRefusedError(
            f"{line}; {variable}={getattr(self, limit)} is the limit: if you trust the model, raise"
            " it",
            _REASONS[limit],
        )


_REASONS: Final = {
    "sandbox_nodes": Reason.TOO_LARGE,
    "sandbox_tensor_mib": Reason.TOO_LARGE,
    "sandbox_memory_mib": Reason.TOO_MUCH_MEMORY,
    "sandbox_seconds": Reason.TOO_SLOW,
}


def limits_from_environment(environ: Mapping[str, str] = os.environ) -> Limits:
    """Read the limits that variables such as GRAFTSCOPE_SANDBOX_NODES set.

    Raises:
        SandboxError: If a variable holds something else than such a number.
    """
    given: dict[str, object] = {}
    for field in fields(Limits):
        variable = PREFIX + field.name.upper()
        if variable in environ:
            given[field.name] = _value(variable, environ[variable], type(field.default))
    return Limits(**given)  # type: ignore[arg-type]


def _value(variable: str, text: str, kind: type) -> object:
    if kind is bool:
        if text.lower() not in _SWITCH:
            raise SandboxError(f"{variable} {text!r} is not allowed: it must be true or false")
        return _SWITCH[text.lower()]
    try:
        number = kind(text)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        what = "a whole number" if kind is int else "a number"
        raise SandboxError(f"{variable} {text!r} is not allowed: it must be {what} above 0")
    return number


_SWITCH: Final = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
