"""What can be set of a server: in Python, or by environment variables named GRAFTSCOPE_…"""

import os
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from graftscope.server.engine import PATIENCE_S, Device
from graftscope.server.errors import InvalidInput


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
        sessions: how many ONNX Runtime sessions stay open, 4 to 1024.
        state: folder of jobs, checkpoints and arrays; one server at a time.
        jobs_url: SQLAlchemy URL of the table of jobs; SQLite in `state` by default.
        keep_days: for how long results are kept.
        job_patience_s: for how long a run of a job lets interactive calls go first, 0 to 10
            seconds; 0 for not at all.
        resume: whether jobs that an earlier process left go on at the start.
        log_level: debug, info, warning or error.
    """

    model_config = SettingsConfigDict(env_prefix="GRAFTSCOPE_", extra="ignore")

    bundles: tuple[Path, ...] = ()
    listen: str = "127.0.0.1:50051"
    device: Device = Device.CPU
    workers: int = Field(default_factory=default_workers, ge=1, le=256)
    sessions: int = Field(default=24, ge=4, le=1024)
    state: Path = Field(default_factory=default_state)
    jobs_url: str | None = None
    keep_days: float = Field(default=30.0, gt=0)
    job_patience_s: float = Field(default=PATIENCE_S, ge=0, le=10)
    resume: bool = True
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")


def make_settings(**chosen: object) -> Settings:
    """Settings from what is chosen; the environment and the defaults fill in the rest.

    Raises:
        InvalidInput: a value is not allowed; names the setting.
    """
    try:
        return Settings(**chosen)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(
            f"setting {name!r} cannot be {str(first['input'])!r}: {first['msg']}", field=name
        ) from error
    except SettingsError as error:
        raise InvalidInput(f"GRAFTSCOPE_… in the environment: {error}") from error
