"""A PostgreSQL server of this run's own, where one is installed (Debian: `postgresql`)."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

_START_S = 30.0
_numbers = itertools.count()


class Postgres:
    """A server; its databases are made when they are asked for.

    Args:
        folder: where it keeps everything.
        account: who runs it; None for who runs the tests.
    """

    def __init__(self, folder: Path, account: "pwd.struct_passwd | None") -> None:
        self._folder = folder
        self._as: dict[str, Any] = (
            {} if account is None else {"user": account.pw_uid, "group": account.pw_gid}
        )
        data = str(folder / "data")
        command = [_binary("initdb"), "--no-sync", "--auth=trust", "--username=graftscope", data]
        made = subprocess.run(
            command, **self._as, cwd=folder, capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stderr
        self._start()

    def url(self, database: str) -> str:
        """Of a database."""
        return f"postgresql+psycopg://graftscope@/{database}?host={self._folder}"

    def new_database(self) -> str:
        """The URL of a new, empty one."""
        name = f"jobs_{next(_numbers)}"
        engine = sa.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.url(name)

    def restart(self, between: Callable[[], object]) -> None:
        """Ends the server as a crash would, and starts it again."""
        self.stop()
        between()
        self._start()

    def stop(self) -> None:
        """Ends it, and leaves nothing of it behind but its files."""
        # Immediately: its processes go, and their shared memory.
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()

    def _start(self) -> None:
        options = {"listen_addresses": "", "unix_socket_directories": self._folder, "fsync": "off"}
        said = self._folder / "log"
        with said.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(_binary("postgres"), "-D", self._folder / "data"),
                    *(f"--{name}={value}" for name, value in options.items()),
                ],
                **self._as,
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        started_s = time.monotonic()
        while not self._is_up():
            assert self._process.poll() is None, said.read_text()
            assert time.monotonic() - started_s < _START_S, said.read_text()
            time.sleep(0.05)

    def _is_up(self) -> bool:
        engine = sa.create_engine(self.url("postgres"))
        try:
            with engine.connect():
                return True
        except sa.exc.OperationalError:
            return False
        finally:
            engine.dispose()


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A server on a socket in a folder of its own, which is removed at the end."""
    _binary("initdb")
    pytest.importorskip("psycopg", reason="needs psycopg (pip install psycopg[binary])")
    folder, account = Path(tempfile.mkdtemp(prefix="graftscope-postgres-")), _account()
    try:
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        server = Postgres(folder, account)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _binary(name: str) -> str:
    """The newest installed; Debian keeps them off the path."""
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(kept[-1]) if kept else shutil.which(name)
    if found is None:
        pytest.skip("needs PostgreSQL (Debian: apt-get install postgresql)")
    return found


def _account() -> "pwd.struct_passwd | None":
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.skip("needs an account other than root for PostgreSQL to run as")
