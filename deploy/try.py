"""Starts what `compose.yaml` starts, as plain processes, and kills a replica while it computes.

    python deploy/try.py [--folder FOLDER] [--pairs N]

Two replicas on one PostgreSQL database and a balancer before them, with TLS and tokens. A job is
started through one replica and watched through the other and through the balancer; its own replica
is killed. The result must be that of an undisturbed run, bit for bit. Each step says how long it
took. Everything happens in a folder of its own on this machine's loopback, and is gone at the end.

It needs Graftscope with the extras `server-cpu` (or `server`) and `postgresql`, and PostgreSQL,
HAProxy and OpenSSL (Debian: apt-get install postgresql haproxy openssl).
"""

import argparse
import hashlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias
from urllib.request import urlopen

import numpy as np

from graftscope.client import Client, GraftscopeError, InfluenceResult, InfluenceTask

DEPLOY = Path(__file__).resolve().parent
Account: TypeAlias = pwd.struct_passwd

HOST = "127.0.0.1"
GRAFTSCOPE = (str(Path(sys.executable).parent / "graftscope"),)
PROBE = (sys.executable, "-m", "graftscope.server.health")
ACTIVE = 'haproxy_backend_active_servers{proxy="replicas"} 2'
PATIENCE_S = 300.0
# Some seconds of work are behind a job that is killed, and more before it.
KILL_AT = 0.3


class Failed(Exception):
    """A step did not do what it should."""


@contextmanager
def step(said: str) -> Iterator[list[str]]:
    """Says what is done, how long it took, and what the block found worth telling."""
    found: list[str] = []
    print(f"{said} ... ", end="", flush=True)
    started_s = time.monotonic()
    yield found
    print(f"{time.monotonic() - started_s:.1f} s" + "".join(f"; {each}" for each in found))


def until(holds: Callable[[], bool], what: str) -> None:
    """Waits until something holds."""
    ends_s = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > ends_s:
            raise Failed(f"{what}: not within {PATIENCE_S:g} s")
        time.sleep(0.05)


