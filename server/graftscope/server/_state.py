"""Who may use a state folder: one server where jobs are in SQLite, all of one database otherwise.

It must not know what lies in the folder.
"""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa
from filelock import FileLock, Timeout

from graftscope.server.blobs import BlobMissing, Blobs
from graftscope.server.database import sqlite_file
from graftscope.server.errors import InvalidInput, StateInUse
from graftscope.server.jobs import JobStore
from graftscope.server.logs import get_logger

_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH | stat.S_IXGRP | stat.S_IXOTH
_LOCK = "lock"
ROOM = "database"
"""The room beside arrays in which their place has its name."""
_MARK = "place"
_LOOK_S = 0.05
# Servers of one database that start at once wait for each other, no longer than reading a line.
_WAIT_S = 5.0

_log = get_logger("server")


@contextmanager
def held_state(folder: Path, url: str) -> Iterator[Path]:
    """Holds the folder, and a SQLite file wherever it lies.

    A folder that is missing is made, for its user alone.

    Args:
        folder: the state folder.
        url: of the database, which says whether several servers may use the folder.

    Raises:
        StateInUse: another server holds it, or it belongs to the servers of another database.
        InvalidInput: it cannot be written to.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error
    if os.name == "posix" and (mode := stat.S_IMODE(folder.stat().st_mode)) & _OTHERS_READ:
        _log.warning(
            "other users of this machine can read the state folder: chmod 700 makes it private",
            folder=str(folder),
            mode=f"{mode:o}",
        )
    with ExitStack() as held:
        busy = (
            f"state folder {str(folder)!r} is held by another server or command; stop it, or name "
            "another folder for this one"
        )
        if is_shared(url):
            # Long enough to see that no server of a SQLite file is there.
            with _lock(folder / _LOCK, busy, wait_s=_WAIT_S):
                _check_no_sqlite(folder)
        else:
            held.enter_context(_lock(folder / _LOCK, busy))
            if (folder / ROOM / _MARK).exists():
                raise StateInUse(
                    f"state folder {str(folder)!r} belongs to the servers of a database that "
                    "jobs_url names; set it here too, or name another folder for this one"
                )
            _hold_file(held, folder, url)
        yield folder


def is_unused(folder: Path, url: str) -> bool:
    """Whether no server has ever held it, so that its lock is still to be made.

    Args:
        folder: the state folder.
        url: of the database.
    """
    file = sqlite_file(_parsed(url))
    locks = [folder / _LOCK, *([] if file is None or _is_in(file, folder) else [_lock_of(file)])]
    return not all(lock.exists() for lock in locks)


def check_place(marks: Blobs, url: str, store: JobStore, wait_s: float = _WAIT_S) -> None:
    """Checks that the servers of one database keep arrays in one place, which no other uses.

    Args:
        marks: a room beside the arrays, for the place's own name.
        url: of the database.
        store: the database, which remembers where its jobs' arrays lie.
        wait_s: for how long to wait for a server that has just begun to use the place.

    Raises:
        StateInUse: arrays of the database's jobs lie elsewhere, or the place is another's.
    """
    if not is_shared(url):
        return
    marked = _marked(marks)
    offered = marked or uuid4().hex
    place, until_s = store.place(offered), time.monotonic() + wait_s
    if marked is None and place == offered:
        with marks.incoming() as incoming:
            incoming.write(place.encode())
            incoming.sync()
            incoming.keep(_MARK)
    while _marked(marks) != place:
        if time.monotonic() > until_s:
            raise StateInUse(
                "the servers of the database that jobs_url names keep their arrays elsewhere: give "
                "this one the same storage, or the same state folder. If they were moved here, "
                f"write {place} into {ROOM}/{_MARK} beside them"
            )
        time.sleep(_LOOK_S)


def _marked(marks: Blobs) -> str | None:
    try:
        with marks.reader(_MARK) as blob:
            return blob.read(0, blob.info.size).decode().strip()
    except BlobMissing:
        return None


def is_shared(url: str) -> bool:
    """Whether several servers may use the database at once, and one state folder with it."""
    return _parsed(url).get_backend_name() != "sqlite"


def _check_no_sqlite(folder: Path) -> None:
    if (folder / "jobs.db").exists():
        raise StateInUse(
            f"state folder {str(folder)!r} holds the jobs of a server without jobs_url; name "
            "another folder for the servers of this database"
        )


def _hold_file(held: ExitStack, folder: Path, url: str) -> None:
    """A SQLite file outside the folder is for one server too."""
    file = sqlite_file(_parsed(url))
    if file is None or _is_in(file, folder):
        return
    held.enter_context(
        _lock(
            _lock_of(file),
            f"jobs_url names the SQLite file {str(file)!r}, which another server uses, and SQLite "
            "is for one; stop that server, or have several share a PostgreSQL database",
        )
    )


def _is_in(file: Path, folder: Path) -> bool:
    return file.parent.resolve() == folder.resolve()


def _lock_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.lock")


def _parsed(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except sa.exc.SQLAlchemyError as error:
        said = str(error).splitlines()[0]
        raise InvalidInput(f"jobs_url cannot be used: {said}", field="jobs_url") from error


@contextmanager
def _lock(file: Path, busy: str, wait_s: float = 0.0) -> Iterator[None]:
    try:
        lock = FileLock(file, timeout=wait_s, mode=0o600)
        lock.acquire()
    except Timeout as error:
        raise StateInUse(busy) from error
    except OSError as error:
        raise _unusable(file.parent, error) from error
    try:
        yield
    finally:
        lock.release()


def _unusable(folder: Path, error: OSError) -> InvalidInput:
    return InvalidInput(
        f"state folder {str(folder)!r} cannot be used: {error.strerror}; name one that can be "
        "written to",
        field="state",
    )
