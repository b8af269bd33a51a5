"""What a process is sent, and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """One call.

    Attributes:
        work: what is called, by its module and name; None for the same as before.
        arguments: what it is called with.
    """

    work: Callable[..., object] | None
    arguments: tuple[object, ...]


@dataclass(frozen=True)
class Reply:
    """What came of it.

    Attributes:
        value: what the call returned.
        error: what it raised.
        held_bytes: the memory that the process has once it has answered.
    """

    value: object
    error: Exception | None
    held_bytes: int
