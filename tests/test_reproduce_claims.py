"""Claims of the paper agree with synthetic results that are so, and not with those that are not."""

import math
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest

from graftscope.client.figures import paper
from graftscope.client.reproduce import Claim, Study, Verdict
from graftscope.client.reproduce._fig3 import kinds_claim, purity_claim
from graftscope.client.reproduce._fig5 import stability_claims
from graftscope.client.reproduce._fig8 import foreground_claim, kinds_of
from graftscope.client.reproduce._magnitude import magnitude_claims
from graftscope.client.reproduce._measures import PARTS
from graftscope.client.reproduce._reproduction import verdict_of
from graftscope.client.reproduce._sample import noise_of, resting_on, sample_of
from graftscope.client.reproduce._seams import SeamNumbers, seam_claim
from graftscope.client.values import (
    Execution,
    InfluenceResult,
    MagnitudeResult,
    Method,
    Precision,
    Regression,
    StabilityResult,
    SuggestedK,
)

ROUNDING = 1e-12
"""Of sums in another order."""

# Claims of magnitude

EXECUTION = Execution("0" * 64, Precision.FP32, "CPUExecutionProvider")
LAYERS = {"intermediate": 64, "fine": 32, "image": 16}


class _Levels:
    """Stands in for a study: every layer is its own level."""

    def model(self, name: str) -> "_Levels":
        return self

    def layer(self, name: str) -> "_Levels":
        self.level = name
        return self


def line(layer: str | None, x: np.ndarray, y: np.ndarray) -> Regression:
    slope, intercept = np.polyfit(x, y, 1)
    left = y - slope * x - intercept
    spread = float(((y - y.mean()) ** 2).sum())
    r2 = 1 - float((left**2).sum()) / spread if spread > ROUNDING else 0.0
    residual = math.sqrt(float((left**2).sum()) / (len(x) - 2))
    stderr = residual / math.sqrt(float(((x - x.mean()) ** 2).sum()))
    return Regression(layer, float(slope), float(intercept), r2, stderr, residual, len(x))


def magnitude(influence: "dict[str, float] | None", noise: "dict[str, float]") -> MagnitudeResult:
    """Modules of each layer for K = 1 to 10, of unequal sizes.

    Args:
        influence: Of a whole layer, of which a module has its share; None for 0.1 of every module.
        noise: Relative deviation of modules from that, by layer.
    """
    generator = np.random.default_rng(0)
    rows: list[tuple[str, int, int, int, float]] = []
    for layer, total in LAYERS.items():
        for k in range(1, 11):
            sizes = np.diff(np.round(total * np.linspace(0, 1, k + 1) ** 1.5)).astype(int)
            for module, size in enumerate(sizes):
                value = 0.1 if influence is None else influence[layer] * size / total
                factor = 1 + noise.get(layer, 0.0) * generator.choice([-1.0, 1.0])
                rows.append((layer, k, module, int(size), value * factor))
    names = np.array([row[0] for row in rows])
    ks, modules, channels = np.array([row[1:4] for row in rows], dtype=np.int64).T
    individual = np.array([row[4] for row in rows])
    share = channels / np.array([LAYERS[name] for name in names])
    each = [(name, names == name) for name in LAYERS]
    return MagnitudeResult(
        layers=tuple(LAYERS),
        layer=names,
        k=ks,
        module=modules,
        channels=channels,
        share=share,
        individual=individual,
        individual_stderr=np.full(len(rows), 1e-3),
        by_share=(
            *(line(name, share[at], individual[at]) for name, at in each),
            line(None, share, individual),
        ),
        by_channels=(
            *(line(name, channels[at], individual[at]) for name, at in each),
            line(None, channels, individual),
        ),
        range_width=2.0,
        pairs=10,
        distinct_images=0,
        originals="prior",
        method=Method.NMF,
        model="toy@0",
        operation="operations/1",
        execution=EXECUTION,
    )


def verdicts(found: MagnitudeResult) -> list[Verdict]:
    claims = magnitude_claims(cast("Study", _Levels()), found)
    assert all(claim.measured and claim.criterion for claim in claims)
    return [claim.verdict for claim in claims]


