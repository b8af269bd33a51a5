"""Who calls: a name, a role, and whose jobs and arrays are seen."""

from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum


class Role(IntEnum):
    """What a caller may do; each may do what those before it may."""

    READER = 1
    """Models, samples, hybrids, and what is theirs."""
    ANALYST = 2
    """Jobs too."""
    ADMIN = 3
    """Everybody's jobs, and models over the wire."""

    @property
    def word(self) -> str:
        """Its name, as users write it."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> "Role":
        """The role of this name."""
        return cls[word.upper()]


@dataclass(frozen=True)
class Principal:
    """Somebody who calls.

    Attributes:
        role: what they may do.
        owner: whose jobs and arrays are theirs; '' where the server asks nobody who they are, so
            that all callers share what there is.
        address: where the call comes from, without its port; '' within the server.
    """

    role: Role
    owner: str = ""
    address: str = ""

    @property
    def share(self) -> str:
        """Among whom the server divides itself fairly: who they are, else where they call from."""
        return self.owner or self.address

    @property
    def sees_all(self) -> bool:
        """Whether what is others' is theirs to see too."""
        return self.role is Role.ADMIN

    def may_see(self, owner: str) -> bool:
        """Whether what belongs to this owner is theirs to see."""
        return self.sees_all or owner == self.owner


ANYBODY = Principal(Role.ADMIN)
"""Who calls where nobody is asked: the server's own work, and tests without a server."""

_CALLER: ContextVar[Principal] = ContextVar("caller", default=ANYBODY)


def caller() -> Principal:
    """Who made the call that goes on; in its task, and in threads that it started with its context.

    `asyncio.to_thread` takes the context along, `run_in_executor` does not: ask before it.
    """
    return _CALLER.get()


def set_caller(principal: Principal) -> None:
    """Makes this principal the caller for the rest of this task, and of what it starts."""
    _CALLER.set(principal)
