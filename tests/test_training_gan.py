"""What trains a GAN: losses, averages, spectra, changed images, and generators told a class."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.autograd import grad

from graftscope.training import RECIPES, Architecture, Discriminator, load_checkpoint, train
from graftscope.training._augmentation import (
    augment,
    cut_out,
    jitter_colours,
    mirror,
    translate,
)
from graftscope.training._averaging import average_of, measure_statistics
from graftscope.training._spectrum import bound_spectrum
from graftscope.training.conditional import ConditionalGenerator, ConditionalNorm
from graftscope.training.errors import DataError, RecipeError
from graftscope.training.losses import discriminator_hinge, generator_hinge, gradient_penalty
from graftscope.training.networks import initialise, scale_for_rectifiers
from graftscope.training.progress import Stage, TrainProgress

TINY = Architecture(
    latent_size=6, base_size=4, channels=(8, 6, 4), strides=(2, 1, 1), kernel_size=3, classes=3
)
SETTINGS = (
    "architecture.latent_size=6",
    "architecture.base_size=4",
    "architecture.channels=8,6,4",
    "architecture.strides=2,1,1",
    "architecture.encoder_channels=4,6,8",
    "architecture.classes=3",
    "batch_size=4",
    "normalisation=spectral",
    "adversarial_loss=hinge",
    "checkpoint_every=2",
    "colour_jitter=0.2",
    "translation=0.2",
    "cutout=0.3",
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(count: int = 5, size: int = 8) -> Tensor:
    return torch.rand(count, 3, size, size, generator=seeded(9)) * 2 - 1


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four training images of noise of each of three classes."""
    folder, noise = tmp_path_factory.mktemp("classes"), np.random.default_rng(0)
    for name in ("cat", "ant", "bee"):
        (folder / "train" / name).mkdir(parents=True)
        for index in range(4):
            pixels = noise.integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "train" / name / f"{index}.png")
    return folder


def test_the_hinge_loss_is_the_one_written_out() -> None:
    real, fake = torch.tensor([0.5, 2.0, -1.0]), torch.tensor([-3.0, 0.25, -0.5])

    # max(0, 1 - real) is 0.5, 0, 2; max(0, 1 + fake) is 0, 1.25, 0.5.
    assert discriminator_hinge(real, fake).item() == pytest.approx(2.5 / 3 + 1.75 / 3)
    assert generator_hinge(fake).item() == pytest.approx(3.25 / 3)


def test_the_gradient_penalty_of_a_known_slope_is_half_its_square_and_can_be_minimised() -> None:
    slope = torch.randn(3, 8, 8, generator=seeded(), requires_grad=True)

    penalty = gradient_penalty(lambda images: (images * slope).sum((1, 2, 3)), some_images())

    assert penalty.item() == pytest.approx(0.5 * slope.square().sum().item(), rel=1e-5)
    (found,) = grad(penalty, slope)
    torch.testing.assert_close(found, slope.detach())


def test_the_average_is_the_sum_of_all_weights_with_what_was_kept_of_each() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average, decay = average_of(network, 0.8), 0.8
    history = []
    for step in range(40):
        with torch.no_grad():
            for tensor in (*network.parameters(), *network.buffers()):
                tensor.copy_(torch.randn(tensor.shape, generator=seeded(step)) * 9)
        average.update_parameters(network)
        history.append(copy.deepcopy(network.state_dict()))

    # The first is taken as it is; at the n-th step after it (1 + n) / (10 + n) is kept, or 0.8.
    kept = [1.0, *(min(decay, (1 + n) / (10 + n)) for n in range(1, 40))]
    shares = [(1 - kept[n]) * np.prod(kept[n + 1 :]) for n in range(1, 40)]
    shares.insert(0, np.prod(kept[1:]))
    assert sum(shares) == pytest.approx(1)
    for name in ("0.weight", "0.bias", "1.running_mean", "1.running_var"):
        slow = sum(share * each[name].double() for share, each in zip(shares, history, strict=True))
        torch.testing.assert_close(
            average.module.state_dict()[name].double(), slow, atol=1e-4, rtol=0
        )


def test_statistics_are_the_means_over_batches_and_the_momentum_stays() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2, momentum=0.3))
    batches = [some_images(4) * factor for factor in (1, 2, 3)]

    measure_statistics(network, ((each,) for each in batches))

    norm, outputs = network[1], [network[0](each) for each in batches]
    means = torch.stack([each.mean((0, 2, 3)) for each in outputs]).mean(0)
    variances = torch.stack([each.var((0, 2, 3)) for each in outputs]).mean(0)
    torch.testing.assert_close(norm.running_mean, means.detach())
    torch.testing.assert_close(norm.running_var, variances.detach())
    assert norm.momentum == 0.3
    assert not network.training


