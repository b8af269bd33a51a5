"""Facts about results that are saved and come back, also from files of other versions."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graftscope.client import (
    Constant,
    Deviation,
    Edit,
    Execution,
    FaithfulnessResult,
    HybridFiles,
    HybridResult,
    ImageEncoding,
    IndependenceResult,
    InfluenceResult,
    Intervention,
    LayersResult,
    Layout,
    MagnitudeResult,
    Method,
    ModulesResult,
    Posterior,
    Precision,
    ProbedClassifier,
    ProbeResult,
    ReachResult,
    Regression,
    RelativeError,
    SampleFiles,
    Samples,
    Source,
    StabilityResult,
    StableLabels,
    StatedPreprocessing,
    Stopping,
    SuggestedK,
    Together,
    find_channels,
    rectangle_region,
)
from graftscope.client.arrays import read_comment, read_npz, write_npz
from graftscope.client.errors import InputError, NotFoundError

RANDOM = np.random.default_rng(0)
CPU = Execution("0123456789abcdef", Precision.FP32, "CPUExecutionProvider")
AMX = Execution(
    "0123456789abcdef",
    Precision.BF16,
    "OpenVINOExecutionProvider",
    ("shared-first", "phases"),
    Deviation(32, 4, 0.001, 1 / 3, math.nan),
)
SOURCE = Source("toy", "0123456789abcdef", "conv1", "operations/1")
INFLUENCE = InfluenceResult(
    maps=RANDOM.random((4, 3, 5)),
    stderr=np.full((4, 3, 5), np.nan),
    individual=RANDOM.random(4),
    individual_stderr=np.full(4, np.nan),
    channels=np.arange(4),
    range_width=2.0,
    pairs=1,
    distinct_images=7,
    originals="images",
    model="toy@0123456789abcdef",
    layer="conv1",
    operation="operations/1",
    execution=AMX,
    products=RANDOM.random((4, 4)),
    stopping=Stopping(StableLabels(k=4, percentile=200 / 3), False, 1000, math.nan, 0.75),
    stratified=True,
    subject="channels",
    seed=4294967295,
    first=64,
    share=("label",),
    fixed=("noise", "w"),
)
GROUPED = replace(
    INFLUENCE,
    pairs=104,
    pairs_of=np.array([104, 104, 96, 104]),
    group_maps=(100 * RANDOM.random((3, 4, 3, 5))).astype(np.float16),
    group_pairs=np.array([[64, 64, 64, 64], [32, 32, 32, 32], [8, 8, 0, 8]]),
    group_units=np.array([0.25, 0.5, 0.0, 1.0]),
    group_products=RANDOM.random((3, 4, 4)).astype(np.float32),
)
OF_INTERVENTIONS = replace(
    INFLUENCE,
    products=None,
    layer="",
    stopping=Stopping(Together(RelativeError(1 / 7)), True, 1000, 0.1, math.nan, 0.9, 3),
    pairs=5,
    pairs_of=np.array([1, 5, 3, 2]),
    interventions=tuple(
        Intervention([Edit("conv1", [i], action=Constant(np.arange(4.0)))]) for i in range(4)
    ),
)
MODULES = ModulesResult(
    labels=np.array([0, 1, -1, 1]),
    templates=RANDOM.random((2, 3, 5)),
    weights=RANDOM.random((4, 2)),
    purity=np.array([0.5, 0.75, np.nan, 1.0]),
    seeds=(3, 4294967295),
    seed_labels=np.array([[0, 1, -1, 1], [0, 0, -1, 1]]),
    seed_templates=RANDOM.random((2, 2, 3, 5)),
    agreement=np.array([1.0, 2 / 3]),
    cosine=np.array([1.0, 0.9]),
    seeds_agreeing=1,
    method=Method.KMEANS,
    operation="operations/2",
    probabilities=np.array([[0.9, 0.1], [0.25, 0.75], [np.nan, np.nan], [0.0, 1.0]]),
    impure=1,
    source=SOURCE,
)
STABILITY = StabilityResult(
    k=np.array([2, 3]),
    methods=(Method.NMF, Method.SPECTRAL),
    consistency=np.array([[[0.5, 0.75], [1.0, 0.5]], [[0.25, np.nan], [1.0, 1.0]]]),
    cosine=RANDOM.random((2, 2, 2)),
    chance=np.array([[0.5, 0.3], [0.5, 0.25]]),
    suggested=(
        SuggestedK(Method.NMF, 3, 0.75, 0.3, 0.1, (2,), "Why not: “3”."),
        SuggestedK(Method.SPECTRAL, 3, 1.0, 0.25, math.nan, (), "Why not."),
    ),
    channels=4,
    operation="operations/3",
    source=SOURCE,
)
LINES = (
    Regression("conv1", 0.5, 0.1, 0.9, 0.01, 0.02, 2),
    Regression("conv2", math.nan, math.nan, math.nan, math.nan, math.nan, 2),
    Regression(None, 0.25, 0.2, 0.8, 0.03, 0.04, 4),
)
MAGNITUDE = MagnitudeResult(
    layers=("conv1", "conv2"),
    layer=np.array(["conv1", "conv1", "conv2", "conv2"]),
    k=np.array([2, 2, 2, 2]),
    module=np.array([0, 1, 0, 1]),
    channels=np.array([4, 2, 3, 3]),
    share=np.array([4, 2, 3, 3]) / 6,
    individual=RANDOM.random(4),
    individual_stderr=RANDOM.random(4),
    by_share=LINES,
    by_channels=tuple(replace(line, slope=line.slope / 6) for line in LINES),
    range_width=2.0,
    pairs=10,
    distinct_images=0,
    originals="prior",
    method=Method.NMF,
    model="toy",
    operation="operations/4",
    execution=CPU,
)
REALISM = ("frechet", "kernel", "precision", "recall", "density", "coverage")
REACH = ReachResult(
    target="a region of 25 % of the image",
    layers=("conv1", "conv2"),
    inputs=("z", "label"),
    input_units=(2, 1),
    units=np.array([3, 4, 2]),
    order=np.array([[1, 0, 2], [3, 0, 1], [1, 0, -1]]),
    share=np.array([[0.2, 0.5, 1.0], [0.75, 0.8, 0.9], [0.5, 1.0, np.nan]]),
    share_stderr=np.array([[0.02, 0.05, 0.0], [0.02, 0.05, 0.1], [0.01, 0.0, np.nan]]),
    random=np.array([[0.1, 0.4, 1.0], [0.25, 0.5, 0.75], [0.5, 1.0, np.nan]]),
    random_stderr=np.array([[0.02, 0.05, 0.0], [0.02, 0.05, 0.1], [0.01, 0.0, np.nan]]),
    reachable=np.array([0.125, 0.125, 0.1]),
    reachable_stderr=np.array([0.01, 0.01, 0.01]),
    by_count=np.array([0.25, 0.4]),
    by_count_stderr=np.array([0.01, 0.02]),
    by_share=np.array([0.125, -0.1]),
    by_share_stderr=np.array([0.01, 0.02]),
    ranking_pairs=4,
    held_out_pairs=6,
    pairs=12,
    distinct_images=0,
    originals="prior",
    model="toy",
    operation="operations/6",
    execution=CPU,
    spill=np.full((3, 3), 0.5),
    spill_stderr=np.full((3, 3), 0.05),
    whole_spill=np.full(3, 0.75),
    whole_spill_stderr=np.full(3, 0.05),
)
OF_SETS: dict[str, Any] = {
    name: np.linspace(0.0, 1.0, 5) * scale
    for measure in REALISM
    for name, scale in ((measure, 1.0), (f"{measure}_stderr", 0.1))
}
OF_MIXTURES: dict[str, Any] = {
    name: np.linspace(-0.5, 0.5, 6) + shift
    for over in ("over_donor", "over_modules", "over_floor")
    for name, shift in ((over, 0.0), (f"{over}_stderr", 0.75))
}
INDEPENDENCE = IndependenceResult(
    module=np.array([0, 1]),
    channels=np.array([4, 2]),
    kinds=("mixture", "donor", "module", "module", "floor"),
    **OF_SETS,
    measures=REALISM,
    **OF_MIXTURES,
    interaction=np.array([[np.nan, 0.25], [0.25, np.nan]]),
    interaction_stderr=np.array([[np.nan, 0.01], [0.01, np.nan]]),
    interaction_maps=RANDOM.random((1, 2, 2)),
    spill=np.array([0.5, 0.125]),
    spill_stderr=np.array([0.05, 0.01]),
    area_outside=np.array([0.75, 0.75]),
    regions=np.eye(2)[np.newaxis].repeat(2, axis=0),
    percentile=75.0,
    spill_pairs=64,
    upper=("z", "conv1"),
    lower=("conv1", "image"),
    absent=("layer z is no map", ""),
    spectral=np.array([np.nan, 1.25]),
    spectral_stderr=np.array([np.nan, 0.01]),
    spectral_swapped=np.array([np.nan, 1.0]),
    spectral_swapped_stderr=np.array([np.nan, 0.01]),
    spectral_spread=np.array([np.nan, 0.5]),
    spectral_pairs=np.array([0, 12]),
    features="celeba",
    feature_count=8,
    pairs=64,
    warning="64 images are few",
    layer="conv1",
    distinct_images=0,
    originals="prior",
    model="toy",
    operation="operations/8",
    execution=CPU,
)
OF_A_SCORE = replace(
    REACH,
    target="Smiling (celeba)",
    spill=None,
    spill_stderr=None,
    whole_spill=None,
    whole_spill_stderr=None,
)
STATED = StatedPreprocessing(32, 32, 0.0, 1.0, (0.5,), (0.25,), Layout.NHWC, True)
PROBED: Any = {
    **{
        f"{name}{end}": np.full((2, 4), share + more)
        for name, share in (("stays", 0.5), ("becomes", 0.25), ("neither", 0.25))
        for end, more in (("", 0.0), ("_low", -0.125), ("_high", 0.125))
    },
    **{f"same_stays{end}": np.full((2, 4), np.nan) for end in ("", "_low", "_high")},
    **{
        f"pair_{name}": np.array([0, 0, 1])
        for name in ("classifier", "set", "class1", "class2", "stays", "becomes", "neither")
    },
    **{
        f"attribute_{name}": np.array([1, 1])
        for name in ("classifier", "set", "index", "differ", "stays", "same", "same_stays")
    },
    "pair_count": np.array([2, 1, 2]),
}
PROBE = ProbeResult(
    kinds=("module", "module", "count", "layer"),
    classifiers=(
        ProbedClassifier("mine", "a" * 64, ("cat", "dog"), True, False, STATED, "image", "scores"),
        ProbedClassifier("other", "b" * 64, (), False, True, STATED, "x", "y"),
    ),
    module=np.array([0, 2, 0, -1]),
    channels=np.array([2, 1, 2, 4]),
    differ=np.array([3, 5]),
    same=np.array([2, 0]),
    entropy=np.full((2, 4), 0.5),
    entropy_stderr=np.full((2, 4), 0.01),
    originals_entropy=np.array([0.25, 0.5]),
    originals_entropy_stderr=np.array([0.01, 0.02]),
    verdict=np.array([[0.25, np.nan], [-0.5, 0.125]]),
    verdict_stderr=np.array([[0.05, np.nan], [0.1, 0.125]]),
    class1=np.array([[0, 1, 0, 0, 1], [-1] * 5]),
    class2=np.array([[0, 0, 1, 0, 0], [-1] * 5]),
    **PROBED,
    pairs=5,
    layer="conv1",
    distinct_images=0,
    originals="prior",
    model="toy",
    operation="operations/8",
    execution=CPU,
)
COMPARED: Any = {
    **{
        name: np.linspace(0.0, 1.0, 10)[np.newaxis] * scale
        for measure in ("frechet", "kernel", "precision", "recall", "density", "coverage", "excess")
        for name, scale in ((measure, 1.0), (f"{measure}_stderr", 0.1))
    },
    **{
        name: np.array([[[-0.5, 0.125]]]) * scale
        for verdict in ("verdict", "kernel_verdict")
        for name, scale in ((verdict, 1.0), (f"{verdict}_stderr", 0.25))
    },
}
FAITHFULNESS = FaithfulnessResult(
    kinds=("module",) * 2 + ("count",) * 4 + ("layer", "floor", "pasted", "blended"),
    references=("samples",),
    against=("count",),
    module=np.array([0, 1, 0, 0, 1, 1, -1, -1, -1, -1]),
    channels=np.array([4, 2, 4, 4, 2, 2, 6, 0, 0, 0]),
    **COMPARED,
    decoding=np.full(10, 0.03),
    decoding_stderr=np.full(10, 0.001),
    response=np.array([[1.0, 0.25], [0.25, 1.0]]),
    response_stderr=np.array([[0.0, 0.05], [0.05, 0.0]]),
    features="encoder",
    feature_count=8,
    neighbours=5,
    pairs=64,
    images=0,
    warning="64 images are few",
    layer="conv1",
    distinct_images=0,
    originals="prior",
    model="toy",
    operation="operations/7",
    execution=CPU,
)
WITHOUT_ENCODER = replace(
    FAITHFULNESS, decoding=None, decoding_stderr=None, response=None, response_stderr=None
)
PIXELS = RANDOM.random((2, 3, 2, 2)).astype(np.float32)
LATENTS = {"z": RANDOM.random((2, 4)).astype(np.float32), "label": np.array([3, 1])}
HYBRIDS = HybridResult(PIXELS, -PIXELS, PIXELS[::-1].copy(), 5, AMX, "toy")
SAMPLES = Samples(PIXELS, LATENTS, CPU, "toy")
FROM_IMAGES = Samples(PIXELS, {"images": -PIXELS}, CPU, "toy")
POSTERIOR = Posterior(
    {"z": np.ones((2, 4), np.float32), "w": np.zeros((2, 3))},
    {"z": np.zeros((2, 4), np.float32), "w": np.full((2, 3), -1.0)},
    CPU,
    "toy",
)
FOUND = find_channels(
    replace(INFLUENCE, products=None),
    rectangle_region(0, 0, 3, 2, image_height=3, image_width=5),
    at_least=0.5,
)
FILES = [b"first", b"second"]
SAMPLE_FILES = SampleFiles(FILES, ImageEncoding.WEBP, LATENTS, CPU, "toy")
HYBRID_FILES = HybridFiles(FILES, FILES[::-1], FILES, ImageEncoding.PNG, 5, AMX, "toy")

ALL: list[Any] = [
    INFLUENCE,
    GROUPED,
    OF_INTERVENTIONS,
    MODULES,
    replace(MODULES, source=None),
    STABILITY,
    MAGNITUDE,
    INDEPENDENCE,
    REACH,
    PROBE,
    OF_A_SCORE,
    FAITHFULNESS,
    WITHOUT_ENCODER,
    HYBRIDS,
    SAMPLES,
    FROM_IMAGES,
    POSTERIOR,
    FOUND,
]


@pytest.mark.parametrize("result", ALL, ids=lambda each: type(each).__name__)
def test_what_is_saved_comes_back_equal(result: Any, tmp_path: Path) -> None:
    result.save(tmp_path / "result.npz")
    back = type(result).load(tmp_path / "result.npz")
    assert back == result
    assert hash(back) == hash(result)
    assert repr(back) == repr(result)


@pytest.mark.parametrize("result", [SAMPLE_FILES, HYBRID_FILES], ids=["samples", "hybrids"])
def test_folders_of_files_come_back_equal(result: Any, tmp_path: Path) -> None:
    longer = replace(result, **{name: [b""] * 5 for name in result.FILES})
    longer.save(tmp_path)
    paths = result.save(tmp_path)
    assert {path.suffix for path in paths} == {f".{result.encoding}"}
    assert type(result).load(tmp_path) == result


def test_layers_come_back_in_the_order_in_which_they_were_asked_for(tmp_path: Path) -> None:
    both = LayersResult(
        {"up/2": replace(INFLUENCE, layer="up/2"), "conv1": INFLUENCE}, "operations/1"
    )
    both.save(tmp_path / "maps.npz")
    back = LayersResult.load(tmp_path / "maps.npz")
    assert back == both
    assert list(back.layers) == ["up/2", "conv1"]
    assert InfluenceResult.load(tmp_path / "maps.conv1.npz") == INFLUENCE
    (tmp_path / "maps.conv1.npz").unlink()
    with pytest.raises(NotFoundError, match="no file of layer 'conv1', which belongs to"):
        LayersResult.load(tmp_path / "maps.npz")
    replace(INFLUENCE, operation="operations/2").save(tmp_path / "maps.conv1.npz")
    with pytest.raises(InputError, match=r"several results: operations/1, operations/2"):
        LayersResult.load(tmp_path / "maps.npz")
    both.save(tmp_path / "named.npz", ["fine", "coarse"])
    assert (tmp_path / "named.fine.npz").is_file()
    assert LayersResult.load(tmp_path / "named.npz") == both
    with pytest.raises(NotFoundError, match=r"there is no file .*other\.LAYER\.npz"):
        LayersResult.load(tmp_path / "other.npz")


def test_results_that_differ_in_one_number_differ() -> None:
    maps = INFLUENCE.maps.copy()
    maps[-1, -1, -1] = np.nextafter(maps[-1, -1, -1], 1)
    assert replace(INFLUENCE, maps=maps) != INFLUENCE
    assert replace(INFLUENCE, pairs=2) != INFLUENCE
    assert replace(HYBRID_FILES, hybrid=FILES[::-1]) != HYBRID_FILES
    assert len({INFLUENCE, replace(INFLUENCE), STABILITY, MODULES}) == 3


def resaved(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Write a file again as another version would."""
    arrays, document = read_npz(path), json.loads(read_comment(path))
    change(document)
    write_npz(path, arrays, json.dumps(document).encode())
    return path


