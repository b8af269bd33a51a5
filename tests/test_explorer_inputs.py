"""Inputs of the explorer's originals: truncation, an input's own seed, and which control fits."""

from typing import Any

import numpy as np

from browser_toys import with_chromium
from graftscope.client import Client, LatentPairs
from graftscope.client.models import ImageFormat, Input, Model
from graftscope.explorer._inputs import described_inputs
from page_toys import Opened, behind, button
from server_toys import Stubs

NOISY = "toy-skip"
FOLD = "document.querySelector('.inputs summary')"


def one(name: str, distribution: str, *shape: int, datatype: str = "FP32", **more: Any) -> Input:
    return Input(name, datatype, shape, distribution, noise=more.pop("noise", False), **more)


INPUTS: dict[Input, dict[str, object]] = {
    one("z", "normal", 8): {"control": "seed", "normal": True},
    one("static", "normal", 1, 4, 4, noise=True): {"control": "seed", "normal": False},
    one("label", "one_hot", 10, classes=10): {"control": "class", "classes": 10},
    one("digit", "classes", datatype="INT64", classes=3): {"control": "class", "classes": 3},
    one("age", "uniform", 1): {"control": "number", "whole": False, "low": -1, "high": 2},
    one("tilt", "normal", 1): {"control": "number", "low": 1.0, "high": 9.0, "normal": True},
    one("lens", "truncated_normal"): {"control": "number", "low": -2.0, "high": 2.0},
    one("steps", "fixed", datatype="INT64"): {"control": "number", "whole": True},
    one("guide", "choice", 1): {"control": "choice", "values": [0.5, 8.0]},
    one("table", "fixed", 3, 3): {"control": "none"},
    one("text", "stored", 4, 4): {"control": "seed", "normal": False},
}
STATED: dict[str, Any] = {
    "age": {"uniform": {"low": -1.0, "high": 2.0}},
    "tilt": {"normal": {"mean": 5.0, "deviation": 1.0}},
    "lens": {"truncated_normal": {"threshold": 2.0}},
    "guide": {"choice": {"values": [0.5, 8.0]}},
}


def test_every_kind_of_input_has_the_control_that_fits_it_and_its_range() -> None:
    manifest: Any = {"inputs": [{"name": x.name, **STATED.get(x.name, {})} for x in INPUTS]}
    image = ImageFormat(1, 4, 4, 0.0, 1.0)
    model = Model("many", "", tuple(INPUTS), image, (), has_encoder=False, manifest=manifest)
    told: Any = described_inputs(model)
    for found, (asked, known) in zip(told, INPUTS.items(), strict=True):
        assert found["name"] == asked.name
        assert known.items() <= found.items(), (found, known)


@with_chromium
def test_truncation_is_dragged_and_noise_is_drawn_by_another_seed(
    at: Opened, toy_server: Stubs
) -> None:
    with Client(toy_server.address) as client:
        own, other = (
            {name: np.asarray(each, np.float32) for name, each in made.latents.items()}
            for made in (client.generate(NOISY, count=1, seed=seed) for seed in (7, 3))
        )
        layer = client.model(NOISY).layers[0].name

        def shown(noise: object, truncation: float) -> np.ndarray[Any, np.dtype[np.uint8]]:
            latents: Any = {"z": own["z"] * np.float32(truncation), "noise": noise}
            given = LatentPairs(latents, latents)
            with client.explore(NOISY, originals=given, eight_bits=True) as session:
                pixels = np.asarray(session.originals.original1)[0]
            colours = pixels.repeat(3, -1) if pixels.shape[-1] == 1 else pixels
            opaque = np.full((*pixels.shape[:2], 1), 255, np.uint8)
            return np.concatenate([colours, opaque], axis=-1)

        at.open(behind(model=NOISY, layer=layer))
        assert at.tab.value("!document.querySelector('.inputs details').open")
        at.tab.click(FOLD)
        at.until_hybrid(shown(own["noise"], 1))
        field = at.tab.page.get_by_label("Seed of noise of original 1")
        field.fill("3")
        field.press("Enter")
        at.until_hybrid(shown(other["noise"], 1))
        field.fill("")
        field.press("Enter")
        at.tab.page.get_by_label("Truncation of both originals").focus()
        at.tab.key("Home")
        at.until_hybrid(shown(own["noise"] * np.float32(0), 0))
        assert "closer to their mean" in at.tab.value("document.querySelector('.inputs').innerText")
        at.tab.click(button("Undo"))
        at.until_hybrid(shown(own["noise"], 1))
