"""The networks of Table 1 as one description of channels, sizes and strides.

The description alone says what is built; `graftscope.training.networks` builds it. It knows
no torch, so that a recipe can be read and checked without it.
"""

from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from operator import mul

from graftscope.training.errors import RecipeError

_LEVEL_NAMES = {
    2: ("coarse", "image"),
    3: ("coarse", "intermediate", "image"),
    4: ("coarse", "intermediate", "fine", "image"),
}

# Far beyond the paper's networks; beyond them a slip of the keys would ask for more than memory.
_LARGEST = {
    "latent_size": 65_536,
    "base_size": 1024,
    "kernel_size": 101,
    "image_channels": 4,
    "channels": 65_536,
    "strides": 16,
    "encoder_channels": 65_536,
    "encoder_kernel_size": 101,
    "classes": 65_536,
}
_LARGEST_IMAGE = 2048
_MOST_WEIGHTS = 2**28


@dataclass(frozen=True)
class Layer:
    """One hidden layer of a generator, as it feeds the next one (section 3.1).

    Attributes:
        name: The generator's module that ends in it: `fc`, `deconv1`, `deconv2`, ... Where it is
            told a class: `fc`, then `block1.activation1`, `block1.activation2` and `block1` of
            every block, and `to_image` behind the last one's normalisation.
        level: Its level's name in Fig. 4, or None where a generator of that depth has none.
        channels: The number of channels, C.
        size: Height and width in pixels; activations are square.
    """

    name: str
    level: str | None
    channels: int
    size: int


