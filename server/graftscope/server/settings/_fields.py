"""The settings themselves: each with its type, range, default and meaning, and nowhere else.

A field's docstring is its meaning. How it is shown follows from its name and type; `Shown` says
what does not. After a change run ``python tools/settings.py`` and commit what it writes.
"""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

from graftscope.sandbox import Limits
from graftscope.server.engine import JOB_SHARE, Device
from graftscope.server.executors.cluster import ALLOWED, PATTERN
from graftscope.server.jobs import CHECKPOINT_S, LEASE_S, MOST_CRASHES, QUEUED_JOBS
from graftscope.server.logs import LogFormat
from graftscope.server.rpc import EXPLORE_IDLE_S

_DAY_S = 86_400.0


@dataclass(frozen=True)
class Shown:
    """How a setting is shown, where that does not follow from its name and type.

    Attributes:
        flags: its options of `serve`, the first of which messages use.
        metavar: what stands for its value in help.
        default: its default in words, where there is no value to print.
        allowed: what it may be, in words that follow "it must be".
        secret: whether it may hold a password, which is never printed.
    """

    flags: tuple[str, ...] = ()
    metavar: str = ""
    default: str = ""
    allowed: str = ""
    secret: bool = False


_FILE = Shown(metavar="FILE", default="none", allowed="the path of a file")
_SECONDS = Shown(metavar="SECONDS")
_LAST_PORT = 65_535


def _as_text(value: object) -> object:
    # A bool is an int to Python, and no port.
    is_port = type(value) is int and 0 <= value <= _LAST_PORT
    return str(value) if is_port else value


_OR_PORT = BeforeValidator(_as_text)
"""Takes a port that is a number, as in a file, for the text that it is meant as."""


