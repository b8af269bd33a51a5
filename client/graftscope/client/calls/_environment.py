"""Environment variables of Graftscope: which there are, and what a name that is none of them means.

It must not know what the variables do.
"""

import difflib
import logging
import os
import re
from collections.abc import Mapping

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

SERVER_SETTINGS = (
    *("bundles", "listen", "device", "workers", "memory_gib", "sessions", "state", "jobs_url"),
    *("storage", "keep_days", "keep_gib", "upload_idle_s", "explore_idle_s", "job_share"),
    *("checkpoint_s",),
    *("tls_cert", "tls_key", "tls_client_ca", "tls_client_role", "auth", "insecure", "lease_s"),
    *("queue", "queued_jobs", "watches", "connections", "sandbox", "sandbox_nodes"),
    *("sandbox_tensor_mib", "sandbox_memory_mib", "sandbox_seconds", "grace_s", "keepalive_s"),
    *("job_crashes", "registration", "forget_plans", "resume", "log_level"),
)
"""What can be set of a server, also of one inside this process (`graftscope.server.Settings`)."""

_OF_TESTS = (f"{PREFIX}DATA", f"{PREFIX}GENERATORS", f"{PREFIX}FAILPOINT")

KNOWN = (
    ADDRESS_VARIABLE,
    TOKEN_VARIABLE,
    CA_VARIABLE,
    DEBUG_VARIABLE,
    *(PREFIX + name.upper() for name in SERVER_SETTINGS),
    *_OF_TESTS,
)

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
    for name, value in sorted(environment.items()):
        if not name.startswith(PREFIX) or name in KNOWN or _is_of_kubernetes(name, value):
            continue
        rests = {known.removeprefix(PREFIX): known for known in KNOWN if known not in _OF_TESTS}
        rest = name.removeprefix(PREFIX)
        if meant := difflib.get_close_matches(rest, rests, 1, _SURELY_MEANT):
            raise UsageError(
                f"environment variable {name} is unknown, and sets nothing: do you mean"
                f" {rests[meant[0]]}?"
            )
        near = difflib.get_close_matches(rest, rests, 1) or rests
        _log.warning(
            "environment variable %s is unknown, and sets nothing; there %s: %s",
            name,
            "is" if len(near) == 1 else "are",
            ", ".join(rests[each] for each in near),
        )


def _is_of_kubernetes(name: str, value: str) -> bool:
    is_port = name.endswith("_PORT") and value.startswith(("tcp://", "udp://"))
    return is_port or _KUBERNETES.search(name) is not None
