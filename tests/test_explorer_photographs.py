"""Photographs as originals of the explorer: what becomes of files of every kind."""

import base64
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser_toys import with_chromium
from explorer_toys import Explored, Page, page
from graftscope.client import Client
from graftscope.client.pictures import read_images
from graftscope.explorer._photographs import MOST_BYTES
from page_toys import Opened, behind, button
from server_toys import Stubs

MODEL, BLOCKS = "toy-vae", "toy-blocks"
VAE = {"model": MODEL, "layer": "deconv1"}
FIGURE = "document.querySelectorAll('.originals figure')[{}]"
SAID = FIGURE + ".querySelector('.said').innerText"


@pytest.fixture(scope="module")
def client(toy_server: Stubs) -> Iterator[Client]:
    with Client(toy_server.address) as opened:
        yield opened


@pytest.fixture
def open_page(explorer: Explored) -> Iterator[Page]:
    with page(explorer) as opened:
        yield opened


def picture(mode: str = "RGB", size: tuple[int, int] = (90, 60)) -> Image.Image:
    """A picture whose corners all differ."""
    across = np.linspace(0, 255, size[0])[None, :].repeat(size[1], 0)
    down = np.linspace(255, 0, size[1])[:, None].repeat(size[0], 1)
    pixels = np.stack([across, down, 255 - across], axis=-1).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def file_of(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned() -> bytes:
    """A picture that its camera says is to be turned by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return file_of(picture(), "JPEG", exif=exif)


def transparent() -> bytes:
    image = picture("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return file_of(image, "PNG")


def sixteen_bits() -> bytes:
    pixels = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    return file_of(Image.fromarray(pixels), "PNG")


def animated() -> bytes:
    frames = [picture(), picture().rotate(180)]
    return file_of(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)


FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "square.png": (lambda: file_of(picture(size=(64, 64)), "PNG"), ""),
    "wide.jpg": (lambda: file_of(picture(), "JPEG"), "cut to its middle"),
    "turned.jpg": (turned, "cut to its middle"),
    "grey.png": (lambda: file_of(picture("L"), "PNG"), "cut to its middle"),
    "palette.png": (lambda: file_of(picture("P"), "PNG"), "cut to its middle"),
    "transparent.png": (transparent, "transparency is left out"),
    "animated.webp": (animated, "the first picture is taken"),
    "print.jpg": (lambda: file_of(picture("CMYK"), "JPEG"), "about right only"),
    "deep.png": (sixteen_bits, "16 bits"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_becomes_the_latents_that_the_command_line_encodes_it_to(
    open_page: Page, client: Client, tmp_path: Path, name: str
) -> None:
    write, note = FILES[name]
    path = tmp_path / name
    path.write_bytes(write())
    known = read_images(path, client.model(MODEL).image).images
    found = open_page.answer(
        ask="encode", model=MODEL, file=base64.b64encode(path.read_bytes()).decode()
    )
    np.testing.assert_array_equal(found.pictures["photograph"], known[0])
    mean = client.encode(MODEL, known).mean["z"]
    latents = np.frombuffer(base64.b64decode(found.said["latents"]["z"]), "<f4")
    np.testing.assert_array_equal(latents, np.asarray(mean[0], np.float32))
    notes = " ".join(found.said["notes"])
    assert note in notes
    assert bool(note) == bool(notes)


def huge() -> bytes:
    """A file that is small, and says that it is a picture of more pixels than can be held."""
    data = bytearray(file_of(picture("L"), "PNG"))
    data[16:24] = (12_000).to_bytes(4, "big") + (9_000).to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


NO_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "text": (lambda: b"no picture at all", "not an image of a known format"),
    "nothing": (lambda: b"", "not an image of a known format"),
    "cut off": (lambda: file_of(picture(), "PNG")[:200], "not a readable image"),
    # Pillow would run Ghostscript.
    "PostScript": (lambda: file_of(picture(), "EPS"), "not an image of a known format"),
    "numbers": (lambda: file_of(picture("F"), "TIFF"), "floating-point numbers"),
    "too many pixels": (huge, "12000 x 9000 pixels; at most 100 million"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("write", "words"), NO_FILES.values(), ids=NO_FILES)
def test_what_is_no_readable_image_is_told_in_words(
    open_page: Page, write: Callable[[], bytes], words: str
) -> None:
    file = base64.b64encode(write()).decode()
    assert words in open_page.refusal(ask="encode", model=MODEL, file=file)["message"]


def test_a_model_without_an_encoder_and_what_is_no_file_are_told_in_words(open_page: Page) -> None:
    told = open_page.refusal(ask="encode", model=BLOCKS, file="")
    assert "'toy-blocks' has no encoder" in told["message"]
    for wrong in (7, "*", None):
        told = open_page.refusal(ask="encode", model=MODEL, file=wrong)
        assert told["field"] == "file"


def test_a_file_of_a_byte_too_many_reaches_the_gateway_and_is_refused(open_page: Page) -> None:
    data = base64.b64encode(bytes(MOST_BYTES + 1)).decode()
    told = open_page.refusal(ask="encode", model=MODEL, file=data)
    assert told["message"].endswith("25,165,825 bytes; at most 25,165,824 are read")


# In the page.


def drop(at: Opened, data: bytes, name: str, on: int) -> None:
    at.drop(
        f"Uint8Array.from(atob({base64.b64encode(data).decode()!r}), each => each.charCodeAt(0))",
        name,
        FIGURE.format(on),
    )


@with_chromium
def test_a_photograph_is_shown_beside_what_the_model_draws_and_survives_a_reload(
    at: Opened,
) -> None:
    at.open(behind(**VAE))
    before = at.pixels(2)
    drop(at, file_of(picture(), "PNG"), "me.png", on=0)
    at.tab.until(f"{FIGURE.format(0)}.querySelectorAll('canvas').length === 2")
    at.settled()
    words = at.tab.value(f"{FIGURE.format(0)}.innerText")
    for word in ("me.png", "hybrids start from that", "cut to its middle"):
        assert word in words
    drawn = at.pixels(2)
    assert not np.array_equal(drawn, before)
    at.tab.value("new Promise(resolve => setTimeout(resolve, 400))")  # It is written with a delay.
    address = at.tab.value("location.href")
    at.tab.open("about:blank", 1280)
    at.tab.open(address, 1280)
    at.until_hybrid(drawn)
    assert "not part of the address" in at.tab.value(f"{FIGURE.format(0)}.innerText")
    at.tab.click(button("Remove"))
    at.until_hybrid(before)
    at.tab.click(button("Undo"))
    at.until_hybrid(drawn)


@with_chromium
def test_the_photograph_keeps_what_the_model_cannot_draw_but_for_the_change(at: Opened) -> None:
    step = {"layer": "deconv1", "k": 2, "module": 0, "channels": [0, 1, 2], "weight": 1, "on": True}
    at.open(behind(**VAE, steps=[step]))
    drop(at, file_of(picture(), "PNG"), "me.png", on=0)
    at.tab.until(f"{FIGURE.format(0)}.querySelectorAll('canvas').length === 2")
    at.settled()
    photograph, hybrid = at.pixels(0).astype(int), at.pixels(2).astype(int)
    drawn = np.array(at.canvas(f"{FIGURE.format(0)}.querySelectorAll('canvas')[1]"), int)
    at.tab.click("document.querySelector('.keep input')")
    expected = np.clip(photograph + hybrid - drawn, 0, 255).astype(np.uint8)
    at.until_hybrid(expected)


@with_chromium
def test_a_photograph_is_chosen_by_keys(at: Opened, tmp_path: Path) -> None:
    path = tmp_path / "chosen.jpg"
    path.write_bytes(file_of(picture(), "JPEG"))
    at.open(behind(**VAE))
    with at.tab.page.expect_file_chooser() as chooser:
        at.tab.page.locator("figure", has_text="Original 2").get_by_text("Photograph …").focus()
        at.tab.page.keyboard.press("Enter")
    chooser.value.set_files(path)
    at.tab.until(f"{FIGURE.format(1)}.innerText.includes('chosen.jpg')")
    at.tab.until(f"{FIGURE.format(1)}.querySelectorAll('canvas').length === 2")


@with_chromium
def test_what_cannot_be_an_original_is_told_where_it_was_dropped(at: Opened) -> None:
    at.open(behind(**VAE))
    one = at.pixels(0)
    drop(at, b"no picture at all", "letter.txt", on=1)
    at.tab.until(f"{SAID.format(1)}.includes('letter.txt cannot be an original')")
    at.drop(f"new Uint8Array({MOST_BYTES + 1})", "large.png", FIGURE.format(0))
    at.tab.until(f"{SAID.format(0)}.includes('at most 24 MiB')")
    np.testing.assert_array_equal(at.pixels(0), one)
    at.open(behind())
    drop(at, file_of(picture(), "PNG"), "me.png", on=0)
    at.tab.until(f"{SAID.format(0)}.includes('has no encoder')")
    assert f"These models take photographs: {MODEL}" in at.tab.value(SAID.format(0))
    assert at.tab.value(SAID.format(1)) == ""
    np.testing.assert_array_equal(at.pixels(2), at.pixels(0))