def default_state() -> Path:
    """Where jobs and arrays are kept: $XDG_STATE_HOME/graftscope, or ~/.local/state/graftscope."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "graftscope"


def default_workers() -> int:
    """One single-threaded run a core."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Section(BaseModel):
    """Settings that belong together; the docstring of each is its heading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Serving(Section):
    """What is served, and with what"""

    bundles: Annotated[
        tuple[Path, ...],
        # As other verbs have it, and in the plural, since a server mostly has several.
        Shown(
            flags=("--bundles", "--bundle"),
            metavar="PATH",
            default="the bundles that come with the package",
            allowed="a list of paths",
        ),
    ] = ()
    """Bundles, and folders that contain bundles. The flag may be repeated; the variable separates
    paths as PATH does."""

    listen: Annotated[
        str,
        _OR_PORT,
        Shown(metavar="HOST:PORT", allowed="HOST:PORT, a port, or unix:PATH"),
    ] = "127.0.0.1:50051"
    """Where to listen: HOST:PORT, a port alone for this machine (0 takes any free port), or
    unix:PATH for a socket."""

    health: Annotated[
        str | None,
        _OR_PORT,
        Shown(metavar="HOST:PORT", default="none", allowed="HOST:PORT, a port, or unix:PATH"),
    ] = None
    """A port for the probes of orchestrators and load balancers: it answers grpc.health.v1 only,
    without TLS and without tokens."""

    metrics: Annotated[
        str | None,
        _OR_PORT,
        Shown(metavar="HOST:PORT", default="none", allowed="HOST:PORT, or a port"),
    ] = None
    """Where Prometheus reads metrics, at /metrics, over plain HTTP and without tokens: HOST:PORT,
    or a port alone for this machine (0 takes any free port)."""

    device: Device = Device.CPU
    """Where to compute. If the device is missing, the server does not start."""

    workers: Annotated[int, Shown(default="one per core")] = Field(
        default_factory=default_workers, ge=1, le=256
    )
    """How many single-threaded runs compute at the same time."""

    executor: Annotated[str, Shown(metavar="local|ray|ray://HOST:PORT", allowed=ALLOWED)] = Field(
        default="local", pattern=PATTERN
    )
    """Where jobs compute: in the server itself (local), on workers that Ray starts on this machine
    (ray), or on a Ray cluster that this machine has joined and whose head listens at HOST:PORT.
    Ray needs the extra `ray`."""

    memory_gib: Annotated[
        float | None,
        Shown(
            flags=("--memory",),
            metavar="GIB",
            default="three quarters of what the machine or its control group has",
        ),
    ] = Field(default=None, gt=0)
    """How much memory the server may use, in GiB. Requests that would take more are refused."""

    sessions: int = Field(default=24, ge=4, le=1024)
    """The most sessions of ONNX Runtime that stay open."""

    grace_s: Annotated[float, _SECONDS] = Field(default=30.0, ge=0, le=3600)
    """How many seconds the server has to stop. Running calls have most of that time to finish."""


class Results(Section):
    """Jobs and results"""

    state: Annotated[
        Path,
        Shown(
            metavar="DIR",
            default="$XDG_STATE_HOME/graftscope, or ~/.local/state/graftscope",
            allowed="the path of a folder",
        ),
    ] = Field(default_factory=default_state)
    """The folder of jobs, checkpoints and results. Only servers with the same `jobs_url` may share
    it."""

    jobs_url: Annotated[
        str | None,
        Shown(
            metavar="URL",
            default="SQLite in `state`",
            allowed="a URL as SQLAlchemy takes it",
            secret=True,
        ),
    ] = Field(default=None, repr=False)
    """The database of jobs and tokens, which several servers may share, as a URL of SQLAlchemy. Put
    a URL with a password into the file or the variable, because every user of a machine can see
    the arguments of commands."""

    storage: Annotated[
        str | None,
        Shown(
            metavar="URL",
            default="`state`",
            allowed="a URL such as file:///PATH or s3://BUCKET/PREFIX",
            secret=True,
        ),
    ] = Field(default=None, repr=False)
    """Where results and checkpoints are kept, if not in `state`: file:///PATH, or an object store
    such as s3://BUCKET/PREFIX. Servers of one database share it."""

    keep_days: Annotated[float, Shown(metavar="DAYS")] = Field(default=30.0, gt=0)
    """How many days results are kept."""

    keep_gib: Annotated[float, Shown(metavar="GIB")] = Field(default=50.0, gt=0)
    """How many GiB of results are kept. The ones that were used longest ago are removed first."""

    job_share: Annotated[float, Shown(metavar="SHARE")] = Field(default=JOB_SHARE, ge=0.01, le=1)
    """The share of the workers that jobs keep, however many interactive calls there are. With 1,
    jobs never wait for calls."""

    checkpoint_s: Annotated[float, _SECONDS] = Field(default=CHECKPOINT_S, ge=0.1, le=3600)
    """Seconds between two checkpoints of a job. A crash loses at most this much work."""

    lease_s: Annotated[float, _SECONDS] = Field(default=LEASE_S, ge=0.5, le=600)
    """How many seconds a server may be silent before another of the same database continues its
    jobs."""

    job_crashes: int = Field(default=MOST_CRASHES, ge=1, le=1000)
    """How often the server's process may end while a job makes no progress, before that job
    fails."""

    resume: bool = True
    """Whether the server continues unfinished jobs when it starts. If not, they wait until somebody
    asks for them again."""

    forget_plans: bool = False
    """Whether the server measures again which plans are fastest, for example because the machine
    was busy when it measured them. It forgets the old measurements when it starts, for all servers
    of the database."""


class Access(Section):
    """Who may do what"""

    tls_cert: Annotated[Path | None, _FILE] = None
    """The server's certificate in PEM. It turns on TLS, and is read again when it changes."""

    tls_key: Annotated[Path | None, _FILE] = None
    """The key of that certificate."""

    tls_client_ca: Annotated[Path | None, _FILE] = None
    """A certificate authority, in PEM. Only clients with a certificate that it has signed may
    connect."""

    tls_client_role: Annotated[Literal["reader", "analyst", "admin"], Shown(metavar="ROLE")] = (
        "analyst"
    )
    """What a client with a certificate but no token may do."""

    auth: Annotated[
        Literal["none", "token", "certificate"] | None,
        Shown(
            metavar="HOW",
            default="certificate with `tls_client_ca`; else token, or none where only this machine "
            "reaches the server",
        ),
    ] = None
    """How callers prove who they are."""

    insecure: bool = False
    """Whether other machines may reach the server without TLS, or without authentication (`auth`
    none). With `auth` token, it is meant for a server behind a proxy that ends TLS."""

    registration: Annotated[bool, Shown(flags=("--allow-registration",))] = False
    """Whether admins may add and remove models over the wire (`graftscope models --add`). It needs
    `sandbox`."""


