"""The interpreter, and the libraries that are installed beside those that this version asks for.

It needs nothing that an extra brings.
"""

import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement

from graftscope.server.doctor._case import Case, Machine
from graftscope.server.doctor._examination import INSTALL_SERVER
from graftscope.server.doctor._finding import Finding, NothingToCheck, ok, problem, skipped, warning

_SERVER = "server"
# Of those who change Graftscope, and what is only a part of others, or adds them up. A server for
# processors alone takes what a server takes, with the other build of ONNX Runtime.
_NOT_TOLD = frozenset({"all", "bench", "dev", "docs", "server-common", "server-cpu"})
_RUNTIMES = ("onnxruntime-gpu", "onnxruntime")
"""Builds of one library, which put their files in the same place."""
_TOLD = ("graftscope", "grpcio", "protobuf", "numpy", *_RUNTIMES)
_32_BITS = 2**31 - 1


def python(case: Case) -> Iterator[Finding]:
    """The interpreter and the platform."""
    here = (
        f"{platform.python_implementation()} {platform.python_version()},"
        f" {platform.system()} {platform.machine()}"
    )
    if sys.maxsize <= _32_BITS:
        yield problem(f"{here}, 32-bit", "install 64-bit Python: ONNX Runtime needs it")
        return
    yield ok(here)


def libraries(case: Case) -> Iterator[Finding]:
    """What is installed, beside what this version asks for."""
    wanted = _wanted(case.machine)
    if not wanted:
        raise NothingToCheck(
            "graftscope is not installed as a package, so its requirements are unknown"
        )
    bad: dict[str, str] = {}
    whole = []
    for extra, needs in wanted.items():
        lacks = [need.name for need in needs if need.have is None]
        old = {need.name: str(need) for need in needs if need.is_old and need.name not in bad}
        bad |= old
        if not lacks and not old:
            whole.append(extra)
        elif old or extra == "" or (extra == _SERVER and case.chosen is not None):
            yield _unfit(extra, lacks, old)
        elif extra == _SERVER:
            yield skipped(
                f"no server is installed here: it needs {', '.join(lacks)}", INSTALL_SERVER
            )
    if not bad:
        have = [(name, case.machine.version_of(name)) for name in _TOLD]
        told = ", ".join(f"{name} {version}" for name, version in have if version)
        extras = ", ".join(filter(None, whole)) or "none"
        yield ok(f"{told}; extras: {extras}")


def onnxruntime(case: Case) -> Iterator[Finding]:
    """That one build of ONNX Runtime is installed."""
    found = [name for name in _RUNTIMES if case.machine.version_of(name)]
    if not found:
        raise NothingToCheck("it is not installed")
    told = " and ".join(f"{name} {case.machine.version_of(name)}" for name in found)
    if len(found) > 1:
        yield problem(
            f"{told} are both installed, and overwrite each other's files",
            f"pip uninstall -y {' '.join(found)}, then {INSTALL_SERVER}",
        )
        return
    yield ok(told)


@dataclass(frozen=True)
class _Need:
    """A library that is asked for.

    Attributes:
        name: its package.
        versions: which are good, as in >=1.2.
        have: the version that is installed.
        is_old: whether that is none of them.
    """

    name: str
    versions: str
    have: str | None
    is_old: bool

    def __str__(self) -> str:
        return f"{self.name} {self.have} (needs {self.versions})"


def _wanted(machine: Machine) -> dict[str, list[_Need]]:
    """What each extra asks for beside the client, which is ''."""
    given = [Requirement(text) for text in machine.requirements()]
    extras = {
        word.strip("'\" ")
        for each in given
        if each.marker is not None
        for word in str(each.marker).partition("extra == ")[2].split()[:1]
    }
    client = [each for each in given if _applies(each, "")]
    wanted = {"": [_need(each, machine) for each in client]} if given else {}
    for extra in sorted(extras - _NOT_TOLD, key=lambda name: (name != _SERVER, name)):
        own = [each for each in given if _applies(each, extra) and each not in client]
        wanted[extra] = [_need(each, machine) for each in own]
    return wanted


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _need(requirement: Requirement, machine: Machine) -> _Need:
    # Any build of ONNX Runtime will do; whether it knows the device is looked at elsewhere.
    names: Sequence[str] = _RUNTIMES if requirement.name in _RUNTIMES else (requirement.name,)
    name = next((x for x in names if machine.version_of(x)), requirement.name)
    have = machine.version_of(name)
    is_old = have is not None and not requirement.specifier.contains(have, prereleases=True)
    return _Need(name, str(requirement.specifier), have, is_old)


def _unfit(extra: str, lacks: Sequence[str], old: dict[str, str]) -> Finding:
    said = [*(f"{name} is not installed" for name in lacks), *old.values()]
    whole = f"graftscope[{extra}]" if extra else "graftscope"
    make = problem if extra in ("", _SERVER) else warning
    return make("; ".join(said), f"pip install --upgrade {whole!r} in an environment of its own")