@dataclass(frozen=True)
class Architecture:
    """A generator, and the encoder or discriminator that mirrors it (Table 1, Fig. 4).

    A generator that is told a class is residual, in the manner of BigGAN, and not Table 1's.

    Attributes:
        latent_size: Length of the latent vector, Z.
        base_size: Height and width in pixels of the reshaped fully connected layer.
        channels: Channels of the hidden layers, the fully connected one first.
        strides: Strides of the deconvolutions, the one that ends in the image last.
        encoder_channels: Channels of the convolutions of the encoder (of the discriminator in
            a GAN), the one that sees the image first; None mirrors the generator.
        kernel_size: Height and width of every kernel in pixels, odd.
        image_channels: Colours of the image.
        encoder_kernel_size: Height and width of the encoder's or discriminator's kernels in
            pixels, odd; None takes `kernel_size`.
        classes: Number of classes that the generator is told one of, at least 2; None builds a
            generator of latents alone. The strides of its residual blocks are 1 or 2, that of the
            image's stage is 1.

    Raises:
        RecipeError: If a number is not positive or too large, the kernel is even, or the tuples
            do not fit each other.
    """

    latent_size: int
    base_size: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    encoder_channels: tuple[int, ...] | None = None
    kernel_size: int = 5
    image_channels: int = 3
    encoder_kernel_size: int | None = None
    classes: int | None = None

    def __post_init__(self) -> None:
        """Refuse a description from which no network can be built."""
        self._require_numbers()
        for name in ("kernel_size", "encoder_kernel_size"):
            given = getattr(self, name)
            if given is not None and given % 2 == 0:
                raise RecipeError(f"{name} must be odd, not {given}")
        if self.classes is not None:
            self._require_residual()
        for name in ("strides", "encoder_channels"):
            given = getattr(self, name)
            if given is not None and len(given) != len(self.channels):
                raise RecipeError(
                    f"{name} has {len(given)} entries, {given}; it needs one for each of the "
                    f"{len(self.channels)} hidden layers in channels, {self.channels}"
                )
        self._require_buildable()

    def _require_residual(self) -> None:
        """Refuse what no generator that is told a class can be built from."""
        if self.classes == 1:
            raise RecipeError("classes must be at least 2, or none, not 1")
        if max(self.strides) > 2 or self.strides[-1] != 1:
            raise RecipeError(
                f"strides of a generator that is told a class are 1 or 2, the last of them 1; they "
                f"are {self.strides}"
            )

    def _require_numbers(self) -> None:
        """Refuse numbers with which nothing, or too much, would be built."""
        for name, largest in _LARGEST.items():
            given = getattr(self, name)
            if isinstance(given, tuple) and (not given or min(given) < 1):
                raise RecipeError(f"{name} needs numbers of at least 1, not {given}")
            if isinstance(given, int) and given < 1:
                raise RecipeError(f"{name} must be at least 1, not {given}")
            if (max(given) if isinstance(given, tuple) else given or 0) > largest:
                raise RecipeError(f"{name} must be at most {largest}, not {given}")

    def _require_buildable(self) -> None:
        """Refuse settings that are each allowed, but together ask for too large a network."""
        if self.image_size > _LARGEST_IMAGE:
            raise RecipeError(
                f"base_size times strides makes images of {self.image_size} pixels; at most"
                f" {_LARGEST_IMAGE} are allowed"
            )
        for named, channels in (
            ("channels", (*self.channels, self.image_channels)),
            ("encoder_channels", (self.image_channels, *self.mirrored_channels)),
        ):
            dense = channels[0] if named == "channels" else channels[-1]
            kernels = sum(above * below for above, below in pairwise(channels))
            kernel = self.kernel_size if named == "channels" else self.mirrored_kernel_size
            weights = self.latent_size * dense * self.base_size**2 + kernels * kernel**2
            if weights > _MOST_WEIGHTS:
                raise RecipeError(
                    f"latent_size, base_size, kernel_size and {named} together make {weights}"
                    f" weights; at most {_MOST_WEIGHTS} are allowed"
                )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Height and width of the hidden layers, then of the image, in pixels."""
        return tuple(accumulate((self.base_size, *self.strides), mul))

    @property
    def image_size(self) -> int:
        """Height and width of the image in pixels."""
        return self.sizes[-1]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The hidden layers with their levels, from the latent to the image."""
        depth = len(self.channels)
        stage = "deconv" if self.classes is None else "block"
        names = ("fc", *(f"{stage}{i}" for i in range(1, depth)))
        levels = _LEVEL_NAMES.get(depth, (None,) * depth)
        shapes = zip(names, levels, self.channels, self.sizes[:-1], strict=True)
        stages = tuple(Layer(*shape) for shape in shapes)
        return stages if self.classes is None else _inside_blocks(stages)

    @property
    def mirrored_channels(self) -> tuple[int, ...]:
        """Channels of the encoder's or discriminator's convolutions, the image's side first."""
        return self.encoder_channels or self.channels[::-1]

    @property
    def mirrored_kernel_size(self) -> int:
        """Height and width of the encoder's or discriminator's kernels in pixels."""
        return self.encoder_kernel_size or self.kernel_size


def _inside_blocks(stages: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Return the layers of residual stages: what each convolution of a block reads, and the sum."""
    layers = list(stages[:1])
    for before, stage in pairwise(stages):
        layers += [
            replace(before, name=f"{stage.name}.activation1", level=None),
            replace(stage, name=f"{stage.name}.activation2", level=None),
            stage,
        ]
    return (*layers, replace(stages[-1], name="to_image", level=None))


VAE_CELEBA = Architecture(
    latent_size=128, base_size=8, channels=(64, 64, 32, 16), strides=(2, 2, 2, 1)
)
GAN_CELEBA = Architecture(
    latent_size=150, base_size=4, channels=(128, 64, 32, 16), strides=(2, 2, 2, 2)
)
VAE_CIFAR10 = Architecture(latent_size=128, base_size=4, channels=(64, 32, 16), strides=(2, 2, 2))
GAN_CIFAR10 = Architecture(
    latent_size=150,
    base_size=4,
    channels=(64, 32, 16),
    strides=(2, 2, 2),
    # A discriminator twice as wide as the generator.
    encoder_channels=(32, 64, 128),
)
CGAN_CIFAR10 = Architecture(
    latent_size=128,
    base_size=4,
    channels=(192, 96, 48, 16),
    strides=(2, 2, 2, 1),
    encoder_channels=(32, 64, 128, 128),
    kernel_size=3,
    classes=10,
)
