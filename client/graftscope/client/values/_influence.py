"""Influence maps: what to compute (section 3.2, equation 3), and what comes of it.

Axis letters: E sets of channels, C channels, H, W pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import (
    About,
    Arrays,
    Axes,
    By,
    Checked,
    Columns,
    Drawn,
    Flag,
    Gridded,
    Names,
    Saved,
    Source,
    Tabular,
    Whole,
    drawn,
    influence_maps,
    listed,
    module_labels,
)
from graftscope.client.errors import InputError, UsageError
from graftscope.client.interventions import (
    GivenChannels,
    Intervention,
    require,
    some_channels,
)
from graftscope.client.values._contents import (
    FloatArray,
    HalfArray,
    IntArray,
    SingleArray,
    checked_labels,
    contents_but,
    of_older,
    source_of,
)
from graftscope.client.values._execution import Execution, Precision, WantedPrecision
from graftscope.client.values._pair_groups import PairGroups, not_negative
from graftscope.client.values._pairs import (
    FirstPair,
    FixedInputs,
    Originals,
    PairCount,
    Pairs,
    PairSeed,
    Shared,
    Stratified,
    told_pairs,
)
from graftscope.client.values._stopping import (
    Stopping,
    StoppingRule,
    Together,
    Until,
    bare,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MapSize: TypeAlias = Annotated[
    int,
    Whole(),
    Flag(
        "--map-size",
        "N",
        "Average the maps over areas so that no side is longer than N pixels; "
        "0: the image's size up to 128.",
    ),
]


@dataclass(frozen=True, eq=False, repr=False)
class InfluenceTask(Checked):
    """Influence maps to compute (section 3.2, equation 3).

    Args:
        model: The model's name, with ``@DIGEST`` to insist on one version.
        layer: A layer's name or a level's; empty with interventions, which name theirs, and with
            layers.
        channels: Which channels' maps, each by itself: numbers in any iterable, such as a list or
            a set, C booleans, or modules, all of whose channels are meant; None for every channel
            of the layer.
        labels: (C,) module of every channel, -1 for none: maps of modules instead of channels.
        interventions: Maps of these instead, one each.
        pairs: How many pairs of originals, at least 1; ignored where `originals` holds pairs.
        seed: Any number in [0, 2^32): decides the pairs.
        first: Index of the first pair; ranges that do not overlap give independent pairs.
        originals: Where the pairs come from; None for `Encoded` where there are encodings, else
            `Prior`.
        map_size: No side of a map is longer, in pixels; 0 for the image's size up to 128.
        products: Whether `InfluenceResult.products` are wanted.
        share: Names of inputs of which original 2 takes original 1's value.
        fix: Values of inputs that are the same in every sample: numbers, or arrays of the input's
            shape.
        until: What may end it before `pairs`, which then is the maximum; a rule, or one in words:
            ``se=0.02``, ``stable``, ``stable,k=4,method=kmeans``.
        precision: Of the arithmetic; what the server cannot run it refuses.
        layers: Every channel of each of these layers instead, in one pass: then the result is a
            `LayersResult`.
        stratified: Whether every 32 pairs are spread evenly over each dimension of the latents,
            which takes fewer pairs for the same error. `pairs` and `first` are multiples of 32
            then, and originals `Prior` or `Encoded`.
        uncorrected: Whether a precision below float32 is left as it is. By default some of the
            pairs are computed in float32 too, and what they differ by corrects the maps.
    """

    model: str
    layer: str = ""
    channels: Annotated[GivenChannels | None, By(some_channels)] = None
    labels: Annotated[NDArray[np.integer] | None, By(checked_labels)] = None
    pairs: PairCount = 1000
    seed: PairSeed = 0
    first: FirstPair = 0
    originals: Originals | None = None
    map_size: MapSize = 0
    products: Annotated[
        bool,
        Flag(
            "--products",
            "",
            "Also compute the products of every two channels' effects in the same pair, which "
            "the methods pca and spectral need.",
        ),
    ] = False
    interventions: Sequence[Intervention] | None = None
    share: Shared = ()
    fix: FixedInputs = None
    until: StoppingRule = None
    precision: WantedPrecision = Precision.FP32
    layers: Annotated[Sequence[str] | None, Names(1)] = None
    stratified: Stratified = False
    uncorrected: Annotated[
        bool,
        Flag(
            "--uncorrected",
            "",
            "Leave a --precision below float32 as it is. By default some of the pairs are computed "
            "in float32 too and the maps corrected by the differences, so that their expected "
            "values are those of float32; standard errors include the correction's.",
        ),
    ] = False

    def __post_init__(self) -> None:
        """Check the fields, and that maps of one kind are asked for, and where."""
        super().__post_init__()
        if self.interventions is not None:
            given = listed("interventions", self.interventions)
            for each in given:
                require("intervention", each, (Intervention,), "Intervention(...)")
            object.__setattr__(self, "interventions", given)
        self._require_one_subject()
        if self.interventions == ():
            raise InputError("no interventions: give at least one", field="interventions")

    @property
    def is_of_channels(self) -> bool:
        """Whether each map is of one channel, and not of a module or an intervention."""
        return self.labels is None and self.interventions is None

    def request(self) -> dict[str, object]:
        """Say it in the contract's fields."""
        said = contents_but(self, Pairs, "channels", "labels", "interventions", "layers")
        match self:
            case InfluenceTask(interventions=given) if given is not None:
                subject: dict[str, object] = {"each_intervention": given}
            case InfluenceTask(layers=names) if names is not None:
                subject = {"each_layer": names}
            case InfluenceTask(labels=labels) if labels is not None:
                subject = {"each_module": np.asarray(labels)}
            case _:
                subject = {"each_channel": self.channels or ()}
        given = self.interventions
        # What is no intervention is refused when it is written down.
        takes = given is None or any(
            not isinstance(each, Intervention) or each.takes_original2 for each in given
        )
        if isinstance(self.until, Until):
            together = isinstance(self.until, Together)
            said["until"] = {"rule": bare(self.until), "together": together}
        return {**said, **subject, "pairs": Pairs.of(self, takes_second=takes)}

    def _require_one_subject(self) -> None:
        chosen = self.channels is not None or self.labels is not None
        if self.labels is not None and self.channels is not None:
            raise UsageError("say either `channels` or `labels`: maps of channels, or of modules")
        if self.layers is not None:
            if self.layer or chosen or self.interventions is not None:
                raise UsageError(
                    "`layers` asks for every channel of each: leave out `layer`, `channels`,"
                    " `labels` and `interventions`"
                )
        elif self.interventions is None:
            if not self.layer:
                raise UsageError("say where: either `layer`, or `interventions`")
        elif self.layer or chosen:
            raise UsageError(
                "interventions name their layers and channels themselves: leave out `layer`,"
                " `channels` and `labels`"
            )


