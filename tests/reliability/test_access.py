"""Two servers on one database, with TLS and tokens, as users run them: who is let in at both."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from access_toys import Papers, papers
from graftscope.client import Client
from graftscope.client.errors import AccessError, NotFoundError
from graftscope.server.access import TokenStore
from postgres_toys import Postgres
from reliability._processes import Running, server, told, within

REVOKED_S = within(1.5)
"""About a second, and a call."""
WAIT_S = 60.0
VERB = [sys.executable, "-c", "from graftscope.client.cli import main; main()", "token"]


@dataclass(frozen=True)
class Both:
    """The two servers, and what their callers need."""

    one: Running
    two: Running
    made: Papers
    url: str

    def token(self, name: str, role: str = "analyst") -> str:
        """A new token, as `graftscope token create` prints it."""
        return self.verb("create", "--name", name, "--role", role).strip()

    def verb(self, *arguments: str) -> str:
        environment = {"PYTHONPATH": os.pathsep.join(sys.path), "GRAFTSCOPE_JOBS_URL": self.url}
        done = subprocess.run(
            [*VERB, *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def client(self, of: Running, token: str) -> Client:
        return Client(f"https://{of.address}", token=token, tls=self.made.ca)


@pytest.fixture
def both(toy_vae_bundle: Path, tmp_path: Path, postgres: Postgres) -> Iterator[Both]:
    (tmp_path / "papers").mkdir()
    made, url = papers(tmp_path / "papers"), postgres.new_database()
    cert, key = made.of_server()
    options = ["--tls-cert", str(cert), "--tls-key", str(key), "--auth", "token"]
    options += ["--log-level", "debug"]
    with ExitStack() as running:
        one, two = (
            running.enter_context(
                server(
                    [toy_vae_bundle],
                    tmp_path / "state",
                    environment={"GRAFTSCOPE_JOBS_URL": url},
                    options=options,
                    workers=1,
                )
            )
            for _ in range(2)
        )
        yield Both(one, two, made, url)


@contextmanager
def clients(both: Both, token: str) -> Iterator[tuple[Client, Client]]:
    """One of each server."""
    with both.client(both.one, token) as one, both.client(both.two, token) as two:
        yield one, two


def refused_after_s(call: Callable[[], object]) -> float:
    """Seconds until a call is refused, as by a token that was revoked."""
    started_s = time.monotonic()
    with pytest.raises(AccessError) as caught:
        until_refused(call)
    assert caught.value.reason == "REVOKED_TOKEN"
    return time.monotonic() - started_s


def until_refused(call: Callable[[], object]) -> None:
    started_s = time.monotonic()
    while time.monotonic() - started_s < WAIT_S:
        call()


@pytest.mark.soak
def test_two_servers_know_the_same_callers_and_what_is_whose(both: Both) -> None:
    alice, bob = both.token("alice"), both.token("bob")
    with clients(both, alice) as (one, two), clients(both, bob) as (_, his):
        maps = one.influence("toy-vae", "intermediate", pairs=3)
        assert maps.operation
        # Whoever asks either server sees what is theirs, and nothing of others.
        other = two.result(maps.operation)
        np.testing.assert_array_equal(getattr(other, "maps"), maps.maps)  # noqa: B009
        with pytest.raises(NotFoundError):
            his.result(maps.operation)
        assert his.jobs() == ()
        one.share(maps.operation)
        assert [job.owner for job in his.jobs()] == ["alice"]
        samples = one.generate("toy-vae", count=400)
        assert samples.images.shape[0] == 400
        assert two.models()
        with closing(TokenStore(both.url)) as store, ThreadPoolExecutor(2) as threads:
            store.revoke("alice")
            took_s = max(threads.map(refused_after_s, (one.models, two.models)))
        told("a revoked token is refused by both servers after, s", f"{took_s:.2f}", REVOKED_S)
        assert took_s <= REVOKED_S
        assert his.models()
    logs = {each.log for each in (both.one, both.two)}
    said = "".join(log.read_text() for log in logs)
    lists = "".join(Path(f"/proc/{each.pid}/cmdline").read_text() for each in (both.one, both.two))
    found = sum(text.count(token) for text in (said, lists) for token in (alice, bob))
    told("times that a token stands in a log or a process list", found, 0)
    assert "event='call'" in said
    assert not found
