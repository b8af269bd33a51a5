"""What is taken along from the explorer's page, in a browser: saved files and copied texts."""

import base64
import io
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from browser_toys import with_chromium
from graftscope.client import Blend, Edit, Intervention
from graftscope.client.cli import run
from graftscope.client.values import HybridResult
from page_toys import LEFT, RIGHT, STEPS, Opened, behind, button
from torch_toys import small_generator

pytestmark = with_chromium

HALF = [LEFT, {**RIGHT, "weight": 0.5}]
GRAFT = Intervention([Edit("fc", [0, 1], action=Blend(1.0)), Edit("fc", [2, 3], action=Blend(0.5))])
COPIED = "navigator.clipboard.writeText = async text => {window.copied = text}; 0"
REFUSED = "navigator.clipboard.writeText = async () => {throw new Error('not allowed')}; 0"


def dropped_back(at: Opened, data: bytes, name: str) -> None:
    """Take everything back, and drop a file that was saved."""
    at.tab.click(button("Reset"))
    at.tab.until(f"{STEPS}.length === 0")
    letters = base64.b64encode(data).decode()
    at.drop(f"Uint8Array.from(atob({letters!r}), each => each.charCodeAt(0))", name)
    at.tab.until(f"{STEPS}.length === 2")


def test_a_saved_picture_is_the_hybrid_and_brings_everything_back(at: Opened) -> None:
    at.open(behind(steps=HALF, view="difference"))
    at.tab.click(button("Hybrid"))
    at.tab.until(f"{button('Hybrid')}.ariaPressed === 'true'")
    shown = at.pixels(2)
    name, data = at.saved(lambda: at.tab.click(button("Save picture")))
    assert name == "toy-blocks-7-8-hybrid.png"
    with Image.open(io.BytesIO(data)) as picture:
        np.testing.assert_array_equal(np.asarray(picture.convert("RGBA")), shown)
        assert picture.info["graftscope"].startswith("#2.")
    dropped_back(at, data, name)
    at.until_hybrid(shown)
    at.tab.click(button("Undo"))
    at.tab.until(f"{STEPS}.length === 0")


def test_a_saved_graft_is_what_hybridize_takes_and_brings_everything_back(
    at: Opened, tmp_path: Path
) -> None:
    at.open(behind(steps=HALF))
    shown = at.pixels(2)
    name, data = at.saved(lambda: at.choose("Save more", "Graft (JSON)"))
    assert name == "toy-blocks-7-8-graft.json"
    (tmp_path / name).write_bytes(data)
    assert Intervention.load(tmp_path / name) == GRAFT
    dropped_back(at, data, name)
    at.until_hybrid(shown)


def test_the_saved_arrays_are_those_of_hybridize(at: Opened, tmp_path: Path) -> None:
    at.open(behind(steps=HALF))
    name, data = at.saved(lambda: at.choose("Save more", "Arrays (.npz)"))
    assert name == "toy-blocks-7-8-hybrid.npz"
    (tmp_path / name).write_bytes(data)
    found = HybridResult.load(tmp_path / name)
    for which, array in enumerate((found.original1, found.original2, found.hybrid)):
        levels = (array[0].transpose(1, 2, 0) + 1) / 2 * 255
        np.testing.assert_allclose(levels, at.pixels(which)[..., :3], atol=1)


def test_an_animation_is_made_there_and_back_and_shown(at: Opened) -> None:
    at.open(behind(steps=HALF))
    at.choose("Save more", "Filmstrip or animation …")
    at.tab.click("document.querySelectorAll('dialog[open] [type=radio]')[1]")
    at.tab.value(
        "(() => {const frames = document.querySelector('dialog[open] [max=\"121\"]');"
        "frames.value = 3; frames.dispatchEvent(new Event('input', {bubbles: true}))})()"
    )
    name, data = at.saved(lambda: at.tab.click(button("Make and save it")))
    assert name == "toy-blocks-7-8-animation-0-to-1.webp"
    with Image.open(io.BytesIO(data)) as film:
        assert film.n_frames == 4  # type: ignore[attr-defined]  # of animations
        assert film.info["loop"] == 0
    at.tab.until("document.querySelector('dialog[open] img')?.naturalWidth")
    at.tab.key("Escape")
    at.tab.until("!document.querySelector('dialog[open]')")


def test_a_film_that_stands_still_is_refused_in_words(at: Opened) -> None:
    at.open(behind(steps=HALF))
    at.choose("Save more", "Filmstrip or animation …")
    at.tab.value(
        "(() => {const last = document.querySelectorAll('dialog[open] [type=number]')[1];"
        "last.value = 0; last.dispatchEvent(new Event('input', {bubbles: true}))})()"
    )
    at.tab.click(button("Make and save it"))
    at.tab.until(
        "document.querySelector('dialog[open] .error')?.innerText.includes('stands still')"
    )
    at.tab.key("Escape")


