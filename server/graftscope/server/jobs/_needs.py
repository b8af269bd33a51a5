"""What jobs take of memory, reckoned from what they are asked to compute.

Peaks of one job beside what open sessions hold: what lies in memory at the same time, as the work
itself is written. Letters: E interventions, (h, w) a map, C channels, K modules. It must not know
databases, watchers or gRPC.
"""

from collections.abc import Iterable

from graftscope import codec
from graftscope.server.analysis import DEFAULT_KS, MOST_GROUPS, Method
from graftscope.server.engine import CALL_BYTES as JOB_BYTES
from graftscope.server.engine import (
    MIB,
    SHARD_PAIRS,
    Catalogue,
    Generator,
    Need,
    largest_run_bytes,
)
from graftscope.server.executors import Executor
from graftscope.server.jobs._artifact_store import ArrayRef
from graftscope.server.jobs._specification import (
    InfluenceSpec,
    MagnitudeSpec,
    ModulesSpec,
    Spec,
    StabilitySpec,
    input_arrays,
)
from graftscope.server.jobs._worth_specs import WorthSpec

_DOUBLE = 8

# A process for work that nothing can interrupt, with scikit-learn, before it has anything to do.
_PROCESS_BYTES = 96 * MIB

# Sums before and after a shard, mean and moment each; at the end standard errors, on the way to
# them, beside the last.
_MAPS_OF_SUMS = 5

# Means of groups in float16, as maps in float64: before and after a shard, and in larger units on
# the way.
_MAPS_OF_GROUPS = 3 * MOST_GROUPS * 2 // _DOUBLE

# Likewise of products, in float32.
_SQUARES_OF_GROUPS = 3 * MOST_GROUPS * 4 // _DOUBLE

# A shard's mean and moment.
_MAPS_OF_A_SHARD = 2

# Shards that were computed elsewhere and are in this process.
_FETCHED = 2

# Differences' mean, moment and cross moment, and the cheap mean: in the sums before and after, and
# in each shard; a batch's maps in both precisions beside them.
_MAPS_OF_A_CORRECTION = 4

# Maps of a run: sum, moment, their mean, and both merged.
_MAPS_OF_A_RUN = 5
_MOST_SETS_A_RUN = 128

# A specification's interventions as messages, values and text.
_SET_BYTES = 4096

# Maps in float64 while they are smoothed: as they are, one way and both, and sorted.
_MAPS_SMOOTHED = 4

# The matrix in float64 while a method groups it.
_MATRICES = {
    Method.NMF: 4,
    Method.KMEANS: 5,
    Method.AGGLOMERATIVE: 5,
    Method.PCA: 1,
    Method.SPECTRAL: 1,
}

# What is as large as products, (C, C), beside the products: distances, cosines, eigenvectors.
_SQUARES = {
    Method.NMF: 0,
    Method.KMEANS: 0,
    Method.AGGLOMERATIVE: 2,
    Method.PCA: 6,
    Method.SPECTRAL: 6,
}

# Templates of each seed: as they were found, renumbered, and joined.
_TEMPLATES_A_SEED = 4

_SMALLER_MAPS = "use fewer channels or smaller maps (map_size)"


def need_of(spec: Spec, catalogue: Catalogue, executor: Executor) -> Need:
    """What a job takes of this process and its children.

    Args:
        spec: what it computes.
        catalogue: the models.
        executor: what computes its pieces.

    Raises:
        NotFound: the model is not served any more.
    """
    match spec:
        case InfluenceSpec():
            return _influence(spec, catalogue.by_digest(spec.model), executor)
        case ModulesSpec():
            return modules_need(spec)
        case StabilitySpec():
            return _stability(spec, executor)
        case MagnitudeSpec():
            return _magnitude(spec, catalogue.by_digest(spec.model), executor)
        case WorthSpec():
            raise TypeError("what a module's worth takes is reckoned where it is measured")


def planning_need(spec: Spec, catalogue: Catalogue) -> Need:
    """What finding a plan takes: the arrays that are given, and a run. Raises as `need_of`."""
    runs = 0
    if isinstance(spec, InfluenceSpec | MagnitudeSpec | WorthSpec):
        runs = largest_run_bytes(catalogue.by_digest(spec.model))
    given = _given(spec) if isinstance(spec, InfluenceSpec) else 0
    return Need(given + runs, f"planning {spec.analysis}", "give smaller arrays")


