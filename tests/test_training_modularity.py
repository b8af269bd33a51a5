"""The term that asks for modules: generators whose groups are known, and sums written out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from graftscope.training import RECIPES, Recipe, train
from graftscope.training._modularity import (
    groups_of_channels,
    influence_of_groups,
    overlap,
    overlap_of_groups,
)
from graftscope.training.errors import RecipeError
from graftscope.training.settings import apply_overrides
from torch_toys import SMALL, small_generator

CHANNELS, SIDE = 4, 16
# float32 against sums in another order.
RELATIVE = 1e-5

SMALL_RECIPE = replace(
    RECIPES["vae-celeba"],
    architecture=SMALL,
    modularity=0.5,
    modularity_groups=3,
    modularity_pairs=5,
)


class Drawing(nn.Module):
    """Each of four channels draws a pattern of its own (4, 3, S, S), as strongly as its latent."""

    def __init__(self, patterns: Tensor) -> None:
        super().__init__()
        self.layer = nn.Identity()
        self.patterns = nn.Parameter(patterns)

    def forward(self, z: Tensor) -> Tensor:
        return torch.einsum("bc,cxhw->bxhw", self.layer(z), self.patterns)


def quadrants() -> Tensor:
    """A pattern in every quarter of the picture."""
    patterns, half = torch.zeros(CHANNELS, 3, SIDE, SIDE), SIDE // 2
    for i in range(CHANNELS):
        top, left = (half * (i // 2), half * (i % 2))
        patterns[i, :, top : top + half, left : left + half] = 1 + i
    return patterns


def latents(count: int = 7, size: int = CHANNELS) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(3))


def overlap_in(patterns: Tensor) -> float:
    groups = groups_of_channels(CHANNELS, CHANNELS)
    return overlap(influence_of_groups(Drawing(patterns), "layer", groups, [latents()])).item()


def noise() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_groups_that_draw_apart_do_not_overlap() -> None:
    assert overlap_in(quadrants()) == 0


def test_groups_that_draw_the_same_everywhere_overlap_wholly() -> None:
    strengths = torch.tensor([1.0, -2.0, 0.5, 3.0])

    found = overlap_in(strengths[:, None, None, None].expand(CHANNELS, 3, SIDE, SIDE).clone())

    assert found == pytest.approx(1, rel=RELATIVE)


def test_groups_that_draw_alternate_pixels_of_the_same_place_overlap_wholly() -> None:
    patterns = torch.zeros(CHANNELS, 3, SIDE, SIDE)
    for i in range(CHANNELS):
        patterns[i, :, i // 2 :: 2, i % 2 :: 2] = 1

    assert overlap_in(patterns) == pytest.approx(1, rel=RELATIVE)


def test_a_group_without_any_effect_overlaps_with_none() -> None:
    patterns = torch.ones(CHANNELS, 3, SIDE, SIDE)
    patterns[1:] = 0

    assert overlap_in(patterns) == 0


def test_maps_are_those_of_splicing_stage_by_stage() -> None:
    generator, z, group = small_generator().eval(), latents(5, SMALL.latent_size), slice(2, 5)
    with torch.no_grad():
        first, second, *rest = generator.children()
        activation = second(first(z))
        spliced = activation.clone()
        for i in range(len(z)):
            spliced[i, group] = activation[i - 1, group]
        changes = nn.Sequential(*rest)(spliced) - generator(z)
        expected = changes.abs().numpy().mean((0, 1))

        (found,) = influence_of_groups(generator.train(), "deconv1", [group], [z])

    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-7)


def test_swapping_a_whole_layer_gives_the_other_picture() -> None:
    generator, z = small_generator().eval(), latents(5, SMALL.latent_size)
    with torch.no_grad():
        (found,) = influence_of_groups(generator, "fc", [slice(None)], [z])
        changes = generator(z.roll(1, 0)) - generator(z)

    torch.testing.assert_close(found, changes.abs().mean((0, 1)), rtol=1e-4, atol=1e-6)


def test_measuring_leaves_the_generator_as_it_was() -> None:
    generator = small_generator().train()
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}

    overlap_of_groups(SMALL_RECIPE, generator, [latents(6, SMALL.latent_size)], noise())

    assert all(torch.equal(before[name], now) for name, now in generator.state_dict().items())
    assert all(module.training and not module._forward_hooks for module in generator.modules())


def test_the_gradient_reaches_every_stage_of_the_generator_and_not_the_encoder() -> None:
    generator = small_generator()
    z = latents(6, SMALL.latent_size).requires_grad_()

    found = overlap_of_groups(SMALL_RECIPE, generator, [z], noise())
    assert found is not None
    gradients = torch.autograd.grad(found, list(generator.parameters()), retain_graph=True)

    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    assert torch.autograd.grad(found, z, allow_unused=True)[0] is None


def test_stepping_down_the_gradient_draws_groups_apart() -> None:
    patterns = quadrants() + 0.5
    drawing = Drawing(patterns)
    groups = groups_of_channels(CHANNELS, 2)
    found = []
    for _ in range(40):
        term = overlap(influence_of_groups(drawing, "layer", groups, [latents()]))
        (gradient,) = torch.autograd.grad(term, drawing.patterns)
        drawing.patterns.data -= 100 * gradient
        found.append(term.item())

    assert found[-1] < found[0] / 2


def test_the_mean_over_the_draws_is_the_mean_over_all_pairs_of_groups() -> None:
    recipe, z = replace(SMALL_RECIPE, modularity_pairs=6), latents(6, SMALL.latent_size)
    generator, draws = small_generator(), noise()
    groups = groups_of_channels(recipe.modularity_channels, recipe.modularity_groups)
    with torch.no_grad():
        whole = overlap(influence_of_groups(generator, "deconv1", groups, [z])).item()
        drawn = [
            term.item()
            for _ in range(120)
            if (term := overlap_of_groups(recipe, generator, [z], draws)) is not None
        ]

    error = np.std(drawn) / np.sqrt(len(drawn))
    assert len({round(term, 5) for term in drawn}) == 3  # pairs of three groups
    assert abs(np.mean(drawn) - whole) < 4 * error


def test_groups_are_neighbours_that_hold_every_channel_once() -> None:
    groups = groups_of_channels(64, 3)

    assert [each for group in groups for each in range(64)[group]] == list(range(64))
    assert {group.stop - group.start for group in groups} == {21, 22}


def test_without_the_term_nothing_is_drawn() -> None:
    source = noise()

    found = overlap_of_groups(
        replace(SMALL_RECIPE, modularity=0.0), small_generator(), [latents(6, 8)], source
    )

    assert found is None
    assert torch.equal(source.get_state(), noise().get_state())


@pytest.mark.parametrize("recipe", ["vae-celeba", "gan-celeba"])
def test_only_a_weight_above_nothing_changes_a_training(recipe: str, tmp_path: Path) -> None:
    images = tmp_path / "images.npz"
    np.savez(images, images=np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8))

    def weights(name: str, *overrides: str) -> dict[str, Tensor]:
        tiny = [
            *("architecture.latent_size=6", "architecture.base_size=4", "batch_size=4"),
            *("architecture.channels=8,4", "architecture.strides=2,1", "report_every=1"),
            "architecture.encoder_channels=none",
        ]
        train(recipe, images, tmp_path / name, steps=4, overrides=[*tiny, *overrides])
        return load_file(tmp_path / name / "generator.safetensors")

    usual = weights("usual")
    without = weights("without", "modularity=0", "modularity_groups=3", "modularity_layer=fc")
    asked = weights("asked", "modularity=1", "modularity_groups=2", "modularity_pairs=4")

    assert all(torch.equal(usual[name], without[name]) for name in usual)
    assert not torch.equal(usual["fc.linear.weight"], asked["fc.linear.weight"])
    curves = [(tmp_path / name / "metrics.csv").read_text() for name in ("usual", "asked")]
    assert ["overlap" in each for each in curves] == [False, True]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("modularity=-1", "modularity must be at least 0 and finite, not -1.0"),
        ("modularity_layer=deconv7", "cannot be 'deconv7'; the generator has: fc, deconv1"),
        ("modularity_groups=1", "modularity_groups must be 2 to 64, the channels of"),
        ("modularity_groups=65", "modularity_groups must be 2 to 64, the channels of"),
        ("modularity_pairs=1", "modularity_pairs must be 2 to 64, the images of a batch"),
        ("modularity_pairs=65", "modularity_pairs must be 2 to 64, the images of a batch"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(override: str, message: str) -> None:
    recipe: Recipe = replace(RECIPES["vae-celeba"], modularity=0.1)
    with pytest.raises(RecipeError, match=message):
        apply_overrides(recipe, [override])