def copied(at: Opened, entry: str) -> str:
    at.tab.value(f"{COPIED}; window.copied = ''; 0")
    at.choose("Copy as", entry)
    text: str = at.tab.until("window.copied")
    assert "is on the clipboard" in at.tab.value("document.querySelector('.out').innerText")
    return text


def test_the_command_line_that_is_copied_makes_the_picture(
    at: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at.open(behind(steps=HALF))
    text = copied(at, "Command line")
    commands, _, rest = text.partition("cat > graft.json <<'END'\n")
    graft, _, last = rest.partition("\nEND\n")
    monkeypatch.chdir(tmp_path)
    Path("graft.json").write_text(graft)
    for command in [*commands.splitlines(), last]:
        assert run(shlex.split(command)[1:]) == 0
    with Image.open("hybrid/0000-hybrid.png") as made:
        np.testing.assert_array_equal(np.asarray(made.convert("RGBA")), at.pixels(2))


def test_the_python_that_is_copied_makes_the_picture(at: Opened) -> None:
    at.open(behind(steps=HALF))
    names: dict[str, Any] = {}
    exec(copied(at, "Python"), names)
    levels = (names["made"].hybrid[0].transpose(1, 2, 0) + 1) / 2 * 255
    np.testing.assert_allclose(levels, at.pixels(2)[..., :3], atol=1)


def test_the_pytorch_code_that_is_copied_makes_the_picture(
    at: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = {**LEFT, "layer": "deconv1", "channels": [0, 3], "weight": 0.6}
    other = {**LEFT, "layer": "deconv2", "channels": [1]}
    at.open(behind(model="toy-vae", layer="deconv1", steps=[step, other]))
    scope: dict[str, Any] = {"model": small_generator().eval(), "torch": torch, "numpy": np}
    code = copied(at, "PyTorch hook")
    exec(code, scope)
    monkeypatch.chdir(tmp_path)
    for line in code.splitlines():
        if line.startswith("# graftscope"):
            assert run(shlex.split(line)[2:]) == 0
        if line.startswith("# z_"):
            exec(line[2:], scope)
    donor: dict[Any, Tensor] = {}
    with torch.no_grad():
        with scope["graft"](donor):
            scope["model"](scope["z_2"])
        with scope["graft"]({}, donor):
            hybrid = scope["model"](scope["z_1"])[0].numpy().transpose(1, 2, 0)
    np.testing.assert_allclose((hybrid + 1) / 2 * 255, at.pixels(2)[..., :3], atol=1)


def test_a_text_that_the_clipboard_refuses_is_shown_and_selected(at: Opened) -> None:
    at.open(behind(steps=HALF))
    at.tab.value(REFUSED)
    at.choose("Copy as", "Command line")
    at.tab.until("document.querySelector('dialog[open] textarea')")
    assert "graftscope hybridize" in at.tab.value("String(getSelection())")
    at.tab.key("Escape")
    at.tab.until("!document.querySelector('dialog[open]')")


def test_what_cannot_be_had_says_why_and_does_nothing(at: Opened) -> None:
    at.open(behind())
    menu = "document.querySelector('[role=menu]')"
    at.choose("Save more", "Graft (JSON)")
    assert "Nothing is grafted yet." in at.tab.value(f"{menu}.innerText")
    at.tab.key("Escape")
    at.tab.until(f"!{menu}")


def test_menus_go_by_keys(at: Opened) -> None:
    at.open(behind(steps=HALF))
    at.tab.value(f"{COPIED}; window.copied = ''; {button('Copy as')}.focus()")
    focused = "document.activeElement.firstElementChild?.textContent"
    at.tab.key("Enter")
    for key, entry in (
        ("", "Command line"),
        ("ArrowUp", "Address"),
        ("ArrowDown", "Command line"),
        ("End", "Address"),
        ("Home", "Command line"),
        ("ArrowDown", "Python"),
    ):
        if key:
            at.tab.key(key)
        at.tab.until(f"{focused} === {entry!r}")
    at.tab.key("0")  # It grafts nothing while a list is open.
    at.tab.key("Enter")
    assert at.tab.until("window.copied").startswith("from graftscope.client")
    assert at.tab.value("document.activeElement.getAttribute('aria-haspopup')") == "menu"
    assert at.tab.value(f"{STEPS}.length") == 2


def test_a_file_that_is_no_saved_picture_is_told_of(at: Opened) -> None:
    at.open(behind())
    for content in ("'{\"edits\": []}'", "new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10, 9])"):
        at.drop(content, "holiday.png")
        at.tab.until("document.querySelector('.status').innerText.includes('holiday.png')")
        at.tab.click("document.querySelector('.status button.plain')")
        at.tab.until("!document.querySelector('.status').innerText.trim()")
