"""StyleGAN3 as NVIDIA's code computes it: waves that a style moves, filtered activations.

Weights belong to a sample each and the batch is a number of groups, which nothing switches; styles
are normalised by their mean over the batch, which demodulation cancels.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, conv2d, leaky_relu, pad

from architectures._weights import filled
from architectures.stylegan2_fused import GAIN, FullyConnected, Mapping


def modulated_conv(
    x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool, padding: int, input_gain: Tensor
) -> Tensor:
    """Convolve (B, C, H, W) with weights (C', C, k, k) that styles (B, C) scale."""
    batch = int(x.shape[0])
    _, channels, kernel, _ = weight.shape
    if demodulate:
        weight = weight * weight.square().mean([1, 2, 3], keepdim=True).rsqrt()
        styles = styles * styles.square().mean().rsqrt()
    own = weight.unsqueeze(0) * styles.unsqueeze(1).unsqueeze(3).unsqueeze(4)  # (B, C', C, k, k)
    if demodulate:
        scale = (own.square().sum(dim=[2, 3, 4]) + 1e-8).rsqrt()  # (B, C')
        own = own * scale.unsqueeze(2).unsqueeze(3).unsqueeze(4)
    gains = input_gain.expand(batch, channels)
    own = own * gains.unsqueeze(1).unsqueeze(3).unsqueeze(4)
    x = x.reshape(1, -1, *x.shape[2:])
    own = own.reshape(-1, channels, kernel, kernel)
    x = conv2d(x, own, padding=padding, groups=batch)
    return x.reshape(batch, -1, *x.shape[2:])


def resample(x: Tensor, taps: Tensor, up: int, down: int, padding: int) -> Tensor:
    """Put zeros between pixels, blur with a separable filter, keep every `down`-th pixel."""
    batch, channels, height, width = x.shape
    x = x.reshape([batch, channels, height, 1, width, 1])
    x = pad(x, [0, up - 1, 0, 0, 0, up - 1])
    x = x.reshape([batch, channels, height * up, width * up])
    x = pad(x, [padding] * 4)
    taps = (taps * math.sqrt(up)).flip([0]).unsqueeze(0).unsqueeze(0)
    taps = taps.repeat([channels, 1, 1])
    x = conv2d(x, taps.unsqueeze(2), groups=channels)
    x = conv2d(x, taps.unsqueeze(3), groups=channels)
    return x[:, :, ::down, ::down]


class SynthesisInput(nn.Module):
    """Styles (B, W) to maps (B, C, H, W) of waves that they turn and shift."""

    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, w_dim: int, channels: int, size: int) -> None:
        super().__init__()
        self.channels, self.size = channels, size
        self.affine = FullyConnected(w_dim, 4)
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.register_buffer("freqs", torch.randn(channels, 2))
        self.register_buffer("phases", torch.rand(channels))
        self.register_buffer("transform", torch.eye(3))

    def forward(self, w: Tensor) -> Tensor:
        transforms = self.transform.unsqueeze(0)
        freqs, phases = self.freqs.unsqueeze(0), self.phases.unsqueeze(0)
        t = self.affine(w)
        t = t / t[:, :2].norm(dim=1, keepdim=True)
        turned = torch.eye(3, device=w.device).unsqueeze(0).repeat([w.shape[0], 1, 1])
        turned[:, 0, 0] = t[:, 0]
        turned[:, 0, 1] = -t[:, 1]
        turned[:, 1, 0] = t[:, 1]
        turned[:, 1, 1] = t[:, 0]
        moved = torch.eye(3, device=w.device).unsqueeze(0).repeat([w.shape[0], 1, 1])
        moved[:, 0, 2] = -t[:, 2]
        moved[:, 1, 2] = -t[:, 3]
        transforms = turned @ moved @ transforms
        phases = phases + (freqs @ transforms[:, :2, 2:]).squeeze(2)
        freqs = freqs @ transforms[:, :2, :2]
        amplitudes = (1 - (freqs.norm(dim=2) - 1) / 4).clamp(0, 1)
        theta = torch.eye(2, 3, device=w.device)
        theta[0, 0] = theta[1, 1] = 0.5
        grid = affine_grid(theta.unsqueeze(0), [1, 1, self.size, self.size], align_corners=False)
        x = (grid.unsqueeze(3) @ freqs.permute(0, 2, 1).unsqueeze(1).unsqueeze(2)).squeeze(3)
        x = x + phases.unsqueeze(1).unsqueeze(2)
        x = torch.sin(x * (math.pi * 2)) * amplitudes.unsqueeze(1).unsqueeze(2)
        x = x @ (self.weight / math.sqrt(self.channels)).t()
        waves: Tensor = x.permute(0, 3, 1, 2)
        return waves


