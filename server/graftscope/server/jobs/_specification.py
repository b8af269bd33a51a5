"""What a job computes, as plain values; its canonical form decides the job's identity.

Arrays are named by their sha256, so a specification is small and can be stored as JSON. It must not
know protobuf, sessions, how a stopping rule is decided, or how the job is cut into runs.
"""

import hashlib
import json
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Any, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine import Donor, Edit
from graftscope.server.jobs._artifact_store import ArrayRef
from graftscope.server.jobs._json import from_plain
from graftscope.server.jobs._originals_spec import OriginalsSpec
from graftscope.server.jobs._worth_specs import (
    FaithfulnessSpec,
    IndependenceSpec,
    ProbeSpec,
    ReachSpec,
    WorthSpec,
)

GROUPS = ("group_maps", "group_pairs", "group_units")
"""The arrays of a result that modules of its maps take along: what resampling pairs needs."""

GROUP_PRODUCTS = "group_products"
"""Likewise that of the products, for the methods that need them."""

CONFIDENT_LABELS = 2
"""How it is decided whether labels are sure: this version."""

# Absent from the canonical form where they are empty, so that what was specified before there was
# such a field keeps its identity.
_LATER_FIELDS = frozenset(
    {
        "share",
        "stratified",
        "interventions",
        "until",
        "each_layer",
        "corrected",
        *GROUPS,
        GROUP_PRODUCTS,
    }
)


@dataclass(frozen=True)
class RelativeErrorSpec:
    """Until every individual influence is known to a relative standard error.

    Attributes:
        error: above 0 and below 1.
        version: of the decision: with 1 all maps go on until the last is known, with 2 each stops
            by itself.
    """

    error: float
    version: int = 1
    rule: str = "relative_standard_error"

    @property
    def together(self) -> bool:
        """Whether no map stops by itself."""
        return self.version == 1


@dataclass(frozen=True)
class StableLabelsSpec:
    """Until the labels of modules stay what they are over the last half of the pairs.

    Attributes:
        k: number of modules, at least 2.
        method: a word of `analysis.Method`.
        seed: of the method.
        window: side of the averaging window in pixels, odd.
        percentile: between 0 and 100.
        version: of the decision.
    """

    k: int
    method: str
    seed: int
    window: int
    percentile: float
    version: int = 1
    rule: str = "stable_labels"


@dataclass(frozen=True)
class ConfidentLabelsSpec:
    """Until every map's label is sure.

    Attributes:
        probability: of a label, at least one half and below 1.
        k: number of modules, at least 2.
        method: a word of `analysis.Method`.
        seed: of the method.
        window: side of the averaging window in pixels, odd.
        percentile: between 0 and 100.
        together: whether all maps go on until the last label is sure, and no map stops by itself.
        version: of the decision: with 2 probabilities count the error of both runs that they
            compare, and modules are found anew in float32. 1 did neither.
    """

    probability: float
    k: int
    method: str
    seed: int
    window: int
    percentile: float
    together: bool
    version: int = CONFIDENT_LABELS
    rule: str = "confident_labels"

    @property
    def is_old(self) -> bool:
        """Whether an earlier version of the program asked for it, which decided otherwise."""
        return self.version < CONFIDENT_LABELS


LabelsSpec: TypeAlias = StableLabelsSpec | ConfidentLabelsSpec

UntilSpec: TypeAlias = RelativeErrorSpec | LabelsSpec


DonorSpec: TypeAlias = Donor[ArrayRef]

EditSpec: TypeAlias = Edit[ArrayRef]

InterventionSpec: TypeAlias = tuple[EditSpec, ...]
"""Edits of which no two assign one channel at one place."""


@dataclass(frozen=True)
class LayerSpec:
    """A layer of which every channel is wanted: its name, and how many channels it has."""

    layer: str
    channels: int


@dataclass(frozen=True)
class InfluenceSpec:
    """Influence maps of sets of channels at one layer, of every channel of several layers, or of
    interventions.

    Attributes:
        model: the bundle's digest.
        layer: the layer's name; empty where interventions are at several, and for several layers.
        channels: how many channels the layer has; 0 where interventions or layers are given.
        sets: the channels of each E, ascending; empty where interventions or layers are given.
        indices: what each map is reported as: the channel, or the module's index.
        subject: channels, modules, interventions or layers.
        originals: where originals come from.
        seed: of the pairs; 0 where they are given.
        first: index of the first pair.
        pairs: how many; the most where there is a stopping rule.
        map_size: longest side of a map, resolved.
        arithmetic: version of the arithmetic.
        precision: fp32.
        products: whether products of effects are wanted too.
        interventions: each of at least one edit, where some are no plain swaps at the layer.
        until: what may end the job before that.
        each_layer: whose channels, layer after layer, where they are several layers'.
        corrected: whether a reduced precision is corrected by float32 on some of the pairs; never
            where float32 was asked for.
    """

    model: str
    layer: str
    channels: int
    sets: tuple[tuple[int, ...], ...]
    indices: tuple[int, ...]
    subject: str
    originals: OriginalsSpec
    seed: int
    first: int
    pairs: int
    map_size: int
    arithmetic: int
    precision: str = "fp32"
    products: bool = False
    interventions: tuple[InterventionSpec, ...] = ()
    until: UntilSpec | None = None
    each_layer: tuple[LayerSpec, ...] = ()
    corrected: bool = False
    analysis: str = "influence"

    @property
    def rows(self) -> tuple[range, ...]:
        """The indices of each layer's maps; of all maps where they are of one subject."""
        counts = [each.channels for each in self.each_layer] or [len(self.indices)]
        ends = accumulate(counts)
        return tuple(range(end - count, end) for end, count in zip(ends, counts, strict=True))

    @property
    def layer_of(self) -> NDArray[np.int64]:
        """(E,), each map's place among the layers."""
        counts = [len(rows) for rows in self.rows]
        return np.repeat(np.arange(len(counts), dtype=np.int64), counts)


