"""A page as Chromium shows it, driven by Playwright.

Neither Playwright nor Chromium is needed by anything but the tests and the benchmark that use this;
tests say so where one is missing. Chromium is the system's: nothing is downloaded.
"""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, CDPSession, Error, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next((path for name in _NAMES if (path := shutil.which(name))), None)

_TIMEOUT_MS = 60_000
_HEARD = (
    "Network.requestWillBeSent",
    "Runtime.exceptionThrown",
    "Runtime.consoleAPICalled",
    "Log.entryAdded",
)
_IS_NOT_TO_BE_CHOSEN = "each => each.closest('[aria-disabled=true], :disabled') !== null"
_REPLACED = "not attached to the DOM"
"""What Playwright says of an element that the page has drawn anew meanwhile."""

_KEYS = {1: "Alt", 2: "Control", 4: "Meta", 8: "Shift"}


class Browser:
    """One tab of a Chromium without a window.

    Args:
        context: Of a browser.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(_TIMEOUT_MS)
        self._protocol: CDPSession = context.new_cdp_session(self.page)
        self.heard: list[dict[str, Any]] = []
        """Requests, exceptions and what was logged, if Chromium was asked to `listen`."""

    def listen(self) -> None:
        """Have Chromium tell of requests, exceptions and what is logged."""
        for name in _HEARD:
            self._protocol.on(name, self._hearer(name))
        for domain in ("Network", "Runtime", "Log"):
            self._protocol.send(f"{domain}.enable")

    def open(self, page: Path | str, width: int, *, dark: bool = False, height: int = 900) -> None:
        """Show a file, or an address, in a window of so many CSS pixels."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.emulate_media(color_scheme="dark" if dark else "light")
        self.page.goto(page.absolute().as_uri() if isinstance(page, Path) else page)

    def value(self, expression: str) -> Any:
        """Evaluate JavaScript on the page; what it gives must be JSON."""
        return self.page.evaluate(expression)

    def until(self, expression: str, timeout_s: float = 60.0) -> Any:
        """Wait until an expression on the page is true, and give what it then is.

        Playwright's own way evaluates text inside the page, which the page's policy forbids.
        """
        looked = (
            "new Promise((resolve, reject) => {const end = performance.now() + "
            f"{1000 * timeout_s}; const look = () => {{let found; try {{found = {expression}}} "
            "catch (error) {return reject(error)} if (found) return resolve(found); "
            "if (performance.now() > end) return reject(new Error('it never was')); "
            "setTimeout(look, 20)}; look()})"
        )
        return self.value(looked)

    def place(self, expression: str) -> tuple[float, float]:
        """The middle of an element that an expression gives, which is brought into view."""
        x, y = self.value(
            f"(() => {{const each = {expression}; each.scrollIntoView({{block: 'center'}}); "
            "const box = each.getBoundingClientRect(); "
            "return [box.x + box.width / 2, box.y + box.height / 2]})()"
        )
        return x, y

    def click(self, expression: str) -> None:
        """Click on the middle of an element with the mouse, once it rests there.

        What is above it may still move while the page loads, so a click at the place where it was
        seen might hit something else. Playwright holds the click until the element stands still and
        would receive it; what a page marks as not to be chosen is clicked without that.
        """
        while True:
            element = self.page.evaluate_handle(f"() => {expression}").as_element()
            assert element is not None, f"there is no {expression}"
            try:
                element.click(force=bool(element.evaluate(_IS_NOT_TO_BE_CHOSEN)))
            except Error as error:
                if _REPLACED not in str(error):
                    raise
            else:
                return

    def mouse(self, what: str, x: float, y: float) -> None:
        """Press, move or release the mouse: its left button, while it is not released."""
        self.page.mouse.move(x, y)
        if what == "Pressed":
            self.page.mouse.down()
        elif what == "Released":
            self.page.mouse.up()

    def key(self, key: str, *, modifiers: int = 0) -> None:
        """Press and release a key: a letter, or a name such as Tab; 2 is Ctrl, 8 Shift."""
        held = [name for bit, name in _KEYS.items() if modifiers & bit]
        self.page.keyboard.press("+".join([*held, key]))

    def names(self, role: str) -> list[str]:
        """What a screen reader calls everything of a role, in the order of the page."""
        nodes = self._protocol.send("Accessibility.getFullAXTree")["nodes"]
        found = [each for each in nodes if each.get("role", {}).get("value") == role]
        return [each.get("name", {}).get("value", "") for each in found if not each["ignored"]]

    def screenshot(self) -> str:
        """The whole page, as a PNG in base64."""
        return base64.b64encode(self.page.screenshot(full_page=True)).decode()

    def _hearer(self, name: str) -> Any:
        return lambda parameters: self.heard.append({"method": name, "params": parameters})


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A Chromium that keeps what it must in a folder, and ends with the block."""
    assert CHROMIUM is not None
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu"],
            # Nobody has signed the certificates of tests.
            ignore_https_errors=True,
        )
        try:
            yield Browser(context)
        finally:
            context.close()
