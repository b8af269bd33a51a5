"""The state folder: whether it can be used, and who uses it."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from graftscope.server._state import held_state, is_shared, is_unused
from graftscope.server.doctor._answering import answer_at
from graftscope.server.doctor._case import Case
from graftscope.server.doctor._finding import Finding, ok, problem, warning
from graftscope.server.errors import InvalidInput, StateInUse
from graftscope.server.settings import database_url

_OTHERS = 0o077
_NEED_A_FOLDER = (
    "--state DIR of a folder that the server's user can write to; in a container, mount a volume"
    " there"
)


def state(case: Case) -> Iterator[Finding]:
    """That the state folder can be used, and who uses it."""
    settings = case.settings
    folder = settings.state
    if not folder.exists():
        yield from _to_be_made(folder)
        return
    try:
        with tempfile.TemporaryFile(dir=folder):
            _look_who_holds(case)
    except StateInUse as error:
        running = answer_at(settings)
        if running is None or "held by" not in str(error):
            found, _, advice = str(error).partition("; ")
            yield problem(found, advice or "name another --state")
            return
        yield ok(f"{str(folder)!r}, held by {running}")
    except InvalidInput as error:
        yield problem(str(error), "correct jobs_url (GRAFTSCOPE_JOBS_URL)")
        return
    except OSError as error:
        yield problem(
            f"state folder {str(folder)!r} cannot be written to: {error.strerror}", _NEED_A_FOLDER
        )
        return
    else:
        yield ok(f"{str(folder)!r} can be written to, and no server holds it")
    yield from _whose(folder)


def may_be_held(case: Case) -> bool:
    """Whether a server with these settings may be running; False where there is surely none."""
    folder, url = case.settings.state, database_url(case.settings)
    try:
        _look_who_holds(case)
        return is_shared(url) and not is_unused(folder, url)
    except (StateInUse, InvalidInput, OSError):
        return True  # Or it cannot be told: `state` says why.


def _look_who_holds(case: Case) -> None:
    folder, url = case.settings.state, database_url(case.settings)
    # A lock that is made here would be this user's, and closed to the server's.
    with case.looking:
        if not is_unused(folder, url):
            with held_state(folder, url):
                pass


def _whose(folder: Path) -> Iterator[Finding]:
    """Whether the server's user alone can use it, as far as that can be told."""
    status = folder.stat()
    if sys.platform != "win32" and os.geteuid() == 0 != status.st_uid:
        yield warning(
            f"it belongs to user {status.st_uid}, and doctor runs as root, who may use anything",
            f"run sudo -u '#{status.st_uid}' graftscope doctor to see what that user may do",
        )
    if (mode := status.st_mode) & _OTHERS:
        yield warning(
            f"other users of this machine can read it: its mode is {mode & 0o777:o}",
            f"chmod 700 {folder}",
        )


def _to_be_made(folder: Path) -> Iterator[Finding]:
    above = next(each for each in folder.absolute().parents if each.exists())
    try:
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        yield problem(
            f"state folder {str(folder)!r} cannot be made in {str(above)!r}: {error.strerror}",
            _NEED_A_FOLDER,
        )
        return
    yield ok(f"{str(folder)!r} will be made when the server starts")