def test_influence_proportional_to_size_agrees_with_every_claim() -> None:
    proportional = dict.fromkeys(LAYERS, 0.8)
    assert verdicts(magnitude(proportional, {"image": 0.3})) == [Verdict.AGREES] * 5


def test_influence_that_does_not_depend_on_size_differs() -> None:
    falls, grows, explained, little, _ = verdicts(magnitude(None, {}))
    assert {falls, grows, explained} == {Verdict.DIFFERS}
    assert little is Verdict.AGREES


def test_layers_of_very_different_influence_differ() -> None:
    *_, little, _ = verdicts(magnitude({"intermediate": 0.1, "fine": 0.4, "image": 1.6}, {}))
    assert little is Verdict.DIFFERS


def test_scatter_at_an_earlier_layer_differs() -> None:
    found = magnitude(dict.fromkeys(LAYERS, 0.8), {"intermediate": 0.3})
    assert verdicts(found)[-1] is Verdict.DIFFERS


# Claims of stability


def stability(nmf: dict[int, float], kmeans: float, cosine: float, best: int) -> StabilityResult:
    ks = np.arange(2, 6)
    repeats = np.array([-0.01, 0.01, -0.01, 0.01])
    rows = [[nmf.get(int(k), 0.5) for k in ks], [kmeans for _ in ks]]
    values = np.array(rows)[:, :, None] + repeats
    suggested = SuggestedK(Method.NMF, best, 0.9, 0.5, 0.01, (), f"K = {best}")
    return StabilityResult(
        k=ks,
        methods=(Method.NMF, Method.KMEANS),
        consistency=values,
        cosine=np.full(values.shape, cosine),
        chance=np.full((2, len(ks)), 0.5),
        suggested=(suggested, suggested),
        channels=64,
        operation="operations/1",
    )


def test_stability_as_in_the_paper_agrees_with_every_claim() -> None:
    found = stability({2: 0.95, 3: 0.95, 4: 0.7, 5: 0.6}, 0.5, 1.0 + 1e-15, 3)
    claims = stability_claims({"intermediate": found, "fine": found})
    assert [claim.verdict for claim in claims] == [Verdict.AGREES] * 5


def test_stability_that_is_otherwise_differs() -> None:
    found = stability({2: 0.6, 3: 0.6, 4: 0.6}, 0.9, 0.7, 5)
    claims = stability_claims({"intermediate": found})
    assert [claim.verdict for claim in claims] == [Verdict.DIFFERS] * 5


def test_stability_as_in_the_paper_at_another_level_alone_agrees_partly() -> None:
    good = stability({2: 0.95, 3: 0.95, 4: 0.7, 5: 0.6}, 0.5, 0.9, 3)
    bad = stability({2: 0.6, 3: 0.6, 4: 0.6}, 0.9, 0.7, 5)
    claims = stability_claims({"intermediate": bad, "fine": good})
    assert [claim.verdict for claim in claims] == [Verdict.PARTLY] * 5


def _templates_of(parts: list[list[str]]) -> npt.NDArray[np.float64]:
    """Templates that are bright in some parts of a face alone."""
    found = np.full((len(parts), 64, 64), 0.01)
    for template, names in zip(found, parts, strict=True):
        for name in names:
            (top, bottom), (left, right) = PARTS[name]
            rows, columns = (
                slice(round(64 * top), round(64 * bottom)),
                slice(round(64 * left), round(64 * right)),
            )
            template[rows, columns] = 1.0
    return found


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([["sides"], ["cheeks and nose"], ["top of the head"]], Verdict.AGREES),
        ([["sides", "top of the head"], ["cheeks and nose"], ["mouth"]], Verdict.PARTLY),
        ([["sides", "cheeks and nose", "top of the head"], ["eyes"], ["mouth"]], Verdict.DIFFERS),
    ],
)
def test_background_face_and_hair_are_three_modules_or_are_not(
    parts: list[list[str]], expected: Verdict
) -> None:
    assert kinds_claim({"intermediate": _templates_of(parts)}).verdict is expected


# Pairs enough for a verdict


