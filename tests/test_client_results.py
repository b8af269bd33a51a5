"""Facts about results: what they save, and the public face of the client."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import graftscope.client
from graftscope.client import (
    AnalysisResult,
    Execution,
    HybridResult,
    InfluenceResult,
    MagnitudeResult,
    Method,
    ModulesResult,
    Posterior,
    Precision,
    Regression,
    Samples,
    Source,
    StabilityResult,
    SuggestedK,
)
from graftscope.client.arrays import read_npz, read_source, source_from_comment

CPU = Execution("digest", Precision.FP32, "CPUExecutionProvider")
INFLUENCE = InfluenceResult(
    maps=np.ones((2, 3, 3)),
    stderr=np.zeros((2, 3, 3)),
    individual=np.array([0.5, 1.0]),
    individual_stderr=np.array([0.1, 0.2]),
    channels=np.array([4, 1]),
    range_width=2.0,
    pairs=10,
    distinct_images=0,
    originals="prior",
    model="toy",
    layer="conv1",
    operation="operations/1",
    execution=CPU,
)
MODULES = ModulesResult(
    labels=np.array([0, 1, -1]),
    templates=np.ones((2, 3, 3)),
    weights=np.ones((3, 2)),
    purity=np.ones(3),
    seeds=(0,),
    seed_labels=np.array([[0, 1, -1]]),
    seed_templates=np.ones((1, 2, 3, 3)),
    agreement=np.ones(1),
    cosine=np.ones(1),
    seeds_agreeing=1,
    method=Method.NMF,
    operation="operations/2",
    probabilities=np.full((3, 2), 0.5),
)
STABILITY = StabilityResult(
    k=np.array([2, 3, 4]),
    methods=(Method.NMF, Method.SPECTRAL),
    consistency=np.ones((2, 3, 5)),
    cosine=np.ones((2, 3, 5)),
    chance=np.full((2, 3), 0.5),
    suggested=(
        SuggestedK(Method.NMF, 3, 1.0, 0.5, 0.1, (), "Why not."),
        SuggestedK(Method.SPECTRAL, 4, 1.0, 0.5, 0.1, (2,), "Why not."),
    ),
    channels=6,
    operation="operations/3",
)
LINES = (
    Regression("conv1", 0.5, 0.1, 0.9, 0.01, 0.02, 2),
    Regression(None, 0.25, 0.2, 0.8, 0.03, 0.04, 2),
)
MAGNITUDE = MagnitudeResult(
    layers=("conv1",),
    layer=np.array(["conv1", "conv1"]),
    k=np.array([2, 2]),
    module=np.array([0, 1]),
    channels=np.array([4, 2]),
    share=np.array([4, 2]) / 6,
    individual=np.array([0.4, 0.2]),
    individual_stderr=np.array([0.04, 0.02]),
    by_share=LINES,
    by_channels=tuple(dataclasses.replace(line, slope=line.slope / 6) for line in LINES),
    range_width=2.0,
    pairs=10,
    distinct_images=0,
    originals="prior",
    method=Method.NMF,
    model="toy@digest",
    operation="operations/4",
    execution=CPU,
)
PIXELS = np.zeros((1, 3, 2, 2), np.float32)
HYBRIDS = HybridResult(PIXELS, PIXELS, PIXELS, 0, CPU, "toy")


@pytest.mark.parametrize(
    ("result", "names"),
    [
        (INFLUENCE, {"maps", "stderr", "individual", "individual_stderr", "channels"}),
        (
            dataclasses.replace(INFLUENCE, products=np.eye(2)),
            {"maps", "stderr", "individual", "individual_stderr", "channels", "products"},
        ),
        (
            MODULES,
            {"labels", "templates", "weights", "purity", "probabilities", "agreement", "cosine"}
            | {"seeds", "seed_labels", "seed_templates"},
        ),
        (STABILITY, {"k", "method", "consistency", "cosine", "chance", "suggested"}),
        (
            MAGNITUDE,
            {"layer", "k", "module", "channels", "share", "individual", "individual_stderr"}
            | {"regression", "slope", "intercept", "r2", "slope_stderr", "range_width"}
            | {"slope_channels", "intercept_channels", "r2_channels", "slope_stderr_channels"}
            | {"residual", "rows", "residual_channels", "rows_channels"},
        ),
        (
            HYBRIDS,
            {"original1", "original2", "hybrid"},
        ),
        (
            Samples(PIXELS, {"z": np.zeros((1, 4))}, CPU),
            {"images", "z"},
        ),
        (Posterior({"z": np.zeros(1)}, {"z": np.zeros(1)}, CPU), {"z", "z_log_variance"}),
    ],
)
def test_a_result_saves_exactly_the_arrays_of_its_format(
    result: AnalysisResult | HybridResult | Samples | Posterior,
    names: set[str],
    tmp_path: Path,
) -> None:
    result.save(tmp_path / "result.npz")
    assert set(read_npz(tmp_path / "result.npz")) == names


def test_names_are_saved_as_text_with_the_pooled_line_last(tmp_path: Path) -> None:
    STABILITY.save(tmp_path / "stability.npz")
    MAGNITUDE.save(tmp_path / "magnitude.npz")
    stability, magnitude = (
        read_npz(tmp_path / f"{each}.npz") for each in ("stability", "magnitude")
    )
    assert stability["method"].tolist() == ["nmf", "spectral"]
    assert stability["suggested"].tolist() == [3, 4]
    assert magnitude["layer"].tolist() == ["conv1", "conv1"]
    assert magnitude["regression"].tolist() == ["conv1", "pooled"]
    assert magnitude["slope"].tolist() == [0.5, 0.25]
    assert magnitude["slope_channels"].tolist() == [0.5 / 6, 0.25 / 6]


def test_a_saved_result_says_which_layer_of_which_model_it_is_of(tmp_path: Path) -> None:
    source = Source("toy", "digest", "conv1", "operations/1")
    INFLUENCE.save(tmp_path / "maps.npz")
    dataclasses.replace(MODULES, source=source).save(tmp_path / "modules.npz")
    MODULES.save(tmp_path / "unknown.npz")
    dataclasses.replace(STABILITY, source=source).save(tmp_path / "stability.npz")
    MAGNITUDE.save(tmp_path / "magnitude.npz")
    assert INFLUENCE.source == source
    assert read_source(tmp_path / "maps.npz") == source
    assert read_source(tmp_path / "modules.npz") == source
    assert read_source(tmp_path / "unknown.npz") is None
    assert read_source(tmp_path / "stability.npz") == source
    assert read_source(tmp_path / "magnitude.npz") == MAGNITUDE.source
    assert MAGNITUDE.source == dataclasses.replace(source, operation="operations/4")
    assert source_from_comment(source.to_comment()) == source


@pytest.mark.parametrize("comment", [b"", b"holiday", b"[1]", b'{"model": "toy"}', b"\xff"])
def test_a_comment_of_other_make_says_nothing(comment: bytes) -> None:
    assert source_from_comment(comment) is None


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (INFLUENCE, "<InfluenceResult of layer conv1 of toy@digest: maps (2, 3, 3), 10 pairs>"),
        (MODULES, "<ModulesResult of given maps: labels (3,), templates (2, 3, 3), nmf>"),
        (STABILITY, "<StabilityResult of given maps: K 2, 3, 4, nmf, spectral, 5 repeats>"),
        (MAGNITUDE, "<MagnitudeResult of layer conv1 of toy@digest: 2 modules, nmf>"),
        (HYBRIDS, "<HybridResult of toy@digest: 1 pairs, hybrid (1, 3, 2, 2)>"),
    ],
)
def test_a_result_is_told_in_a_line(result: object, words: str) -> None:
    assert repr(result) == words


def test_a_result_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        INFLUENCE.pairs = 3  # type: ignore[misc]


def test_individual_influence_is_also_a_share_of_the_range() -> None:
    np.testing.assert_array_equal(INFLUENCE.individual_share, [0.25, 0.5])


def test_a_flat_map_is_in_no_module() -> None:
    assert [MODULES.members(module) for module in (0, 1)] == [(0,), (1,)]


def test_every_public_name_can_be_loaded() -> None:
    for name in graftscope.client.__all__:
        assert getattr(graftscope.client, name) is not None
    assert dir(graftscope.client) == sorted(graftscope.client.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        graftscope.client.Nothing  # noqa: B018
