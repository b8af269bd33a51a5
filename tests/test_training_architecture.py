"""Table 1's networks: their shapes, levels, mirrors, and what no network can be built from."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from graftscope.training import RECIPES, Architecture, Discriminator, Encoder, Generator
from graftscope.training.errors import RecipeError
from graftscope.training.networks import initialise

BATCH = 3

# (level, layer, channels, size) of the hidden layers, from Table 1 and Fig. 4.
TABLE_1 = {
    "vae-celeba": [
        ("coarse", "fc", 64, 8),
        ("intermediate", "deconv1", 64, 16),
        ("fine", "deconv2", 32, 32),
        ("image", "deconv3", 16, 64),
    ],
    "gan-celeba": [
        ("coarse", "fc", 128, 4),
        ("intermediate", "deconv1", 64, 8),
        ("fine", "deconv2", 32, 16),
        ("image", "deconv3", 16, 32),
    ],
    "vae-cifar10": [
        ("coarse", "fc", 64, 4),
        ("intermediate", "deconv1", 32, 8),
        ("image", "deconv2", 16, 16),
    ],
    "gan-cifar10": [
        ("coarse", "fc", 64, 4),
        ("intermediate", "deconv1", 32, 8),
        ("image", "deconv2", 16, 16),
    ],
}
LATENT_SIZES = {"vae-celeba": 128, "gan-celeba": 150, "vae-cifar10": 128, "gan-cifar10": 150}
IMAGE_SIZES = {"vae-celeba": 64, "gan-celeba": 64, "vae-cifar10": 32, "gan-cifar10": 32}

every_recipe = pytest.mark.parametrize("name", sorted(TABLE_1))


def record_outputs(network: nn.Module) -> dict[str, Tensor]:
    outputs: dict[str, Tensor] = {}
    for name, stage in network.named_children():
        stage.register_forward_hook(lambda _, __, out, name=name: outputs.update({name: out}))
    return outputs


@every_recipe
def test_layers_and_levels_are_those_of_table_1(name: str) -> None:
    layers = RECIPES[name].architecture.layers

    found = [(layer.level, layer.name, layer.channels, layer.size) for layer in layers]
    assert found == TABLE_1[name]
    assert RECIPES[name].architecture.latent_size == LATENT_SIZES[name]


@every_recipe
def test_every_stage_of_the_generator_has_the_shape_that_its_layer_says(name: str) -> None:
    architecture = RECIPES[name].architecture
    generator = Generator(architecture)
    outputs = record_outputs(generator)

    image = generator(torch.randn(BATCH, architecture.latent_size))

    shapes = [(layer, *out.shape) for layer, out in outputs.items()]
    hidden = [(layer, BATCH, channels, size, size) for _, layer, channels, size in TABLE_1[name]]
    assert shapes[:-1] == hidden
    size = IMAGE_SIZES[name]
    assert image.shape == (BATCH, 3, size, size)
    assert image.abs().max() <= 1


@every_recipe
def test_a_layer_is_what_comes_out_of_the_nonlinearity(name: str) -> None:
    generator = Generator(RECIPES[name].architecture)
    outputs = record_outputs(generator)

    generator(torch.randn(BATCH, LATENT_SIZES[name]))

    for layer in RECIPES[name].architecture.layers:
        assert outputs[layer.name].min() == 0


@every_recipe
def test_encoder_mirrors_the_generator(name: str) -> None:
    architecture = RECIPES[name].architecture
    encoder = Encoder(architecture)
    outputs = record_outputs(encoder.stages)

    mean, log_variance = encoder(torch.zeros(BATCH, 3, *(2 * (IMAGE_SIZES[name],))))

    assert mean.shape == log_variance.shape == (BATCH, LATENT_SIZES[name])
    told = architecture.encoder_channels or [channels for _, _, channels, _ in TABLE_1[name]][::-1]
    sizes = [size for _, _, _, size in TABLE_1[name]][::-1]
    mirrored = [(BATCH, channels, size, size) for channels, size in zip(told, sizes, strict=True)]
    assert [tuple(out.shape) for out in outputs.values()] == mirrored


def test_encoder_has_other_channels_when_told_so() -> None:
    architecture = Architecture(
        latent_size=5, base_size=2, channels=(8, 4), strides=(2, 2), encoder_channels=(3, 6)
    )

    convolutions = [m for m in Encoder(architecture).modules() if isinstance(m, nn.Conv2d)]

    assert [convolution.out_channels for convolution in convolutions] == [3, 6]


@every_recipe
def test_discriminator_gives_one_logit_an_image(name: str) -> None:
    discriminator = Discriminator(RECIPES[name].architecture)

    assert discriminator(torch.zeros(BATCH, 3, *(2 * (IMAGE_SIZES[name],)))).shape == (BATCH,)


def test_a_discriminators_channels_kernels_and_leaks_are_those_that_it_is_told() -> None:
    architecture = replace(
        RECIPES["gan-celeba"].architecture, encoder_channels=None, encoder_kernel_size=3
    )

    modules = list(Discriminator(architecture).modules())

    convolutions = [m for m in modules if isinstance(m, nn.Conv2d)]
    leaks = {m.negative_slope for m in modules if isinstance(m, nn.LeakyReLU)}
    assert [each.out_channels for each in convolutions] == [16, 32, 64, 128]
    assert {each.kernel_size for each in convolutions} == {(3, 3)}
    assert leaks == {0.2}
    assert Generator(architecture).get_submodule("deconv1.deconvolution").kernel_size == (5, 5)


@pytest.mark.parametrize("network", [Generator, Encoder, Discriminator])
def test_weights_are_drawn_with_a_deviation_of_a_fiftieth(network: type[nn.Module]) -> None:
    built = network(RECIPES["gan-celeba"].architecture)

    initialise(built, torch.Generator().manual_seed(0))

    for name, parameter in built.named_parameters():
        if parameter.ndim > 1 and parameter.numel() > 10_000:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.05), name
            assert parameter.mean().abs().item() < 0.001, name
        if name.endswith("bias"):
            assert parameter.count_nonzero() == 0, name


def test_a_generator_too_deep_for_fig_4_has_no_levels() -> None:
    deep = Architecture(
        latent_size=4, base_size=1, channels=(4, 4, 4, 4, 4), strides=(2, 2, 2, 2, 2)
    )

    assert {layer.level for layer in deep.layers} == {None}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"latent_size": 0}, "latent_size must be at least 1, not 0"),
        ({"kernel_size": 4}, "kernel_size must be odd, not 4"),
        ({"strides": (2,)}, "strides has 1 entries"),
        ({"encoder_channels": (4,)}, "encoder_channels has 1 entries"),
        ({"channels": (8, -4)}, "channels needs numbers of at least 1"),
        ({"channels": (65536, 65536)}, "together make [0-9]+ weights"),
        ({"encoder_channels": (65536, 65536)}, "and encoder_channels together make"),
        ({"channels": (), "strides": ()}, "channels needs numbers of at least 1"),
    ],
)
def test_a_description_without_a_network_is_refused(wrong: dict[str, object], message: str) -> None:
    fine = {"latent_size": 5, "base_size": 2, "channels": (8, 4), "strides": (2, 2)}

    with pytest.raises(RecipeError, match=message):
        Architecture(**(fine | wrong))  # type: ignore[arg-type]
