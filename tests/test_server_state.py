"""One server of a SQLite file and its folder; any number of one PostgreSQL database."""

import fcntl
import logging
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from graftscope.server import embedded_server
from graftscope.server._state import ROOM, check_place, held_state
from graftscope.server.blobs import open_blobs
from graftscope.server.errors import InvalidInput, StateInUse
from graftscope.server.jobs import JobStore
from postgres_toys import Postgres


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / 'jobs.db'}"


def test_a_folder_in_use_is_an_error(toy_vae_bundle: Path, tmp_path: Path) -> None:
    with held_state(tmp_path, sqlite(tmp_path)):
        with (
            pytest.raises(StateInUse, match=r"held by another server or command.*another folder"),
            embedded_server([toy_vae_bundle], state=tmp_path),
        ):
            pass


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    with pytest.raises(
        InvalidInput, match=r"file/state' cannot be used.*can be written to"
    ) as caught:
        held_state(file / "state", sqlite(tmp_path)).__enter__()
    assert caught.value.field == "state"


@pytest.mark.parametrize("is_there", [False, True])
def test_a_new_folder_is_its_users_alone_and_an_old_one_is_told(
    is_there: bool,
    toy_vae_bundle: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A test before it may have sent the log elsewhere.
    log = logging.getLogger("graftscope.server")
    monkeypatch.setattr(log, "propagate", True)
    caplog.set_level(logging.WARNING, logger=log.name)
    state, before = tmp_path / "above" / "state", os.umask(0o022)
    try:
        if is_there:
            state.mkdir(parents=True)
        with embedded_server([toy_vae_bundle], state=state):
            modes = {path.name: path.stat().st_mode & 0o777 for path in state.iterdir()}
    finally:
        os.umask(before)
    assert state.stat().st_mode & 0o777 == (0o755 if is_there else 0o700)
    assert "jobs.db-wal" in modes
    private = {name for name in modes if name.startswith(("jobs.db", "lock"))}
    assert {modes[name] for name in private} == {0o600}
    # A handler that another test has left may record it twice.
    told = {x.getMessage() for x in caplog.records if "chmod 700" in x.getMessage()}
    assert len(told) == is_there


def test_a_folder_is_free_once_its_holder_is_gone(tmp_path: Path) -> None:
    for _ in range(2):
        # As version 0.1.0 holds it.
        with held_state(tmp_path, sqlite(tmp_path)) as folder, (folder / "lock").open() as file:
            with pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_sqlite_file_elsewhere_is_for_one_server_too(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    with held_state(tmp_path / "one", url):
        with pytest.raises(StateInUse, match=r"SQLite file '.*jobs\.db'.*PostgreSQL"):
            held_state(tmp_path / "two", url).__enter__()
    with held_state(tmp_path / "two", url):
        pass


def test_a_process_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from graftscope.server._state import held_state\n"
        "with held_state(pathlib.Path(sys.argv[1]), sys.argv[2]): print(flush=True); input()"
    )
    command = [sys.executable, "-c", script, str(tmp_path), sqlite(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(StateInUse):
            held_state(tmp_path, sqlite(tmp_path)).__enter__()
        process.kill()
    with held_state(tmp_path, sqlite(tmp_path)):
        pass


def start(folder: Path, url: str) -> None:
    """As a server does it."""
    with held_state(folder, url), closing(JobStore(url)) as store:
        check_place(open_blobs(folder, ROOM), url, store, wait_s=0.1)


def test_servers_of_one_database_share_a_folder_and_no_other(
    postgres: Postgres, tmp_path: Path
) -> None:
    url, other = postgres.new_database(), postgres.new_database()
    shared = tmp_path / "shared"

    start(shared, url)
    with held_state(shared, url):
        start(shared, url)
    with pytest.raises(StateInUse, match="keep their arrays elsewhere"):
        start(tmp_path / "elsewhere", url)
    start(tmp_path / "others", other)
    with pytest.raises(StateInUse, match="keep their arrays elsewhere"):
        start(shared, other)
    with pytest.raises(StateInUse, match="belongs to the servers of a database"):
        held_state(shared, sqlite(shared)).__enter__()
    own = tmp_path / "own"
    with held_state(own, sqlite(own)):
        (own / "jobs.db").touch()
    with pytest.raises(StateInUse, match="holds the jobs of a server without jobs_url"):
        start(own, other)
