"""A PostgreSQL server of this run's own, where one is installed (Debian: `postgresql`)."""

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

_START_S = 30.0
_numbers = itertools.count()


class Postgres:
    """A running server; its databases are made when they are asked for."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self.process = process
        self._folder = folder

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

    def is_up(self) -> bool:
        """Whether it answers."""
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
    initdb, binary = _binary("initdb"), _binary("postgres")
    if initdb is None or binary is None:
        pytest.skip("needs PostgreSQL (Debian: apt-get install postgresql)")
    pytest.importorskip("psycopg", reason="needs psycopg (pip install psycopg[binary])")
    folder = Path(tempfile.mkdtemp(prefix="graftscope-postgres-"))
    # PostgreSQL does not run as root.
    account = _account()
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
    user = None if account is None else account.pw_uid
    group = None if account is None else account.pw_gid
    data = folder / "data"
    command = [initdb, "--no-sync", "--auth=trust", "--username=graftscope", "-D", str(data)]
    made = subprocess.run(
        command, user=user, group=group, cwd=folder, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    options = {"listen_addresses": "", "unix_socket_directories": folder, "fsync": "off"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [binary, "-D", data, *(f"--{name}={value}" for name, value in options.items())],
            user=user,
            group=group,
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        server, started_s = Postgres(process, folder), time.monotonic()
        while not server.is_up():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() - started_s < _START_S, (folder / "log").read_text()
            time.sleep(0.05)
        yield server
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


def _binary(name: str) -> str | None:
    """The newest installed; Debian keeps them off the path."""
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(kept[-1]) if kept else shutil.which(name)


def _account() -> "pwd.struct_passwd | None":
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.skip("needs an account other than root for PostgreSQL to run as")
