"""Models and interventions as cards."""

from collections.abc import Sequence

from graftscope.client.display._cards import Card, Table
from graftscope.client.display._provenance import provenance_of
from graftscope.client.interventions import Intervention, channel_numbers
from graftscope.client.models import Model
from graftscope.client.words import counted, rounded

_CHANNELS = 12


def model_card(value: Model) -> Card:
    """Show a model's layers and inputs."""
    image = value.image
    layers = [
        [
            each.name,
            each.level or "-",
            each.kind.value,
            " x ".join(map(str, each.shape)),
            f"{rounded(each.upstream_mflop)} / {rounded(each.downstream_mflop)}",
        ]
        for each in value.layers
    ]
    inputs = [
        [each.name, str(each.shape), each.drawn or each.distribution] for each in value.inputs
    ]
    of = ["layer", "level", "kind", "channels x places", "Mflop above / below"]
    return Card(
        title="Model",
        of=f"{value.name}: images of {image.height} x {image.width} pixels, "
        f"{counted(image.channels, 'colour')}, values from {image.low:g} to {image.high:g}",
        tables=[
            Table("Layers, from the latents to the image", of, _ends(layers), of=len(layers)),
            Table("Inputs", ["input", "shape", "drawn from"], inputs),
        ],
        notes=["It has an encoder: photographs can be originals."] if value.has_encoder else [],
        origin=provenance_of(value),
    )


def _ends(rows: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """The first and the last of many layers."""
    return rows if len(rows) <= 10 else [*rows[:4], *rows[-6:]]


def intervention_card(value: Intervention) -> Card:
    """Show an intervention's edits."""
    rows = []
    for edit in value.spelled_out().edits:
        channels = channel_numbers("channels", edit.channels or ())
        more = f", … {len(channels) - _CHANNELS} more" if len(channels) > _CHANNELS else ""
        listed = ", ".join(map(str, channels[:_CHANNELS])) + more
        where = "everywhere" if edit.mask is None else "inside a mask"
        words = str(edit).partition(": ")[2].removesuffix(", inside a mask")
        rows.append([edit.layer, listed or "none", words, where])
    return Card(
        title="Intervention",
        of=counted(len(value.edits), "edit"),
        tables=[Table("Made at once", ["layer", "channels", "what they become", "where"], rows)],
    )
