"""What the extras of the package bring: one ONNX Runtime, of the kind that was asked for."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
WITH_PROCESSORS_AND_GPUS = {"all", "dev", "docs", "export", "server"}
PLAIN, GPU = "onnxruntime", "onnxruntime-gpu"


def brought(extras: Iterable[str]) -> list[str]:
    """All that some extras ask for, and the extras that they name."""
    found: list[str] = []
    for extra in extras:
        for each in EXTRAS[extra]:
            inner = re.fullmatch(r"graftscope\[(.+)\]", each)
            found += brought(inner[1].split(",")) if inner else [each]
    return found


def runtimes(extras: Iterable[str]) -> dict[str, set[str]]:
    """The ONNX Runtimes among them, with the conditions under which each is installed."""
    found: dict[str, set[str]] = {}
    for each in brought(extras):
        name, _, condition = each.partition(";")
        if (package := re.split("[<>=!~]", name)[0]) in {PLAIN, GPU}:
            found.setdefault(package, set()).add(condition.strip())
    return found


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - WITH_PROCESSORS_AND_GPUS))
def test_what_is_added_to_a_server_without_gpus_brings_no_runtime_for_them(extra: str) -> None:
    assert runtimes(["server-cpu", extra]) == {PLAIN: {""}}


def test_a_server_has_one_runtime_wherever_it_is_installed() -> None:
    found = runtimes(["server"])
    gpu, plain = found[GPU].pop(), found[PLAIN].pop()
    opposite = {"==": "!=", "!=": "==", "or": "and", "and": "or", "(": "", ")": ""}
    turned = re.sub(r"==|!=|\bor\b|\band\b|[()]", lambda x: opposite[x[0]], gpu)
    assert turned == re.sub("[()]", "", plain)


def test_both_servers_differ_in_nothing_but_the_runtime() -> None:
    def others(extra: str) -> set[str]:
        return {x for x in brought([extra]) if not x.startswith(PLAIN)}

    assert others("server") == others("server-cpu") == set(brought(["server-common"]))


def test_both_runtimes_are_pinned_to_one_version() -> None:
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    )
    assert pins[PLAIN] == pins[GPU]