class Load(Section):
    """How much at a time"""

    queue: Annotated[int | None, Shown(default="64 per worker, and at least 256")] = Field(
        default=None, ge=1, le=100_000
    )
    """The most interactive calls that may run or wait."""

    queued_jobs: int = Field(default=QUEUED_JOBS, ge=1, le=100_000)
    """The most jobs that may run or wait."""

    watches: int = Field(default=4_096, ge=1, le=100_000)
    """The most watches of jobs that may be open."""

    connections: int = Field(default=4_096, ge=1, le=100_000)
    """The most connections that may be open. Further ones are closed at once."""

    request_mib: int = Field(default=4, ge=4, le=64)
    """The largest message that a client may send, in MiB. Only downstream halves in the Open
    Inference Protocol need more than 4, because their activations are sent in the request."""

    upload_idle_s: Annotated[float, _SECONDS] = Field(default=60.0, ge=1, le=3600)
    """After how many seconds the server ends an upload that sends nothing, or a download that
    nobody reads."""

    explore_idle_s: Annotated[float, _SECONDS] = Field(default=EXPLORE_IDLE_S, ge=1, le=86_400)
    """After how many seconds the server ends an exploration that asks for nothing."""

    keepalive_s: Annotated[float, _SECONDS] = Field(default=15.0, ge=1, le=3600)
    """After how many seconds of silence the server asks a client whether it is still there. The
    client has half that time to answer."""


class Untrusted(Section):
    """Models that were not made here"""

    sandbox: bool = Limits.sandbox
    """Whether a bundle that did not come with the package is tried in a child process before the
    server opens it for the first time."""

    sandbox_nodes: int = Field(default=Limits.sandbox_nodes, gt=0)
    """The most nodes that the graphs of a bundle may have, with functions expanded."""

    sandbox_tensor_mib: Annotated[int, Shown(metavar="MIB")] = Field(
        default=Limits.sandbox_tensor_mib, gt=0
    )
    """The largest tensor of one sample, in MiB, in addition to four times the weights."""

    sandbox_memory_mib: Annotated[int, Shown(metavar="MIB")] = Field(
        default=Limits.sandbox_memory_mib, gt=0
    )
    """The address space of the child process, in MiB, in addition to four times the weights."""

    sandbox_seconds: Annotated[float, _SECONDS] = Field(
        default=Limits.sandbox_seconds, gt=0, lt=86_400
    )
    """The processor time of the child process, in seconds, in addition to 20 for each GiB of
    weights."""


class Telling(Section):
    """What the server tells"""

    log_level: Annotated[Literal["debug", "info", "warning", "error"], Shown(metavar="LEVEL")] = (
        "info"
    )
    """The lowest level of events that are logged."""

    log_format: LogFormat = "text"
    """The format of the log: text, or one JSON object per line."""

    traces: Literal["auto", "on", "off"] = "auto"
    """Whether OpenTelemetry traces calls and jobs. auto: if OTEL_EXPORTER_OTLP_ENDPOINT or
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT names a collector."""


SECTIONS = (Serving, Results, Access, Load, Untrusted, Telling)
"""In the order of help and documents."""


class Settings(Serving, Results, Access, Load, Untrusted, Telling):
    """Settings of a server; `make_settings` also takes them from a file and the environment."""

    _file: Path | None = PrivateAttr(None)

    @property
    def file(self) -> Path | None:
        """The file whose word holds for `state` and `jobs_url`: it names the same server anew."""
        return self._file

    @property
    def keep_s(self) -> float:
        """For how many seconds results are kept."""
        return self.keep_days * _DAY_S

    @property
    def limits(self) -> Limits:
        """What a bundle may take while it is tried."""
        return Limits(**{each.name: getattr(self, each.name) for each in fields(Limits)})


def database_url(settings: Settings) -> str:
    """Where jobs and tokens are kept: SQLite in the state folder, if nothing else is set."""
    if settings.jobs_url is not None:
        return settings.jobs_url
    return f"sqlite:///{settings.state / 'jobs.db'}"
