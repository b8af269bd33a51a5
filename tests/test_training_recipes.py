"""Recipes: Table 1's numbers, and settings changed by `KEY=VALUE`."""

import pytest

from graftscope.training import RECIPES
from graftscope.training.errors import RecipeError
from graftscope.training.recipes import HeldOutRule, Objective, Precision, Schedule, find_recipe
from graftscope.training.settings import apply_overrides, changed_settings


def test_there_are_the_four_recipes_of_table_1_and_one_that_is_told_a_class() -> None:
    assert list(RECIPES) == [
        "vae-celeba",
        "gan-celeba",
        "vae-cifar10",
        "gan-cifar10",
        "cgan-cifar10",
    ]
    for name, recipe in RECIPES.items():
        assert recipe.name == name
        assert recipe.objective.value == name.split("-")[0].removeprefix("c")
        is_vae = recipe.objective is Objective.VAE
        assert (recipe.batch_size, recipe.adam_beta1) == ((64, 0.5) if is_vae else (32, 0.0))
        assert (recipe.architecture.classes is not None) == name.startswith("cgan")
        if is_vae:
            assert recipe.beta == 0.0005


def test_an_unknown_recipe_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(RecipeError, match="'vae' does not exist; there are: vae-celeba, gan-"):
        find_recipe("vae")


def test_every_kind_of_setting_is_read_from_text() -> None:
    changed = apply_overrides(
        RECIPES["vae-celeba"],
        [
            "batch_size=8",
            "learning_rate=2e-3",
            "precision=float32",
            "schedule=constant",
            "held_out=test-set",
            "channels_last=false",
            "architecture.channels=8,4",
            "architecture.strides=2,1",
            "architecture.encoder_channels=3,6",
        ],
    )

    assert changed.batch_size == 8
    assert changed.learning_rate == 2e-3
    assert changed.precision is Precision.FLOAT32
    assert changed.schedule is Schedule.CONSTANT
    assert changed.held_out is HeldOutRule.TEST_SET
    assert changed.channels_last is False
    assert changed.architecture.channels == (8, 4)
    assert changed.architecture.mirrored_channels == (3, 6)


def test_what_was_changed_is_what_decides_the_weights() -> None:
    changes = ["epochs=7", "sample_every=9", "checkpoint_every=9", "architecture.latent_size=5"]

    changed = apply_overrides(RECIPES["gan-celeba"], [*changes, "report_every=3"])

    assert changed_settings(changed) == ["epochs=7", "architecture.latent_size=5"]


def test_none_takes_a_setting_away_where_that_is_allowed() -> None:
    recipe = apply_overrides(RECIPES["vae-celeba"], ["architecture.encoder_channels=4,4,4,4"])

    again = apply_overrides(recipe, ["architecture.encoder_channels=none"])

    assert again == RECIPES["vae-celeba"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batch_size", "'batch_size' is not of the form KEY=VALUE"),
        ("batches=8", "'batches' is not a setting; there are: held_out, crop_share"),
        ("name=mine", "'name' is not a setting"),
        ("objective=gan", "'objective' is not a setting"),
        ("batch_size=8.5", r"batch_size cannot be '8\.5'; it must be a whole number"),
        ("learning_rate=fast", "learning_rate cannot be 'fast'; it must be a number"),
        ("precision=half", "precision cannot be 'half'; allowed are: auto, float32, bfloat16"),
        ("channels_last=1", "channels_last cannot be '1'; allowed are: true, false"),
        ("architecture.channels=8,x", "architecture.channels cannot be 'x'"),
        ("architecture.channels=none", "architecture.channels cannot be 'none'"),
        ("batch_size=1", "batch_size must be at least 2, not 1"),
        ("epochs=0", "epochs must be at least 1, not 0"),
        ("learning_rate=0", r"learning_rate must be above 0 and at most 1e\+30, not 0.0"),
        ("learning_rate=nan", r"learning_rate must be above 0 and at most 1e\+30, not nan"),
        ("adam_beta1=1", r"adam_beta1 must be in \[0, 1\), not 1.0"),
        ("crop_share=1.5", r"crop_share must be in \(0, 1\], not 1.5"),
        ("beta=-1", "beta must be at least 0 and finite, not -1.0"),
        ("learning_rate=inf", r"learning_rate must be above 0 and at most 1e\+30, not inf"),
        ("beta=inf", "beta must be at least 0 and finite, not inf"),
        ("architecture.latent_size=100000000000", "latent_size must be at most 65536, not 1000"),
        ("architecture.channels=9999999,64,32,16", "channels must be at most 65536, not"),
        ("architecture.base_size=1024", "base_size times strides makes images of 8192 pixels"),
        ("architecture.kernel_size=4", "kernel_size must be odd, not 4"),
    ],
)
def test_a_wrong_override_is_refused_by_name(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        apply_overrides(RECIPES["vae-celeba"], [override])


def test_a_setting_that_is_given_twice_is_refused() -> None:
    with pytest.raises(RecipeError, match="setting 'epochs' is given twice; once is allowed"):
        apply_overrides(RECIPES["vae-celeba"], ["epochs=1", "beta=0.1", "epochs=2"])
