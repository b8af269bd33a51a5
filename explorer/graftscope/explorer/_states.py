"""What the page shows, as its address holds it behind the #; the other end is `lib/state.ts`.

A saved picture, and a saved graft, hold the same text.
"""

import json
import re
import zlib
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Never, Self

import numpy as np
from numpy.typing import NDArray

from graftscope.client import (
    Blend,
    Edit,
    Intervention,
    Json,
    LatentPairs,
    Latents,
    Model,
    ModulesResult,
)
from graftscope.client.arrays import UINT32_MAX, whole_number
from graftscope.client.errors import InputError, NotFoundError, UsageError
from graftscope.client.interventions import Action, ChannelNumbers, Original2, Swap
from graftscope.explorer._asked import MOST_STEPS

VERSION = 2
"""Of what stands behind the #."""

SEEDS = (7, 8)
"""Of original 1 and original 2, where nothing else is said."""

WEIGHTS = (-1.0, 2.0)
"""Of a graft, on the page."""

MODULES = (2, 10)
"""That the page finds in a layer."""

_MOST_LETTERS = 100_000
"""That the page reads behind the #."""

_MOST_K = 64
_NAMED = 4
"""Channels that a step's name tells."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEYWORD = b"graftscope\0"
_IN_JSON = "explorer"
_STATE = re.compile(r"#[0-9]{1,3}\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, eq=False)
class Shown:
    """What the page begins with.

    Args:
        model: Of which model; None for the one that the page chooses.
        layer: Whose modules are looked at: its name, or its level's; empty for the page's choice.
        seeds: Those of original 1 and original 2.
        originals: Latents of one sample each, instead of what seeds draw.
        intervention: What is grafted from original 2 onto original 1.
        k: How many modules the layer is divided into.
        finds: Whether modules of the layer are looked for at once.
    """

    model: Model | None = None
    layer: str = ""
    seeds: tuple[int, int] = SEEDS
    originals: tuple[Latents, Latents] | None = None
    intervention: Intervention | None = None
    k: int = 3
    finds: bool = False

    @classmethod
    def of(
        cls,
        find: Callable[[str], Model],
        *,
        model: str | None = None,
        layer: str | None = None,
        intervention: Intervention | None = None,
        seeds: Sequence[int] | None = None,
        originals: LatentPairs | None = None,
        modules: ModulesResult | None = None,
    ) -> Self:
        """Put together what was said of it.

        Args:
            find: Finds a model by its name.
            model: The model's name.
            layer: The layer's, or its level's.
            intervention: What is grafted.
            seeds: Two, for original 1 and original 2.
            originals: Or one pair of latents.
            modules: Of a layer, which the page is to find again.

        Raises:
            InputError: If something is not allowed, or the modules are another model's.
            UsageError: If something is said twice, or the model is missing.
        """
        if seeds is not None and originals is not None:
            raise UsageError("originals are made by seeds or by latents: give either")
        source = None if modules is None else modules.source
        name = model or (source.model if source is not None else None)
        if name is None and any(x is not None for x in (layer, intervention, originals, modules)):
            raise UsageError("say which model it is of")
        found = None if name is None else find(name)
        if found is not None and source is not None and found.digest != source.model_digest:
            raise InputError(
                f"the modules are of {source}, which is another version than the server's"
            )
        return cls(
            found,
            layer or (source.layer if source is not None else ""),
            SEEDS if seeds is None else _two_seeds(seeds),
            None if originals is None else _two_latents(originals),
            intervention,
            3 if modules is None else modules.k,
            modules is not None,
        )

    def behind(self) -> str:
        """Write it as it stands in the page's address, from the # on.

        Raises:
            InputError: If the page cannot show it; the message says what it can show.
        """
        model = self.model
        layer = model.layer(self.layer).name if model is not None and self.layer else ""
        edits = () if self.intervention is None else self.intervention.edits
        state: dict[str, Json] = {
            "model": "" if model is None else model.name,
            "layer": layer,
            "k": self.k,
            "pairs": 1024,
            "asked": [layer] if self.finds and layer else [],
            "originals": self._originals(),
            "truncation": 1,
            "steps": [_step(edit, model) for edit in edits],
            "view": "hybrid",
            "split": 0.5,
        }
        if not MODULES[0] <= self.k <= MODULES[1]:
            raise InputError(
                f"the page divides a layer into {MODULES[0]} to {MODULES[1]} modules, not into "
                f"{self.k}",
                field="k",
            )
        if len(edits) > MOST_STEPS:
            raise InputError(
                f"the page shows at most {MOST_STEPS} grafts, not {len(edits)}",
                field="intervention",
            )
        return written(state)

    def _originals(self) -> list[Json]:
        if self.originals is None or self.model is None:
            return [{"seed": seed, "inputs": {}, "photograph": None} for seed in self.seeds]
        return [
            _of_latents(latents, seed, self.model, f"latents {at}")
            for at, (latents, seed) in enumerate(zip(self.originals, self.seeds, strict=True), 1)
        ]


def _two_seeds(seeds: Sequence[int]) -> tuple[int, int]:
    if len(seeds) != 2:
        raise InputError(
            f"{len(seeds)} seeds are given; the page takes two, of original 1 and of original 2",
            field="seeds",
        )
    one, two = (whole_number("seed", each, high=UINT32_MAX) for each in seeds)
    return one, two


def _two_latents(originals: LatentPairs) -> tuple[Latents, Latents]:
    second = originals.latents1 if originals.latents2 is None else originals.latents2
    return originals.latents1, second


def written(state: Mapping[str, Json]) -> str:
    """Write a state as it stands in an address, from the # on.

    Raises:
        InputError: If no address holds so much.
    """
    squeezer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    data = squeezer.compress(json.dumps(state, allow_nan=False).encode()) + squeezer.flush()
    letters = urlsafe_b64encode(data).decode().rstrip("=")
    if len(letters) > _MOST_LETTERS:
        raise InputError(
            f"{len(letters):,} letters are more than the {_MOST_LETTERS:,} that the page's address"
            " holds: latents are large, seeds are not",
            field="originals",
        )
    return f"#{VERSION}.{letters}"


def saved_state(path: Path) -> str:
    """Read what a file that the page has saved was made of: a picture, or a graft.

    Args:
        path: A PNG or a JSON file.

    Returns:
        The text behind the #, from the # on.

    Raises:
        NotFoundError: If there is no such file.
        InputError: If it does not say what it was made of.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"file {str(path)!r} is not there") from error
    except OSError as error:
        raise InputError(f"file {path} cannot be read: {error.strerror}") from error
    found = _in_png(data) if data.startswith(_SIGNATURE) else _in_json(data)
    if found is None or not _STATE.fullmatch(found):
        raise InputError(
            f"{path} does not say what it was made of: it is no picture (.png) and no graft (.json)"
            " that the explorer has saved, or another program has written it anew"
        )
    return found


