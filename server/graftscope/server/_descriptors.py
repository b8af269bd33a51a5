"""How many files and sockets this process may have open, and what of them connections may take."""

import sys

from graftscope.server.logs import get_logger

_log = get_logger("server")

_WANTED = 65_536
RESERVED = 512
"""For uploads, downloads, sessions, the database and the log."""

_FEWEST_CONNECTIONS = 16


def raise_descriptor_limit() -> None:
    """Lets this process open as many files as it may allow itself; Windows has no such limit."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError) as error:  # A system has limits of its own beside the hard one.
        _log.warning("descriptors cannot be raised", soft=soft, hard=hard, error=str(error))


def connections_of(wanted: int) -> int:
    """How many connections may be open: as many as wanted, where files are left for the rest."""
    if sys.platform == "win32":
        return wanted
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft - RESERVED >= wanted:
        return wanted
    most = max(_FEWEST_CONNECTIONS, soft - RESERVED, soft // 2)
    if most >= wanted:
        return wanted
    _log.warning("fewer connections", wanted=wanted, allowed=most, descriptors=soft)
    return most
