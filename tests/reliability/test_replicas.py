"""Two servers on one PostgreSQL database: killed, frozen, asked for each other's jobs."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from graftscope.client import Client, InfluenceResult, InfluenceTask, Job, JobState
from graftscope.server.failpoints import VARIABLE
from postgres_toys import Postgres
from reliability._processes import Running, server, told, within

LEASE_S = 1.0
TAKEN_UP_S = LEASE_S + within(5.0)
CANCEL_S = within(2.0)
WAIT_S = 60.0

LONG_PAIRS = 64_000
MEDIUM_PAIRS = 16_000
SHORT_PAIRS = 4_000

JOB_DONE = 3


@dataclass
class Replicas:
    """Two servers that share a database and a state folder."""

    one: Running
    two: Running
    url: str
    state: Path

    @contextmanager
    def database(self) -> Iterator[sa.Connection]:
        engine = sa.create_engine(self.url)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()

    def count(self, question: str) -> int:
        """What the database answers to a question about the jobs' table."""
        with self.database() as connection:
            return int(connection.execute(sa.text(question)).scalar_one())

    def result(self) -> object:
        """The one job's result: the checksums of its arrays, and numbers."""
        with self.database() as connection:
            body = connection.execute(sa.text("select body from jobs")).scalar_one()
        return json.loads(body)["result"]

    def computed_again(self) -> object:
        """The result of the same job with the same plan, from its first shard on in one go."""
        none = ("result", "checkpoint", "checkpoint_before", "ended_s", "expires_s")
        with self.database() as connection:
            body = json.loads(connection.execute(sa.text("select body from jobs")).scalar_one())
            anew = json.dumps({**body, **dict.fromkeys(none), "shards_done": 0})
            connection.execute(
                sa.text(
                    "update jobs set body = :body, checksum = null, state = 1, shards_done = 0,"
                    " fence = fence + 1, server = '', claim = identity, expires_s = null"
                ),
                {"body": anew},
            )
        until(lambda: self.count("select state from jobs") == JOB_DONE)
        return self.result()

    def checkpoints(self) -> set[str]:
        return {path.name for path in (self.state / "checkpoints").rglob("*.npz")}


@contextmanager
def replicas(
    bundle: Path, folder: Path, postgres: Postgres, failpoint: str = ""
) -> Iterator[Replicas]:
    """Both servers; the failpoint is of the first alone."""
    url = postgres.new_database()
    environment = {
        "GRAFTSCOPE_JOBS_URL": url,
        "GRAFTSCOPE_LEASE_S": str(LEASE_S),
        "GRAFTSCOPE_CHECKPOINT_S": "0.2",
    }
    with ExitStack() as running:
        one, two = (
            running.enter_context(
                server(
                    [bundle],
                    folder / "state",
                    environment=environment | {VARIABLE: each},
                    workers=1,
                )
            )
            for each in (failpoint, "")
        )
        yield Replicas(one, two, url, folder / "state")


def task(pairs: int, seed: int = 3) -> InfluenceTask:
    return InfluenceTask(model="toy-vae", layer="intermediate", pairs=pairs, seed=seed)


def until(holds: Callable[[], bool], limit_s: float = WAIT_S) -> float:
    """Waits until something holds; the seconds that took."""
    started_s = time.monotonic()
    while not holds():
        assert time.monotonic() - started_s < limit_s, "it never came to hold"
        time.sleep(0.02)
    return time.monotonic() - started_s


