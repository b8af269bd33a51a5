"""How soon a page shows modules of a layer that nobody has asked for before."""

import time
from collections.abc import Iterator, Mapping, Sequence

import psutil

from benchmarks.browser import Browser

LAYERS = ("coarse", "intermediate", "fine")
MAY_TAKE_S = 5.0

_CHIPS = "document.querySelectorAll('.chip .template').length"
_STOP = "[...document.querySelectorAll('.finder button')].find(each => each.innerText === 'Stop')"


def first_modules(tab: Browser, explorer: psutil.Process) -> Iterator[Mapping[str, object]]:
    """Find modules of one layer after the other, each once.

    Args:
        tab: On a page whose model has these layers.
        explorer: What answers it, with its server inside.

    Yields:
        Seconds by the clock from the key to the first modules on the page, and those that the
        explorer computed meanwhile: on a busy machine the former say little.
    """
    for layer in LAYERS:
        tab.click(
            "[...document.querySelectorAll('nav button')].find(each => "
            f"each.querySelector('.name').textContent === {layer!r})"
        )
        tab.until(f"{_CHIPS} === 0")
        computed_s, began = _computed_s(explorer), time.perf_counter()
        tab.key("f")
        tab.until(_CHIPS)
        seconds = time.perf_counter() - began
        yield {
            "layer": layer,
            "seconds": seconds,
            "computed_s": _computed_s(explorer) - computed_s,
            "load": psutil.getloadavg()[0],
        }
        tab.until(_STOP)
        tab.click(_STOP)
        tab.until(f"!({_STOP})")


def rows(found: Sequence[Mapping[str, float]]) -> list[list[str]]:
    """Of a table: the layer, both kinds of seconds, what it may take, and how busy it was."""
    return [
        [
            str(each["layer"]),
            f"{each['seconds']:.1f}",
            f"{each['computed_s']:.1f}",
            f"{MAY_TAKE_S:.0f}",
            f"{each['load']:.1f}",
        ]
        for each in found
    ]


def _computed_s(process: psutil.Process) -> float:
    """Processor time of a process and of those that it started, in user and system mode."""
    times = [process.cpu_times()]
    times += [each.cpu_times() for each in process.children(recursive=True)]
    return float(sum(each.user + each.system for each in times))
