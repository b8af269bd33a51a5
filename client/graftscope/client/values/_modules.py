"""Modules: what to find in influence maps (section 3.3), and what was found.

Axis letters: C channels, K modules, S seeds, H, W pixels.
"""

import math
from collections.abc import Awaitable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import (
    Arrays,
    Axes,
    By,
    Checked,
    Columns,
    Drawn,
    Flag,
    Gridded,
    Real,
    Saved,
    Several,
    Source,
    Tabular,
    Whole,
    module_labels,
    taken,
)
from graftscope.client.errors import InputError, UsageError
from graftscope.client.values._contents import (
    FloatArray,
    IntArray,
    checked_maps,
    checked_products,
    of_older,
)
from graftscope.client.values._from_client import (
    Code_co,
    Grafts,
    Held,
    Hybrids_co,
    Strips_co,
)
from graftscope.client.values._grouping import GroupingMethod, Method, Percentile, Window
from graftscope.client.values._hybrids import HybridResult
from graftscope.client.values._influence import InfluenceResult
from graftscope.client.values._module_list import ModuleList
from graftscope.client.values._of_maps import OfMaps
from graftscope.client.values._pair_groups import GROUP_PRODUCTS, GROUPS, PairGroups, checked_groups
from graftscope.client.values._strips import Strip

Hybrids = TypeVar("Hybrids")
Strips = TypeVar("Strips")
Code = TypeVar("Code")

OLDER = "an earlier version found the modules, which did not ask how sure they are"

GivenMaps: TypeAlias = InfluenceResult | NDArray[np.floating] | str
"""What modules can be found in: a result, (C, H, W) maps, or the name of an influence operation."""


@dataclass(frozen=True, eq=False)
class Maps:
    """Influence maps, or their operation's name; with what is known of them beside."""

    maps: NDArray[np.floating] | str
    products: NDArray[np.floating] | None = None
    groups: PairGroups | None = None
    pairs_of: IntArray | None = None
    of: OfMaps = OfMaps()

    @classmethod
    def given(
        cls,
        given: GivenMaps,
        products: NDArray[np.floating] | None = None,
        groups: PairGroups | None = None,
    ) -> "Maps":
        """Take what was given; a result brings its products and its groups of pairs along."""
        if not isinstance(given, InfluenceResult):
            return cls(given, products, groups)
        return cls(
            given.maps,
            given.products if products is None else products,
            given.groups if groups is None else groups,
            given.pairs_of,
            OfMaps.of(given),
        )


@dataclass(frozen=True)
class Stored:
    """An array of an operation that is done: the contract's `OperationResult`."""

    operation: str
    array: str


@dataclass(frozen=True, eq=False, repr=False)
class ModulesTask(Checked):
    """Modules to find in influence maps (section 3.3).

    Args:
        maps: (C, H, W) influence maps, or the name of the influence operation that holds them.
        k: Number of modules, K.
        method: How they are found.
        seeds: The first gives the modules; further ones tell how far they depend on it.
        window: Side of the averaging window in pixels, odd.
        percentile: Above which a pixel of a map counts, between 0 and 100, both excluded.
        products: (C, C) of the same influence, for methods that need them and maps that are given
            as an array; None for those of the operation.
        min_purity: Channels of less purity are put into no module, from 0 (all stay) to 1.
        groups: Means over groups of pairs of the same influence, which tell how sure labels are;
            None for those of the result or of the operation.
    """

    maps: Annotated[NDArray[np.floating] | str, By(checked_maps)]
    k: Annotated[int, Whole(1), Flag("--k", "K", "How many modules, 1 to the number of maps.")] = 3
    method: GroupingMethod = Method.NMF
    seeds: Annotated[
        Sequence[int],
        Several(Whole()),
        Flag(
            "--clustering-seed",
            "S,...",
            "Decides only the grouping, 0 to 4294967295. Give several with commas or by "
            "repeating the option: the first gives the modules, the others show how much they "
            "depend on the seed. Default: --seed.",
        ),
    ] = (0,)
    window: Window = 3
    percentile: Percentile = 75.0
    products: Annotated[NDArray[np.floating] | None, By(checked_products)] = None
    min_purity: Annotated[
        float,
        Real(0, 1),
        Flag(
            "--min-purity",
            "P",
            "Leave channels of lower purity out of all modules, from 0 (none left out) to 1. "
            "Purity: a channel's largest weight divided by the sum of its weights; with "
            "methods other than nmf always 1.",
        ),
    ] = 0.0
    groups: Annotated[PairGroups | None, By(checked_groups)] = None

    def __post_init__(self) -> None:
        """Check the fields, and that the least purity can act."""
        super().__post_init__()
        if self.min_purity > 0 and self.method is not Method.NMF:
            raise UsageError(
                f"min_purity {self.min_purity:g} does nothing with method {self.method}, by which"
                " every channel has purity 1: leave it out, or group by nmf"
            )

    def request(self) -> dict[str, object]:
        """Say it in the contract's fields."""
        said = {**vars(self), **maps_and_products(self.maps, self.products, [self.method])}
        del said["groups"]
        return {**said, **self._told_groups()}

    def _told_groups(self) -> dict[str, object]:
        """Means over groups of pairs, and of products for methods that need those."""
        if self.groups is None:
            return dict.fromkeys((*GROUPS, GROUP_PRODUCTS))
        told = self.groups.request()
        return told if self.method.needs_products else {**told, GROUP_PRODUCTS: None}


