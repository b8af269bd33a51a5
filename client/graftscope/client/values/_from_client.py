"""Values that know the client they came from, and work with it; by that alone they know clients.

The client is no part of the value: equal values may have come from several, files hold none, and a
pickled value has lost it, since a client cannot be pickled. A value keeps its client alive. One
that was closed refuses, as whatever it is asked.
"""

from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, runtime_checkable

from typing_extensions import TypeVar

from graftscope.client.values._hybrids import HybridResult, HybridsTask
from graftscope.client.values._strips import Strip, StripTask

Hybrids_co = TypeVar("Hybrids_co", covariant=True, default=HybridResult)
Strips_co = TypeVar("Strips_co", covariant=True, default=Strip)
Code_co = TypeVar("Code_co", covariant=True, default=str)
"""What a client gives: the things themselves, or what an event loop awaits."""


@runtime_checkable
class Grafts(Protocol[Hybrids_co, Strips_co, Code_co]):
    """What modules ask of a client: `Client` and `AsyncClient` have it."""

    def _hybrids(self, task: HybridsTask) -> Hybrids_co:
        """Make the hybrids of a task."""

    def _strips(self, task: StripTask) -> Strips_co:
        """Make the strip of a task."""

    def torch_code(self, model: str, layer: str, modules: Mapping[int, Sequence[int]]) -> Code_co:
        """Write modules as code for PyTorch."""


class Held:
    """A client that copies share, and that no pickle holds."""

    def __init__(self, client: object = None) -> None:
        self.client = client

    def __copy__(self) -> "Held":
        """Return itself."""
        return self

    def __deepcopy__(self, memo: object) -> "Held":
        """Return itself."""
        return self

    def __reduce__(self) -> tuple[type["Held"], tuple[()]]:
        """Leave the client out."""
        return Held, ()


class FromClient(Generic[Hybrids_co, Strips_co, Code_co]):
    """A base for values that know the client they came from."""

    # Not among the fields, which make up the value.
    _held = Held()

    def _hold(self, held: Held) -> None:
        object.__setattr__(self, "_held", held)
