"""A page as Chromium lays it out, asked through the DevTools protocol over a pair of pipes.

Chromium is not needed by anything but the tests that use this; they say so where it is missing.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

# Where Chromium speaks the protocol: descriptors 3 and 4, whatever numbers the pipes have here.
_MOVED = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(each), fcntl.F_DUPFD, 100) for each in sys.argv[1:3]]
for number, pipe in zip((3, 4), pipes):
    os.dup2(pipe, number)
os.execv(sys.argv[3], sys.argv[3:])
"""

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next((path for name in _NAMES if (path := shutil.which(name))), None)

with_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


class Browser:
    """One tab of a Chromium without a window."""

    def __init__(self, read: FileIO, write: FileIO) -> None:
        self._read = read
        self._write = write
        self._rest = b""
        self._count = 0
        self._session: str | None = None
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        self._ask("Page.enable")

    def open(self, page: Path, width: int, *, dark: bool = False, height: int = 900) -> None:
        """Show a file in a window of so many CSS pixels."""
        scheme = "dark" if dark else "light"
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self._ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        self._ask("Page.navigate", url=page.absolute().as_uri())
        self._hear(lambda message: message.get("method") == "Page.loadEventFired")

    def value(self, expression: str) -> Any:
        """Evaluate JavaScript on the page; what it gives must be JSON."""
        found = self._ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def screenshot(self) -> str:
        """The whole page, as a PNG in base64."""
        found: str = self._ask("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        return found

    def _ask(self, method: str, **parameters: object) -> dict[str, Any]:
        self._count += 1
        number = self._count
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._write.write(json.dumps(message).encode() + b"\0")
        answer = self._hear(lambda heard: heard.get("id") == number)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _hear(self, wanted: Any) -> dict[str, Any]:
        while True:
            while b"\0" not in self._rest:
                heard = self._read.read(1 << 20)
                assert heard, "Chromium has ended"
                self._rest += heard
            line, _, self._rest = self._rest.partition(b"\0")
            message: dict[str, Any] = json.loads(line)
            if wanted(message):
                return message


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A Chromium that keeps what it must in a folder, and ends with the block."""
    assert CHROMIUM is not None
    to_child, write = os.pipe()
    read, from_child = os.pipe()
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", _MOVED, str(to_child), str(from_child)),
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
        ],
        pass_fds=(to_child, from_child),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_child)
    os.close(from_child)
    try:
        with open(read, "rb", buffering=0) as answers, open(write, "wb", buffering=0) as questions:
            yield Browser(answers, questions)
    finally:
        process.terminate()
        process.wait()