def test_a_scaled_start_keeps_the_size_of_activations() -> None:
    architecture = Architecture(4, 4, (64, 64, 64), (2, 2, 2), encoder_channels=(64, 64, 64))
    sizes = []
    for scaled in (False, True):
        discriminator = Discriminator(architecture, normalise=False)
        initialise(discriminator, seeded())
        if scaled:
            scale_for_rectifiers(discriminator, seeded())
        inner = discriminator.stages(torch.randn(8, 3, 32, 32, generator=seeded(1)))
        sizes.append(inner.square().mean().sqrt().item())
    assert sizes[0] < 0.3
    assert sizes[1] == pytest.approx(1, rel=0.4)


def test_every_map_has_a_largest_singular_value_of_one() -> None:
    discriminator = Discriminator(TINY, normalise=False)
    initialise(discriminator, seeded())
    state = torch.random.get_rng_state()
    bound_spectrum(discriminator, seeded(1))
    assert torch.equal(torch.random.get_rng_state(), state)

    for _ in range(100):
        discriminator(some_images(), torch.tensor([0, 1, 2, 0, 1]))
    discriminator.eval()

    maps = [
        m for m in discriminator.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.Embedding)
    ]
    assert len(maps) == 5
    for module in maps:
        values = torch.linalg.svdvals(module.weight.flatten(1))
        assert values[0].item() == pytest.approx(1, rel=1e-3)


def test_singular_vectors_follow_the_seed() -> None:
    def vectors(seed: int) -> Tensor:
        discriminator = Discriminator(TINY, normalise=False)
        initialise(discriminator, seeded())
        bound_spectrum(discriminator, seeded(seed))
        found: Tensor = discriminator.state_dict()["logit.parametrizations.weight.0._v"]
        return found

    assert torch.equal(vectors(1), vectors(1))


Change = Callable[[Tensor, float, torch.Generator], Tensor]
every_change = pytest.mark.parametrize("change", [jitter_colours, translate, cut_out])


@every_change
def test_a_change_of_no_strength_is_none_and_a_small_one_is_small(change: Change) -> None:
    images = some_images()

    assert (change(images, 0.0, seeded()) - images).abs().max() < 1e-6
    assert (change(images, 1e-4, seeded()) - images).abs().max() < 1e-3


@every_change
def test_a_change_is_differentiable_and_drawn_for_each_image(change: Change) -> None:
    images = some_images(64).requires_grad_()

    changed = change(images, 0.5, seeded())

    (slopes,) = grad(changed.square().sum(), images)
    assert torch.isfinite(slopes).all()
    assert (slopes.flatten(1).abs().sum(1) > 0).all()
    same = change(images[:1].expand(64, -1, -1, -1), 0.5, seeded())
    assert len({each.numpy().tobytes() for each in same.detach()}) > 20


def test_an_image_is_moved_by_whole_pixels_and_what_comes_in_is_grey() -> None:
    images = some_images(100)

    moved = translate(images, 0.25, seeded())

    seen = set()
    for before, after in zip(images, moved, strict=True):
        found = [
            (down, across)
            for down in range(-2, 3)
            for across in range(-2, 3)
            if torch.equal(after, shifted(before, down, across))
        ]
        assert len(found) == 1
        seen.update(found)
    assert len(seen) > 20


def shifted(image: Tensor, down: int, across: int) -> Tensor:
    """Row y of the result is row y + down of the image, or grey; columns likewise."""
    padded = torch.zeros(3, 12, 12)
    padded[:, 2:10, 2:10] = image
    return padded[:, 2 + down : 10 + down, 2 + across : 10 + across]


def test_a_square_is_hidden_and_the_rest_is_left() -> None:
    hidden = cut_out(torch.ones(300, 3, 8, 8), 0.5, seeded()) == 0

    assert torch.equal(hidden.all(1), hidden.any(1))
    areas = hidden[:, 0].sum((1, 2))
    assert areas.max() == 16
    assert areas.min() >= 4


def test_half_of_the_images_are_turned() -> None:
    images = some_images(400)

    turned = mirror(images, seeded())

    are = (turned == images.flip(3)).flatten(1).all(1)
    stay = (turned == images).flatten(1).all(1)
    assert torch.equal(are, ~stay)
    assert 150 < int(are.sum()) < 250


def test_a_recipe_that_changes_nothing_draws_nothing() -> None:
    noise, images = seeded(), some_images()

    assert augment(images, RECIPES["gan-celeba"], noise) is images
    assert torch.equal(noise.get_state(), seeded().get_state())


