"""A generator that is told a class: residual, with class-conditional normalisation.

It is BigGAN's in small (Brock, Donahue and Simonyan, 2019): every block's batch normalisation has
gains and shifts of each class, and the skip connections are resampled and mixed by kernels of one
pixel. Blocks compute as much as they can before they enlarge, which makes them cheap.

Shapes: B batch, Z latent, K classes, C channels, H and W pixels.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from graftscope.training.architecture import Architecture
from graftscope.training.networks import Generator


class ConditionalNorm(nn.Module):
    """Batch normalisation whose gain and shift are those of each image's class."""

    def __init__(self, classes: int, channels: int) -> None:
        """Build it for K classes and C channels; gains are 1 + a row of a table."""
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Embedding(classes, channels)
        self.shift = nn.Embedding(classes, channels)

    def forward(self, maps: Tensor, label: Tensor) -> Tensor:
        """Map activations (B, C, H, W) of classes (B,) to normalised ones of the same shape."""
        # (B, C) -> (B, C, 1, 1)
        gain, shift = (table(label)[:, :, None, None] for table in (self.gain, self.shift))
        return torch.addcmul(shift, self.norm(maps), 1 + gain)


class LatentStage(nn.Module):
    """Latents (B, Z) to the first activation (B, C, H, W); the block behind it normalises."""

    def __init__(self, latent_size: int, channels: int, size: int) -> None:
        """Build the stage that ends in `channels` maps of `size` by `size` pixels."""
        super().__init__()
        self.shape = (channels, size, size)
        self.linear = nn.Linear(latent_size, channels * size * size)

    def forward(self, z: Tensor) -> Tensor:
        """Map latents (B, Z) to activations (B, C, H, W)."""
        maps: Tensor = self.linear(z).reshape(-1, *self.shape)
        return maps


class ResidualStage(nn.Module):
    """An activation (B, C, H, W) of a class to the next, `stride` times as high and wide."""

    def __init__(
        self, classes: int, channels_in: int, channels_out: int, kernel: int, stride: int
    ) -> None:
        """Build a block of two convolutions beside a skip connection."""
        super().__init__()
        self.norm1 = ConditionalNorm(classes, channels_in)
        self.activation1 = nn.ReLU()
        self.convolution1 = _same_size(channels_in, channels_out, kernel, bias=False)
        self.norm2 = ConditionalNorm(classes, channels_out)
        self.activation2 = nn.ReLU()
        self.convolution2 = _same_size(channels_out, channels_out, kernel, bias=True)
        self.skip = nn.Conv2d(channels_in, channels_out, 1)
        self.enlarge = nn.Upsample(scale_factor=stride) if stride > 1 else nn.Identity()

    def forward(self, activation: Tensor, label: Tensor) -> Tensor:
        """Map (B, C, H, W) of classes (B,) to (B, C', stride*H, stride*W)."""
        inner = self.convolution1(self.activation1(self.norm1(activation, label)))
        inner = self.activation2(self.norm2(self.enlarge(inner), label))
        out: Tensor = self.enlarge(self.skip(activation)) + self.convolution2(inner)
        return out


class ConditionalImageStage(nn.Module):
    """The last activation (B, C, H, W) to the image, in [-1, 1]."""

    def __init__(self, channels_in: int, colours: int, kernel: int) -> None:
        """Build the stage that ends in the image; it does not know the class."""
        super().__init__()
        self.norm = nn.BatchNorm2d(channels_in)
        self.activation = nn.ReLU()
        self.convolution = _same_size(channels_in, colours, kernel, bias=True)
        self.squash = nn.Tanh()

    def forward(self, activation: Tensor) -> Tensor:
        """Map (B, C, H, W) to the image (B, colours, H, W)."""
        out: Tensor = self.squash(self.convolution(self.activation(self.norm(activation))))
        return out


class ConditionalGenerator(nn.Module):
    """Latents and classes to images: stages `fc`, `block1`, `block2`, ..., `to_image`.

    `architecture.layers` names the layers: what each convolution of a block reads, the sum in which
    it ends, and what the last convolution reads.
    """

    def __init__(self, architecture: Architecture) -> None:
        """Build the stages that a description with classes asks for."""
        super().__init__()
        assert architecture.classes is not None
        self.architecture = architecture
        channels, kernel = architecture.channels, architecture.kernel_size
        self.fc = LatentStage(architecture.latent_size, channels[0], architecture.base_size)
        self.blocks = [f"block{i}" for i in range(1, len(channels))]
        shapes = zip(self.blocks, pairwise(channels), architecture.strides[:-1], strict=True)
        for name, pair, stride in shapes:
            self.add_module(name, ResidualStage(architecture.classes, *pair, kernel, stride))
        self.to_image = ConditionalImageStage(channels[-1], architecture.image_channels, kernel)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """Generate images.

        Args:
            z: Latents (B, Z), float32, standard normal.
            label: Classes (B,), int64, from 0.

        Returns:
            Images (B, 3, H, W) in [-1, 1].
        """
        activation = self.fc(z)
        for name in self.blocks:
            activation = self.get_submodule(name)(activation, label)
        image: Tensor = self.to_image(activation)
        return image


def build_generator(architecture: Architecture) -> Generator | ConditionalGenerator:
    """Build the generator that a description asks for: with classes, one that is told a class."""
    return (Generator if architecture.classes is None else ConditionalGenerator)(architecture)


def labels_of(
    architecture: Architecture, count: int, noise: torch.Generator
) -> tuple[Tensor] | tuple[()]:
    """Draw classes (count,), each as likely as any other; nothing where there are no classes.

    What is returned are the arguments that a generator takes behind its latents.
    """
    if architecture.classes is None:
        return ()
    return (torch.randint(architecture.classes, (count,), generator=noise),)


def _same_size(channels_in: int, channels_out: int, kernel: int, *, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=bias)