def run(
    *command: str | Path,
    environment: Mapping[str, str] | None = None,
    account: Account | None = None,
) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        user=account and account.pw_uid,
        group=account and account.pw_gid,
    )
    if done.returncode:
        raise Failed(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def free_port() -> int:
    """One that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def found(name: str, package: str) -> str:
    """The path of a program; Debian keeps PostgreSQL's and HAProxy off a user's own."""
    places = [*Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), Path("/usr/sbin") / name]
    kept = [str(each) for each in places if each.exists()]
    if (path := shutil.which(name) or (kept[0] if kept else None)) is None:
        raise Failed(f"{name} is not installed (Debian: apt-get install {package})")
    return path


@dataclass
class Deployment:
    """What runs: its folder, and its processes by name."""

    folder: Path
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def port(self, name: str) -> int:
        """The same one for a name each time."""
        return self.ports.setdefault(name, free_port())

    def address(self, name: str) -> str:
        """HOST:PORT."""
        return f"{HOST}:{self.port(name)}"

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        account: Account | None = None,
    ) -> None:
        """Starts a process; what it says is in NAME.log."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env=environment,
                cwd="/",
                user=account and account.pw_uid,
                group=account and account.pw_gid,
            )

    def check(self, name: str) -> None:
        """Fails with what a process said, if it has ended."""
        if self.processes[name].poll() is not None:
            log = (self.folder / f"{name}.log").read_text(errors="replace")
            raise Failed(f"{name} has ended: {log[-2000:]}")

    def end(self) -> None:
        """Stops all that runs, the last first."""
        for name, process in reversed(self.processes.items()):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(PATIENCE_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    print(f"{name} did not end by itself")


def plain_environment() -> dict[str, str]:
    """This process's, without what is set of servers and clients."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GRAFTSCOPE_")}


def start_database(deployment: Deployment, secrets: Path) -> None:
    """PostgreSQL with a password, on loopback; it does not run as root."""
    data = deployment.folder / "database"
    account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    data.mkdir(mode=0o700)
    if account is not None:
        os.chown(data, account.pw_uid, account.pw_gid)
        # Nobody but this user and root gets further than this folder's name.
        deployment.folder.chmod(0o711)
    password = deployment.folder / "password"
    shutil.copy(secrets / "database-password", password)
    made = ("--auth=scram-sha-256", "--username=graftscope", f"--pwfile={password}")
    run(found("initdb", "postgresql"), *made, data, account=account)
    options = {
        "listen_addresses": HOST,
        "port": str(deployment.port("postgres")),
        "unix_socket_directories": "",
    }
    deployment.start(
        "postgres",
        [
            found("postgres", "postgresql"),
            *("-D", str(data)),
            *(f"--{name}={value}" for name, value in options.items()),
        ],
        plain_environment(),
        account,
    )
    as_client = plain_environment() | {"PGPASSWORD": password.read_text().strip()}
    where = ("-h", HOST, "-p", str(deployment.port("postgres")), "-U", "graftscope")

    def is_up() -> bool:
        deployment.check("postgres")
        ready = [found("pg_isready", "postgresql"), "-q", *where]
        return subprocess.run(ready, check=False).returncode == 0

    until(is_up, "PostgreSQL accepts connections")
    run(found("createdb", "postgresql"), *where, "graftscope", environment=as_client)


def replica_environment(deployment: Deployment, name: str, secrets: Path) -> dict[str, str]:
    """What compose.yaml sets, with this machine's places and ports."""
    return plain_environment() | {
        "GRAFTSCOPE_CONFIG": str(secrets / "graftscope.toml"),
        "GRAFTSCOPE_TLS_CERT": str(secrets / "replica.pem"),
        "GRAFTSCOPE_TLS_KEY": str(secrets / "replica.pem.key"),
        "GRAFTSCOPE_AUTH": "token",
        "GRAFTSCOPE_METRICS": deployment.address(f"{name} metrics"),
        "GRAFTSCOPE_LOG_FORMAT": "json",
        "GRAFTSCOPE_GRACE_S": "30",
        "GRAFTSCOPE_STATE": str(deployment.folder / "state"),
        "GRAFTSCOPE_LISTEN": deployment.address(name),
        "GRAFTSCOPE_HEALTH": deployment.address(f"{name} health"),
    }


def start_replica(deployment: Deployment, name: str, secrets: Path) -> None:
    """A server; returns once it says that it serves."""
    deployment.start(name, [*GRAFTSCOPE, "serve"], replica_environment(deployment, name, secrets))

    def serves() -> bool:
        deployment.check(name)
        asked = [*PROBE, deployment.address(f"{name} health")]
        return subprocess.run(asked, check=False, stdout=subprocess.DEVNULL).returncode == 0

    until(serves, f"{name} serves")


def start_balancer(deployment: Deployment, secrets: Path) -> None:
    """HAProxy with the configuration of the compose file."""
    deployment.start(
        "balancer",
        [found("haproxy", "haproxy"), "-f", str(DEPLOY / "haproxy.cfg")],
        plain_environment()
        | {
            "LISTEN": deployment.address("balancer"),
            "METRICS": deployment.address("balancer metrics"),
            "REPLICA_1": deployment.address("replica-1"),
            "REPLICA_2": deployment.address("replica-2"),
            "HEALTH_1": str(deployment.port("replica-1 health")),
            "HEALTH_2": str(deployment.port("replica-2 health")),
            # Asked nothing here, where replicas have addresses and no names.
            "NAMESERVER": f"{HOST}:53",
            "SECRETS": str(secrets),
        },
    )

    def has_both() -> bool:
        deployment.check("balancer")
        try:
            with urlopen(f"http://{deployment.address('balancer metrics')}/metrics") as page:
                return ACTIVE in page.read().decode()
        except OSError:
            return False

    until(has_both, "the balancer has both replicas")


@dataclass(frozen=True)
class Callers:
    """Who calls, by which way."""

    deployment: Deployment
    ca: Path

    def token(self, name: str) -> str:
        """A new token of an analyst."""
        made = ("token", "create", "--name", name, "--role", "analyst")
        environment = replica_environment(self.deployment, "replica-1", self.ca.parent)
        return run(*GRAFTSCOPE, *made, environment=environment).strip()

    def client(self, part: str, token: str | None) -> Client:
        """A client of a replica, or of the balancer."""
        return Client(self.deployment.address(part), tls=str(self.ca), token=token)


class Watcher(threading.Thread):
    """Watches a job through one part of the deployment, and keeps what it saw."""

    def __init__(self, client: Client, job: str) -> None:
        super().__init__(daemon=True)
        self.seen: list[tuple[float, int, str]] = []
        self.error: Exception | None = None
        self._client, self._job = client, job

    def run(self) -> None:
        """To the job's end."""
        try:
            with self._client as client:
                for job in client.watch(self._job):
                    progress = job.progress
                    now_s = time.monotonic()
                    self.seen.append((now_s, progress.shards_done, progress.state.value))
        except GraftscopeError as error:
            self.error = error

    @property
    def shards(self) -> int:
        """How many it last saw done."""
        return self.seen[-1][1] if self.seen else 0

    def pause_s(self, since_s: float) -> float:
        """The longest time without news, of what came after a moment."""
        times = [since_s, *(at_s for at_s, _, _ in self.seen if at_s > since_s)]
        return max(later - at for at, later in pairwise(times))

    def check(self) -> None:
        """Fails if it did not see the job done."""
        self.join(PATIENCE_S)
        if self.error is not None or not self.seen or self.seen[-1][2] != "done":
            raise Failed(f"a watcher saw {self.seen[-1:]}, and {self.error!r}")


class Caller(threading.Thread):
    """Calls through the balancer again and again, and counts."""

    def __init__(self, client: Client) -> None:
        super().__init__(daemon=True)
        self.calls, self.longest_s = 0, 0.0
        self.errors: list[str] = []
        self._client, self._ended = client, threading.Event()

    def run(self) -> None:
        """Until it is told to end."""
        with self._client as client:
            while not self._ended.wait(0.05):
                started_s = time.monotonic()
                try:
                    client.models()
                except GraftscopeError as error:
                    self.errors.append(str(error))
                self.calls += 1
                self.longest_s = max(self.longest_s, time.monotonic() - started_s)

    def end(self) -> str:
        """Ends it; what it counted, in words."""
        self._ended.set()
        self.join()
        failed = ", ".join([str(len(self.errors)), *self.errors])
        return f"{self.calls} calls meanwhile, longest {self.longest_s:.2f} s, failed: {failed}"


def digest(result: object) -> str:
    """The sha256 of the arrays of a result."""
    assert isinstance(result, InfluenceResult)
    arrays = (result.maps, result.stderr, result.individual, result.individual_stderr)
    return hashlib.sha256(b"".join(np.ascontiguousarray(x).tobytes() for x in arrays)).hexdigest()


def kill_and_compare(deployment: Deployment, secrets: Path, pairs: int) -> None:
    """The job whose replica is killed, and the same one undisturbed."""
    callers = Callers(deployment, secrets / "ca.pem")
    with step("tokens of two analysts"):
        alice, bob = callers.token("alice"), callers.token("bob")
    with step("without a token nobody gets in"), callers.client("balancer", None) as nobody:
        try:
            nobody.models()
        except GraftscopeError as error:
            if "token" not in str(error):
                raise
        else:
            raise Failed("a call without a token was answered")
    task = InfluenceTask(model="vae-celeba", layer="intermediate", pairs=pairs, seed=1)
    with step("a job through replica-1") as told, callers.client("replica-1", alice) as client:
        job = client.start(task)
        told.append(job.name)
    watchers = [Watcher(callers.client(x, alice), job.name) for x in ("replica-2", "balancer")]
    calls = Caller(callers.client("balancer", alice))
    for each in (*watchers, calls):
        each.start()
    enough = KILL_AT * pairs / 32
    with step("watched through replica-2 and the balancer until it is a third done") as told:
        until(lambda: watchers[0].shards >= enough, "progress")
        told.append(f"{watchers[0].shards} of {pairs // 32} shards")
    with step("kill -9 of replica-1, the job's own; done by replica-2") as told:
        killed_s, before = time.monotonic(), watchers[0].shards
        deployment.processes["replica-1"].kill()
        for watcher in watchers:
            watcher.check()
        told.append(f"longest time without news {watchers[0].pause_s(killed_s):.1f} s")
        told.append(calls.end())
    with step("its result, through the balancer") as told, callers.client("balancer", alice) as one:
        disturbed, attempts = digest(one.wait(job.name)), one.job(job.name).attempts
        told.append(f"attempt {attempts}")
        if attempts < 2:
            raise Failed(f"the job was not disturbed: it was done {before} shards after its start")
    with step("replica-1 again"):
        start_replica(deployment, "replica-1", secrets)
    with (
        step(f"the same job undisturbed, of another caller, its {pairs // 32} shards"),
        callers.client("balancer", bob) as x,
    ):
        undisturbed = x.start(task)
        if undisturbed.name == job.name:
            raise Failed("another caller got the same job")
        for seen in x.watch(undisturbed.name):
            print(f"{seen.progress.shards_done} ", end="", flush=True)
        plain = digest(x.wait(undisturbed.name))
    if plain != disturbed:
        raise Failed(f"the results differ: {disturbed} and {plain}")
    print(f"both results are the same, bit for bit: sha256 {plain[:16]}…")


def main() -> None:
    """Runs all of it; ends with 1 and the reason if a step fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--folder", type=Path, help="a new one; by default one that is removed")
    parser.add_argument("--pairs", type=int, default=1_000, help="of the job; by default 1000")
    given = parser.parse_args()
    started_s = time.monotonic()
    with ExitStack() as ends:
        if given.folder is None:
            folder = Path(tempfile.mkdtemp(prefix="graftscope-deploy-"))
            ends.callback(shutil.rmtree, folder)
        else:
            folder = given.folder.resolve()
            folder.mkdir(parents=True)
        deployment, secrets = Deployment(folder), folder / "secrets"
        ends.callback(deployment.end)
        try:
            with step("an authority, certificates and passwords"):
                database = deployment.address("postgres")
                environment = plain_environment() | {"DATABASE": database}
                run(DEPLOY / "secrets.sh", secrets, HOST, environment=environment)
            with step("PostgreSQL"):
                start_database(deployment, secrets)
            for name in ("replica-1", "replica-2"):
                with step(name):
                    start_replica(deployment, name, secrets)
            with step("the balancer"):
                start_balancer(deployment, secrets)
            kill_and_compare(deployment, secrets, given.pairs)
            with step("all of it stopped"):
                deployment.end()
        except Failed as error:
            sys.exit(f"\nFAILED: {error}")
    print(f"all of it: {time.monotonic() - started_s:.0f} s")


if __name__ == "__main__":
    main()
