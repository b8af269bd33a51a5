"""A database that is held, full, read-only, gone or damaged has a reason of its own, and no SQL."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from graftscope.server.database import Database
from graftscope.server.errors import ServerError, StoreDamaged, StoreUnavailable
from graftscope.server.jobs import JobStore
from postgres_toys import Postgres, postgres_server

WAIT_S = 0.05
SECRET = "a parameter that nobody may see"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    with opened(f"sqlite:///{file}") as made:
        yield made


@contextmanager
def opened(url: str) -> Iterator[Database]:
    with closing(Database(url, wait_s=WAIT_S)) as made:
        with made.opening() as connection:
            connection.execute(sa.text("create table if not exists words (word text)"))
        yield made


def write(database: Database, word: str = SECRET) -> None:
    with database.writing() as connection:
        connection.execute(sa.text("insert into words values (:word)"), {"word": word})


def words(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.execute(sa.text("select word from words")).scalars())


def refused(act: Callable[[], object]) -> None:
    """It is refused for now, and says nothing of what was tried."""
    with pytest.raises(StoreUnavailable) as caught:
        act()
    assert caught.value.retry_after_s
    said = str(caught.value).lower()
    assert not any(word in said for word in ("insert", "select", "words", SECRET, "sqlite", "\n"))


def test_while_another_process_writes_what_is_there_is_read(database: Database, file: Path) -> None:
    write(database, "kept")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused(lambda: write(database))
        assert words(database) == ["kept"]
        other.execute("ROLLBACK")
    write(database, "later")
    assert words(database) == ["kept", "later"]


def test_a_full_disk_loses_nothing_and_is_got_over(database: Database) -> None:
    write(database, "kept")
    with database.writing() as connection:
        pages = connection.execute(sa.text("pragma page_count")).scalar_one()
        connection.execute(sa.text(f"pragma max_page_count = {pages}"))
    refused(lambda: write(database, "x" * 100_000))
    assert words(database) == ["kept"]
    with database.writing() as connection:
        connection.execute(sa.text("pragma max_page_count = 1000000"))
    write(database, "later")
    assert words(database) == ["kept", "later"]


def test_a_file_that_cannot_be_written_to_is_read(database: Database, file: Path) -> None:
    write(database, "kept")
    with closing(Database(f"sqlite:///file:{file}?mode=ro&uri=true")) as read_only:
        read_only._inode = read_only._present_inode()
        refused(lambda: write(read_only))
        assert words(read_only) == ["kept"]


def test_a_file_that_is_gone_is_missed_and_found_again(database: Database, file: Path) -> None:
    write(database, "kept")
    elsewhere = file.with_name("moved.db")
    file.rename(elsewhere)
    for act in (lambda: write(database), lambda: words(database)):
        refused(act)
    assert not file.exists(), "a new one was made in its place"
    elsewhere.rename(file)
    write(database, "later")
    assert words(database) == ["kept", "later"]


def test_another_file_in_its_place_is_used_from_then_on(database: Database, file: Path) -> None:
    write(database, "kept")
    copy = file.with_name("copy.db")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    write(database, "lost with the file")
    for each in (file, *file.parent.glob("jobs.db-*")):
        each.unlink()
    copy.rename(file)
    write(database, "later")
    assert words(database) == ["kept", "later"]


@pytest.mark.parametrize("at", ["start", "middle", "end"])
def test_a_damaged_file_is_refused_by_a_line_of_its_own(file: Path, at: str) -> None:
    with closing(JobStore(f"sqlite:///{file}")):
        pass
    whole = file.read_bytes()
    if at == "end":
        file.write_bytes(whole[: len(whole) // 2])
    else:
        first = 0 if at == "start" else 4096
        file.write_bytes(whole[:first] + bytes(512) + whole[first + 512 :])
    with pytest.raises(StoreDamaged, match=r"database 'jobs\.db' is damaged: move it away") as said:
        JobStore(f"sqlite:///{file}")
    assert str(file.parent) not in str(said.value)
    file.unlink()
    JobStore(f"sqlite:///{file}").close()


def test_what_is_no_database_is_refused_by_the_same_line(file: Path) -> None:
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreDamaged):
        JobStore(f"sqlite:///{file}")


def test_damage_while_it_is_used_is_told_and_nothing_else(database: Database, file: Path) -> None:
    write(database, "kept")
    # What the last connection closes is in the file itself.
    database.close()
    with file.open("r+b") as damaged:
        damaged.seek(4096)
        damaged.write(b"\xff" * 4096)
    with pytest.raises(StoreDamaged, match="is damaged"):
        words(database)


@pytest.mark.parametrize(
    "change", ["drop table words", "alter table words rename column word to other"]
)
def test_where_something_else_has_changed_the_tables_nobody_is_told_to_ask_again(
    database: Database, file: Path, change: str
) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute(change)
    with pytest.raises(StoreDamaged, match=r"'jobs\.db' lacks tables of this version"):
        words(database)


@pytest.mark.soak
def test_a_postgresql_server_that_is_gone_is_missed_and_found_again() -> None:
    with postgres_server() as server, opened(server.new_database()) as database:
        write(database, "kept")
        server.restart(between=lambda: refused(lambda: write(database)))
        write(database, "later")
        assert words(database) == ["kept", "later"]


def test_a_row_that_a_frozen_server_holds_is_waited_for_no_longer_than_is_said(
    postgres: Postgres,
) -> None:
    with opened(postgres.new_database()) as database:
        write(database, "kept")
        held = sa.text("update words set word = word")
        with database._engine.connect() as other:
            other.execute(held)
            with pytest.raises(ServerError) as caught, database.writing() as connection:
                connection.execute(held)
            assert isinstance(caught.value, StoreUnavailable)
        write(database, "later")
        assert words(database) == ["kept", "later"]
