"""Makes the explorer's pictures in docs/images anew, from the face VAE that comes with Graftscope.

``python tools/screenshot.py`` starts an explorer of its own and finds modules as a user does, which
takes a minute or two. It needs Chromium and Playwright.
"""

import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE

from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.browser import Browser, browser  # noqa: E402  # the repository's own

IMAGES = ROOT / "docs" / "images"
MOST_BYTES = 150_000
"""Of one picture."""

WIDTH, HEIGHT = 1280, 1060
PHONE_WIDTH, PHONE_HEIGHT = 400, 860

EYES = (0.2, 0.36, 0.8, 0.56)
"""Left, top, right and bottom of what is drawn around them, as shares of the picture."""

_GAP = 24
_START = "from graftscope.client.cli import main; main()"
_SEARCHING_S = 600.0


@contextmanager
def explored(state: Path) -> Iterator[str]:
    """An explorer that lasts for the block; gives the address that opens it."""
    command = [sys.executable, "-c", _START, "explore", "--listen", "0", "--json"]
    command += ["--model", "vae-celeba", "--state", str(state)]
    with subprocess.Popen(command, stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["address"]
        finally:
            process.terminate()


def graft(tab: Browser) -> None:
    """Find modules, and graft the one that draws the face."""
    tab.until("!document.querySelector('main.unknown')")
    tab.click("document.querySelector('.search')")
    tab.until("document.querySelector('.search').innerText === 'Found'", _SEARCHING_S)
    tab.click("document.querySelectorAll('.finder .chip')[1]")
    tab.until("document.querySelector('.hybrid .numbers')")


def pictures(tab: Browser) -> Iterator[tuple[str, Image.Image]]:
    """Names of files, and what goes into them."""
    tab.value("scrollTo(0, 0)")
    yield "explorer.webp", seen(tab)
    views = []
    for view in ("Compare", "Difference"):
        tab.page.locator(".views").get_by_text(view).click()
        views.append(part(tab, ".hybrid"))
    yield "explorer-views.webp", beside(views)
    tab.page.locator(".views").get_by_text("Hybrid").click()
    yield "explorer-channels.webp", part(tab, "section.grid")
    surround(tab)
    yield "explorer-region.webp", beside([part(tab, ".hybrid"), part(tab, "section.region")])
    tab.page.get_by_role("button", name="Clear").click()
    tab.page.set_viewport_size({"width": PHONE_WIDTH, "height": PHONE_HEIGHT})
    tab.page.emulate_media(color_scheme="dark")
    # The picture stays above what is scrolled to.
    tab.value(
        "scrollTo(0, document.querySelector('.finder ul').getBoundingClientRect().top + scrollY"
        " - document.querySelector('.hybrid').offsetHeight - 8)"
    )
    yield "explorer-phone.webp", seen(tab)


def surround(tab: Browser) -> None:
    """Draw a rectangle around the eyes, and wait for what acts there."""
    tab.page.get_by_role("button", name="Rectangle").click()
    canvas = tab.page.locator(".picture canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    left, top, right, bottom = EYES
    tab.mouse("Pressed", box["x"] + left * box["width"], box["y"] + top * box["height"])
    tab.mouse("Moved", box["x"] + right * box["width"], box["y"] + bottom * box["height"])
    tab.mouse("Released", box["x"] + right * box["width"], box["y"] + bottom * box["height"])
    tab.until("document.querySelector('.region .found[aria-busy=false] tbody tr')")


def settle(tab: Browser) -> None:
    """Wait until what is in view is drawn, and nothing is told of what is pointed at."""
    tab.page.mouse.move(0, 0)
    tab.value(
        "new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() =>"
        " setTimeout(resolve, 500))))"
    )


def seen(tab: Browser) -> Image.Image:
    """What the window shows."""
    settle(tab)
    return Image.open(io.BytesIO(tab.page.screenshot()))


def part(tab: Browser, selector: str) -> Image.Image:
    """A part of the page."""
    found = tab.page.locator(selector)
    # Maps are drawn only where they are seen.
    found.scroll_into_view_if_needed()
    settle(tab)
    return Image.open(io.BytesIO(found.screenshot()))


def beside(images: list[Image.Image]) -> Image.Image:
    """Images next to each other, on white."""
    width = sum(each.width for each in images) + _GAP * (len(images) - 1)
    made = Image.new("RGB", (width, max(each.height for each in images)), "white")
    left = 0
    for each in images:
        made.paste(each, (left, 0))
        left += each.width + _GAP
    return made


def save(image: Image.Image, path: Path) -> None:
    """Write a picture as small as it may be; refuse one that is not."""
    image.convert("RGB").save(path, quality=88, method=6)
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {image.width} x {image.height}, {size / 1000:.0f} kB")
    if size > MOST_BYTES:
        raise SystemExit(
            f"{path.name} has {size:,} bytes; at most {MOST_BYTES:,} are for a picture"
        )


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as folder,
        explored(Path(folder, "state")) as address,
        browser(Path(folder, "profile")) as tab,
    ):
        tab.open(address, WIDTH, height=HEIGHT)
        graft(tab)
        for name, image in pictures(tab):
            save(image, IMAGES / name)
