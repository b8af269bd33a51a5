"""Facts about results: what they save, and the public face of the client."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import graftscope.client
from graftscope.client import (
    Execution,
    HybridResult,
    InfluenceResult,
    Method,
    ModulesResult,
    Posterior,
    Precision,
    Samples,
    Source,
)
from graftscope.client._files import read_npz
from graftscope.client._sources import read_source, source_from_comment

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
)
PIXELS = np.zeros((1, 3, 2, 2), np.float32)
HYBRIDS = HybridResult(PIXELS, PIXELS, PIXELS, 0, CPU)


@pytest.mark.parametrize(
    ("result", "names"),
    [
        (INFLUENCE, {"maps", "stderr", "individual", "individual_stderr", "channels"}),
        (MODULES, {"labels", "templates", "weights"}),
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
    result: InfluenceResult | ModulesResult | HybridResult | Samples | Posterior,
    names: set[str],
    tmp_path: Path,
) -> None:
    result.save(tmp_path / "result.npz")
    assert set(read_npz(tmp_path / "result.npz")) == names


def test_a_saved_result_says_which_layer_of_which_model_it_is_of(tmp_path: Path) -> None:
    source = Source("toy", "digest", "conv1", "operations/1")
    INFLUENCE.save(tmp_path / "maps.npz")
    dataclasses.replace(MODULES, source=source).save(tmp_path / "modules.npz")
    MODULES.save(tmp_path / "unknown.npz")
    assert INFLUENCE.source == source
    assert read_source(tmp_path / "maps.npz") == source
    assert read_source(tmp_path / "modules.npz") == source
    assert read_source(tmp_path / "unknown.npz") is None
    assert source_from_comment(source.to_comment()) == source


@pytest.mark.parametrize("comment", [b"", b"holiday", b"[1]", b'{"model": "toy"}', b"\xff"])
def test_a_comment_of_other_make_says_nothing(comment: bytes) -> None:
    assert source_from_comment(comment) is None


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (INFLUENCE, "<InfluenceResult of layer conv1 of toy@digest: maps (2, 3, 3), 10 pairs>"),
        (MODULES, "<ModulesResult of given maps: labels (3,), templates (2, 3, 3), nmf>"),
        (HYBRIDS, "<HybridResult of model @digest: 1 pairs, hybrid (1, 3, 2, 2)>"),
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
