"""What is examined: the settings of a server, and the machine that it is to run on.

Facts of the machine are asked through `Machine`, so that they can be others than this one's. It
needs nothing that an extra brings.
"""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from graftscope.server.doctor._finding import NothingToCheck

if TYPE_CHECKING:
    from graftscope.server.settings import Settings


@dataclass(frozen=True)
class Space:
    """What is free of a file system.

    Attributes:
        free_bytes: for this user.
        free_files: how many more it can hold; None where it does not say.
    """

    free_bytes: int
    free_files: int | None = None


def requirements() -> Sequence[str]:
    """What this package asks for, with the extra that asks; nothing where none is installed."""
    try:
        return metadata.requires("graftscope") or ()
    except metadata.PackageNotFoundError:
        return ()


def version_of(package: str) -> str | None:
    """The version of a package that is installed; None where it is not."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def space_at(folder: Path) -> Space:
    """What is free where a folder lies."""
    free = shutil.disk_usage(folder).free
    if sys.platform == "win32":
        return Space(free)
    told = os.statvfs(folder)
    # Some file systems make room for files as they come, and count none.
    return Space(free, told.f_favail if told.f_files else None)


def descriptor_limit() -> int | None:
    """How many files and sockets a process may open; None for as many as it likes."""
    if sys.platform == "win32":
        return None
    import resource

    # A server raises the soft limit to the hard one when it starts.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if hard == resource.RLIM_INFINITY else hard


def machine_memory() -> int:
    """Bytes of memory, of the machine or of the control group that this process is in."""
    from graftscope.server.engine import machine_bytes

    return machine_bytes()


def available_memory() -> int:
    """Bytes of memory that nobody uses now."""
    import psutil

    return int(psutil.virtual_memory().available)


@dataclass(frozen=True)
class Machine:
    """What a check asks of the machine.

    Attributes:
        requirements: as of `requirements`.
        version_of: as of `version_of`.
        space_at: as of `space_at`.
        descriptor_limit: as of `descriptor_limit`.
        memory_bytes: as of `machine_memory`.
        available_bytes: as of `available_memory`.
        now_s: seconds since 1970.
        reference: the bundle whose results are known; None for the one that comes with the package.
    """

    requirements: Callable[[], Sequence[str]] = requirements
    version_of: Callable[[str], str | None] = version_of
    space_at: Callable[[Path], Space] = space_at
    descriptor_limit: Callable[[], int | None] = descriptor_limit
    memory_bytes: Callable[[], int] = machine_memory
    available_bytes: Callable[[], int] = available_memory
    now_s: Callable[[], float] = time.time
    reference: Path | None = None


@dataclass(frozen=True)
class Case:
    """What is examined.

    Attributes:
        chosen: the settings; None where they cannot be had.
        refused: why they cannot be had; empty where they are chosen, and where what reads them is
            not installed.
        unknown: variables of the environment that set nothing, each with the name that was probably
            meant, or ''.
        machine: what it runs on.
        looking: held by a check that takes the state folder for a moment, so that no other check
            takes it for a server.
    """

    chosen: "Settings | None" = None
    refused: str = ""
    unknown: Mapping[str, str] = field(default_factory=dict)
    machine: Machine = field(default_factory=Machine)
    looking: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def settings(self) -> "Settings":
        """The settings.

        Raises:
            NothingToCheck: there are none.
        """
        if self.chosen is None:
            raise NothingToCheck(
                "the settings cannot be used" if self.refused else "a server is not installed"
            )
        return self.chosen