def test_conditional_normalisation_scales_and_shifts_by_the_row_of_the_class() -> None:
    norm = ConditionalNorm(classes=3, channels=4)
    initialise(norm, seeded())
    maps = torch.randn(5, 4, 6, 6, generator=seeded(1))
    label = torch.tensor([2, 0, 1, 1, 0])

    found = norm(maps, label)

    mean, deviation = maps.mean((0, 2, 3)), maps.std((0, 2, 3), correction=0)
    for image, each in enumerate(label):
        for channel in range(4):
            plain = (maps[image, channel] - mean[channel]) / deviation[channel]
            gain, shift = norm.gain.weight[each, channel], norm.shift.weight[each, channel]
            wanted = plain * (1 + gain) + shift
            torch.testing.assert_close(found[image, channel], wanted, atol=1e-4, rtol=0)


def test_the_class_changes_the_image_and_layers_are_the_descriptions() -> None:
    generator = ConditionalGenerator(TINY)
    initialise(generator, seeded())
    generator.eval()
    z = torch.randn(1, 6, generator=seeded(1)).expand(3, 6)
    seen: dict[str, Tensor] = {}
    for name, module in generator.named_modules():
        module.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))

    images = generator(z, torch.tensor([0, 1, 2]))

    assert images.shape == (3, 3, 8, 8)
    assert images.abs().max() <= 1
    assert (images[0] - images[1]).abs().max() > 1e-6
    assert torch.equal(seen["fc"][0], seen["fc"][1])
    shapes = {layer.name: (layer.channels, layer.size) for layer in TINY.layers}
    for name in set(shapes) - {"to_image"}:
        assert tuple(seen[name].shape[1:]) == (shapes[name][0], shapes[name][1], shapes[name][1])
    assert shapes["to_image"] == tuple(seen["to_image.activation"].shape[1:3])


def test_the_class_is_judged_by_the_projection_of_the_features() -> None:
    discriminator = Discriminator(TINY, normalise=False).eval()
    images, label = some_images(3), torch.tensor([2, 0, 1])

    told, untold = discriminator(images, label), discriminator(images)

    features = discriminator.stages(images).sum((2, 3))
    expected = [features[i] @ discriminator.projection.weight[label[i]] for i in range(3)]
    torch.testing.assert_close(told - untold, torch.stack(expected), atol=1e-4, rtol=1e-4)


def test_a_training_with_classes_is_resumed_bit_for_bit(classes: Path, tmp_path: Path) -> None:
    def trained(name: str, **options: Any) -> Path:
        result = train(
            "cgan-cifar10", classes, tmp_path / name, steps=5, overrides=SETTINGS, **options
        )
        return result.checkpoint

    class Interrupted(Exception):
        pass

    def interrupt(progress: TrainProgress) -> None:
        if progress.stage is Stage.TRAINING and progress.step == 3:
            raise Interrupted

    straight = trained("straight")
    with pytest.raises(Interrupted):
        trained("broken", on_progress=interrupt)
    resumed = trained("broken", resume=True)

    one, two = (load_file(each / "state/latest.safetensors") for each in (straight, resumed))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(name.startswith("average.generator.module.") for name in one)
    assert any(name.endswith("_u") for name in one)


def test_the_checkpoints_generator_is_the_average_and_its_classes_are_named(
    classes: Path, tmp_path: Path
) -> None:
    folder = train(
        "cgan-cifar10", classes, tmp_path / "run", steps=3, overrides=SETTINGS
    ).checkpoint

    checkpoint = load_checkpoint(folder)
    state = load_file(folder / "state/latest.safetensors")
    raw = state["network.generator.fc.linear.weight"]

    # Not the last weights, and normalisation as it is for the average.
    kept = checkpoint.generator.state_dict()["fc.linear.weight"]
    assert torch.equal(kept, state["average.generator.module.fc.linear.weight"])
    assert not torch.equal(kept, raw)
    assert checkpoint.config.data.classes == ("ant", "bee", "cat")


def test_images_in_too_few_folders_are_refused_with_what_there_must_be(
    classes: Path, tmp_path: Path
) -> None:
    wrong = [each.replace("classes=3", "classes=4") for each in SETTINGS]

    with pytest.raises(DataError, match=r"lie in 3 folders .* but there must be 4: the class of"):
        train("cgan-cifar10", classes, tmp_path / "run", steps=1, overrides=wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"classes": 1}, "classes must be at least 2, or none, not 1"),
        ({"classes": 2, "strides": (2, 2)}, "the last of them 1; they are"),
        ({"classes": 2, "strides": (3, 1)}, "told a class are 1 or 2"),
        ({"encoder_kernel_size": 4}, "encoder_kernel_size must be odd, not 4"),
    ],
)
def test_a_description_of_no_conditional_network_is_refused(
    wrong: dict[str, object], message: str
) -> None:
    usual: dict[str, object] = {"latent_size": 4, "base_size": 4, "channels": (8, 4)}
    with pytest.raises(RecipeError, match=message):
        Architecture(**{**usual, "strides": (2, 1), **wrong})  # type: ignore[arg-type]
