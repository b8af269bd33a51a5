"""Which cluster computes, as `--executor` says it. It must not import Ray."""

import re
from dataclasses import dataclass

from graftscope.server.errors import InvalidInput

ALLOWED = "local, ray or ray://HOST:PORT"

_JOINED = r"ray://(?P<host>\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,5})"
PATTERN = f"^(local|ray|{_JOINED})$"
"""What a setting may be."""


@dataclass(frozen=True)
class Where:
    """A cluster.

    Attributes:
        host, port: of its head; None and 0 for a cluster of this machine alone, which is started.
    """

    host: str | None = None
    port: int = 0

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"{self.host}:{self.port}"


def cluster_of(executor: str) -> Where | None:
    """The cluster that a setting names; None for this process.

    Raises:
        InvalidInput: it is none of what is allowed.
    """
    if executor == "local":
        return None
    if executor == "ray":
        return Where()
    found = re.fullmatch(_JOINED, executor)
    if found is None or not 0 < int(found["port"]) < 2**16:
        raise InvalidInput(
            f"executor {executor!r} is not allowed: it must be {ALLOWED}", field="executor"
        )
    return Where(found["host"].strip("[]"), int(found["port"]))
