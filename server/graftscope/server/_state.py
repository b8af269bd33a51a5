"""The folder in which a server keeps what must survive it; one server at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graftscope.server.errors import InvalidInput, StateInUse


@contextmanager
def locked_state(folder: Path) -> Iterator[Path]:
    """Holds the folder, which is made if it is missing.

    Raises:
        StateInUse: another server holds it.
        InvalidInput: it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise InvalidInput(
            f"state folder {str(folder)!r} cannot be used: {error.strerror}; name one that can be "
            "written to with --state",
            field="state",
        ) from error
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StateInUse(
                f"state folder {str(folder)!r} is held by another server; stop it, or give this "
                "one another folder with --state"
            ) from error
        yield folder