class SynthesisLayer(nn.Module):
    """(B, C, H, W) and styles to (B, C', H, W); the last one gives colours."""

    magnitude_ema: Tensor
    taps: Tensor

    def __init__(self, inputs: int, outputs: int, w_dim: int, is_torgb: bool) -> None:
        super().__init__()
        self.is_torgb, self.kernel = is_torgb, 1 if is_torgb else 3
        self.affine = FullyConnected(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, self.kernel, self.kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("magnitude_ema", torch.ones([]))
        self.register_buffer("taps", torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        gain = self.magnitude_ema.rsqrt()
        styles = self.affine(w)
        if self.is_torgb:
            styles = styles / math.sqrt(self.weight.shape[1])
        demodulate = not self.is_torgb
        x = modulated_conv(x, self.weight, styles, demodulate, self.kernel // 2, gain)
        x = x + self.bias.reshape([1, -1, 1, 1])
        if self.is_torgb:
            return x
        x = resample(x, self.taps * 2, up=2, down=1, padding=2)
        x = (leaky_relu(x, 0.2) * GAIN).clamp(-256, 256)
        return resample(x, self.taps, up=1, down=2, padding=1)


class Synthesis(nn.Module):
    def __init__(self, w_dim: int, width: int) -> None:
        super().__init__()
        self.input = SynthesisInput(w_dim, width, 8)
        self.L0 = SynthesisLayer(width, width, w_dim, is_torgb=False)
        self.L1 = SynthesisLayer(width, width - 1, w_dim, is_torgb=False)
        self.L2 = SynthesisLayer(width - 1, 3, w_dim, is_torgb=True)

    def forward(self, ws: Tensor) -> Tensor:
        first, *others = ws.unbind(dim=1)
        x = self.input(first)
        for layer, w in zip((self.L0, self.L1, self.L2), others, strict=True):
            x = layer(x, w)
        image: Tensor = x * 0.25
        return image


class Generator(nn.Module):
    """Latents (B, 8) and labels (B, 0) to images (B, 3, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.z_dim, self.c_dim = 8, 0
        self.mapping = Mapping(z_dim=8, c_dim=0, w_dim=10, num_ws=4)
        self.synthesis = Synthesis(w_dim=10, width=6)

    def forward(self, z: Tensor, c: Tensor, truncation_psi: float = 1.0) -> Tensor:
        image: Tensor = self.synthesis(self.mapping(z, c, truncation_psi))
        return image


def make_generator() -> nn.Module:
    generator = filled(Generator(), gain=1.0)
    randomness = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in generator.named_parameters():
            if tensor.dim() > 1:
                tensor.normal_(0.0, 1.0, generator=randomness)
            if name.endswith("affine.bias"):
                tensor.add_(1.0)
        generator.synthesis.input.freqs.normal_(0.0, 1.0, generator=randomness)
        generator.synthesis.input.phases.uniform_(0.0, 1.0, generator=randomness)
        generator.synthesis.L1.magnitude_ema.fill_(1.5)
    return generator
