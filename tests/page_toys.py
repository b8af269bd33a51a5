"""The explorer's page in a browser, for the tests that use it."""

import base64
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from browser_toys import Browser
from explorer_toys import Explored

PHONE, DESK, WALL = 400, 1280, 2560
CTRL, SHIFT = 2, 8
STATE: dict[str, Any] = {
    "model": "toy-blocks",
    "layer": "fc",
    "k": 2,
    "pairs": 64,
    "asked": [],
    "seeds": [7, 8],
    "inputs": [{}, {}],
    "steps": [],
    "view": "hybrid",
    "split": 0.5,
}
LEFT = {"layer": "fc", "k": 2, "module": 0, "channels": [0, 1], "weight": 1, "on": True}
RIGHT = {**LEFT, "module": 1, "channels": [2, 3]}

AXE = Path(__file__).parents[1] / "explorer/page/node_modules/axe-core/axe.min.js"
"""What looks for hindrances in pages; it comes with what the page is built with."""

SHOWN = "performance.getEntriesByName('graftscope:shown').length"
CHIPS = "document.querySelectorAll('.chip .template')"
STEPS = "document.querySelectorAll('.strip li')"


def button(text: str) -> str:
    """An expression for a button by its text or its name."""
    return (
        "[...document.querySelectorAll('button')].find(each => each.textContent.trim() === "
        f"{text!r} || each.getAttribute('aria-label') === {text!r})"
    )


def behind(**changes: object) -> str:
    """What stands behind the # of an address for a state."""
    squeezer = zlib.compressobj(wbits=-15)
    data = squeezer.compress(json.dumps({**STATE, **changes}).encode()) + squeezer.flush()
    return f"#1.{base64.urlsafe_b64encode(data).decode().rstrip('=')}"


def state_behind(text: str) -> dict[str, Any]:
    """The state in what stands behind the # of an address."""
    letters = text.removeprefix("#").partition(".")[2]
    data = base64.urlsafe_b64decode(letters + "=" * (-len(letters) % 4))
    found: dict[str, Any] = json.loads(zlib.decompress(data, wbits=-zlib.MAX_WBITS))
    return found


def is_complaint(heard: dict[str, Any]) -> bool:
    """Whether the browser complains of the page; of tests that read its canvases it warns."""
    said = heard["params"]
    match heard["method"]:
        case "Runtime.exceptionThrown":
            return True
        case "Log.entryAdded":
            return bool(said["entry"]["level"] == "error")
        case "Runtime.consoleAPICalled":
            return said["type"] in ("error", "assert")
    return False


class Opened:
    """The page in the browser, with what a visitor sees."""

    def __init__(self, tab: Browser, running: Explored) -> None:
        self.tab, self.host = tab, running.host

    def open(self, hash_: str = "", width: int = DESK) -> None:
        self.tab.open("about:blank", width)  # Another hash alone loads nothing.
        self.tab.open(f"http://{self.host}/{hash_}", width)
        self.tab.until(SHOWN)

    def settled(self) -> None:
        """Wait until the picture is the one that is asked for, and the address tells it."""
        self.tab.value("new Promise(resolve => setTimeout(resolve, 50))")
        self.tab.until(f"!document.querySelector('.waiting') && {SHOWN}")

    def pixels(self, which: int) -> NDArray[np.uint8]:
        """A picture: 0 original 1, 1 original 2, 2 the hybrid."""
        named = ["Original 1", "Original 2", "Hybrid"][which]
        return self.canvas(
            "[...document.querySelectorAll('figure')].find(each => "
            f"each.querySelector('b').textContent === {named!r}).querySelector('canvas')"
        )

    def canvas(self, expression: str) -> NDArray[np.uint8]:
        """What a canvas shows: (H, W, 4)."""
        found = self.tab.value(
            f"(() => {{const canvas = {expression};"
            "const {width, height} = canvas; return {width, height, data: [...canvas"
            ".getContext('2d').getImageData(0, 0, width, height).data]}})()"
        )
        return np.array(found["data"], np.uint8).reshape(found["height"], found["width"], 4)

    def until_hybrid(self, expected: NDArray[np.uint8]) -> None:
        """Wait until the hybrid is that picture."""
        self.tab.until(
            "(() => {const canvas = document.querySelector('.hybrid canvas'); const data = "
            "canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;"
            f"return String([...data]) === {','.join(map(str, expected.ravel()))!r}}})()"
        )

    def halves(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Original 1, and it with the left and with the right half of original 2."""
        one, two = self.pixels(0), self.pixels(1)
        middle = one.shape[1] // 2
        left, right = one.copy(), one.copy()
        left[:, :middle], right[:, middle:] = two[:, :middle], two[:, middle:]
        return one, left, right

    def theme(self, name: str) -> None:
        """Choose light, dark or the system's colours, and wait until they are there."""
        self.tab.value(
            "(() => {const theme = document.querySelector('.theme select');"
            f"theme.value = {name!r}; theme.dispatchEvent(new Event('change', {{bubbles: true}}));"
            "return new Promise(resolve => setTimeout(resolve, 300))})()"
        )

    def hindrances(self) -> list[Any]:
        """What axe finds that would shut anybody out of the page as it is."""
        self.tab.value(AXE.read_text() + "; 0")
        found: list[Any] = self.tab.value(
            "axe.run(document).then(({violations}) => violations.map(each => [each.id, each.impact,"
            " each.nodes.map(node => node.html.slice(0, 120))]))"
        )
        return found

    def drop(self, content: str, name: str, on: str = "document.body") -> None:
        """Drop a file onto a part of the page, of what an expression gives."""
        self.tab.value(
            f"(() => {{const given = new DataTransfer(); given.items.add(new File([{content}], "
            f"{name!r})); {on}.dispatchEvent(new DragEvent('drop', "
            "{dataTransfer: given, bubbles: true, cancelable: true}))})()"
        )

    def choose(self, menu: str, entry: str) -> None:
        """Choose an entry of a menu with the mouse."""
        self.tab.click(button(menu))
        self.choose_open(entry)

    def choose_open(self, entry: str) -> None:
        """Choose an entry of the menu that is open."""
        found = (
            "[...document.querySelectorAll('[role=menuitem]')].find(each => "
            f"each.firstElementChild.textContent === {entry!r})"
        )
        self.tab.until(f"!!{found}")  # It is drawn after the click that opens the menu.
        self.tab.click(found)

    def saved(self, act: Callable[[], None]) -> tuple[str, bytes]:
        """Do what saves a file: its name, and what is in it."""
        with self.tab.page.expect_download() as found:
            act()
        return found.value.suggested_filename, found.value.path().read_bytes()

    def find(self) -> None:
        """Have modules found, unless the server has them already: then they come by themselves."""
        self.tab.value("document.querySelector('.finder .main')?.click()")
        self.tab.until(f"{CHIPS}.length === 2 && document.body.innerText.includes('Found in')")


@contextmanager
def watched(tab: Browser, running: Explored) -> Iterator[Opened]:
    """The page; afterwards: no complaint in the console, no request elsewhere."""
    tab.open("about:blank", DESK)  # What the page of a test before complains of is not of this one.
    tab.heard.clear()
    yield Opened(tab, running)
    assert [each for each in tab.heard if is_complaint(each)] == []
    asked = [
        each["params"]["request"]["url"]
        for each in tab.heard
        if each["method"] == "Network.requestWillBeSent"
    ]
    hosts = (f"http://{running.host}/", f"blob:http://{running.host}/", "about:blank")
    assert [url for url in asked if not url.startswith(hosts)] == []
