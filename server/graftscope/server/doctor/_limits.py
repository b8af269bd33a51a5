"""How much there is, beside how much a server may take: room, memory, descriptors."""

from collections.abc import Iterator
from pathlib import Path

from graftscope.server._descriptors import RESERVED
from graftscope.server.blobs import folder_of
from graftscope.server.doctor._case import Case
from graftscope.server.doctor._finding import Finding, ok, problem, warning
from graftscope.server.engine import GIB, MemoryBudget, said
from graftscope.server.errors import InvalidInput

_LEAST_ROOM = GIB
_FEWEST_FILES = 10_000
_LEAST_MEMORY = GIB // 2
_KEPT = ("artifacts", "checkpoints")


def disk(case: Case) -> Iterator[Finding]:
    """What is free where results are kept, beside what may be kept."""
    settings = case.settings
    results = folder_of(settings.storage or settings.state)
    place = (results or settings.state).absolute()
    folder = next(each for each in (place, *place.parents) if each.is_dir())
    space = case.machine.space_at(folder)
    free = space.free_bytes
    kept = 0 if results is None else sum(_bytes_below(results / each) for each in _KEPT)
    more = int(settings.keep_gib * GIB) - kept
    if space.free_files is not None and space.free_files < _FEWEST_FILES:
        yield problem(
            f"the file system of {str(folder)!r} has room for only {space.free_files} more files",
            "remove files there (df -i), or name another --state",
        )
    if free < _LEAST_ROOM:
        yield problem(
            f"only {said(free)} are free at {str(folder)!r}",
            "free some space, or name a --state on a larger disk",
        )
    elif results is not None and free < more:
        yield warning(
            f"{said(free)} are free at {str(folder)!r}, and results may grow by {said(more)}",
            f"--keep-gib {max(1, int(0.8 * (kept + free) / GIB))}, or a larger disk",
        )
    else:
        yield ok(f"{said(free)} are free at {str(folder)!r}")


def _bytes_below(folder: Path) -> int:
    # What is removed while it is looked at is no longer there to count.
    sizes = (path.lstat().st_size for path in folder.rglob("*") if path.is_file())
    try:
        return sum(sizes)
    except FileNotFoundError:
        return 0


def memory(case: Case) -> Iterator[Finding]:
    """What the machine or its control group has, beside what a server may use."""
    settings, there = case.settings, case.machine.memory_bytes()
    asked = None if settings.memory_gib is None else int(settings.memory_gib * GIB)
    if asked is not None and asked > there:
        yield problem(
            f"--memory allows {said(asked)}, and there are only {said(there)}:"
            " the system would kill the server before it refuses anything",
            f"--memory {0.75 * there / GIB:.2g}, or raise the limit of the container or"
            " the systemd unit",
        )
        return
    try:
        budget = MemoryBudget(asked)
    except InvalidInput as error:
        yield problem(str(error), "a larger --memory")
        return
    free = case.machine.available_bytes()
    told = f"a server uses up to {said(budget.limit_bytes)} of {said(there)}; {said(free)} are free"
    if budget.limit_bytes > there:
        yield problem(
            told, f"give the machine or the container at least {said(budget.limit_bytes)}"
        )
    elif free < _LEAST_MEMORY:
        yield warning(told, "end other programs, or use a machine with more memory")
    else:
        yield ok(told)


def descriptors(case: Case) -> Iterator[Finding]:
    """How many connections and files may be open."""
    limit, wanted = case.machine.descriptor_limit(), case.settings.connections
    if limit is None or limit >= wanted + RESERVED:
        yield ok(f"{'any number of' if limit is None else limit} files and sockets may be open")
        return
    yield warning(
        f"{limit} files and sockets may be open, too few for {wanted} connections and {RESERVED}"
        " files",
        f"ulimit -n {wanted + RESERVED} (LimitNOFILE= in systemd), or a smaller --connections",
    )
