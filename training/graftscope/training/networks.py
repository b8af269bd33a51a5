"""Generator, encoder and discriminator, built from an `Architecture`.

Every hidden stage is one small module whose output is what feeds the next stage: after batch
normalisation and nonlinearity (section 3.1). They know nothing of data, losses or devices.

Shapes: B batch, Z latent, C channels, H and W pixels.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from graftscope.training.architecture import Architecture

WEIGHT_DEVIATION = 0.02
LEAK = 0.2


class FullyConnectedStage(nn.Module):
    """Latents (B, Z) to the first activation (B, C, H, W)."""

    def __init__(self, latent_size: int, channels: int, size: int) -> None:
        """Build the stage that ends in `channels` maps of `size` by `size` pixels."""
        super().__init__()
        self.shape = (channels, size, size)
        # Batch normalisation subtracts any bias again, so no stage before one has a bias.
        self.linear = nn.Linear(latent_size, channels * size * size, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.activation = nn.ReLU()

    def forward(self, z: Tensor) -> Tensor:
        """Map latents (B, Z) to activations (B, C, H, W)."""
        # The batch is spelt -1, so that an export keeps it free: (B, C*H*W) -> (B, C, H, W).
        maps = self.linear(z).reshape(-1, *self.shape)
        out: Tensor = self.activation(self.norm(maps))
        return out


class DeconvolutionStage(nn.Module):
    """An activation (B, C, H, W) to the next, `stride` times as high and wide."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int) -> None:
        """Build a hidden stage; see `_deconvolution` for the padding."""
        super().__init__()
        self.deconvolution = _deconvolution(channels_in, channels_out, kernel, stride, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)
        self.activation = nn.ReLU()

    def forward(self, activation: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', stride*H, stride*W)."""
        out: Tensor = self.activation(self.norm(self.deconvolution(activation)))
        return out


class ImageStage(nn.Module):
    """The last hidden activation (B, C, H, W) to the image, in [-1, 1]."""

    def __init__(self, channels_in: int, colours: int, kernel: int, stride: int) -> None:
        """Build the stage that ends in the image; it has a bias and no normalisation."""
        super().__init__()
        self.deconvolution = _deconvolution(channels_in, colours, kernel, stride, bias=True)
        self.activation = nn.Tanh()

    def forward(self, activation: Tensor) -> Tensor:
        """Map (B, C, H, W) to the image (B, colours, stride*H, stride*W)."""
        out: Tensor = self.activation(self.deconvolution(activation))
        return out


class Generator(nn.Module):
    """Latents to images: stages `fc`, `deconv1`, `deconv2`, ... (Fig. 4).

    `architecture.layers` names the stages whose outputs are layers; the last stage ends in
    the image.
    """

    def __init__(self, architecture: Architecture) -> None:
        """Build the stages that the description asks for, with torch's own weights."""
        super().__init__()
        self.architecture = architecture
        channels, kernel = architecture.channels, architecture.kernel_size
        self.fc = FullyConnectedStage(architecture.latent_size, channels[0], architecture.base_size)
        *strides, last_stride = architecture.strides
        for i, (pair, stride) in enumerate(zip(pairwise(channels), strides, strict=True), 1):
            self.add_module(f"deconv{i}", DeconvolutionStage(*pair, kernel, stride))
        last = ImageStage(channels[-1], architecture.image_channels, kernel, last_stride)
        self.add_module(f"deconv{len(channels)}", last)

    def forward(self, z: Tensor) -> Tensor:
        """Generate images.

        Args:
            z: Latents (B, Z), float32, standard normal.

        Returns:
            Images (B, 3, H, W) in [-1, 1].
        """
        activation = z
        for stage in self.children():
            activation = stage(activation)
        return activation


class ConvolutionStage(nn.Module):
    """An image or activation (B, C, H, W) to the next, `stride` times less high and wide."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        stride: int,
        *,
        leak: float,
        normalise: bool,
    ) -> None:
        """Build a stage; `leak` is the slope for negative values, 0 for a plain ReLU."""
        super().__init__()
        self.convolution = nn.Conv2d(
            channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=not normalise
        )
        self.norm = nn.BatchNorm2d(channels_out) if normalise else nn.Identity()
        self.activation = nn.LeakyReLU(leak) if leak else nn.ReLU()

    def forward(self, activation: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H/stride, W/stride)."""
        out: Tensor = self.activation(self.norm(self.convolution(activation)))
        return out


class Encoder(nn.Module):
    """Images to the mean and log-variance of a Gaussian posterior over latents."""

    def __init__(self, architecture: Architecture) -> None:
        """Build the generator's mirror, or what `architecture.encoder_channels` says."""
        super().__init__()
        self.architecture = architecture
        self.stages = _convolutions(architecture, leak=0.0, normalise_first=True)
        features = architecture.mirrored_channels[-1] * architecture.base_size**2
        self.mean = nn.Linear(features, architecture.latent_size)
        self.log_variance = nn.Linear(features, architecture.latent_size)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Encode images.

        Args:
            image: Images (B, 3, H, W) in [-1, 1].

        Returns:
            The posterior's mean and log-variance, each (B, Z).
        """
        features = self.stages(image).flatten(1)  # (B, C, H, W) -> (B, C*H*W)
        return self.mean(features), self.log_variance(features)


class Discriminator(nn.Module):
    """Images to one logit each: positive for real, negative for generated."""

    def __init__(self, architecture: Architecture, *, normalise: bool = True) -> None:
        """Build the generator's mirror, or what `architecture.encoder_channels` says.

        Args:
            architecture: The description; with classes, images are judged as ones of a class.
            normalise: Whether all stages but the first have batch normalisation.
        """
        super().__init__()
        self.architecture = architecture
        self.stages = _convolutions(
            architecture, leak=LEAK, normalise_first=False, normalise=normalise
        )
        channels = architecture.mirrored_channels[-1]
        self.logit = nn.Linear(channels * architecture.base_size**2, 1)
        if architecture.classes is not None:
            self.projection = nn.Embedding(architecture.classes, channels)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Judge images.

        Args:
            image: Images (B, 3, H, W) in [-1, 1].
            label: The classes (B,) that they are said to be of, where there are classes.

        Returns:
            Logits (B,). With classes, the features' product with the class's own weights is added
            (the projection of Miyato and Koyama, 2018).
        """
        maps = self.stages(image)  # (B, C, H, W)
        logits: Tensor = self.logit(maps.flatten(1)).squeeze(1)  # (B, C*H*W) -> (B,)
        if label is None:
            return logits
        told: Tensor = (self.projection(label) * maps.sum((2, 3))).sum(1)  # (B, C) -> (B,)
        return logits + told


def initialise(network: nn.Module, randomness: torch.Generator) -> None:
    """Draw every weight from N(0, 0.02²), gains from N(1, 0.02²); set every bias to 0.

    Args:
        network: A generator, encoder or discriminator; changed in place.
        randomness: The source of the draws, on the CPU.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, WEIGHT_DEVIATION, generator=randomness)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.weight, 1.0, WEIGHT_DEVIATION, generator=randomness)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, 0.0, WEIGHT_DEVIATION, generator=randomness)
            continue
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def scale_for_rectifiers(network: nn.Module, randomness: torch.Generator) -> None:
    """Draw every map's weights so that activations keep their size through it (He et al., 2015).

    A deep network without normalisation otherwise begins with next to no slope.

    Args:
        network: A discriminator whose biases are set already; changed in place.
        randomness: The source of the draws, on the CPU.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, LEAK, generator=randomness)