class Watcher:
    """Watches a job through a server, and keeps what it saw."""

    def __init__(self, address: str, name: str) -> None:
        self.seen: list[Job] = []
        self.error: Exception | None = None
        self._address, self._name = address, name
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        try:
            with Client(self._address) as client:
                for job in client.watch(self._name):
                    self.seen.append(job)
        except Exception as error:
            self.error = error

    def last(self) -> Job:
        """The last that it saw, once it has seen the end."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        assert self.error is None, self.error
        return self.seen[-1]


def digest(result: InfluenceResult) -> str:
    arrays = (result.maps, result.stderr, result.individual, result.individual_stderr)
    return hashlib.sha256(b"".join(np.ascontiguousarray(x).tobytes() for x in arrays)).hexdigest()


def influence(client: Client, name: str) -> InfluenceResult:
    result = client.wait(name)
    assert isinstance(result, InfluenceResult)
    return result


def test_any_server_answers_for_a_job_of_the_other(
    toy_vae_bundle: Path, tmp_path: Path, postgres: Postgres
) -> None:
    with (
        replicas(toy_vae_bundle, tmp_path, postgres) as both,
        Client(both.one.address) as one,
        Client(both.two.address) as two,
    ):
        # The same thing asked of both is computed once.
        job = one.start(task(SHORT_PAIRS))
        assert two.start(task(SHORT_PAIRS)).name == job.name
        watcher = Watcher(both.two.address, job.name)
        assert digest(influence(two, job.name)) == digest(influence(one, job.name))
        assert watcher.last().progress.state is JobState.DONE
        assert [each.name for each in two.jobs()] == [job.name]
        long = one.start(task(LONG_PAIRS, seed=4))
        until(lambda: two.job(long.name).progress.shards_done > 0)
        started_s = time.monotonic()
        two.cancel(long.name)
        until(lambda: one.job(long.name).progress.state is JobState.CANCELLED)
        taken_s = time.monotonic() - started_s
        told("cancel of a job of another server, s", f"{taken_s:.2f}", CANCEL_S)
        assert taken_s <= CANCEL_S
        until(lambda: two.job(long.name).progress.state is JobState.CANCELLED)
        two.delete(long.name)
        assert [each.name for each in one.jobs()] == [job.name]


@pytest.mark.soak
def test_a_killed_servers_job_goes_on_elsewhere_and_its_watchers_notice_a_pause(
    toy_vae_bundle: Path, tmp_path: Path, postgres: Postgres
) -> None:
    with replicas(toy_vae_bundle, tmp_path, postgres) as both, Client(both.two.address) as two:
        with Client(both.one.address) as one:
            job = one.start(task(LONG_PAIRS))
        watcher = Watcher(both.two.address, job.name)
        until(lambda: len(both.checkpoints()) > 0)
        both.one.kill()
        taken_s = until(lambda: both.count("select max(attempts) from jobs") == 2)
        told("a killed server's job is taken up after, s", f"{taken_s:.2f}", TAKEN_UP_S)
        assert taken_s <= TAKEN_UP_S
        assert influence(two, job.name).pairs == LONG_PAIRS
        assert watcher.last().progress.state is JobState.DONE
        until(lambda: not both.checkpoints())
        interrupted = both.result()
        assert both.computed_again() == interrupted


@pytest.mark.soak
@pytest.mark.parametrize("place", ["checkpoint-written@2", "checkpoint-named@2", "result-written"])
def test_what_a_server_writes_that_was_frozen_past_its_lease_is_refused(
    toy_vae_bundle: Path, tmp_path: Path, postgres: Postgres, place: str
) -> None:
    with (
        replicas(toy_vae_bundle, tmp_path, postgres, f"{place}:freeze") as both,
        Client(both.one.address) as one,
        Client(both.two.address) as two,
    ):
        job = one.start(task(MEDIUM_PAIRS))
        watcher = Watcher(both.two.address, job.name)
        until(lambda: is_frozen(both.one))
        taken_s = until(lambda: both.count("select max(attempts) from jobs") == 2)
        told(f"a job frozen at {place} is taken up after, s", f"{taken_s:.2f}", TAKEN_UP_S)
        assert taken_s <= TAKEN_UP_S
        both.one.thaw()
        until(lambda: "another server has it" in both.one.log.read_text())
        result = influence(two, job.name)
        assert digest(influence(one, job.name)) == digest(result)
        assert watcher.last().progress.state is JobState.DONE
        assert both.count("select count(*) from jobs") == 1
        assert both.count("select fence from jobs") == 2
        # What the frozen one wrote late is gone, or never was.
        until(lambda: not both.checkpoints())
        interrupted = both.result()
        assert both.computed_again() == interrupted


def is_frozen(running: Running) -> bool:
    return Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