@dataclass(frozen=True, eq=False, repr=False)
class ModulesResult(Saved, Tabular, Drawn, Gridded, ModuleList[Hybrids_co, Strips_co, Code_co]):
    """Modules found in influence maps (section 3.3): K of them, each an object.

    ``modules[0].channels`` are the channels of the first, ``modules[0].hybridize()`` makes hybrids
    with it; `len` counts them, and a ``for`` loop goes through them.

    As a table a row a channel: its module, -1 for none, its purity, how sure its module is, and its
    weight in each and how probable each is.

    Args:
        labels: (C,) int64 module of each map; -1 where it belongs to none: its map is flat, or it
            is less pure than was asked for.
        templates: (K, H, W) float64.
        weights: (C, K) float64.
        purity: (C,) the share of a channel's largest weight, NaN where its map is flat.
        seeds: S seeds; the first gave labels, templates and weights. None at all where a file of an
            earlier version does not say.
        seed_labels: (S, C) labels of every seed, matched to the first.
        seed_templates: (S, K, H, W) templates of every seed, matched to the first.
        agreement: (S,) share of channels with the first seed's label.
        cosine: (S,) mean cosine with the first seed's templates.
        seeds_agreeing: How many seeds agree with the first in at least 0.9 of the channels, the
            first included.
        method: How they were found; None where a file does not say.
        operation: The operation that found them.
        probabilities: (C, K) how probable it is that other pairs, as many and drawn alike, put a
            channel into each module. NaN where that cannot be known: its map is flat, or
            `confidence_unknown` says why.
        impure: How many channels are in no module because they are less pure than was asked for.
        confidence_unknown: Why probabilities are NaN for every channel, in a sentence; empty where
            they are known.
        source: Which model and layer the maps are of; None where only arrays were given, or the
            result was read by the operation's name.
        took_s: Seconds from its first request to its end, waits included; NaN where not known.
        channels: (C,) int64, the channel that each map is of. None where only arrays were given, or
            a file of an earlier version does not say: then channels are named by their positions.
        individual: (C,) individual influence of each channel, in the image's own units; None where
            not known, like `channels`.
        individual_stderr: (C,) its standard error; likewise.
        range_width: Width of the image's range; NaN where not known.
    """

    labels: Annotated[IntArray, Axes("C")]
    templates: Annotated[FloatArray, Axes("K H W", in_files=True)]
    weights: Annotated[FloatArray, Axes("C K", in_files=True)]
    purity: Annotated[FloatArray, Axes("C")]
    seeds: tuple[int, ...]
    seed_labels: Annotated[IntArray, Axes("S C", in_files=True)]
    seed_templates: Annotated[FloatArray, Axes("S K H W", in_files=True)]
    agreement: Annotated[FloatArray, Axes("S")]
    cosine: Annotated[FloatArray, Axes("S")]
    seeds_agreeing: int
    method: Method | None
    operation: str
    probabilities: Annotated[FloatArray, Axes("C K")]
    impure: int = 0
    confidence_unknown: str = ""
    source: Source | None = None
    took_s: float = math.nan
    channels: Annotated[IntArray | None, Axes("C", optional=True)] = None
    individual: Annotated[FloatArray | None, Axes("C", optional=True)] = None
    individual_stderr: Annotated[FloatArray | None, Axes("C", optional=True)] = None
    range_width: float = math.nan

    BESIDE: ClassVar = ("k", "confidence")
    IN_ARRAYS: ClassVar = ("seeds",)

    @property
    def is_partial(self) -> bool:
        """Whether they were found in the maps of a job that had not come to its end."""
        return self.source is not None and self.source.is_partial

    def of_client(
        self, client: Grafts[Hybrids, Strips, Code]
    ) -> "ModulesResult[Hybrids, Strips, Code]":
        """Have the modules know a client, with which they make hybrids."""
        found = cast("ModulesResult[Hybrids, Strips, Code]", copy(self))
        found._hold(Held(client))
        return found

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        source = "given maps" if self.source is None else str(self.source)
        shapes = f"labels {self.labels.shape}, templates {self.templates.shape}"
        return f"<ModulesResult of {source}: {shapes}, {self.method}>"

    def columns(self) -> Columns:
        """As `Tabular.columns`."""
        weights = {f"weight_{module}": self.weights[:, module] for module in range(self.k)}
        probable = {f"probability_{k}": self.probabilities[:, k] for k in range(self.k)}
        return {
            "channel": self.channel_numbers,
            "module": self.labels,
            "purity": self.purity,
            "confidence": self.confidence,
            **weights,
            **probable,
        }

    def arrays(self) -> Arrays:
        """As `Saved.arrays`; with the seeds."""
        return {**super().arrays(), "seeds": np.array(self.seeds, np.int64)}

    @classmethod
    def _of_arrays(cls, arrays: Arrays) -> dict[str, Any]:
        module_labels(taken(arrays, "labels"))
        if "seeds" not in arrays:
            arrays = {**arrays, **_of_no_seeds(taken(arrays, "weights"), arrays)}
        unknown = "probabilities" not in arrays
        if unknown:
            nothing = np.full(taken(arrays, "weights").shape, np.nan)
            arrays = {**arrays, "probabilities": nothing}
        found = super()._of_arrays(arrays)
        found["seeds"] = tuple(arrays["seeds"].tolist())
        return {**found, "confidence_unknown": OLDER} if unknown else found

    @classmethod
    def _not_said(cls, arrays: Arrays, source: Source | None) -> dict[str, Any]:
        operation = of_older(source).operation
        return {"seeds_agreeing": 0, "method": None, "operation": operation, "source": source}


