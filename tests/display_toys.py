"""One value of each kind that notebooks show, of made-up numbers; and a reader of their HTML."""

import base64
import io
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import numpy as np
from PIL import Image

from graftscope.client import (
    Edit,
    Estimate,
    Explored,
    HybridFiles,
    HybridResult,
    ImageEncoding,
    ImageFormat,
    Input,
    Intervention,
    Job,
    JobKind,
    JobState,
    Layer,
    LayerKind,
    LayerModules,
    LayersResult,
    Method,
    Model,
    ModulesSoFar,
    PartialMaps,
    PartialResult,
    Progress,
    Rectangle,
    SampleFiles,
    Samples,
    Scale,
    SoFar,
    Strip,
    compare,
)
from test_client_saved import (
    AMX,
    CPU,
    FAITHFULNESS,
    FOUND,
    INDEPENDENCE,
    INFLUENCE,
    LATENTS,
    MAGNITUDE,
    MODULES,
    OF_A_SCORE,
    OF_INTERVENTIONS,
    POSTERIOR,
    PROBE,
    REACH,
    STABILITY,
)

RANDOM = np.random.default_rng(1)
IMAGES = RANDOM.uniform(-1, 1, (2, 3, 6, 4)).astype(np.float32)
CHANNELS = replace(INFLUENCE, individual_stderr=np.full(4, 0.01), took_s=3.21)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


FILES = [png(RANDOM.integers(0, 256, (6, 4, 3), np.uint8)) for _ in range(2)]
SAMPLES = Samples(IMAGES, LATENTS, CPU, "toy", (-1.0, 1.0))
HYBRIDS = HybridResult(IMAGES, -IMAGES, IMAGES[::-1].copy(), 5, AMX, "toy", image_range=(-1.0, 1.0))
STRIP = Strip(
    np.array([0.0, 1.0]),
    np.stack([IMAGES, -IMAGES]),
    IMAGES,
    -IMAGES,
    "channel 3 of conv1: swap from original 2",
    (-1.0, 1.0),
    0,
    CPU,
    "toy",
)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
JOB = Job(
    name="operations/0123456789abcdef0123456789abcdef",
    kind=JobKind.INFLUENCE,
    model="toy",
    layer="conv1",
    progress=Progress(JobState.RUNNING, 2, 4, 12.0, 100.0),
    estimate=Estimate(20.0, 512, 1000),
    model_digest="0123456789abcdef",
    identity="",
    created=NOW,
    ended=None,
    expires=None,
    done=False,
    error="",
    pairs=128,
)
SMALL_MAPS = PartialMaps(
    64,
    RANDOM.random((4, 3, 5)).astype(np.float32),
    RANDOM.random(4),
    np.full(4, 0.01),
    np.full(4, 64),
)
LAYER_MODULES = LayerModules(
    MODULES.labels, MODULES.templates, MODULES.purity, MODULES.probabilities, Method.NMF
)
MODULES_SO_FAR = ModulesSoFar(64, {"conv1": LAYER_MODULES})
MODEL = Model(
    name="toy",
    digest="0123456789abcdef",
    inputs=(Input("z", "FP32", (8,), "normal", False, "normal"),),
    image=ImageFormat(3, 6, 4, -1.0, 1.0),
    layers=(Layer("conv1", "coarse", LayerKind.MAP, 4, 3, 5, "t", ()),),
    has_encoder=True,
    manifest={},
)
INTERVENTION = Intervention([Edit("conv1", [0, 3], action=Scale(2.0), mask=Rectangle(0, 0, 1, 2))])

VALUES: list[Any] = [
    CHANNELS,
    INFLUENCE,
    OF_INTERVENTIONS,
    replace(CHANNELS, range_width=np.nan, subject="modules"),
    LayersResult({"conv1": CHANNELS, "conv2": replace(CHANNELS, layer="conv2")}, "operations/1"),
    MODULES,
    replace(MODULES, source=None, confidence_unknown="64 pairs are too few"),
    MODULES[0],
    replace(MODULES[1], source=None),
    STABILITY,
    MAGNITUDE,
    SAMPLES,
    replace(SAMPLES, image_range=()),
    SampleFiles(FILES, ImageEncoding.PNG, LATENTS, CPU, "toy"),
    HYBRIDS,
    replace(HYBRIDS, photograph1=IMAGES, edited=-IMAGES, clipped=0.25),
    HybridFiles(FILES, FILES[::-1], FILES, ImageEncoding.PNG, 5, AMX, "toy"),
    STRIP,
    POSTERIOR,
    FOUND,
    JOB,
    PartialResult(JOB, CHANNELS, {"conv1": MODULES}, 64),
    SMALL_MAPS,
    LAYER_MODULES,
    MODULES_SO_FAR,
    SoFar(SMALL_MAPS, MODULES_SO_FAR),
    SoFar(),
    Explored(3, 1, hybrid=np.zeros((1, 6, 4, 3), np.uint8)),
    Explored(4, 0, hybrid=IMAGES, original1=IMAGES),
    Explored(5, 0, hybrid=np.array(FILES, object)),
    MODEL,
    INTERVENTION,
    compare(MODULES, MODULES),
    compare(MODULES.templates, MODULES.templates[:1]),
    FAITHFULNESS,
    INDEPENDENCE,
    PROBE,
    REACH,
    OF_A_SCORE,
]


def named(value: Any) -> str:
    return type(value).__name__


@dataclass
class Seen(HTMLParser):
    """What is in a piece of HTML."""

    tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str]] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)
    words: str = ""

    @classmethod
    def of(cls, html: str) -> "Seen":
        seen = cls()
        HTMLParser.__init__(seen, convert_charrefs=True)
        seen.feed(html)
        seen.close()
        return seen

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        told = [(name, value or "") for name, value in attrs]
        self.attributes += told
        if tag == "img":
            source = dict(told)["src"]
            data = base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
            with Image.open(io.BytesIO(data)) as image:
                self.pictures.append(np.asarray(image.convert("RGB")))

    def handle_data(self, data: str) -> None:
        if self.tags[-1] != "style":
            self.words += f" {data}"
