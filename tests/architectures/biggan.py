"""BigGAN: pieces of the latent and the class's embedding steer every block's normalisation."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from architectures._weights import filled

CHUNK = 4
BLOCKS = 2


class ConditionalNorm(nn.Module):
    """Batch normalisation whose gain and bias are read from a condition (B, K)."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Linear(condition, channels, bias=False)
        self.bias = nn.Linear(condition, channels, bias=False)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain = 1 + 0.3 * self.gain(condition)[:, :, None, None]
        out: Tensor = self.norm(x) * gain + 0.3 * self.bias(condition)[:, :, None, None]
        return out


class Block(nn.Module):
    """(B, C, H, W) and a condition to (B, C', 2H, 2W)."""

    def __init__(self, channels_in: int, channels_out: int, condition: int) -> None:
        super().__init__()
        self.bn1 = ConditionalNorm(channels_in, condition)
        self.bn2 = ConditionalNorm(channels_out, condition)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.conv_sc = nn.Conv2d(channels_in, channels_out, 1)
        self.activation = nn.ReLU()
        self.upsample = nn.Upsample(scale_factor=2)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = self.activation(self.bn1(x, condition))
        h = self.conv1(self.upsample(h))
        h = self.activation(self.bn2(h, condition))
        out: Tensor = self.conv2(h) + self.conv_sc(self.upsample(x))
        return out


class Attention(nn.Module):
    """Self-attention over positions, added to what it is given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.phi = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.g = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.o = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.tensor(0.0))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        theta = self.theta(x).flatten(2)  # (B, C/2, HW)
        phi = functional.max_pool2d(self.phi(x), 2).flatten(2)  # (B, C/2, HW/4)
        values = functional.max_pool2d(self.g(x), 2).flatten(2)
        beta = torch.softmax(theta.transpose(1, 2) @ phi, -1)  # (B, HW, HW/4)
        read = (values @ beta.transpose(1, 2)).view(-1, values.size(1), height, width)
        out: Tensor = (self.gamma + 0.5) * self.o(read) + x
        return out


class Generator(nn.Module):
    """Latents (B, 12) and labels (B,) of five classes to images (B, 3, 16, 16) in [-1, 1]."""

    def __init__(self, classes: int = 5, shared: int = 6, width: int = 6) -> None:
        super().__init__()
        self.dim_z = CHUNK * (1 + BLOCKS)
        condition = shared + CHUNK
        self.shared = nn.Embedding(classes, shared)
        self.linear = nn.Linear(CHUNK, 2 * width * 4 * 4)
        self.blocks = nn.ModuleList(
            [Block(2 * width, width, condition), Block(width, width, condition)]
        )
        self.attention = Attention(width)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 3, 3, padding=1)
        )

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        first, *chunks = torch.split(z, CHUNK, dim=1)
        label = self.shared(y)
        h = self.linear(first).view(first.size(0), -1, 4, 4)
        for i, (block, chunk) in enumerate(zip(self.blocks, chunks, strict=True)):
            h = block(h, torch.cat([label, chunk], dim=1))
            if i == 0:
                h = self.attention(h)
        return torch.tanh(self.output_layer(h))


def make_generator() -> nn.Module:
    generator = filled(Generator(), gain=1.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # it begins anywhere and comes close to the largest singular value
        for part in list(generator.blocks.modules()):
            if isinstance(part, nn.Conv2d):
                spectral_norm(part)
    return generator