@dataclass(frozen=True)
class ModulesSpec:
    """Modules from influence maps.

    Attributes:
        maps: (C, H, W).
        k: number of modules.
        method: a word of `analysis.Method`.
        seeds: the first gives the modules; the others tell how far they depend on it.
        window: side of the averaging window in pixels, odd.
        percentile: between 0 and 100.
        products: (C, C), for the methods that need them.
        min_purity: channels of less are put into no module.
        group_maps: (G, C, H, W), as `analysis.ShardGroups` keeps means over groups of pairs; None
            where there are none.
        group_pairs: (G, C), likewise.
        group_units: (C,), likewise.
        group_products: (G, C, C), means of products over the same groups, for the methods that need
            them; None where there are none.
        version: of the arithmetic.
    """

    maps: ArrayRef
    k: int
    method: str
    seeds: tuple[int, ...]
    window: int
    percentile: float
    products: ArrayRef | None = None
    min_purity: float = 0.0
    group_maps: ArrayRef | None = None
    group_pairs: ArrayRef | None = None
    group_units: ArrayRef | None = None
    group_products: ArrayRef | None = None
    version: int = 1
    analysis: str = "modules"


@dataclass(frozen=True)
class StabilitySpec:
    """Agreement of modules found in overlapping thirds of the channels.

    Attributes:
        maps: (C, H, W).
        ks: numbers of modules; empty for the default ones.
        methods: nmf, kmeans, pca, spectral; at least one.
        repeats: random partitions.
        seed: of partitions and methods.
        window: side of the averaging window in pixels, odd.
        percentile: between 0 and 100.
        products: (C, C), for the methods that need them.
        version: of the arithmetic.
    """

    maps: ArrayRef
    ks: tuple[int, ...]
    methods: tuple[str, ...]
    repeats: int
    seed: int
    window: int
    percentile: float
    products: ArrayRef | None = None
    version: int = 2
    analysis: str = "stability"


@dataclass(frozen=True)
class MagnitudeSpec:
    """Individual influence of modules, for several numbers of them at several layers.

    Attributes:
        model: the bundle's digest.
        layers: names, at least one.
        ks: numbers of modules; empty for the default ones.
        method: how modules are found.
        method_seed: of the method.
        window: side of the averaging window in pixels, odd.
        percentile: between 0 and 100.
        originals: where originals come from.
        seed: of the pairs; 0 where they are given.
        first: index of the first pair that modules are found on.
        pairs: how many find the modules, and how many after them measure them.
        map_size: longest side of a map, resolved.
        arithmetic: version of the arithmetic of influence.
        version: of everything else.
    """

    model: str
    layers: tuple[str, ...]
    ks: tuple[int, ...]
    method: str
    method_seed: int
    window: int
    percentile: float
    originals: OriginalsSpec
    seed: int
    first: int
    pairs: int
    map_size: int
    arithmetic: int
    version: int = 1
    analysis: str = "magnitude"


Spec = (
    InfluenceSpec
    | ModulesSpec
    | StabilitySpec
    | MagnitudeSpec
    | FaithfulnessSpec
    | IndependenceSpec
    | ReachSpec
    | ProbeSpec
)

_KINDS: dict[str, type[Spec]] = {kind.analysis: kind for kind in get_args(Spec)}


def canonical(spec: Spec) -> str:
    """The specification as JSON with sorted keys and no spaces: equal text, equal result."""
    # Not by `asdict`, which looks at every number of every list, and copies it.
    return json.dumps(spec, default=_plain, sort_keys=True, separators=(",", ":"))


def identity(spec: Spec) -> str:
    """sha256 of the canonical specification, lowercase hexadecimal."""
    return hashlib.sha256(canonical(spec).encode()).hexdigest()


def parse_spec(text: str) -> Spec:
    """The inverse of `canonical`."""
    value = json.loads(text)
    return from_plain(_KINDS[value["analysis"]], value)


def input_arrays(spec: Spec) -> tuple[ArrayRef, ...]:
    """The stored arrays that a job needs."""
    if isinstance(spec, ModulesSpec | StabilitySpec):
        beside = [getattr(spec, name, None) for name in ("products", *GROUPS, GROUP_PRODUCTS)]
        return (spec.maps, *(ref for ref in beside if ref is not None))
    if isinstance(spec, WorthSpec):
        return spec.arrays
    refs = tuple(spec.originals.arrays.values())
    if isinstance(spec, MagnitudeSpec):
        return refs
    edits = (edit for intervention in spec.interventions for edit in intervention)
    return (*refs, *(ref for edit in edits for ref in edit.arrays))


def _plain(value: Any) -> dict[str, object]:
    """A dataclass as JSON keeps it: without later fields that are empty."""
    items = ((each.name, getattr(value, each.name)) for each in fields(value))
    return {name: value for name, value in items if value or name not in _LATER_FIELDS}