def _influence(spec: InfluenceSpec, generator: Generator, executor: Executor) -> Need:
    height, width = generator.map_shape(spec.map_size)
    sets, shards = len(spec.indices), -(-spec.pairs // SHARD_PAIRS)
    what = f"influence of {sets} interventions, maps of {height} x {width} each"
    less = "ask for fewer interventions, or a smaller map_size"
    if spec.products:
        what, less = f"{what} with their products", f"{less}, or leave out products"
    begun = min(executor.begun(generator), shards)
    side_by_side = min(executor.side_by_side(generator), shards)
    if executor.is_elsewhere:
        # One that is fetched, beside the one that is added; runs are made here for the plan alone.
        begun, side_by_side = min(begun, _FETCHED), 1
    whole = _DOUBLE * height * width
    number = (
        JOB_BYTES
        + _given(spec)
        + sets * (_SET_BYTES + spec.channels)
        + sets * whole * (_MAPS_OF_SUMS + _MAPS_OF_GROUPS + _MAPS_OF_A_SHARD * begun)
        + side_by_side * min(sets, _MOST_SETS_A_RUN) * whole * _MAPS_OF_A_RUN
        + side_by_side * largest_run_bytes(generator)
        + _DOUBLE * SHARD_PAIRS * sets * 2 * begun
    )
    if spec.corrected:
        number += sets * whole * (_MAPS_OF_A_CORRECTION * (2 + begun) + side_by_side * 2)
    if spec.products:
        # Of each shard; a pair's on the way; the sum before and after, and the mean.
        number += _DOUBLE * sets * sets * (begun + side_by_side + 3 + _SQUARES_OF_GROUPS)
    return Need(number, what, less, "map_size")


def modules_need(spec: ModulesSpec) -> Need:
    """What finding modules takes."""
    (channels, height, width), method = spec.maps.shape, Method(spec.method)
    seeds = f" under {len(spec.seeds)} seeds" if len(spec.seeds) > 1 else ""
    number = (
        JOB_BYTES
        + _PROCESS_BYTES
        + max(_smoothing(spec), _grouping(channels, height * width, spec.k, method))
        # In the server, and on the way to the process.
        + 2 * _given(spec)
        + (0 if spec.group_maps is None else _resampling(channels, height * width, method))
        + _templates(channels, height * width, spec.k) * len(spec.seeds) * _TEMPLATES_A_SEED
    )
    what = f"{spec.k} modules of {channels} maps of {height} x {width}{seeds}"
    return Need(number, what, f"{_SMALLER_MAPS}, fewer seeds or a smaller k", "maps")


def _stability(spec: StabilitySpec, executor: Executor) -> Need:
    channels, height, width = spec.maps.shape
    # A run sees two thirds of the channels.
    seen, largest = -(-2 * channels // 3), max(spec.ks or DEFAULT_KS)
    cell = max(_grouping(seen, height * width, largest, Method(x)) for x in spec.methods)
    side_by_side = 0 if executor.is_elsewhere else executor.workers
    cells = side_by_side * (_PROCESS_BYTES + cell + 2 * _templates(seen, height * width, largest))
    number = JOB_BYTES + max(_PROCESS_BYTES + _smoothing(spec), cells) + 2 * _given(spec)
    what = f"stability of {channels} maps of {height} x {width}"
    return Need(number, what, f"{_SMALLER_MAPS}, or a smaller k", "maps")


def _magnitude(spec: MagnitudeSpec, generator: Generator, executor: Executor) -> Need:
    """What the largest of the jobs takes that it is made of; they follow one another."""
    height, width = generator.map_shape(spec.map_size)
    needs = []
    for name in spec.layers:
        channels = generator.layer(name).channels
        rows = sum(k for k in spec.ks or DEFAULT_KS if k <= channels)
        needs += [dividing_need(spec, channels, (height, width))]
        needs += [_influence(_of(spec, sets), generator, executor) for sets in (channels, rows)]
    largest = max(needs, key=lambda need: need.bytes)
    what = f"magnitude at {len(spec.layers)} layers, which needs {largest.what},"
    return Need(largest.bytes, what, "ask for a smaller map_size, other layers or fewer ks")


def dividing_need(spec: MagnitudeSpec, channels: int, shape: tuple[int, int]) -> Need:
    """What a magnitude job takes while it divides a layer into modules.

    Args:
        spec: the job.
        channels: of the layer.
        shape: of the maps.
    """
    largest = min(channels, max(spec.ks or DEFAULT_KS))
    ref = ArrayRef("", "FP64", (channels, *shape))
    needs_products = Method(spec.method).needs_products
    products = ArrayRef("", "FP64", (channels, channels)) if needs_products else None
    modules = ModulesSpec(
        maps=ref,
        k=largest,
        method=spec.method,
        seeds=(spec.method_seed,),
        window=spec.window,
        percentile=spec.percentile,
        products=products,
    )
    return modules_need(modules)


def _of(spec: MagnitudeSpec, sets: int) -> InfluenceSpec:
    """An influence job of so many sets, as a magnitude job needs it."""
    return InfluenceSpec(
        model=spec.model,
        layer="",
        channels=0,
        sets=(),
        indices=tuple(range(sets)),
        subject="channels",
        originals=spec.originals,
        seed=spec.seed,
        first=spec.first,
        pairs=spec.pairs,
        map_size=spec.map_size,
        arithmetic=spec.arithmetic,
        products=Method(spec.method).needs_products,
    )


def _smoothing(spec: ModulesSpec | StabilitySpec) -> int:
    channels, height, width = spec.maps.shape
    return _DOUBLE * channels * height * width * _MAPS_SMOOTHED


def _resampling(channels: int, pixels: int, method: Method) -> int:
    """Maps that are made anew of groups, smoothed and grouped; the groups in float32 beside."""
    maps = _DOUBLE * channels * pixels * (_MAPS_SMOOTHED + MOST_GROUPS // 2)
    if method.needs_products:
        maps += _DOUBLE * channels * channels * MOST_GROUPS // 2
    return maps + _grouping(channels, pixels, 2, method)


def _grouping(channels: int, pixels: int, k: int, method: Method) -> int:
    """One run of a method."""
    # Which pixels: those of all channels, and of those that are grouped, a byte each.
    matrix = channels * pixels * (2 + _DOUBLE * _MATRICES[method])
    squares = _DOUBLE * channels * channels * _SQUARES[method]
    return matrix + squares + _templates(channels, pixels, k)


def _templates(channels: int, pixels: int, k: int) -> int:
    """Templates and weights of one run."""
    return _DOUBLE * k * (pixels + channels)


def _given(spec: Spec) -> int:
    """The arrays that are given, once in memory."""
    return sum(_bytes(input_arrays(spec)))


def _bytes(refs: Iterable[ArrayRef]) -> Iterable[int]:
    return (codec.size_bytes(ref.datatype, ref.shape) for ref in refs)
