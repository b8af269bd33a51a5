"""What the verb hybridize does with hybrids of several strengths: draws and tells them."""

from pathlib import Path

import numpy as np

from graftscope.client.cli._documents import head
from graftscope.client.cli._output import note, say, say_json, tell_how, written
from graftscope.client.cli._spilled import Spilled
from graftscope.client.interventions import Intervention
from graftscope.client.models import Model
from graftscope.client.values import PICTURES, Strip, told_strengths
from graftscope.client.words import counted


def write_strip(strip: Strip, out: Path | None, spilled: Spilled | None) -> None:
    """Draw a strip, or write its arrays; what a picture clips is said."""
    if out and out.suffix in PICTURES:
        strip.draw(out)
        if strip.clipped:
            note(f"{strip.clipped:.2%} of the values leave the image's range: {out} clips them")
    elif out and spilled:
        spilled.save(strip, out)
    elif out:
        strip.save(out)


def tell_strip(
    model: Model,
    intervention: Intervention,
    strip: Strip,
    out: Path | None,
    saved: Path | None,
    spilled: Spilled | None,
    json: bool,
) -> None:
    """Say how far each strength is from original 1."""
    low, high = model.image.range
    at, pairs = ", ".join(intervention.layers), len(strip.original1)
    changes = np.abs(strip.images - strip.original1).mean(axis=(1, 2, 3, 4)) / (high - low)
    if json:
        facts = {
            "layer": at,
            "intervention": str(intervention),
            "pairs": pairs,
            "strengths": strip.strengths,
            "change_share": changes,
            "clipped_share": strip.clipped,
            **({} if spilled is None else spilled.facts()),
            "out": out,
            "saved_intervention": saved,
        }
        say_json({**head(model, strip.execution), **facts})
        return
    say(
        f"{counted(pairs, 'pair')} of {model.name} at {at} with strengths"
        f" {told_strengths(strip.strengths)}: on average"
        f" {', '.join(f'{change:.2%}' for change in changes)} of the range away from original 1"
        f"{written(out)}"
    )
    if spilled:
        spilled.tell()
    tell_how(strip.execution)
    if saved:
        say(f"{intervention}{written(saved)}")
