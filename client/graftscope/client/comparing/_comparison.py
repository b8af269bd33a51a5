"""Two sets of modules, compared.

Axis letters: A, B modules of either, M pairs of modules, C channels, H, W pixels.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import (
    Axes,
    ByValue,
    Columns,
    Displayed,
    Drawn,
    Real,
    Source,
    Tabular,
    finite,
    numbers,
    told,
)
from graftscope.client.comparing._likeness import (
    correlations,
    cosines,
    overlaps,
    to_common_size,
)
from graftscope.client.comparing._matching import adjusted_rand, best_match
from graftscope.client.errors import InputError
from graftscope.client.values import AnyModules, FloatArray, IntArray, ModulesResult

ALIKE = 0.5
"""From which cosine on the best match of two modules is one."""


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(ByValue, Tabular, Displayed, Drawn):
    """Modules of two layers or models, matched by where they act.

    As a table a row a match: both modules, their cosine, correlation and overlap, and how many
    channels each has.

    Args:
        similarity: (A, B) cosines of the templates, brought to a common size.
        pairs: (M, 2) int64, modules of the first and of the second that go together, by `cosine`,
            the most alike first.
        cosine: (M,) of each pair, at most 1.
        correlation: (M,) of its templates' pixels, -1 to 1: unlike the cosine, 0 where they have
            nothing to do with each other.
        overlap: (M,) intersection over union of the pixels of at least half of each template's
            highest value, 0 to 1.
        only_a: Modules of the first that nothing of the second goes with.
        only_b: Modules of the second that nothing of the first goes with.
        templates_a: (A, H, W) templates of the first, at the common size.
        templates_b: (B, H, W) those of the second.
        sizes_a: (A,) int64, channels in each module of the first; None where not known.
        sizes_b: (B,) likewise of the second.
        agreement: Where both are of the same channels, the share of them whose two modules go
            together, of those that are in a module in either; else NaN.
        adjusted_rand: Where both are of the same channels, how far they put the same ones together,
            whatever the templates: 1 where they are the same groups, about 0 by chance; else NaN.
        source_a: Which model and layer the first are of; None where not known.
        source_b: Likewise of the second.
    """

    similarity: Annotated[FloatArray, Axes("A B")]
    pairs: Annotated[IntArray, Axes("M two")]
    cosine: Annotated[FloatArray, Axes("M")]
    correlation: Annotated[FloatArray, Axes("M")]
    overlap: Annotated[FloatArray, Axes("M")]
    only_a: tuple[int, ...]
    only_b: tuple[int, ...]
    templates_a: Annotated[FloatArray, Axes("A H W", in_files=True)]
    templates_b: Annotated[FloatArray, Axes("B H W", in_files=True)]
    sizes_a: Annotated[IntArray | None, Axes("A", optional=True)] = None
    sizes_b: Annotated[IntArray | None, Axes("B", optional=True)] = None
    agreement: float = math.nan
    adjusted_rand: float = math.nan
    source_a: Source | None = None
    source_b: Source | None = None

    def __repr__(self) -> str:
        """Tell what it is, in a few words."""
        mean = f", mean cosine {self.cosine.mean():.2f}" if len(self.cosine) else ""
        alone = f", {len(self.only_a)} and {len(self.only_b)} alone"
        return f"<Comparison of modules: {len(self.pairs)} pairs{mean}{alone}>"

    def columns(self) -> Columns:
        """As `Tabular.columns`."""
        sizes = {
            f"channels_{word}": held[self.pairs[:, at]]
            for at, (word, held) in enumerate((("a", self.sizes_a), ("b", self.sizes_b)))
            if held is not None
        }
        return {
            "module_a": self.pairs[:, 0],
            "module_b": self.pairs[:, 1],
            "cosine": self.cosine,
            "correlation": self.correlation,
            "overlap": self.overlap,
            **sizes,
        }


def compare(
    a: AnyModules | NDArray[np.floating],
    b: AnyModules | NDArray[np.floating],
    *,
    at_least: float = ALIKE,
    same_channels: bool | None = None,
) -> Comparison:
    """Compare modules of two layers, two models, or twice of the same: which go together?

    Templates are averaged over areas to a common size and compared by their cosine. Of all ways to
    pair modules one to one, that with the largest sum of cosines is taken; a pair that is less
    alike than `at_least` is none. Nothing is computed by a server.

    Args:
        a: Modules that were found, or (A, H, W) templates.
        b: The same of others, B of them. Sizes may differ; images should show the same scene.
        at_least: The lowest cosine of a pair, 0 to 1.
        same_channels: Whether both are of the same channels, so that labels can be compared too;
            None where their sources tell: of the same layer of the same version of a model.

    Returns:
        The pairs with their numbers, and what is left alone.

    Raises:
        InputError: If a value or a shape is not allowed, or labels to compare are of different
            numbers of channels, or unknown.
    """
    lowest = Real(0, 1).checked("at_least", at_least)
    templates = to_common_size(_templates("a", a), _templates("b", b))
    similarity = cosines(*templates)
    pairs = best_match(similarity)
    pairs = pairs[np.argsort(-similarity[pairs[:, 0], pairs[:, 1]], kind="stable")]
    rows, columns = pairs.T
    # A template's cosine with itself may be 1 less a rounding error.
    pairs = pairs[similarity[rows, columns] >= lowest - 1e-12]
    rows, columns = pairs.T
    labels = _labels(a, b, same_channels)
    return Comparison(
        similarity=similarity,
        pairs=pairs,
        cosine=similarity[rows, columns],
        correlation=correlations(*templates)[rows, columns],
        overlap=overlaps(*templates)[rows, columns],
        only_a=_left_out(len(templates[0]), rows),
        only_b=_left_out(len(templates[1]), columns),
        templates_a=templates[0],
        templates_b=templates[1],
        sizes_a=_sizes(a),
        sizes_b=_sizes(b),
        agreement=math.nan if labels is None else _agreement(*labels, pairs),
        adjusted_rand=math.nan if labels is None else adjusted_rand(*labels),
        source_a=a.source if isinstance(a, ModulesResult) else None,
        source_b=b.source if isinstance(b, ModulesResult) else None,
    )


def _templates(name: str, given: AnyModules | NDArray[np.floating]) -> FloatArray:
    array = given.templates if isinstance(given, ModulesResult) else numbers(name, given)
    if array.ndim != 3 or array.size == 0:
        raise InputError(
            f"{name} {told(array)}: give modules, or their (K, H, W) templates", field=name
        )
    return finite(name, array).astype(np.float64)


def _labels(a: object, b: object, same: bool | None) -> tuple[IntArray, IntArray] | None:
    """Both labels of the channels, where these are the same."""
    found = isinstance(a, ModulesResult) and isinstance(b, ModulesResult)
    if not found:
        if same:
            raise InputError("same_channels: templates alone have no labels: give modules")
        return None
    assert isinstance(a, ModulesResult)
    assert isinstance(b, ModulesResult)
    if same is None:
        same = _of_one_layer(a.source, b.source) and np.array_equal(
            a.channel_numbers, b.channel_numbers
        )
    if not same:
        return None
    if len(a.labels) != len(b.labels):
        raise InputError(
            f"same_channels: the first are of {len(a.labels)} channels, the second of"
            f" {len(b.labels)}"
        )
    return a.labels, b.labels


def _of_one_layer(a: Source | None, b: Source | None) -> bool:
    return a is not None and b is not None and _place(a) == _place(b)


def _place(source: Source) -> tuple[str, str]:
    """A layer of a version: a name may be another's elsewhere."""
    return source.model_digest or source.model, source.layer


def _agreement(a: IntArray, b: IntArray, pairs: NDArray[np.int64]) -> float:
    """Share of the channels whose modules go together, of those in a module in either."""
    either = (a >= 0) | (b >= 0)
    if not either.any():
        return math.nan
    partner = np.full(max(int(a.max()), 0) + 2, -2)  # -1, the last, is none
    for first, second in pairs.tolist():
        if first < len(partner) - 1:
            partner[first] = second
    return float(np.mean(partner[a[either]] == b[either]))


def _left_out(count: int, taken: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(np.setdiff1d(np.arange(count), taken).tolist())


def _sizes(given: AnyModules | NDArray[np.floating]) -> IntArray | None:
    if not isinstance(given, ModulesResult):
        return None
    labels: IntArray = given.labels
    return np.bincount(labels[labels >= 0], minlength=given.k).astype(np.int64)