def _in_png(data: bytes) -> str | None:
    at = len(_SIGNATURE)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if kind == b"tEXt" and content.startswith(_KEYWORD):
            return content.removeprefix(_KEYWORD).decode("latin-1")
        at += 12 + length
    return None


def _in_json(data: bytes) -> str | None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    found = document.get(_IN_JSON) if isinstance(document, dict) else None
    return found if isinstance(found, str) else None


def _step(edit: Edit, model: Model | None) -> Json:
    """An edit as a step of the page.

    Raises:
        InputError: If the page has no such steps.
    """
    if edit.mask is not None:
        raise InputError(f"{_cannot(edit)}: it grafts whole channels, without masks")
    layer = edit.layer if model is None else model.layer(edit.layer).name
    step: dict[str, Json] = {"layer": layer, "weight": _weight(edit), "on": True}
    if edit.module is not None and int(edit.module.labels.max()) < _MOST_K:
        channels = list[Json](edit.module.channels)
        k = int(edit.module.labels.max()) + 1
        return {**step, "channels": channels, "module": edit.module.index, "k": k}
    chosen = edit.channels or () if edit.module is None else edit.module.channels
    numbers = ChannelNumbers.of(chosen)
    return {**step, "channels": list[Json](numbers), "module": None, "name": _named(numbers)}


def _weight(edit: Edit) -> float:
    match edit.action:
        case Swap(donor=Original2()):
            return 1.0
        case Blend(weight=weight, donor=Original2()) if WEIGHTS[0] <= weight <= WEIGHTS[1]:
            return weight
        case Blend(donor=Original2()):
            allowed = f"weights are from {WEIGHTS[0]:g} to {WEIGHTS[1]:g} there"
            raise InputError(f"{_cannot(edit)}: {allowed}")
    _refuse(edit, edit.action)


def _refuse(edit: Edit, action: Action) -> Never:
    raise InputError(
        f"{_cannot(edit)}: it takes channels from original 2 with a weight, as Swap() and "
        f"Blend(weight) do, and not by {type(action).__name__}"
        + (" from a donor of its own" if isinstance(action, Swap | Blend) else "")
    )


def _cannot(edit: Edit) -> str:
    return f"the explorer's page cannot show the edit of {edit}"


def _named(channels: Sequence[int]) -> str:
    told = ", ".join(map(str, channels[:_NAMED]))
    more = len(channels) - _NAMED
    word = "channel" if len(channels) == 1 else "channels"
    return f"{word} {told}" + (f" and {more} more" if more > 0 else "")


def _of_latents(latents: Latents, seed: int, model: Model, name: str) -> Json:
    """An original that latents make; what is left out the seed draws."""
    inputs: dict[str, Json] = {}
    encoded: dict[str, Json] = {}
    for key, array in latents.items():
        if key not in {each.name for each in model.inputs}:
            has = ", ".join(each.name for each in model.inputs)
            raise InputError(f"input {key!r} is not in model {model.name!r}; it has: {has}")
        if len(array) != 1:
            raise InputError(
                f"originals {key!r} hold {len(array)} samples; the page shows one pair: give "
                "latents of one sample each, such as {name: array[:1] ...}",
                field="originals",
            )
        if array.dtype.kind in "iub" and array.size == 1:
            inputs[key] = int(array.reshape(-1)[0])
        elif array.dtype.kind == "f":
            encoded[key] = _letters(array)
        else:
            raise InputError(
                f"the page takes numbers for input {key!r}, and it holds {array.size} of type "
                f"{array.dtype}",
                field="originals",
            )
    photograph: Json = {"name": name, "latents": encoded} if encoded else None
    return {"seed": seed, "inputs": inputs, "photograph": photograph}


def _letters(array: NDArray[np.generic]) -> str:
    return b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()
