"""How much memory there is: of the machine, or of the control group that the process is in."""

from collections.abc import Iterator
from pathlib import Path

import psutil

_MOUNTED = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def machine_bytes() -> int:
    """The machine's memory, or less where a control group allows less."""
    return min(int(psutil.virtual_memory().total), *group_limits(_MEMBERSHIP, _MOUNTED), 2**63)


def resident_bytes() -> int:
    """What this process has in memory now."""
    return int(psutil.Process().memory_info().rss)


def group_limits(membership: Path, mounted: Path) -> Iterator[int]:
    """The limits of a process's control groups, of either version, and of those around them.

    Args:
        membership: a file like /proc/self/cgroup.
        mounted: where control groups are mounted.
    """
    if not membership.is_file():
        return  # Not Linux.
    for line in membership.read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            yield from _limits(mounted, path, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _limits(mounted / "memory", path, "memory.limit_in_bytes")


def _limits(root: Path, path: str, file: str) -> Iterator[int]:
    # In a container the path may be the host's, and what is mounted is the group itself.
    group = Path(path.lstrip("/"))
    for each in (group, *group.parents):
        limit = root / each / file
        text = limit.read_text().strip() if limit.is_file() else ""
        # Without a limit, version 2 says "max" and version 1 a number beyond any machine's.
        if text.isdigit():
            yield int(text)
