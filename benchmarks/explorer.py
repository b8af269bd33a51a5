"""The explorer's page in a browser: how soon a picture stands there, and follows a slider.

    make bench ARGS="--only explorer"

The explorer is a process of its own, started as users start it, and the page is opened in Chromium.
A slider is dragged with the mouse, sixty moves a second; each picture is timed from the last change
before it was asked for to the frame that shows it. In turns with it, the same hybrids are asked for
through the client's own exploration of an embedded server, one after another: what a page can never
be faster than, on a machine that is as busy.
"""

import base64
import json
import statistics
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

from benchmarks import explorer_modules, markdown
from benchmarks.browser import CHROMIUM, Browser, browser
from benchmarks.explorer_modules import first_modules
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.serving_load import SERVE
from graftscope.client import Blend, Client, Edit, Intervention

MODEL, LAYER = "vae-celeba", "deconv1"
CHANNELS = tuple(range(20))
WIDTH = 1280
MOVES = 240
MOVES_A_SECOND = 60
ROUNDS = 5

FIRST, MEDIAN, MOST = "first picture", "median of a drag", "95 % of a drag"
TARGETS_MS = {FIRST: 1500, MEDIAN: 60, MOST: 120}

_SHOWN = "performance.getEntriesByName('graftscope:shown')"
_SLIDER = "document.querySelector('.weight input')"


def measure(options: Options, _: Machine) -> dict[str, object]:
    """Milliseconds, the best round of each; nothing where there is no Chromium."""
    if CHROMIUM is None:
        return {}
    rounds = 2 if options.quick else ROUNDS
    with (
        TemporaryDirectory() as folder,
        _exploring(Path(folder) / "state") as (address, explorer),
        Client(state=Path(folder) / "embedded") as client,
    ):
        found: list[Mapping[str, float]] = []
        with browser(Path(folder) / "profile") as tab:
            tab.open(f"{address}#{_state()}", WIDTH)
            tab.until(f"{_SHOWN}.length")
            for _round in range(rounds):
                page = {FIRST: _first(tab), **_drag(tab)}
                found.append({**page, "alone": _alone(client)})
            modules = list(first_modules(tab, explorer))
        return {"rounds": found, "first_modules": modules}


def table(result: Mapping[str, object]) -> str:
    """Beside what each may take."""
    rounds = result.get("rounds")
    if not isinstance(rounds, Sequence):
        return "No Chromium is installed here."
    best = {name: min(each[name] for each in rounds) for name in rounds[0]}
    rows = [[name, f"{best[name]:.0f}", f"{most}"] for name, most in TARGETS_MS.items()]
    rows += [["the client's exploration alone, median", f"{best['alone']:.0f}", ""]]
    modules = result["first_modules"]
    assert isinstance(modules, Sequence)
    heads = ["first modules of a layer", "s", "s computed", "may take", "load"]
    return "\n\n".join(
        [
            markdown.table(["what", "ms, best round", "may take"], rows),
            markdown.table(heads, explorer_modules.rows(modules)),
        ]
    )


@contextmanager
def _exploring(state: Path) -> Iterator[tuple[str, psutil.Process]]:
    """An explorer; gives the address that opens its page, and its process."""
    command = [sys.executable, "-c", SERVE, "explore", "--json", "--listen", "0"]
    process = subprocess.Popen(
        [*command, "--state", str(state), "--quiet"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["address"], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _state() -> str:
    """What stands behind the # for a page with one graft."""
    step = {"layer": LAYER, "k": 3, "module": 0, "channels": CHANNELS, "weight": 1, "on": True}
    state = {
        "model": MODEL,
        "layer": LAYER,
        "k": 3,
        "pairs": 256,
        "asked": [],
        "seeds": [7, 8],
        "inputs": [{}, {}],
        "steps": [step],
        "view": "hybrid",
        "split": 0.5,
    }
    squeezer = zlib.compressobj(wbits=-15)
    data = squeezer.compress(json.dumps(state).encode()) + squeezer.flush()
    return f"1.{base64.urlsafe_b64encode(data).decode().rstrip('=')}"


def _first(tab: Browser) -> float:
    """From asking for the page to its first picture."""
    address = tab.value("location.href")
    tab.open("about:blank", WIDTH)
    tab.open(address, WIDTH)
    shown: float = tab.until(f"{_SHOWN}.length && {_SHOWN}[0].startTime + {_SHOWN}[0].duration")
    return shown


def _drag(tab: Browser) -> dict[str, float]:
    """Of every picture that was shown while the slider went to and fro."""
    box = tab.value(
        f"(() => {{const box = {_SLIDER}.getBoundingClientRect(); performance.clearMeasures();"
        "return [box.x, box.y, box.width, box.height]})()"
    )
    middle = box[1] + box[3] / 2

    def place(share: float) -> float:
        return float(box[0] + box[2] * share)

    tab.mouse("Pressed", place(2 / 3), middle)
    began = time.perf_counter()
    for move in range(MOVES):
        tab.mouse("Moved", place(0.5 + 0.4 * np.cos(move / 20)), middle)
        left = began + (move + 1) / MOVES_A_SECOND - time.perf_counter()
        time.sleep(max(0.0, left))
    tab.mouse("Released", place(2 / 3), middle)
    tab.value("new Promise(resolve => setTimeout(resolve, 500))")
    took = tab.value(f"{_SHOWN}.map(each => each.duration)")
    return {
        MEDIAN: statistics.median(took),
        MOST: float(np.quantile(took, 0.95)),
        "pictures": float(len(took)),
    }


def _alone(client: Client) -> float:
    """Median of the same hybrids through the client's own exploration."""
    took = []
    with client.explore(MODEL, seed=7, eight_bits=True) as session:
        for move in range(MOVES // 2):
            edit = Edit(LAYER, CHANNELS, action=Blend(0.5 + float(np.cos(move / 20))))
            began = time.perf_counter()
            session.show(Intervention([edit]))
            took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took)
