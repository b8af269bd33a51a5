"""Facts about independence of modules: interaction, spill and mixtures where both are known."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from apart_toys import Product, write_everywhere, write_matching, write_product
from executor_toys import generator_of
from graftscope.server.analysis import (
    Kernels,
    power_spectra,
    ratio_of_sums,
    spectral_independence,
)
from graftscope.server.engine import PriorPairs
from graftscope.server.errors import InvalidInput
from graftscope.server.worth import Found, Independence, Making, Modules, in_order
from graftscope.server.worth._mixtures import Donors
from torch_toys import BUMP_GROUPS, BUMP_SIDE

FIRST, PAIRS = 3, 96
ROUNDING = 1e-6


@dataclass(frozen=True)
class Projection:
    """Looks at images by a fixed random projection."""

    shape: tuple[int, ...]
    features: int = 4
    name: str = "projection"

    def __call__(self, images: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
        random = np.random.default_rng(0)
        flat = images.reshape(len(images), -1)
        matrix = random.standard_normal((flat.shape[1], self.features)) / np.sqrt(flat.shape[1])
        return np.asarray(flat @ matrix, dtype=np.float32)


def measure_of(bundle: Path, labels: list[int], **changed: Any) -> Independence:
    generator = generator_of(bundle)
    making = Making(generator, PriorPairs(generator, seed=5))
    layer = next(x for x in generator.manifest.layers if x.channels == len(labels) and x.upstream)
    usual = {"first": FIRST, "pairs": PAIRS, "percentile": 75.0}
    return Independence(
        making,
        layer.name,
        Modules(np.array(labels)),
        Projection(generator.image_shape),
        **{**usual, **changed},
    )


def quarters() -> NDArray[np.float64]:
    half = BUMP_SIDE // 2
    templates = np.zeros((4, BUMP_SIDE, BUMP_SIDE))
    for group in range(4):
        row, column = (half * x for x in divmod(group, 2))
        templates[group, row : row + half, column : column + half] = 1.0
    return templates


@pytest.fixture(scope="module")
def bumps(bumps_bundle: Path) -> Found:
    measure = measure_of(bumps_bundle, list(BUMP_GROUPS), pairs=512, templates=quarters)
    return measure.run(in_order)


def test_modules_of_different_places_do_not_interact(bumps: Found) -> None:
    others = ~np.eye(4, dtype=bool)
    assert np.isnan(bumps.arrays["interaction"].diagonal()).all()
    assert bumps.arrays["interaction"][others].max() < ROUNDING
    assert bumps.arrays["interaction_maps"].shape == (6, BUMP_SIDE, BUMP_SIDE)
    assert bumps.arrays["interaction_maps"].max() < ROUNDING


def test_modules_that_keep_to_their_templates_do_not_spill(bumps: Found) -> None:
    np.testing.assert_allclose(bumps.arrays["spill"], 0.0, atol=ROUNDING)
    np.testing.assert_allclose(bumps.arrays["area_outside"], 0.75)
    np.testing.assert_array_equal(bumps.arrays["regions"], quarters())
    assert bumps.scalars["spill_pairs"] == 512


def test_a_mixture_of_parts_that_are_independent_is_as_real_as_samples(bumps: Found) -> None:
    arrays = bumps.arrays
    for name in ("over_donor", "over_modules", "over_floor"):
        # Fréchet and kernel distance.
        assert (np.abs(arrays[name][:2]) < 4 * arrays[f"{name}_stderr"][:2]).all()
    assert bumps.scalars["kinds"] == ["mixture", "donor", *["module"] * 4, "floor"]
    assert arrays["frechet"].shape == (7,)


def test_a_mixture_of_parts_that_must_match_is_less_real(tmp_path: Path) -> None:
    measure = measure_of(write_matching(tmp_path / "matching"), [0, 0, 0, 1, 1, 1], pairs=1024)
    arrays = measure.run(in_order).arrays
    for name in ("over_donor", "over_floor"):
        # Fréchet distance; its errors are upper bounds.
        assert arrays[name][0] > 3 * arrays[f"{name}_stderr"][0]
    # One module of two is as little of the whole as the mixture is.
    assert (np.abs(arrays["over_modules"][:1]) < 4 * arrays["over_modules_stderr"][:1]).all()


def test_the_interaction_of_two_factors_is_what_numpy_finds(tmp_path: Path) -> None:
    folder, module = write_product(tmp_path / "product")
    measure = measure_of(folder, [0, 0, 1, 1], percentile=50.0)
    found = measure.run(in_order).arrays
    first, second = (
        _factors(module, x["z"]) for x in measure.making.source.latents(range(FIRST, FIRST + PAIRS))
    )
    one, other = (second[i] - first[i] for i in range(2))
    left = 0.1 * np.abs(one * other)  # (a2 - a1) (b2 - b1)
    effect = 0.1 * np.abs(second[0] * second[1] - first[0] * first[1])
    np.testing.assert_allclose(found["interaction_maps"][0], left.mean(axis=(0, 1)), atol=1e-6)
    number, stderr = ratio_of_sums(left.sum(axis=(1, 2, 3)), effect.sum(axis=(1, 2, 3)))
    assert number > 0.1
    assert (
        found["interaction"][0, 1] == found["interaction"][1, 0] == pytest.approx(number, rel=1e-4)
    )
    assert found["interaction_stderr"][0, 1] == pytest.approx(stderr, rel=1e-4)


def _factors(module: Product, latents: Any) -> NDArray[np.float64]:
    """(2, B, 3, 4, 4) float64."""
    with torch.no_grad():
        maps = module.fc(torch.from_numpy(np.asarray(latents))).view(-1, 4, 4, 4).relu()
        made = module.factors(maps).numpy().astype(np.float64)
    return np.stack([made[:, :3], made[:, 3:]])


def test_a_channel_that_acts_everywhere_spills_as_much_as_lies_outside(tmp_path: Path) -> None:
    def templates() -> NDArray[np.float64]:
        left = np.zeros((2, 4, 8))
        left[:, :, :4] = 1.0
        left[0, 0, 0] = 2.0  # More than a quarter is highest, unless one pixel is higher.
        return left

    measure = measure_of(write_everywhere(tmp_path / "everywhere"), [0, 1], templates=templates)
    found = measure.run(in_order).arrays
    # Of module 0 the 75th percentile is 1, above which is a single pixel of 32.
    np.testing.assert_allclose(found["area_outside"], [31 / 32, 0.5])
    np.testing.assert_allclose(found["spill"], [31 / 32, 0.0], atol=ROUNDING)
    np.testing.assert_allclose(found["spill_stderr"], 0.0, atol=ROUNDING)
    assert found["interaction"][0, 1] < ROUNDING


def test_without_templates_those_of_the_first_half_judge_the_second(tmp_path: Path) -> None:
    measure = measure_of(write_everywhere(tmp_path / "everywhere"), [0, 1], percentile=40.0)
    found = measure.run(in_order)
    # Channel 0 changes all alike, of which nothing stands out but by rounding.
    assert found.arrays["spill"][1] == 0.0
    assert found.arrays["area_outside"][1] == 0.5
    assert 0 < found.scalars["spill_pairs"] < PAIRS


def test_donors_of_a_mixture_are_all_different_and_each_gives_as_often(
    bumps_bundle: Path,
) -> None:
    making = measure_of(bumps_bundle, list(BUMP_GROUPS)).making
    donors = Donors(making, FIRST, 10, 4)
    whole = making.source.latents(range(FIRST, FIRST + 10))[1]["z"]
    for module in range(4):
        given = np.concatenate(
            [donors.latents(range(at, at + 5), module)["z"] for at in (FIRST, FIRST + 5)]
        )
        np.testing.assert_array_equal(given, np.roll(whole, -2 * module, axis=0))
    with pytest.raises(InvalidInput, match="3 pairs have fewer donors than the 4 modules"):
        Donors(making, FIRST, 3, 4)


def test_spectral_scores_are_of_the_maps_and_kernels_of_the_generator(
    toy_vae_bundle: Path,
) -> None:
    labels = [c % 2 for c in range(_channels(toy_vae_bundle))]
    measure = measure_of(toy_vae_bundle, labels)
    found = measure.run(in_order)
    names = list(zip(found.scalars["upper"], found.scalars["lower"], strict=True))
    layers = [x.name for x in measure.making.generator.manifest.layers]
    assert names == list(zip(layers, [*layers[1:], "image"], strict=True))
    assert "is no map" in found.scalars["absent"][0]
    latents = measure.making.source.latents(range(FIRST, FIRST + PAIRS))[0]
    for place, pair in enumerate(measure._layers.pairs):
        score = found.arrays["spectral"][place]
        assert np.isnan(score) == bool(found.scalars["absent"][place])
        if pair.kernels is None:
            continue
        maps = measure.making.above(pair.upper, latents)[pair.upper.tensor].astype(np.float64)
        power = np.stack([power_spectra(x[np.newaxis]) for x in maps])
        kernels = Kernels(pair.kernels.values, pair.kernels.upsampling, pair.kernels.dilation)
        assert score == pytest.approx(spectral_independence(power, kernels).score)
    assert np.isfinite(found.arrays["spectral_stderr"][np.isfinite(found.arrays["spectral"])]).all()


def _channels(bundle: Path) -> int:
    layers = generator_of(bundle).manifest.layers
    return next(x.channels for x in layers if x.upstream)


def test_as_many_pieces_are_done_as_were_foretold_and_as_many_hybrids_made(
    block_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, made = [], []
    hybrids, mixture = Making.hybrids, Making.mixture

    def counting(self: Making, layer: Any, pairs: range, sets: NDArray[np.bool_]) -> Any:
        made.append(len(pairs) * sum(bool(x.any()) for x in sets))
        return hybrids(self, layer, pairs, sets)

    def mixing(self: Making, layer: Any, recipient: Any, donors: Any) -> Any:
        found = mixture(self, layer, recipient, donors)
        made.append(len(found))
        return found

    monkeypatch.setattr(Making, "hybrids", counting)
    monkeypatch.setattr(Making, "mixture", mixing)

    def each(work: Any, items: Any) -> Any:
        for item in items:
            found = work(item)
            done.append(item)
            yield found

    for templates in (None, lambda: np.ones((2, 4, 8))):
        measure = measure_of(block_bundle, [0, 0, 1, 1], templates=templates)
        done.clear()
        made.clear()
        measure.run(each)
        assert len(done) == measure.pieces
        assert sum(made) == measure.hybrids
        assert measure.bytes > 0
