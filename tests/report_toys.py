"""Reports of made-up numbers, and what of a page the tests ask for."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from graftscope.client.report import LayerSection, Provenance, ReportData, render_report

SPACE = "\N{NO-BREAK SPACE}"


class Page(HTMLParser):
    """The elements of a page, and its words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._words: list[str] = []
        self._silent = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._silent = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._words.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"[ \n]+", " ", "".join(self._words))

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def blobs(count: int, height: int, width: int, seed: int) -> np.ndarray:
    """Smooth spots, (count, height, width), between 0 and 0.2."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:height, :width]
    spots = []
    for _ in range(count):
        y, x = rng.uniform(0.2, 0.8, 2) * (height, width)
        size = rng.uniform(0.15, 0.3) * height
        distance = (down - y) ** 2 + (across - x) ** 2
        spots.append(rng.uniform(0.05, 0.2) * np.exp(-distance / (2 * size**2)))
    return np.array(spots)


def images(count: int, colors: int, side: int, seed: int) -> np.ndarray:
    fields = blobs(count * colors, side, side, seed).reshape(count, colors, side, side)
    return (fields * 9 - 0.9).astype(np.float32)


def make_section(
    level: str | None = "coarse",
    channels: int = 12,
    modules: int = 3,
    colors: int = 3,
    side: int = 16,
    pairs: int = 3,
    seeds: int = 5,
) -> LayerSection:
    maps = blobs(channels, side, side, 1)
    templates = np.stack([blobs(modules, side, side, 2)] * seeds)
    labels = np.stack([np.arange(channels) % modules] * seeds)
    individual = maps.mean(axis=(1, 2))
    original1, original2 = images(pairs, colors, side, 3), images(pairs, colors, side, 4)
    hybrids = np.stack([(original1 + original2) / 2] * modules)
    return LayerSection(
        layer="/dec/conv.1",
        level=level,
        channels=channels,
        height=8,
        width=8,
        maps=maps,
        maps_stderr=maps / 20,
        individual=individual,
        individual_stderr=individual / 40,
        pairs_of=np.full(channels, 1000),
        channel_indices=np.arange(channels),
        method="nmf",
        seeds=tuple(range(seeds)),
        labels=labels,
        templates=templates,
        weights=np.eye(modules)[labels[0]] * 0.6 + 0.2,
        probabilities=np.eye(modules)[labels[0]],
        agreement=np.ones(seeds),
        original1=original1,
        original2=original2,
        hybrids=hybrids,
        module_maps=templates[0] * 2,
        module_individual=np.full(modules, 0.165),
        module_individual_stderr=np.full(modules, 0.0042),
        check_pairs=200,
        fresh_pairs=True,
        change=np.tile([0.30, 0.12], (modules, 1)),
        interventions=tuple(f'{{"edits": "of module {each}"}}' for each in range(modules)),
    )


def make_data(*sections: LayerSection, **changes: object) -> ReportData:
    colors = sections[0].original1.shape[1]
    data = ReportData(
        title="The modules of toy",
        model="toy",
        digest="0123456789abcdef" * 4,
        date="1 January 2031",
        command="graftscope report --bundle toy --out report",
        provenance=Provenance(
            recipe="vae-toy",
            data="plain colours",
            licence="CC0",
            metrics={"kl": 42.03, "mse": 0.0451},
        ),
        samples=images(6, colors, 16, 5),
        image_range=(-1.0, 1.0),
        seed=7,
        precision="float32",
        provider="CPUExecutionProvider",
        originals="encoded",
        run_time_s=71.3,
        warnings=(),
        sections=sections,
    )
    return replace(data, **changes)  # type: ignore[arg-type]


def rendered(data: ReportData, folder: Path) -> Page:
    return Page(render_report(data, folder).read_text(encoding="utf-8"))
