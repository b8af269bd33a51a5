"""Environment variables of Graftscope: which there are, and what a name that is none of them means.

It must not know what the variables do.
"""

import difflib
import logging
import os
import re
from collections.abc import Mapping

from graftscope.client.calls._server_settings import SERVER_SETTINGS
from graftscope.client.errors import UsageError

PREFIX = "GRAFTSCOPE_"

ADDRESS_VARIABLE = f"{PREFIX}SERVER"
"""Environment variable that names the server where no argument does."""

TOKEN_VARIABLE = f"{PREFIX}TOKEN"
"""Environment variable with the token of servers that ask for one."""

CA_VARIABLE = f"{PREFIX}CA"
"""Environment variable that names the file of the authority of servers' certificates."""

DEBUG_VARIABLE = f"{PREFIX}DEBUG"
"""Set to 1, it shows the traceback of whatever goes wrong in the command line."""

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
"""Environment variable that names the file of a server's settings where no option does."""

_OF_TESTS = (f"{PREFIX}DATA", f"{PREFIX}GENERATORS", f"{PREFIX}FAILPOINT")

_OF_USERS = (
    ADDRESS_VARIABLE,
    TOKEN_VARIABLE,
    CA_VARIABLE,
    DEBUG_VARIABLE,
    CONFIG_VARIABLE,
    *(PREFIX + each.name.upper() for each in SERVER_SETTINGS),
)

KNOWN = (*_OF_USERS, *_OF_TESTS)

_KUBERNETES = re.compile(
    r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP)(_PROTO|_PORT|_ADDR)?$"
)
"""Kubernetes sets these for a service that is called graftscope."""

_SURELY_MEANT = 0.8
"""How alike a name must be to a known one to be a slip, from 0 to 1."""

_log = logging.getLogger("graftscope.client")


def check_environment(environment: Mapping[str, str] = os.environ) -> None:
    """Refuse a variable that is a known one but for a slip; warn of others that are unknown.

    What a misspelt variable should have set would otherwise keep its default unnoticed.

    Args:
        environment: The variables by their names.

    Raises:
        UsageError: If a name is almost that of a known variable.
    """
    for name, meant in unknown_variables(environment).items():
        if meant:
            raise UsageError(
                f"environment variable {name} is unknown, and sets nothing: do you mean {meant}?"
            )
        near = _near(name) or _OF_USERS
        _log.warning(
            "environment variable %s is unknown, and sets nothing; there %s: %s",
            name,
            "is" if len(near) == 1 else "are",
            ", ".join(near),
        )


def unknown_variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Find variables that set nothing, each with the one that is surely meant, or ''."""
    return {
        name: next(iter(_near(name, _SURELY_MEANT)), "")
        for name, value in sorted(environment.items())
        if name.startswith(PREFIX) and name not in KNOWN and not _is_of_kubernetes(name, value)
    }


def _near(name: str, alike: float = 0.6) -> list[str]:
    """Find the known variable that is most alike; none where none is so much alike."""
    rests = [known.removeprefix(PREFIX) for known in _OF_USERS]
    found = difflib.get_close_matches(name.removeprefix(PREFIX), rests, 1, alike)
    return [PREFIX + rest for rest in found]


def _is_of_kubernetes(name: str, value: str) -> bool:
    is_port = name.endswith("_PORT") and value.startswith(("tcp://", "udp://"))
    return is_port or _KUBERNETES.search(name) is not None