def maps_with(noise: float, pairs: int) -> InfluenceResult:
    """Maps whose squared standard error is so much of their variance across the picture."""
    shape = np.random.default_rng(0).normal(size=(5, 8, 8))
    maps = 1.0 + 0.1 * (shape - shape.mean(axis=(1, 2), keepdims=True))
    deviation = maps.std(axis=(1, 2), keepdims=True)
    return InfluenceResult(
        maps=maps,
        stderr=np.broadcast_to(math.sqrt(noise) * deviation, maps.shape),
        individual=maps.mean(axis=(1, 2)),
        individual_stderr=np.full(5, 0.01),
        channels=np.arange(5),
        range_width=2.0,
        pairs=pairs,
        distinct_images=0,
        originals="prior",
        model="toy@0",
        layer="fc",
        operation="operations/1",
        execution=EXECUTION,
    )


CLAIM = Claim("4.1", "A claim.", "measured", "criterion", Verdict.DIFFERS)


@pytest.mark.parametrize(
    ("noise", "pairs", "expected"),
    [(0.02, 1000, Verdict.DIFFERS), (0.04, 200, Verdict.TOO_FEW), (math.nan, 1, Verdict.TOO_FEW)],
)
def test_modules_are_judged_by_the_noise_of_their_maps_and_not_by_the_number_of_pairs(
    noise: float, pairs: int, expected: Verdict
) -> None:
    found = maps_with(noise, pairs)
    assert noise_of(found) == pytest.approx(noise, nan_ok=True)
    (claim,) = resting_on(sample_of([maps_with(0.001, pairs), found]), [CLAIM])
    assert claim.verdict is expected
    assert f"{pairs:,} pair" in claim.sample


def test_as_many_pairs_as_are_said_to_be_needed_suffice() -> None:
    sample = sample_of([maps_with(0.04, 200)])
    assert sample.needed == 320
    # Noise falls as one over the number of pairs.
    assert sample_of([maps_with(0.04 * 200 / 320, 320)]).suffices


def test_what_errors_leave_open_is_no_verdict() -> None:
    assert verdict_of([True, True]) is Verdict.AGREES
    assert verdict_of([True, False]) is Verdict.PARTLY
    assert verdict_of([False, False]) is Verdict.DIFFERS
    assert verdict_of([True, None]) is Verdict.TOO_FEW


@pytest.mark.parametrize(
    ("stderr", "expected"), [(0.01, Verdict.AGREES), (0.2, Verdict.TOO_FEW), (0.0, Verdict.AGREES)]
)
def test_channels_of_both_kinds_count_only_when_they_are_clear_of_their_error(
    stderr: float, expected: Verdict
) -> None:
    ratio = np.array([1.5, 1.5, 0.6, 0.6, 1.0, 1.0])
    few = kinds_of(np.ones(6), np.full(6, 0.01))
    found = {"gan-cifar10": {"fine": kinds_of(ratio, np.full(6, stderr))}, "vae": {"fine": few}}
    assert foreground_claim(found).verdict is expected
    assert foreground_claim(found | {"gan-cifar10": {"fine": few}}).verdict is Verdict.DIFFERS


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.9, 1.05, Verdict.AGREES),
        (0.9, 1.4, Verdict.TOO_FEW),
        (1.2, 1.4, Verdict.DIFFERS),
    ],
)
def test_a_border_is_judged_where_its_interval_is_on_one_side(
    low: float, high: float, expected: Verdict
) -> None:
    seam = SeamNumbers(0, 9, [1.0], [1.0], 1.0, low, high, 8.0, 0.1)
    assert seam_claim([seam], "4.1").verdict is expected


@pytest.mark.parametrize(
    ("share", "error", "expected"),
    [(0.8, 0.05, Verdict.AGREES), (0.95, 0.05, Verdict.TOO_FEW), (1.2, 0.05, Verdict.DIFFERS)],
)
def test_a_module_has_lost_influence_where_that_is_clear_of_its_error(
    share: float, error: float, expected: Verdict
) -> None:
    minima = 7
    module = paper.PureModule(
        np.array([9] + [5] * (minima - 1)),
        paper.ErrorBars(np.array([1.0] + [share] * (minima - 1)), np.full(minima, error)),
    )
    claim = purity_claim(paper.Purity(np.linspace(0, 0.9, minima), [module]))
    assert claim.verdict is expected