_AS_PAIRS = cast(IntArray, None)
"""Stands for `pairs`, for every map; no result keeps it."""


@dataclass(frozen=True, eq=False, repr=False)
class InfluenceResult(Saved, Tabular, Drawn, Gridded):
    """Influence maps (section 3.2, equation 3) of E sets of channels.

    As a table a row a map: its layer, its channel (or module, or intervention in words), and its
    individual influence, with standard error and share of the range.

    Args:
        maps: (E, H, W) float64: mean over pairs of ``|hybrid - original 1|``, averaged over
            colour.
        stderr: (E, H, W) standard error of `maps` over pairs; NaN with one pair. Where pairs are
            stratified, that of means over 32 pairs; NaN with 32.
        individual: (E,) mean of each map over its pixels, in the image's own units.
        individual_stderr: (E,) its standard error, from the pairs' own pixel means.
        channels: (E,) int64: the channel, or the module, that each map belongs to; of
            interventions their places in `interventions`.
        range_width: Width of the image's range; NaN where a file does not say.
        pairs: Pairs of originals behind the maps: with a stopping rule those that were needed, by
            the map that needed the most.
        distinct_images: How many different real images were used; 0 where none were.
        originals: prior, encoded, images, latents or image_pairs.
        model: The model's name.
        layer: The layer's name; empty where interventions are at several.
        operation: The operation that computed them.
        execution: What computed them.
        products: (E, E) mean over pairs and pixels of the product of two sets'
            ``|hybrid - original 1|`` in the same pair: what `Method.PCA` and `Method.SPECTRAL`
            group by. None where they were not asked for.
        interventions: What each map is of, where that is no channel and no module; else none.
        stopping: What came of a stopping rule; None where there was none.
        stratified: Whether every 32 pairs were spread evenly over each dimension of the latents.
        group_maps: (G, E, H, W) float16: means of the maps over G groups of pairs, at most 16, from
            which modules tell how sure their labels are. With `group_pairs` and `group_units` as
            in `PairGroups`. None where an earlier version computed the maps.
        group_pairs: (G, E) pairs in each group.
        group_units: (E,) what 1 in `group_maps` stands for.
        group_products: (G, E, E) float32: means of `products` over the same groups. None where
            those were not asked for, or an earlier version computed them.
        subject: What each map is of: channels, modules or interventions; empty where a file of an
            earlier version does not say.
        seed: Decided the pairs; None where a file does not say, and so `first`.
        first: Index of the first pair.
        share: Names of inputs of which original 2 took original 1's value.
        fixed: Names of inputs that were the same in every sample.
        pairs_of: (E,) int64, pairs behind each map and its standard errors: `pairs`, unless a
            stopping rule stopped maps one by one.
        corrected_pairs: On how many of the pairs float32 corrected a precision below it; 0 where
            none was corrected. Corrected maps may be a little below 0 where there is no influence.
        correction: (E,) mean difference of float32 from that precision in `individual`, which has
            it added already; None where none was corrected.
        correction_stderr: (E,) its own standard error; `individual_stderr` has it included.
        is_partial: Whether the job had not come to its end: these are the maps of the pairs so far.
        took_s: Seconds from its first request to its end, waits included; NaN where not known.
    """

    maps: Annotated[FloatArray, Axes("E H W", in_files=True)]
    stderr: Annotated[FloatArray, Axes("E H W", in_files=True)]
    individual: Annotated[FloatArray, Axes("E")]
    individual_stderr: Annotated[FloatArray, Axes("E")]
    channels: Annotated[IntArray, Axes("E")]
    range_width: float
    pairs: int
    distinct_images: int
    originals: str
    model: str
    layer: str
    operation: str
    execution: Execution
    products: Annotated[FloatArray | None, Axes("E E", in_files=True, optional=True)] = None
    interventions: tuple[Intervention, ...] = ()
    stopping: Stopping | None = None
    stratified: bool = False
    group_maps: Annotated[HalfArray | None, Axes("G E H W", in_files=True, optional=True)] = None
    group_pairs: Annotated[IntArray | None, Axes("G E", in_files=True, optional=True)] = None
    group_units: Annotated[FloatArray | None, Axes("E", in_files=True, optional=True)] = None
    group_products: Annotated[SingleArray | None, Axes("G E E", in_files=True, optional=True)] = (
        None
    )
    subject: str = ""
    seed: int | None = None
    first: int | None = None
    share: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    pairs_of: Annotated[IntArray, Axes("E", optional=True)] = _AS_PAIRS
    corrected_pairs: int = 0
    correction: Annotated[FloatArray | None, Axes("E", optional=True)] = None
    correction_stderr: Annotated[FloatArray | None, Axes("E", optional=True)] = None
    is_partial: bool = False
    took_s: float = math.nan

    BESIDE: ClassVar = ("map_shape",)
    IN_ARRAYS: ClassVar = ("interventions",)

    def __post_init__(self) -> None:
        """Where nothing is said of single maps, all have had the same pairs."""
        if self.pairs_of is _AS_PAIRS:
            object.__setattr__(self, "pairs_of", np.full(len(self.individual), self.pairs))

    @property
    def map_shape(self) -> tuple[int, ...]:
        """Rows and columns of a map."""
        return self.maps.shape[1:]

    @property
    def individual_share(self) -> FloatArray:
        """(E,) individual influence as a share of the image range's width."""
        return self.individual / self.range_width

    @property
    def groups(self) -> PairGroups | None:
        """Means over groups of pairs; None where an earlier version computed the maps.

        Raises:
            InputError: If they cannot be those of the maps.
        """
        maps, pairs, units = self.group_maps, self.group_pairs, self.group_units
        if maps is None or pairs is None or units is None:
            return None
        found = PairGroups(maps, pairs, units, self.group_products)
        if self.pairs:
            found.require_pairs(self.pairs_of)
        return found

    @property
    def source(self) -> Source:
        """Which model and layer the maps are of."""
        return replace(source_of(self, self.layer), is_partial=self.is_partial)

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        pairs = told_pairs(self.pairs_of, self.subject.removesuffix("s") or "map")
        return f"<InfluenceResult of {self.source}: maps {self.maps.shape}, {pairs}>"

    def plot(self, labels: NDArray[np.integer] | None = None) -> "Figure":
        """Draw the strongest maps, module by module where modules are known.

        Args:
            labels: (C,) module of each channel, -1 for none, such as `ModulesResult.labels`.

        Returns:
            As `Drawn.plot`.

        Raises:
            InputError: If they are not labels of these maps.
            ReportExtraError: If matplotlib, of the extra ``report``, is not installed.
        """
        if labels is not None and len(module_labels(labels)) != len(self.maps):
            raise InputError(
                f"labels of {len(labels)} channels do not belong to {len(self.maps)} maps",
                field="labels",
            )
        return drawn(self, labels)

    def columns(self) -> Columns:
        """As `Tabular.columns`."""
        subject = self.subject.removesuffix("s") or "channel"
        told = [str(each) for each in self.interventions]
        return {
            "layer": np.full(len(self.maps), self.layer),
            subject: np.array(told) if told else self.channels,
            "individual": self.individual,
            "individual_stderr": self.individual_stderr,
            "individual_share": self.individual_share,
        }

    def arrays(self) -> Arrays:
        """As `Saved.arrays`; interventions as JSON, where the maps are of those.

        Where all maps have had the same pairs, `pairs` tells how many.
        """
        found = super().arrays()
        if (self.pairs_of == self.pairs).all():
            del found["pairs_of"]
        if self.interventions:
            found["interventions"] = np.array([each.to_json() for each in self.interventions])
        return found

    @classmethod
    def _of_arrays(cls, arrays: Arrays) -> dict[str, Any]:
        found = super()._of_arrays(arrays)
        influence_maps(found["maps"])
        texts = arrays.get("interventions", np.array([], np.str_)).tolist()
        return {**found, "interventions": tuple(map(Intervention.from_json, texts))}

    @classmethod
    def _loaded(cls, arrays: Arrays, about: About, **given: Any) -> Self:
        found = super()._loaded(arrays, about, **given)
        for name in ("channels", "pairs_of"):
            not_negative(name, getattr(found, name), name)
        # Refuses groups that are not those of the maps.
        _ = found.groups
        return found

    @classmethod
    def _not_said(cls, arrays: Arrays, source: Source | None) -> dict[str, Any]:
        of = of_older(source)
        return {
            "range_width": math.nan,
            "pairs": 0,
            "distinct_images": 0,
            "originals": "",
            "model": of.model,
            "layer": of.layer,
            "operation": of.operation,
            "execution": Execution.not_said(of.model_digest),
        }
