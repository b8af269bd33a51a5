"""Every picture of a report: which figure shows what, its file name and its alternative text.

It must not know the page that they stand on.
"""

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from graftscope.client.figures import (
    PHOTO_SCALE,
    SCALE,
    figure_png,
    gallery_figure,
    graft_figure,
    hybrids_figure,
    individual_figure,
    samples_figure,
    seeds_figure,
    template_png,
    templates_figure,
)
from graftscope.client.report._data import LayerSection, ReportData
from graftscope.client.report._wording import listing, plural, slug
from graftscope.client.report._zones import describe_template

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAMPLES_SHOWN = 36
PAIRS_SHOWN = 8
MAPS_SHOWN = 32


@dataclass(frozen=True)
class Picture:
    """One PNG of the report.

    Attributes:
        file: Its name in the folder ``figures``.
        png: Its bytes.
        width: Its natural width on the page, in CSS pixels.
        height: Its natural height.
        alt: What it shows, for those who cannot see it.
    """

    file: str
    png: bytes
    width: int
    height: int
    alt: str

    @property
    def source(self) -> str:
        """The picture itself as the value of an ``img`` element's ``src``."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class LayerPictures:
    """The pictures of one layer; ``thumbnails`` are its templates alone, one a module."""

    maps: Picture
    templates: Picture
    seeds: Picture
    hybrids: Picture
    individual: Picture
    thumbnails: tuple[Picture, ...]

    @property
    def all(self) -> tuple[Picture, ...]:
        """Every one of them."""
        figures = (self.maps, self.templates, self.seeds, self.hybrids, self.individual)
        return figures + self.thumbnails


@dataclass(frozen=True)
class Example:
    """The hybrid that explains hybrids: which section, module and pair it is."""

    section: LayerSection
    module: int
    pair: int


def draw_samples(data: ReportData) -> Picture:
    """Draw the samples."""
    figure = samples_figure(data.samples, data.image_range, limit=SAMPLES_SHOWN)
    shown = min(len(data.samples), SAMPLES_SHOWN)
    return _picture(
        "samples.png", figure, f"{plural(shown, 'sample')} of {data.model}", PHOTO_SCALE
    )


def draw_example(data: ReportData, example: Example) -> Picture:
    """Draw how the example's hybrid is made."""
    section, module, pair = example.section, example.module, example.pair
    figure = graft_figure(
        section.original1[pair],
        section.original2[pair],
        section.hybrids[module, pair],
        section.labels[0],
        module,
        data.image_range,
    )
    alt = (
        f"Two samples run as far as layer {section.layer}; the channels of module {module} are "
        "taken from the second into the first; the run ends in the hybrid; beside it, where the "
        "hybrid differs from the first sample"
    )
    return _picture("graft.png", figure, alt)


def choose_example(data: ReportData) -> Example:
    """Choose the hybrid that is easiest to see.

    At the intermediate layer where there is one, else at the first: the module that changes most
    inside its template, and the pair that it changes most.
    """
    named = [section for section in data.sections if section.level == "intermediate"]
    section = (named or list(data.sections))[0]
    module = int(np.argmax(np.nan_to_num(section.change[:, 0], nan=-1.0)))
    difference = np.abs(section.hybrids[module] - section.original1)[:PAIRS_SHOWN]
    return Example(section, module, int(np.argmax(difference.mean(axis=(1, 2, 3)))))


def draw_layer(data: ReportData, section: LayerSection, place: int) -> LayerPictures:
    """Draw the pictures of the section that stands at ``place``, from 1."""
    stem = f"{place}-{slug(section.layer)}"
    labels = section.labels[0]
    return LayerPictures(
        _picture(
            f"{stem}-maps.png",
            gallery_figure(
                section.maps, labels, section.individual, section.channel_indices, limit=MAPS_SHOWN
            ),
            f"Influence maps of the strongest channels of layer {section.layer}, by module",
        ),
        _picture(
            f"{stem}-templates.png",
            templates_figure(section.templates[0], labels),
            f"Templates of layer {section.layer}: {_places(section)}",
        ),
        _picture(
            f"{stem}-seeds.png",
            seeds_figure(section.templates, section.agreement, section.seeds),
            f"Templates of layer {section.layer} for {plural(len(section.seeds), 'seed')}, with "
            "the share of channels that keep their module",
        ),
        _draw_hybrids(data, section, stem),
        _picture(
            f"{stem}-individual.png",
            individual_figure(
                section.individual,
                section.individual_stderr,
                labels,
                section.channel_indices,
                data.image_range,
            ),
            f"Individual influence of {plural(len(labels), 'channel')} of layer {section.layer}, "
            "strongest first, coloured by module",
        ),
        tuple(_thumbnail(section, module, stem) for module in range(section.modules)),
    )


def _draw_hybrids(data: ReportData, section: LayerSection, stem: str) -> Picture:
    figure = hybrids_figure(
        section.original1,
        section.original2,
        section.hybrids,
        section.templates[0],
        section.module_maps,
        section.labels[0],
        data.image_range,
        limit=PAIRS_SHOWN,
    )
    shown = min(len(section.original1), PAIRS_SHOWN)
    alt = (
        f"{plural(shown, 'pair')} of originals and, below them, their hybrids at layer "
        f"{section.layer}: a row for each of {plural(section.modules, 'module')}"
    )
    return _picture(f"{stem}-hybrids.png", figure, alt, PHOTO_SCALE)


def _thumbnail(section: LayerSection, module: int, stem: str) -> Picture:
    template = section.templates[0, module]
    alt = f"Template of module {module}: {describe_template(template)}"
    return _measured(f"{stem}-template-{module}.png", template_png(template), alt, SCALE)


def _places(section: LayerSection) -> str:
    return listing(
        [
            f"module {module}, {describe_template(template)}"
            for module, template in enumerate(section.templates[0])
        ]
    )


def _picture(file: str, figure: "Figure", alt: str, scale: float = SCALE) -> Picture:
    return _measured(file, figure_png(figure, scale), alt, scale)


def _measured(file: str, png: bytes, alt: str, scale: float) -> Picture:
    width, height = Image.open(io.BytesIO(png)).size
    return Picture(file, png, round(width / scale), round(height / scale), alt)
