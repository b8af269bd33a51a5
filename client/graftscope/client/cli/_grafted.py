"""What `find --graft` does: it grafts what was found, all at once, and measures what spills."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftscope.client._client import Client
from graftscope.client.arrays import Source, read_about, write_npz
from graftscope.client.cli._output import say
from graftscope.client.cli._regions import image_region
from graftscope.client.cli._request_options import Given
from graftscope.client.cli._session import named_originals
from graftscope.client.cli._spilled import several_spills, spill_facts, told_spill
from graftscope.client.finding import FoundChannels, Spill, spill
from graftscope.client.values import Encoded, InfluenceTask, Originals, Prior
from graftscope.client.words import number, with_spread


@dataclass(frozen=True)
class Grafted:
    """The spill of grafts.

    Args:
        found: Of all the channels that were found.
        modules: Of every module that was given; None where none were.
    """

    found: Spill
    modules: Sequence[Spill] | None

    def facts(self) -> dict[str, object]:
        """What a document and a file say of them."""
        modules = {} if self.modules is None else several_spills(self.modules)
        return {
            **{f"grafted_{name}": value for name, value in spill_facts(self.found).items()},
            **{f"modules_{name}": value for name, value in modules.items()},
        }


def pairs_after_file(path: Path, count: int) -> dict[str, Any]:
    """Say which pairs follow those that a file's maps are of; what it does not say is usual."""
    told = read_about(path).told
    usual: dict[str, Originals] = {"prior": Prior(), "encoded": Encoded()}
    return {
        "pairs": count,
        "seed": told.get("seed") or 0,
        "first": (told.get("first") or 0) + (told.get("pairs") or 0),
        "originals": usual.get(str(told.get("originals"))),
        "share": tuple(told.get("share") or ()),
    }


def pairs_after(
    client: Client, name: str, originals: str | None, asked: Given[InfluenceTask], count: int
) -> dict[str, Any]:
    """Say which pairs follow those of maps that were computed, from the same originals."""
    return {
        "pairs": count,
        "seed": asked["seed"],
        "first": asked["first"] + asked["pairs"],
        "originals": named_originals(originals, client.model(name)),
        "share": asked["share"],
        "fix": asked["fix"],
    }


def graft_found(
    client: Client,
    found: FoundChannels,
    source: Source,
    labels: NDArray[np.int64] | None,
    region: NDArray[np.float64],
    pairs: Mapping[str, Any],
) -> Grafted:
    """Graft the channels that were found, and each module, and measure what spills.

    Args:
        client: Of the server that has the model.
        found: The channels.
        source: Which layer they are of.
        labels: (C,) module of each channel, -1 for none; None for no modules.
        region: (H, W) of the image.
        pairs: Which pairs of originals, as `Client.hybridize` takes them.

    Raises:
        InputError: If the server does not have the model, or in another version.
    """
    model = client.model(f"{source.model}@{source.model_digest}")
    inside = image_region(region, model.image)

    def measured(channels: Sequence[int]) -> Spill:
        made = client.hybridize(model.name, source.layer, channels, **pairs)
        return spill(made.original1, made.hybrid, inside)

    if labels is None:
        return Grafted(measured(found.channels), None)
    members = [np.flatnonzero(labels == module) for module in range(labels.max() + 1)]
    return Grafted(measured(found.channels), [measured(each.tolist()) for each in members])


def save_found(found: FoundChannels, grafts: Grafted | None, path: Path) -> None:
    """Write what was found, and what spills of its grafts as further arrays."""
    if grafts is None:
        found.save(path)
        return
    arrays = {name: np.asarray(value) for name, value in grafts.facts().items()}
    write_npz(path, {**found.arrays(), **arrays}, found.about().to_comment())


def tell_grafts(grafts: Grafted) -> None:
    """Say what spills of grafts, a line each."""
    say("")
    say(f"grafted all at once: {told_spill(grafts.found)}")
    for module, each in enumerate(grafts.modules or ()):
        say(f"module {module}: {told_spill(each)}")


def told_share(share: float, stderr: float) -> str:
    """Put a share and its standard error in percent, or the share alone where that is all."""
    known = np.isfinite(stderr)
    return with_spread(100 * share, 100 * stderr, 1) if known else number(100 * share, 1)
