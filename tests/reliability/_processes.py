"""Real servers in processes of their own, for tests that kill, freeze and count.

with server([bundle], tmp_path / "state") as running:
    ... Client(running.address) ...
    running.kill()
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20

FIGURES: list[tuple[str, str, str]] = []
"""What the test that goes on has measured: name, figure, threshold."""


PROGRAM = "from graftscope.client.cli import main; main()"


@dataclass(eq=False)
class Running:
    """A server's process.

    Attributes:
        process: the process.
        address: HOST:PORT, at which it answers.
        log: the file of what it says.
    """

    process: "subprocess.Popen[str]"
    address: str
    log: Path

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid

    def kill(self) -> None:
        """As `kill -9`; returns once it is gone."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """As `kill -STOP`."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """As `kill -CONT`."""
        self.process.send_signal(signal.SIGCONT)

    def terminate(self, timeout_s: float = 60.0) -> int:
        """As `kill`; the exit status, once it is gone."""
        self.process.terminate()
        return self.process.wait(timeout_s)

    @property
    def resident_bytes(self) -> int:
        """Its resident memory and that of its children, now."""
        return sum(_resident_bytes(pid) for pid in (self.pid, *children(self.pid)))

    @property
    def peak_bytes(self) -> int:
        """The most resident memory that it ever had, without its children."""
        return _status_bytes(self.pid, "VmHWM")

    @property
    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def threads(self) -> int:
        """How many threads it has."""
        return len(os.listdir(f"/proc/{self.pid}/task"))

    @property
    def cpu_s(self) -> float:
        """Seconds of processor time that it and its children have used."""
        tick = os.sysconf("SC_CLK_TCK")
        return sum(_cpu_ticks(pid) for pid in (self.pid, *children(self.pid))) / tick


@contextmanager
def server(
    bundles: Sequence[Path],
    state: Path,
    *,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    listen: str = "127.0.0.1:0",
    workers: int = 2,
    program: str = PROGRAM,
) -> Iterator[Running]:
    """A server in a process of its own, which is killed at the end if it is still there.

    Args:
        bundles: what it serves.
        state: its state folder; what it says is appended to `state.log` beside it.
        options: more of `graftscope serve`.
        environment: added to this process's.
        listen: where it listens.
        workers: runs side by side.
        program: what runs it, for tests of a server that does something wrong.
    """
    command = [
        *(sys.executable, "-c", program, "serve", "--json"),
        *("--listen", listen, "--state", str(state), "--workers", str(workers)),
        *(text for bundle in bundles for text in ("--bundle", str(bundle))),
        *options,
    ]
    log = state.parent / f"{state.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as said:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(environment or {})},
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the server did not start: {log.read_text()[-2000:]}"
        yield Running(process, json.loads(line)["address"], log)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def children(pid: int) -> list[int]:
    """The processes below this one, of all generations."""
    parents = {int(x): _parent(int(x)) for x in os.listdir("/proc") if x.isdigit()}
    found, below = [], {pid}
    while below:
        below = {child for child, parent in parents.items() if parent in below}
        found += sorted(below)
    return found


def within(promised_s: float) -> float:
    """How long a test lets something take: as long as is promised.

    Where tests run side by side it is ten times that: what they guard is told apart all the same,
    and how soon it comes says nothing there.
    """
    return promised_s * (10 if "PYTEST_XDIST_WORKER" in os.environ else 1)


def told(figure: str, measured: object, threshold: object) -> None:
    """Keeps a figure, which is shown beside its threshold once all tests are over."""
    FIGURES.append((figure, str(measured), str(threshold)))


def _parent(pid: int) -> int:
    stat = _read(f"/proc/{pid}/stat")
    return int(stat.rpartition(")")[2].split()[1]) if stat else 0


def _cpu_ticks(pid: int) -> int:
    stat = _read(f"/proc/{pid}/stat")
    if not stat:
        return 0
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _resident_bytes(pid: int) -> int:
    return _status_bytes(pid, "VmRSS")


def _status_bytes(pid: int, key: str) -> int:
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(path: str) -> str:
    """The file's text; nothing where the process is gone."""
    try:
        return Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
