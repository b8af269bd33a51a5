"""Which checks there are, and how they are made: all at once, each within a time of its own.

A check is a function of a `Case` that yields findings, in one module for each family. A module that
cannot be imported, since an extra is not installed, leaves its own checks out alone. To add a
check, write the function and its line in `CHECKS`.
"""

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TypeAlias

from graftscope.server.doctor._case import Case
from graftscope.server.doctor._finding import (
    Finding,
    NothingToCheck,
    problem,
    skipped,
)

INSTALL_SERVER = "pip install 'graftscope[server]'"


Look: TypeAlias = Callable[[Case], Iterable[Finding]]
"""What a check does."""


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: what it is called.
        told: what it looks at.
        load: gives what it does; raises ImportError where an extra is missing.
        limit_s: how many seconds it may take.
        alone: whether nothing else runs beside it, since it measures time.
        late: what to do where that is not enough; by default to look at what it looks at.
    """

    name: str
    told: str
    load: Callable[[], Look]
    limit_s: float = 15.0
    alone: bool = False
    late: str = ""


# What starts a process or reads large files may take longer on a busy machine.
_LONG_S = 40.0


def _here(
    name: str,
    module: str,
    told: str,
    limit_s: float = Check.limit_s,
    *,
    alone: bool = False,
    late: str = "",
) -> Check:
    """A check whose function has its name, in a module that is loaded once it is wanted."""

    def load() -> Look:
        look: Look = getattr(import_module(f"graftscope.server.doctor.{module}"), name)
        return look

    return Check(name, told, load, limit_s, alone, late)


_AS_THE_SERVER = "run doctor as the server's user, and give that user access"
_UNREACHED = "check that it can be reached from here: its address, a proxy, a firewall"

CHECKS = (
    _here("python", "_libraries", "the interpreter and the platform"),
    _here(
        "libraries",
        "_libraries",
        "the installed libraries, and the versions that this release needs",
    ),
    _here("onnxruntime", "_libraries", "that only one build of ONNX Runtime is installed"),
    _here("settings", "_callers", "unknown variables, settings that contradict each other"),
    _here("device", "_devices", "that the device in the settings is there", _LONG_S),
    _here("openvino", "_devices", "OpenVINO's plug-in, if it is installed", _LONG_S),
    _here(
        "compiler", "_devices", "that layers can be compiled, if the compiler is installed", _LONG_S
    ),
    _here("bundles", "_bundles", "that every file is as it was exported", _LONG_S),
    _here("sandbox", "_processes", "the process that tries models not made here", _LONG_S),
    _here("workers", "_processes", "the processes that jobs compute in", _LONG_S),
    _here("state", "_state", "that the state folder can be used, and who uses it"),
    _here("store", "_store", "the database of jobs and tokens", late=_UNREACHED),
    _here("storage", "_storage", "that results can be written and read", late=_UNREACHED),
    _here("disk", "_limits", "the free space, compared with --keep-gib"),
    _here("memory", "_limits", "the memory of the machine, compared with --memory"),
    _here("descriptors", "_limits", "how many connections and files may be open"),
    _here("ports", "_ports", "that each is free, or held by a running server"),
    _here("executor", "_elsewhere", "the cluster that jobs compute on, if there is one"),
    _here("traces", "_elsewhere", "that a collector takes them, if tracing is on"),
    _here("certificates", "_certificates", "the pair, its names and dates, the clients' authority"),
    _here("tokens", "_callers", "that somebody can call"),
    _here(
        "computation",
        "_computation",
        "a small computation whose result is known",
        _LONG_S,
        alone=True,
    ),
)
"""In the order in which they are told."""


def examine(
    case: Case,
    only: Collection[str] = (),
    begun: Callable[[str], None] = lambda name: None,
    checks: Collection[Check] = CHECKS,
) -> Iterator[Finding]:
    """Makes the checks, and tells what each finds.

    Args:
        case: what is examined.
        only: names of checks to make; all by default.
        begun: told the name of the check that is waited for.
        checks: which there are.

    Yields:
        Findings, those of one check after those of the check before it; at least one of each.
    """
    chosen = [each for each in checks if not only or each.name in only]
    together = [_Going(each, case) for each in chosen if not each.alone]
    for going in together:
        going.start()
    for each in chosen:
        begun(each.name)
        if each.alone:
            alone = _Going(each, case)
            alone.start()
            yield from alone.findings()
        else:
            yield from next(x for x in together if x.check is each).findings()


class _Going:
    """A check that goes on in a thread, which is left behind where it takes too long."""

    def __init__(self, check: Check, case: Case) -> None:
        self.check = check
        self._case = case
        self._told: queue.Queue[Finding | None] = queue.Queue()
        self._began_s = 0.0
        self._function: Look | Finding = _loaded(check)

    def start(self) -> None:
        self._began_s = time.monotonic()
        threading.Thread(target=self._run, name=f"doctor: {self.check.name}", daemon=True).start()

    def findings(self) -> Iterator[Finding]:
        until_s = self._began_s + self.check.limit_s
        while True:
            try:
                found = self._told.get(timeout=max(0.0, until_s - time.monotonic()))
            except queue.Empty:
                yield self._named(
                    problem(
                        f"no answer within {self.check.limit_s:g} s",
                        self.check.late or f"find out what it waits for: {self.check.told}",
                    )
                )
                return
            if found is None:
                return
            yield found

    def _run(self) -> None:
        try:
            if isinstance(self._function, Finding):
                self._told.put(self._named(self._function))
            else:
                for finding in self._function(self._case):
                    self._told.put(self._named(finding))
        except NothingToCheck as error:
            self._told.put(self._named(skipped(str(error))))
        except PermissionError as error:
            found = f"this user may not use {str(error.filename)!r}"
            self._told.put(self._named(problem(found, _AS_THE_SERVER)))
        except Exception as error:
            kind = "" if type(error).__module__.startswith("graftscope") else type(error).__name__
            said = " ".join(f"{kind} {error}".split())
            self._told.put(self._named(problem(said, "look it up in docs/errors.md")))
        finally:
            self._told.put(None)

    def _named(self, finding: Finding) -> Finding:
        took_s = time.monotonic() - self._began_s
        return replace(finding, check=self.check.name, seconds=took_s)


def _loaded(check: Check) -> Look | Finding:
    """The check's function; imported here, before threads do so side by side."""
    try:
        return check.load()
    except ImportError as error:
        needs = f"it needs {error.name}, which is not installed"
        return skipped(needs if error.name else " ".join(str(error).split()), INSTALL_SERVER)
