"""The commands of docs/operations.md that back up and restore, while a server computes."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from graftscope.client import Client, JobState
from postgres_toys import Postgres
from reliability._processes import Running, server
from reliability.test_replicas import MEDIUM_PAIRS, SHORT_PAIRS, digest, influence, task, until

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
CHECKPOINTS_S = {"GRAFTSCOPE_CHECKPOINT_S": "0.2"}


def follow(heading: str, places: Mapping[str, str]) -> None:
    """Carries out the commands below a heading of the page."""
    section = PAGE.read_text().split(f"\n### {heading}\n")[1].split("\n#")[0]
    (commands,) = re.findall(r"```sh\n(.*?)```", section, re.S)
    programs = [os.environ["PATH"], *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    environment = {**os.environ, **places, "PATH": os.pathsep.join(programs)}
    done = subprocess.run(
        ["bash", "-euc", commands], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def jobs_before(running: Running) -> tuple[str, str]:
    """Starts two jobs; one is done, and the other has a checkpoint."""
    with Client(running.address) as client:
        done = client.start(task(SHORT_PAIRS))
        client.wait(done.name)
        runs = client.start(task(MEDIUM_PAIRS, seed=4))
        until(lambda: client.job(runs.name).progress.shards_done > 0)
    return done.name, runs.name


def results(running: Running, *jobs: str) -> list[str]:
    """The digests of their results, once they are done."""
    with Client(running.address) as client:
        return [digest(influence(client, job)) for job in jobs]


@pytest.mark.soak
def test_what_was_kept_in_sqlite_is_there_after_a_restore_and_what_ran_goes_on(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    backup = {"BACKUP": str(tmp_path / "backup")}
    with server([toy_vae_bundle], tmp_path / "state", environment=CHECKPOINTS_S) as first:
        jobs = jobs_before(first)
        follow("Back up SQLite", {**backup, "STATE": str(tmp_path / "state")})
        assert not (tmp_path / "backup").stat().st_mode & 0o077
        assert not (tmp_path / "backup" / "jobs.db").stat().st_mode & 0o077
        before = results(first, *jobs)
    follow("Restore SQLite", {**backup, "STATE": str(tmp_path / "restored")})
    with server([toy_vae_bundle], tmp_path / "restored") as second:
        with Client(second.address) as client:
            assert client.job(jobs[0]).progress.state is JobState.DONE
        assert results(second, *jobs) == before


@pytest.mark.soak
def test_what_was_kept_in_postgresql_is_there_after_a_restore_and_what_ran_goes_on(
    toy_vae_bundle: Path, tmp_path: Path, postgres: Postgres
) -> None:
    one, two = postgres.new_database(), postgres.new_database()
    backup = {"BACKUP": str(tmp_path / "backup")}

    def places(url: str, state: str) -> dict[str, str]:
        return {
            **backup,
            "DATABASE": url.replace("postgresql+psycopg", "postgresql"),
            "STATE": str(tmp_path / state),
        }

    environment = {**CHECKPOINTS_S, "GRAFTSCOPE_JOBS_URL": one}
    with server([toy_vae_bundle], tmp_path / "state", environment=environment) as first:
        jobs = jobs_before(first)
        follow("Back up PostgreSQL", places(one, "state"))
        before = results(first, *jobs)
    follow("Restore PostgreSQL", places(two, "restored"))
    environment = {"GRAFTSCOPE_JOBS_URL": two}
    with server([toy_vae_bundle], tmp_path / "restored", environment=environment) as second:
        with Client(second.address) as client:
            assert client.job(jobs[0]).progress.state is JobState.DONE
        assert results(second, *jobs) == before