def test_what_a_later_version_says_beside_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "maps.npz"
    INFLUENCE.save(path)

    def add(document: dict[str, Any]) -> None:
        document["weather"] = "fair"
        document["result"]["mood"] = {"kind": "Mood", "value": 3}
        document["result"]["execution"]["machine"] = "abacus"

    assert InfluenceResult.load(resaved(path, add)) == INFLUENCE


def test_what_an_earlier_version_did_not_say_yet_takes_its_default(tmp_path: Path) -> None:
    path = tmp_path / "maps.npz"
    INFLUENCE.save(path)

    def leave_out(document: dict[str, Any]) -> None:
        del document["result"]["stratified"], document["result"]["stopping"]

    plain = replace(INFLUENCE, stratified=False, stopping=None)
    assert InfluenceResult.load(resaved(path, leave_out)) == plain


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda said: said.update(format=2), "is of format 2, and this version reads up to 1"),
        (lambda said: said.update(kind="ModulesResult"), "read it with ModulesResult.load"),
        (lambda said: said["result"].pop("pairs"), "it does not say 'pairs'"),
        (lambda said: said["result"].update(pairs="many"), "it says 'many', which is no int"),
        (lambda said: said["result"].update(pairs=True), "it says True, which is no int"),
        (
            lambda said: said["result"]["execution"].update(precision="fp8"),
            "'fp8' is not a valid Precision",
        ),
        (
            lambda said: said["result"]["stopping"]["until"].update(kind="Enough"),
            "'Enough' is not known to this version",
        ),
    ],
)
def test_what_cannot_be_understood_is_refused_with_the_files_name(
    change: Callable[[dict[str, Any]], object], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "maps.npz"
    INFLUENCE.save(path)
    with pytest.raises(InputError, match=r"maps\.npz") as refused:
        InfluenceResult.load(resaved(path, change))
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"maps": None}, "no array 'maps'; it has: stderr, individual"),
        ({"maps": np.ones((4, 3))}, "they must be (C, H, W)"),
        ({"maps": np.full((4, 3, 5), np.nan)}, "60 of 60 values are NaN or infinite"),
        ({"stderr": np.ones((4, 3, 6))}, "'stderr' of shape (4, 3, 6) does not go with 'maps'"),
        ({"individual": np.ones((4, 1))}, "'individual' has 2 axes, not 1"),
        ({"channels": np.ones(4)}, "array 'channels' is of type float64, not int64"),
        ({"individual": np.array(["a"] * 4)}, "array 'individual' is of type <U1, not float64"),
    ],
)
def test_a_bad_array_is_refused_with_its_files_name(
    arrays: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "maps.npz"
    held = {
        name: array for name, array in (INFLUENCE.arrays() | arrays).items() if array is not None
    }
    write_npz(path, held, INFLUENCE.about().to_comment())
    with pytest.raises(InputError, match=r"maps\.npz: ") as refused:
        InfluenceResult.load(path)
    assert words in str(refused.value)


@pytest.mark.parametrize("name", ["x.png", "x", "x.json", "x.npy"])
def test_arrays_go_to_files_that_say_so(name: str, tmp_path: Path) -> None:
    for result in (*ALL, LayersResult({"conv1": INFLUENCE}, "operations/1")):
        with pytest.raises(InputError, match=rf"cannot write .*{name}: its name must end in \.npz"):
            result.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_no_number_is_a_path() -> None:
    for call in (INFLUENCE.save, InfluenceResult.load, LayersResult.load, SAMPLE_FILES.save):
        with pytest.raises(InputError, match="path 3 is not a path"):
            call(3)  # type: ignore[arg-type]
