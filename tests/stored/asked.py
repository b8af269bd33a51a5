"""What was asked for: tasks of every kind, and of the richest specifications."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from graftscope.client import (
    PRIOR_MEAN,
    Add,
    Blend,
    Constant,
    Edit,
    Encoded,
    ImageDonor,
    ImagePairs,
    Images,
    InfluenceTask,
    Intervention,
    LatentPairs,
    MagnitudeTask,
    Method,
    ModuleOf,
    ModulesTask,
    Precision,
    Prior,
    Rectangle,
    RelativeError,
    Scale,
    StabilityTask,
    StableLabels,
    StoredLatents,
    Swap,
    Task,
    Together,
)

FOLDER = Path(__file__).parent
STATE = FOLDER / "state"
ANSWERS = FOLDER / "answers.json"
UNINTERRUPTED = FOLDER / "uninterrupted.npz"

MODEL = "vae-cifar10"
"""It ships, and its digest is fixed; so its layers and sizes are written down here."""
LATENT, SIDE = 128, 32
COARSE, INTERMEDIATE, IMAGE = 64, 32, 16
"""Channels of the levels."""

_RANDOM = np.random.default_rng(9)
_IMAGES = _RANDOM.integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
_LATENTS = _RANDOM.standard_normal((2, 4, LATENT)).astype(np.float32)
_DONOR = StoredLatents({"z": _LATENTS[0, :1]})
_LABELS = np.arange(IMAGE) % 4 - 1
_MASK = np.tri(8, dtype=np.bool_)
_A_CHANNEL = np.linspace(-1.0, 1.0, INTERMEDIATE)
_A_PLACE = np.linspace(-2.0, 2.0, 64).reshape(1, 8, 8)


def _interventions() -> tuple[Intervention, ...]:
    """Every action, donor, mask and way to name channels; the last at two layers at once."""
    some = (1, 2, 5)
    edits = [
        Edit("intermediate", some),
        Edit("intermediate", some, action=Swap(_DONOR)),
        Edit("intermediate", some, action=Swap(ImageDonor(_IMAGES[0]))),
        Edit("intermediate", some, action=Constant(0.5)),
        Edit("intermediate", some, action=Constant(_A_CHANNEL), mask=_MASK),
        Edit("intermediate", some, action=Constant(PRIOR_MEAN)),
        Edit("image", module=ModuleOf(_LABELS, 1), action=Scale(-1.5)),
        Edit("coarse", (0, 63), action=Add(0.25)),
        Edit("intermediate", (7,), action=Add(_A_PLACE), mask=Rectangle(2, 1, 4, 5)),
        Edit("coarse", some, action=Blend(0.5)),
        Edit("z", (0, 100), action=Blend(1.5, _DONOR)),
    ]
    both = Intervention([edits[6], edits[8]])
    return (*(Intervention([edit]) for edit in edits), both)


Names = Mapping[str, str]
"""The operations so far, by what was asked for."""

FINISHED: dict[str, Callable[[Names], Task]] = {
    "channels": lambda _: InfluenceTask(
        MODEL, "intermediate", (0, 3, 5, 8, 21), pairs=64, seed=3, map_size=8, products=True
    ),
    "every channel": lambda _: InfluenceTask(
        MODEL, "image", pairs=32, first=32, originals=Prior(), map_size=6, products=True
    ),
    "layers": lambda _: InfluenceTask(
        MODEL, layers=("intermediate", "image"), pairs=40, map_size=4, originals=Encoded()
    ),
    "labels": lambda _: InfluenceTask(
        MODEL, "image", labels=_LABELS, pairs=40, seed=7, map_size=8, originals=Images(_IMAGES)
    ),
    "interventions": lambda _: InfluenceTask(
        MODEL,
        interventions=_interventions(),
        map_size=4,
        originals=LatentPairs({"z": _LATENTS[0]}, {"z": _LATENTS[1]}),
    ),
    "swaps": lambda _: InfluenceTask(
        MODEL,
        interventions=(Intervention([Edit("fc", (0, 2))]), Intervention([Edit("fc", (1,))])),
        map_size=4,
        originals=ImagePairs(_IMAGES[:1], _IMAGES[1:]),
    ),
    "shared": lambda _: InfluenceTask(
        MODEL,
        interventions=(Intervention([Edit("coarse", (4,), action=Scale(0.0))]),),
        pairs=32,
        map_size=4,
        share=("z",),
    ),
    "fixed": lambda _: InfluenceTask(
        MODEL,
        interventions=(Intervention([Edit("coarse", (4,), action=Scale(0.0))]),),
        pairs=32,
        map_size=4,
        fix={"z": 0.25},
    ),
    "closest": lambda _: InfluenceTask(
        MODEL,
        "image",
        (2, 3),
        pairs=32,
        map_size=4,
        precision=Precision.AUTO,
        uncorrected=True,
    ),
    "stratified": lambda _: InfluenceTask(
        MODEL,
        "image",
        (0, 1, 2),
        pairs=640,
        seed=5,
        originals=Prior(),
        map_size=8,
        stratified=True,
        until=Together(RelativeError(0.04)),
    ),
    "stable labels": lambda _: InfluenceTask(
        MODEL,
        "image",
        pairs=640,
        map_size=6,
        until=StableLabels(2, Method.KMEANS, seed=1, window=5, percentile=60.0),
    ),
    "modules": lambda names: ModulesTask(names["every channel"], 3, seeds=(0, 4)),
    "modules by products": lambda names: ModulesTask(
        names["every channel"], 2, Method.PCA, window=5, percentile=60.0, min_purity=0.6
    ),
    "no modules": lambda _: ModulesTask(np.zeros((4, 8, 8)), 2),
    "stability": lambda names: StabilityTask(
        names["every channel"],
        (2, 3),
        (Method.NMF, Method.KMEANS, Method.SPECTRAL),
        repeats=3,
        seed=2,
    ),
    "magnitude": lambda _: MagnitudeTask(
        MODEL,
        ("image",),
        (2, 3),
        Method.KMEANS,
        seed=1,
        pairs=32,
        pairs_seed=6,
        first=32,
        map_size=6,
        window=5,
        percentile=60.0,
        stratified=True,
    ),
}
"""Those that came to their end, in the order in which they were asked for."""

FAILING = frozenset({"no modules"})
"""Those of them that have no answer."""

REFUSED = frozenset({"modules by products"})
"""Those that the client refuses today: a purity can leave out nothing with that method."""

CANCELLED = InfluenceTask(
    MODEL,
    "intermediate",
    tuple(range(16)),
    pairs=320,
    seed=11,
    map_size=4,
    products=True,
    originals=Prior(),
    until=StableLabels(8, Method.KMEANS),
)
"""Half-way. So many modules never settle, on whichever machine it goes on."""

LEFT = InfluenceTask(
    MODEL,
    "coarse",
    tuple(range(40, 48)),
    pairs=640,
    seed=12,
    map_size=4,
    stratified=True,
    until=Together(RelativeError(0.001)),
)
"""Half-way too, when the server went away."""

WAITING = InfluenceTask(
    MODEL, "image", pairs=160, seed=13, map_size=4, until=StableLabels(3, Method.NMF)
)
"""For its turn, at that moment."""

UNFINISHED = {"cancelled": CANCELLED, "left": LEFT, "waiting": WAITING}