def to_channels_last(network: nn.Module) -> None:
    """Let a network's kernels lie in memory pixel by pixel; its results stay the same."""
    # torch's own annotations leave this argument out.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def device_of(network: nn.Module) -> torch.device:
    """Return where a network's weights are."""
    return next(network.parameters()).device


def _convolutions(
    architecture: Architecture, *, leak: float, normalise_first: bool, normalise: bool = True
) -> nn.Sequential:
    channels = (architecture.image_channels, *architecture.mirrored_channels)
    steps = zip(pairwise(channels), architecture.strides[::-1], strict=True)
    return nn.Sequential(
        *(
            ConvolutionStage(
                *pair,
                architecture.mirrored_kernel_size,
                stride,
                leak=leak,
                normalise=normalise and (normalise_first or i > 0),
            )
            for i, (pair, stride) in enumerate(steps)
        )
    )


def _deconvolution(
    channels_in: int, channels_out: int, kernel: int, stride: int, *, bias: bool
) -> nn.ConvTranspose2d:
    # For an odd kernel these paddings make the output exactly `stride` times the input.
    return nn.ConvTranspose2d(
        channels_in,
        channels_out,
        kernel,
        stride,
        padding=kernel // 2,
        output_padding=stride - 1,
        bias=bias,
    )
