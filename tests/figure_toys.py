"""The paper's figures of made-up numbers, and what of a drawn figure the tests ask for."""

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from graftscope.client.figures import paper
from graftscope.client.figures.paper import ErrorBars

RANGE = (-1.0, 1.0)
ROUNDING = 0.02
"""Inches that a glyph's edge may be off by, from hinting."""

SMALLEST = 6.5
RED, GREEN, BLUE = (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(0.2, 0.9, shape)


def painted(color: tuple[float, float, float], count: int, side: int = 8) -> np.ndarray:
    values = np.array(color)[None, :, None, None]
    return np.broadcast_to(values, (count, 3, side, side)).copy()


def of_examples(count: int = 6) -> paper.InfluenceExamples:
    def level(name: str, channels: int, scale: float) -> paper.LevelExamples:
        maps = scale * random(count, 8, 8)
        return paper.LevelExamples(name, np.arange(count), maps, maps.mean((1, 2)), channels)

    return paper.InfluenceExamples([level("intermediate", 64, 0.01), level("image", 16, 0.1)])


def of_clusters(pairs: int = 7, k: int = 3) -> paper.Clusters:
    colors = (RED, GREEN, BLUE)
    modules = [
        paper.ClusterModule(7 * i, random(8, 8), random(min(i, 3), 8, 8), painted(color, pairs))
        for i, color in zip(range(k), colors * 2, strict=False)
    ]
    return paper.Clusters(
        modules, 64, painted((1, 1, 1), pairs), painted((-1, -1, -1), pairs), RANGE
    )


def of_magnitude() -> paper.Magnitude:
    k = np.repeat([2, 3, 4], [2, 3, 4])
    channels = np.array([8, 24, 6, 10, 16, 2, 6, 8, 16])

    def layer(name: str, total: int) -> paper.LayerMagnitude:
        influence = 0.1 * channels / total
        estimate = ErrorBars(influence, 0.1 * influence)
        return paper.LayerMagnitude(
            name, total, k, channels, estimate, paper.Line(0.1 / total, 0.0, 0.875)
        )

    layers = [layer("intermediate", 64), layer("fine", 48), layer("image", 32)]
    return paper.Magnitude(layers, paper.Line(0.1, 0.0, 0.625))


def of_layer(level: str = "intermediate", count: int = 2) -> paper.LayerStability:
    names = ("nmf", "kmeans", "pca", "spectral", "agglomerative")[:count]
    chance = np.full((count, 4), 0.3)
    suggested = np.array([3, 4, 3, 3, 4])[:count]
    values = random(count, 4, 20)
    return paper.LayerStability(
        level, np.arange(2, 6), names, values, values - 0.1, chance, suggested
    )


def of_purity() -> paper.Purity:
    share = ErrorBars(np.array([1.0, 0.8, 0.5, np.nan]), np.array([0.02, 0.03, 0.04, np.nan]))
    modules = [paper.PureModule(np.array([20, 15, 6, 0]), share) for _ in range(4)]
    return paper.Purity(np.array([0.0, 0.3, 0.6, 0.9]), modules)


def of_levels(k: int = 3) -> paper.Levels:
    rows = [
        paper.LevelModules(name, 64, np.arange(k), random(k, 8, 8), painted(RED, k))
        for name in ("coarse", "intermediate", "image")
    ]
    return paper.Levels(rows, painted(GREEN, 1)[0], painted(BLUE, 1)[0], RANGE)


def of_sensitivity() -> paper.Sensitivity:
    def sweep(setting: paper.Setting, values: list[float], default: float) -> paper.Sweep:
        share = random(2, len(values))
        estimate = ErrorBars(share, np.full(share.shape, 0.05))
        levels = ("intermediate", "image")
        return paper.Sweep(setting, np.array(values), default, levels, estimate, estimate)

    return paper.Sensitivity(
        [
            sweep(paper.Setting.WINDOW, [1, 3, 5, 7], 3),
            sweep(paper.Setting.PERCENTILE, [60, 65, 70, 75, 80, 85, 90], 75),
            sweep(paper.Setting.PAIRS, [100, 200, 500, 1000, 2000, 5000], 1000),
        ]
    )


def of_originals() -> paper.Originals:
    values = np.array([[np.nan, np.nan], [0.95, 0.9], [0.7, 1.2]])
    compared = ErrorBars(values, np.full(values.shape, 0.03))
    own = ErrorBars(np.full((3, 2), 0.9), np.full((3, 2), 0.05))
    sources = ("real", "encoded", "prior")
    levels = ("intermediate", "image")
    return paper.Originals(levels, sources, "real", compared, compared, compared, own, 3)


def of_table() -> paper.Table1:
    same, other = paper.Cell("64"), paper.Cell("Adam, 2e-4 and 5e-5", "Paper: one rate for both.")
    long = paper.Cell("4 (128, 64, 32, 16, 3)", "Paper: many words about a departure. " * 6)
    names = ("VAE CelebA", "VAE CelebA, β/10", "GAN CelebA", "VAE CIFAR-10", "GAN CIFAR-10")
    rows = ("Batch size", "Optimisation algorithm", "Deconvolutions, channels")
    return paper.Table1(names, rows, ([same] * 5, [same, same, other, same, other], [long] * 5))


def of_beta(count: int = 6) -> paper.Beta:
    images = painted(RED, count), painted(GREEN, count), painted(BLUE, count)
    sharp = ErrorBars(np.array([0.3, 0.5]), np.array([0.02, 0.03]))
    return paper.Beta(*images, RANGE, sharp, ErrorBars(sharp.value / 10, sharp.error / 10))


def of_seams() -> paper.Seams:
    energies = 0.1 * random(30)
    modules = [paper.ModuleSeams(energies, energies, 1.0, (0.9, 1.2), i) for i in range(3)]
    return paper.Seams(modules, 0.95)


def of_reach(targets: int = 2) -> paper.Reach:
    def curve(name: str, total: int) -> paper.ReachCurve:
        places = np.arange(1, 17)
        share = np.where(places <= total, np.minimum(places / total, 1.0), np.nan)
        error = np.full(share.shape, 0.02)
        best, random = (ErrorBars(share**power, error) for power in (0.5, 1.0))
        return paper.ReachCurve(name, total, best, random)

    names = {"latents": 128, "coarse": 64, "intermediate": 64, "fine": 32, "image": 12}
    curves = [curve(name, total) for name, total in names.items()]
    told = ["region 40,20,12,24", "attribute Smiling (celeba)", "class 3 (classifier)"]
    return paper.Reach([paper.ReachTarget(name, curves) for name in told[:targets]])


def of_methods(k: int = 3) -> paper.Methods:
    layer = of_layer(count=5)
    return paper.Methods(
        layer.k,
        layer.methods,
        layer.consistency,
        layer.chance,
        layer.suggested,
        random(5, k, 8, 8),
        np.full((5, k), 21),
    )


FIGURES: dict[str, Callable[[], Figure]] = {
    "influence_examples": lambda: paper.influence_examples(of_examples()),
    "influence_examples, ten": lambda: paper.influence_examples(of_examples(10)),
    "clusters": lambda: paper.clusters(of_clusters()),
    "clusters, six pairs": lambda: paper.clusters(of_clusters(pairs=6)),
    "clusters, eight pairs": lambda: paper.clusters(of_clusters(pairs=8, k=6)),
    "magnitude": lambda: paper.magnitude(of_magnitude()),
    "stability": lambda: paper.stability(paper.Stability([of_layer()])),
    "stability, layers": lambda: paper.stability(paper.Stability([of_layer(), of_layer("image")])),
    "purity": lambda: paper.purity(of_purity()),
    "levels": lambda: paper.levels(of_levels()),
    "levels, five": lambda: paper.levels(of_levels(5)),
    "sensitivity": lambda: paper.sensitivity(of_sensitivity()),
    "originals": lambda: paper.originals(of_originals()),
    "table1": lambda: paper.table1(of_table()),
    "beta": lambda: paper.beta(of_beta()),
    "seams": lambda: paper.seams(of_seams()),
    "methods": lambda: paper.methods(of_methods()),
    "reach": lambda: paper.reach(of_reach()),
    "reach, one": lambda: paper.reach(of_reach(1)),
    "methods, six": lambda: paper.methods(of_methods(6)),
}


@cache
def figure_of(name: str) -> Figure:
    """A figure that several tests look at, and none changes."""
    return FIGURES[name]()


every_figure = pytest.mark.parametrize("name", FIGURES)


def hidden_labels(figure: Figure) -> set[Text]:
    """Labels of ticks that lie outside of their axis, which matplotlib keeps but never draws."""
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not axes.axison or not low <= tick.get_loc() <= high:
                    hidden |= {tick.label1, tick.label2}
    return hidden


@cache
def words(figure: Figure) -> list[Text]:
    """Every piece of text that is drawn."""
    figure.draw_without_rendering()
    hidden = hidden_labels(figure)
    found: list[Text] = figure.findobj(Text)
    return [
        text
        for text in found
        if text.get_visible() and text.get_text().strip() and text not in hidden
    ]


def extent(figure: Figure, artist: Text | AxesImage | Legend) -> Bbox:
    """Where something lies, in inches."""
    box = artist.get_window_extent()
    return Bbox(np.asarray(box.get_points()) / figure.dpi)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in words(figure)]


def plots(figure: Figure) -> list[Axes]:
    """The axes that are neither the sheet nor a colour bar."""
    return [axes for axes in figure.axes if axes.axison and "outline" not in axes.spines]


def scales(figure: Figure) -> list[Axes]:
    """The axes of colour bars: they alone have an outline."""
    return [axes for axes in figure.axes if "outline" in axes.spines]


def bars(axes: Axes) -> Iterator[np.ndarray]:
    """Both ends of every error bar."""
    for collection in axes.collections:
        if isinstance(collection, LineCollection):
            yield from collection.get_segments()


def overlap(first: Bbox, second: Bbox) -> bool:
    width = min(first.x1, second.x1) - max(first.x0, second.x0)
    height = min(first.y1, second.y1) - max(first.y0, second.y0)
    return bool(width > ROUNDING and height > ROUNDING)