def _of_no_seeds(weights: NDArray[np.floating], arrays: Arrays) -> Arrays:
    """What a file of an earlier version leaves out: it tells of no seed."""
    total = weights.sum(axis=1)
    largest = weights.max(axis=1, initial=0.0)
    return {
        "purity": np.where(total > 0, largest / np.where(total > 0, total, 1.0), np.nan),
        "seeds": np.empty(0, np.int64),
        "seed_labels": np.empty((0, len(weights)), np.int64),
        "seed_templates": np.empty((0, *taken(arrays, "templates").shape)),
        "agreement": np.empty(0),
        "cosine": np.empty(0),
    }


def maps_and_products(
    maps: NDArray[np.floating] | str,
    products: NDArray[np.floating] | None,
    methods: Iterable[Method],
) -> dict[str, object]:
    """Say which maps are meant, and their products for methods that need them only.

    Raises:
        InputError: If a method needs products, and there are none.
    """
    stored = isinstance(maps, str)
    needing = [method for method in methods if method.needs_products]
    if needing and products is None and not stored:
        raise InputError(
            f"method {needing[0]} needs the products of the maps, and there are none: compute the"
            " maps with products=True, or give `products`",
            field="products",
        )
    of_operation = Stored(maps, "products") if isinstance(maps, str) else None
    return {
        "maps": Stored(maps, "maps") if isinstance(maps, str) else np.asarray(maps),
        "products": (of_operation if products is None else np.asarray(products))
        if needing
        else None,
    }


AsyncModules: TypeAlias = ModulesResult[Awaitable[HybridResult], Awaitable[Strip], Awaitable[str]]
"""Modules of an `AsyncClient`: what they make is awaited."""

AnyModules: TypeAlias = ModulesResult[object, object, object]
"""Modules of whichever client."""
