"""Facts about files of earlier versions: they are read, and what they do not say is not made up."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graftscope.client import (
    Execution,
    FoundChannels,
    HybridFiles,
    HybridResult,
    ImageEncoding,
    InfluenceResult,
    LayersResult,
    MagnitudeResult,
    ModulesResult,
    Posterior,
    Regression,
    SampleFiles,
    Samples,
    StabilityResult,
)
from graftscope.client.arrays import read_comment, read_npz, write_npz
from graftscope.client.errors import InputError, NotFoundError
from graftscope.client.values import OLDER
from test_client_saved import (
    FILES,
    FOUND,
    HYBRIDS,
    INFLUENCE,
    LATENTS,
    MAGNITUDE,
    MODULES,
    PIXELS,
    POSTERIOR,
    SAMPLES,
    SOURCE,
    STABILITY,
)

NOT_SAID = Execution("0123456789abcdef", None, "")


def older(path: Path, comment: bytes = SOURCE.to_comment(), **arrays: Any) -> Path:
    """Write a file as versions did that said no more than what the arrays are of."""
    write_npz(path, {name: np.asarray(array) for name, array in arrays.items()}, comment)
    return path


def test_modules_of_a_version_without_confidence_are_read_and_say_so(tmp_path: Path) -> None:
    MODULES.save(tmp_path / "now.npz")
    arrays = read_npz(tmp_path / "now.npz")
    del arrays["probabilities"]
    comment = json.loads(read_comment(tmp_path / "now.npz"))
    del comment["result"]["confidence_unknown"]
    write_npz(tmp_path / "before.npz", arrays, json.dumps(comment).encode())
    nothing = np.full((4, 2), np.nan)
    expected = replace(MODULES, probabilities=nothing, confidence_unknown=OLDER)
    found = ModulesResult.load(tmp_path / "before.npz")
    assert found == expected
    assert found.between() == ()
    assert np.isnan(found.confidence).all()


def old_influence(path: Path) -> InfluenceResult:
    names = ("maps", "stderr", "individual", "individual_stderr", "channels", "products")
    older(path, **{name: getattr(INFLUENCE, name) for name in names})
    return replace(
        INFLUENCE,
        model="toy",
        execution=NOT_SAID,
        range_width=math.nan,
        pairs=0,
        distinct_images=0,
        originals="",
        stopping=None,
        stratified=False,
        subject="",
        seed=None,
        first=None,
        share=(),
        fixed=(),
        pairs_of=np.zeros_like(INFLUENCE.pairs_of),
    )


def old_modules(path: Path) -> ModulesResult:
    weights = np.array([[3.0, 1.0], [0.0, 2.0], [0.0, 0.0], [1.0, 1.0]])
    older(path, labels=MODULES.labels, templates=MODULES.templates, weights=weights)
    return replace(
        MODULES,
        weights=weights,
        purity=np.array([0.75, 1.0, np.nan, 0.5]),
        seeds=(),
        seed_labels=np.empty((0, 4), np.int64),
        seed_templates=np.empty((0, 2, 3, 5)),
        agreement=np.empty(0),
        cosine=np.empty(0),
        seeds_agreeing=0,
        method=None,
        operation="operations/1",
        probabilities=np.full((4, 2), np.nan),
        impure=0,
        confidence_unknown=OLDER,
    )


def old_stability(path: Path) -> StabilityResult:
    names = ("k", "consistency", "cosine", "chance")
    arrays = {name: getattr(STABILITY, name) for name in names}
    older(path, **arrays, method=["nmf", "spectral"], suggested=[3, 3])
    unsaid: dict[str, Any] = {"excess_stderr": math.nan, "rivals": (), "reason": ""}
    suggested = tuple(replace(each, **unsaid) for each in STABILITY.suggested)
    return replace(STABILITY, suggested=suggested, channels=0, operation="operations/1")


def old_magnitude(path: Path) -> MagnitudeResult:
    columns = ("layer", "k", "module", "channels", "share", "individual", "individual_stderr")
    names = ("slope", "intercept", "r2", "slope_stderr")
    lines: dict[str, Any] = {
        f"{name}{suffix}": [getattr(each, name) for each in of]
        for name in names
        for suffix, of in (("", MAGNITUDE.by_share), ("_channels", MAGNITUDE.by_channels))
    }
    arrays: dict[str, Any] = {name: getattr(MAGNITUDE, name) for name in columns}
    older(path, **(arrays | lines), regression=["conv1", "conv2", "pooled"], range_width=2.0)

    def known(line: Regression) -> Regression:
        return replace(line, residual=math.nan, rows=0)

    return replace(
        MAGNITUDE,
        by_share=tuple(map(known, MAGNITUDE.by_share)),
        by_channels=tuple(map(known, MAGNITUDE.by_channels)),
        pairs=0,
        originals="",
        method=None,
        operation="operations/1",
        execution=NOT_SAID,
    )


def old_hybrids(path: Path) -> HybridResult:
    names = ("original1", "original2", "hybrid")
    older(path, b"", **{name: getattr(HYBRIDS, name) for name in names})
    return replace(HYBRIDS, distinct_images=0, model="", execution=Execution("", None, ""))


def old_samples(path: Path) -> Samples:
    older(path, b"", images=PIXELS, **LATENTS)
    return replace(SAMPLES, model="", execution=Execution("", None, ""))


def old_posterior(path: Path) -> Posterior:
    spread = {f"{name}_log_variance": array for name, array in POSTERIOR.log_variance.items()}
    older(path, b"", **POSTERIOR.mean, **spread)
    return replace(POSTERIOR, model="", execution=Execution("", None, ""))


def old_found(path: Path) -> FoundChannels:
    contrast = FOUND.contrast
    older(
        path,
        labels=FOUND.labels,
        templates=FOUND.found_map[None],
        weights=np.ones((4, 1)),
        scores=contrast.score,
        inside=contrast.inside,
        outside=contrast.outside,
        region=FOUND.region,
    )
    return replace(
        FOUND,
        contrast=replace(contrast, certain=FOUND.labels == 0),
        maps=np.full((4, 3, 5), np.nan),
        source=SOURCE,
    )


@pytest.mark.parametrize(
    "write",
    [
        old_influence,
        old_modules,
        old_stability,
        old_magnitude,
        old_hybrids,
        old_samples,
        old_posterior,
        old_found,
    ],
)
def test_a_file_of_an_earlier_version_is_read_and_invents_nothing(
    write: Callable[[Path], Any], tmp_path: Path
) -> None:
    expected = write(tmp_path / "old.npz")
    found = type(expected).load(tmp_path / "old.npz")
    assert found == expected
    found.save(tmp_path / "new.npz")
    assert type(expected).load(tmp_path / "new.npz") == expected


def test_folders_of_an_earlier_version_hold_images_alone(tmp_path: Path) -> None:
    for at, data in enumerate(FILES):
        (tmp_path / f"{at:04d}.webp").write_bytes(data)
    found = SampleFiles.load(tmp_path)
    assert (found.images, found.encoding, found.latents) == (FILES, ImageEncoding.WEBP, {})
    with pytest.raises(InputError, match=r"holds no images such as 0000-original1\.png"):
        HybridFiles.load(tmp_path)
    with pytest.raises(NotFoundError, match="there is no folder"):
        SampleFiles.load(tmp_path / "none")


def test_old_layers_come_back_by_their_names(tmp_path: Path) -> None:
    for layer in ("conv1", "conv2"):
        (tmp_path / layer).mkdir()
        old = old_influence(tmp_path / f"maps.{layer}.npz")
        comment = replace(SOURCE, layer=layer).to_comment()
        write_npz(tmp_path / f"maps.{layer}.npz", old.arrays(), comment)
    found = LayersResult.load(tmp_path / "maps.npz")
    assert list(found.layers) == ["conv1", "conv2"]
    assert found.operation == "operations/1"
