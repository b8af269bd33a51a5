"""What can be set of a server: in Python, or by environment variables named GRAFTSCOPE_…"""

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from graftscope.sandbox import Limits
from graftscope.server.engine import JOB_SHARE, Device
from graftscope.server.errors import InvalidInput
from graftscope.server.jobs import CHECKPOINT_S, LEASE_S, MOST_CRASHES, QUEUED_JOBS
from graftscope.server.rpc import EXPLORE_IDLE_S

PREFIX = "GRAFTSCOPE_"
"""What the names of the environment's variables begin with."""


def default_state() -> Path:
    """Where jobs and arrays are kept: $XDG_STATE_HOME/graftscope, or ~/.local/state/graftscope."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "graftscope"


def default_workers() -> int:
    """One single-threaded run a core."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Settings(BaseSettings):
    """Settings of a server.

    Attributes:
        bundles: folders of bundles, each a bundle or with bundles right below it; none means the
            bundles that ship with the package.
        listen: HOST:PORT, where port 0 takes any free one; a port alone; or unix:PATH.
        device: cpu or cuda; one that is not there is an error.
        workers: single-threaded runs side by side, 1 to 256; all cores by default.
        memory_gib: what the process may use of memory, in GiB; by default three quarters of what
            the machine or its control group has.
        sessions: how many ONNX Runtime sessions stay open, 4 to 1024.
        state: folder of jobs, checkpoints and arrays; for one server, or for all of one `jobs_url`.
        jobs_url: SQLAlchemy URL of the table of jobs; SQLite in `state` by default, which is for
            one server.
        storage: URL of where results and checkpoints lie, which servers may share: file:///PATH, or
            an object store such as s3://BUCKET/PREFIX; by default the state folder.
        keep_days: for how long results are kept.
        keep_gib: how much is kept, in GiB; what was used longest ago goes first.
        upload_idle_s: seconds after which an upload that sends nothing, or a download of which
            nothing is taken, is ended, 1 to 3600.
        explore_idle_s: seconds after which an exploration of which nothing is asked is ended, 1 to
            86,400.
        job_share: what jobs keep of the workers however many interactive calls there are, 0.01 to
            1; with 1 they never wait for any.
        checkpoint_s: seconds between two times that a job keeps its sums, 0.1 to 3600; a crash
            loses at most this much work.
        tls_cert, tls_key: the server's certificate and its key, in PEM, which are read again when
            they change; both, or neither for no TLS.
        tls_client_ca: whose signature clients' certificates need, in PEM; None asks for none.
        tls_client_role: what a client may do who shows a certificate and no token.
        auth: how callers show who they are. By default by a certificate where `tls_client_ca` is
            set, else by a token where other machines reach the server, else not at all.
        insecure: whether other machines may reach the server without TLS, or without being asked
            who they are.
        lease_s: for how long a server may be silent before another of the same database takes up
            its jobs, 0.5 to 600.
        queue: interactive calls that run or wait at most, 1 to 100000; by default 64 a worker, and
            no fewer than 256.
        queued_jobs: jobs that run or wait at most, 1 to 100000.
        watches: open watches at most, 1 to 100000.
        connections: open connections at most, 1 to 100000; those above are closed at once.
        sandbox: whether a bundle that did not come with the package is tried in a child process
            before it is opened, the first time that it is served.
        sandbox_nodes, sandbox_tensor_mib, sandbox_memory_mib, sandbox_seconds: what it may take
            there, as `graftscope.sandbox.Limits` has them.
        grace_s: seconds within which a server that is told to stop has ended, 0 to 3600; calls that
            go on have most of them to finish.
        keepalive_s: after how many seconds of silence a client is asked whether it is still there,
            1 to 3600; it has half as many to answer.
        job_crashes: a job that ran so often as its server's process ended, and got no further,
            fails, 1 to 1000.
        registration: whether admins may add and remove models over the wire; needs `sandbox`.
        forget_plans: whether what was measured of plans is forgotten at the start, for all servers
            of the database.
        resume: whether jobs that an earlier process left go on at the start.
        log_level: debug, info, warning or error.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")

    bundles: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), description="paths of bundles, as in PATH"
    )
    listen: str = Field(default="127.0.0.1:50051", description="HOST:PORT")
    device: Device = Field(
        default=Device.CPU, description=" or ".join(each.value for each in Device)
    )
    workers: int = Field(
        default_factory=default_workers, ge=1, le=256, description="a whole number from 1 to 256"
    )
    memory_gib: float | None = Field(default=None, gt=0, description="a number of GiB above 0")
    sessions: int = Field(default=24, ge=4, le=1024, description="a whole number from 4 to 1024")
    state: Path = Field(default_factory=default_state, description="the path of a folder")
    # It may hold a password.
    jobs_url: str | None = Field(
        default=None, repr=False, description="a URL as SQLAlchemy takes it"
    )
    # It may hold a key.
    storage: str | None = Field(
        default=None, repr=False, description="a URL such as file:///PATH or s3://BUCKET/PREFIX"
    )
    keep_days: float = Field(default=30.0, gt=0, description="a number above 0")
    keep_gib: float = Field(default=50.0, gt=0, description="a number above 0")
    upload_idle_s: float = Field(default=60.0, ge=1, le=3600, description="a number from 1 to 3600")
    explore_idle_s: float = Field(
        default=EXPLORE_IDLE_S, ge=1, le=86_400, description="a number from 1 to 86400"
    )
    job_share: float = Field(
        default=JOB_SHARE, ge=0.01, le=1, description="a number from 0.01 to 1"
    )
    checkpoint_s: float = Field(
        default=CHECKPOINT_S, ge=0.1, le=3600, description="a number from 0.1 to 3600"
    )
    tls_cert: Path | None = Field(default=None, description="the path of a file")
    tls_key: Path | None = Field(default=None, description="the path of a file")
    tls_client_ca: Path | None = Field(default=None, description="the path of a file")
    tls_client_role: Literal["reader", "analyst", "admin"] = Field(
        default="analyst", description="reader, analyst or admin"
    )
    auth: Literal["none", "token", "certificate"] | None = Field(
        default=None, description="none, token or certificate"
    )
    insecure: bool = Field(default=False, description="true or false")
    lease_s: float = Field(default=LEASE_S, ge=0.5, le=600, description="a number from 0.5 to 600")
    queue: int | None = Field(
        default=None, ge=1, le=100_000, description="a whole number from 1 to 100000"
    )
    queued_jobs: int = Field(
        default=QUEUED_JOBS, ge=1, le=100_000, description="a whole number from 1 to 100000"
    )
    watches: int = Field(
        default=4_096, ge=1, le=100_000, description="a whole number from 1 to 100000"
    )
    connections: int = Field(
        default=4_096, ge=1, le=100_000, description="a whole number from 1 to 100000"
    )
    sandbox: bool = Field(default=Limits.sandbox, description="true or false")
    sandbox_nodes: int = Field(
        default=Limits.sandbox_nodes, gt=0, description="a whole number above 0"
    )
    sandbox_tensor_mib: int = Field(
        default=Limits.sandbox_tensor_mib, gt=0, description="a whole number above 0"
    )
    sandbox_memory_mib: int = Field(
        default=Limits.sandbox_memory_mib, gt=0, description="a whole number above 0"
    )
    sandbox_seconds: float = Field(
        default=Limits.sandbox_seconds, gt=0, lt=86_400, description="a number above 0"
    )
    grace_s: float = Field(default=30.0, ge=0, le=3600, description="a number from 0 to 3600")
    keepalive_s: float = Field(default=15.0, ge=1, le=3600, description="a number from 1 to 3600")
    job_crashes: int = Field(
        default=MOST_CRASHES, ge=1, le=1000, description="a whole number from 1 to 1000"
    )
    registration: bool = Field(default=False, description="true or false")
    forget_plans: bool = Field(default=False, description="true or false")
    resume: bool = Field(default=True, description="true or false")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error"
    )

    @property
    def limits(self) -> Limits:
        """What a bundle may take while it is tried."""
        return Limits(**{each.name: getattr(self, each.name) for each in fields(Limits)})

    @field_validator("bundles", mode="before")
    @classmethod
    def _divided(cls, given: object) -> object:
        """Take a variable's paths apart, which stand as in PATH, or in a list of JSON."""
        if not isinstance(given, str):
            return given
        if given.startswith("["):
            return json.loads(given)
        return [path for path in given.split(os.pathsep) if path]


def database_url(settings: Settings) -> str:
    """Where jobs and tokens are kept: SQLite in the state folder, if nothing else is set."""
    if settings.jobs_url is not None:
        return settings.jobs_url
    return f"sqlite:///{settings.state / 'jobs.db'}"


def make_settings(**chosen: object) -> Settings:
    """Settings from what is chosen; the environment and the defaults fill in the rest.

    Raises:
        InvalidInput: a value is not allowed; names the setting, or its variable.
    """
    try:
        return Settings(**chosen)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        called = name if name in chosen else PREFIX + name.upper()
        raise InvalidInput(
            f"{called} {first['input']!r} is not allowed: it must be"
            f" {Settings.model_fields[name].description}",
            field=name,
        ) from error
