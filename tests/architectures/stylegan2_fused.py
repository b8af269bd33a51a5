"""StyleGAN2 as NVIDIA's code computes it: per-sample weights, the batch as groups, `c` of no width.

Mapping and synthesis are networks of their own, so that styles can be truncated or given; noise is
drawn, constant or none (`noise_mode`). `fused_modconv` tells whether weights or maps are scaled.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu

from architectures._weights import filled

GAIN = math.sqrt(2)


def modulated_conv(
    x: Tensor, weight: Tensor, styles: Tensor, up: bool, demodulate: bool, fused: bool
) -> Tensor:
    """Convolve (B, C, H, W) with weights (C', C, k, k) that styles (B, C) scale."""
    batch = int(x.shape[0])
    _, channels_in, kernel, _ = weight.shape
    own = weight.unsqueeze(0) * styles.reshape(batch, 1, -1, 1, 1)  # (B, C', C, k, k)
    scale = (own.square().sum(dim=[2, 3, 4]) + 1e-8).rsqrt()  # (B, C')
    if not fused:
        x = resampled_conv(x * styles.reshape(batch, -1, 1, 1), weight, up, groups=1)
        return x * scale.reshape(batch, -1, 1, 1) if demodulate else x
    if demodulate:
        own = own * scale.reshape(batch, -1, 1, 1, 1)
    x = x.reshape(1, -1, *x.shape[2:])
    own = own.reshape(-1, channels_in, kernel, kernel)
    x = resampled_conv(x, own, up, groups=batch)
    return x.reshape(batch, -1, *x.shape[2:])


def resampled_conv(x: Tensor, weight: Tensor, up: bool, groups: int) -> Tensor:
    """Convolve; where the size doubles, with a transposed convolution and a turned kernel."""
    padding = weight.shape[-1] // 2
    if not up:
        return conv2d(x, weight, padding=padding, groups=groups)
    out, into, kernel, _ = weight.shape
    if groups == 1:
        weight = weight.transpose(0, 1)
    else:
        weight = weight.reshape(groups, out // groups, into, kernel, kernel).transpose(1, 2)
        weight = weight.reshape(groups * into, out // groups, kernel, kernel)
    weight = weight.flip([2, 3])
    return conv_transpose2d(x, weight, stride=2, padding=1, output_padding=1, groups=groups)


class FullyConnected(nn.Module):
    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, active: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.gain, self.active = 1 / math.sqrt(inputs), active

    def forward(self, x: Tensor) -> Tensor:
        x = torch.addmm(self.bias.unsqueeze(0), x, (self.weight * self.gain).t())
        return leaky_relu(x, 0.2) * GAIN if self.active else x


class Mapping(nn.Module):
    """Latents (B, Z) and labels (B, C), where there are any, to styles (B, L, W)."""

    w_avg: Tensor

    def __init__(self, z_dim: int, c_dim: int, w_dim: int, num_ws: int) -> None:
        super().__init__()
        self.c_dim, self.num_ws = c_dim, num_ws
        self.embed = FullyConnected(c_dim, z_dim) if c_dim else None
        self.fc0 = FullyConnected(z_dim + (z_dim if c_dim else 0), w_dim, active=True)
        self.fc1 = FullyConnected(w_dim, w_dim, active=True)
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self,
        z: Tensor,
        c: Tensor,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        x = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
        if self.embed is not None:
            assert c.shape[1] == self.c_dim
            x = torch.cat([x, self.embed(c)], dim=1)
        x = self.fc1(self.fc0(x)).unsqueeze(1).repeat([1, self.num_ws, 1])
        if truncation_psi != 1:
            cutoff = self.num_ws if truncation_cutoff is None else truncation_cutoff
            x[:, :cutoff] = torch.lerp(self.w_avg, x[:, :cutoff], truncation_psi)
        styles: Tensor = x
        return styles


class SynthesisLayer(nn.Module):
    noise_const: Tensor

    def __init__(self, inputs: int, outputs: int, w_dim: int, size: int, up: bool) -> None:
        super().__init__()
        self.up, self.size = up, size
        self.affine = FullyConnected(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.register_buffer("noise_const", torch.randn(size, size))
        self.noise_strength = nn.Parameter(torch.tensor(0.3))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, w: Tensor, noise_mode: str, fused_modconv: bool) -> Tensor:
        x = modulated_conv(x, self.weight, self.affine(w), self.up, True, fused_modconv)
        if noise_mode == "random":
            noise = torch.randn([x.shape[0], 1, self.size, self.size], device=x.device)
            x = x + noise * self.noise_strength
        elif noise_mode == "const":
            x = x + self.noise_const * self.noise_strength
        return leaky_relu(x + self.bias.reshape([1, -1, 1, 1]), 0.2) * GAIN


class ToRGB(nn.Module):
    def __init__(self, inputs: int, w_dim: int) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(3, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.gain = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor, fused_modconv: bool) -> Tensor:
        styles = self.affine(w) * self.gain
        x = modulated_conv(x, self.weight, styles, False, False, fused_modconv)
        return (x + self.bias.reshape([1, -1, 1, 1])).clamp(-256, 256)


class Block(nn.Module):
    """Doubles the size but in the first block, which holds the learned input."""

    def __init__(self, width: int, w_dim: int, size: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.fused_modconv_default = True
        if first:
            self.const = nn.Parameter(torch.randn(width, size, size))
        else:
            self.conv0 = SynthesisLayer(width, width, w_dim, size, up=True)
        self.conv1 = SynthesisLayer(width, width, w_dim, size, up=False)
        self.torgb = ToRGB(width, w_dim)

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: Tensor, noise_mode: str,
        fused_modconv: bool | None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        fused = self.fused_modconv_default if fused_modconv is None else fused_modconv
        styles = iter(ws.unbind(dim=1))
        if x is None:
            x = self.const.unsqueeze(0).repeat([ws.shape[0], 1, 1, 1])
        else:
            x = self.conv0(x, next(styles), noise_mode, fused)
        x = self.conv1(x, next(styles), noise_mode, fused)
        colours: Tensor = self.torgb(x, next(styles), fused)
        if image is not None:
            colours = colours + nn.functional.interpolate(image, scale_factor=2)
        return x, colours


class Synthesis(nn.Module):
    """Styles (B, L, W) to images."""

    def __init__(self, w_dim: int, width: int) -> None:
        super().__init__()
        self.b4 = Block(width, w_dim, 4, first=True)
        self.b8 = Block(width, w_dim, 8, first=False)

    def forward(
        self, ws: Tensor, noise_mode: str = "random", fused_modconv: bool | None = None
    ) -> Tensor:
        x, image = self.b4(None, None, ws.narrow(1, 0, 2), noise_mode, fused_modconv)
        _, image = self.b8(x, image, ws.narrow(1, 1, 3), noise_mode, fused_modconv)
        coloured: Tensor = image
        return coloured


class Generator(nn.Module):
    """Latents (B, 8) and labels (B, C) to images (B, 3, 8, 8)."""

    def __init__(self, c_dim: int = 0) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim, self.num_ws = 8, c_dim, 10, 4
        self.mapping = Mapping(self.z_dim, c_dim, self.w_dim, self.num_ws)
        self.synthesis = Synthesis(self.w_dim, width=6)

    def forward(
        self,
        z: Tensor,
        c: Tensor,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        **synthesis_kwargs: object,
    ) -> Tensor:
        ws = self.mapping(z, c, truncation_psi, truncation_cutoff)
        image: Tensor = self.synthesis(ws, **synthesis_kwargs)
        return image


def small(c_dim: int = 0) -> Generator:
    """Return a generator with random weights under which every layer matters."""
    generator = filled(Generator(c_dim), gain=1.0)
    randomness = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in [*generator.named_parameters(), *generator.named_buffers()]:
            if tensor.dim() > 1 or "w_avg" in name:
                tensor.normal_(0.0, 1.0, generator=randomness)
            if name.endswith("affine.bias"):
                tensor.add_(1.0)
            if "torgb.weight" in name:
                tensor.mul_(0.1)
    return generator


def make_generator() -> nn.Module:
    """As it is."""
    return small()


def truncated() -> tuple[object, ...]:
    """Half-way to the mean style, with constant noise."""
    return small(), "forward", {"truncation_psi": 0.5, "noise_mode": "const"}


def without_switch() -> tuple[object, ...]:
    """Fused, and nothing that would switch it."""
    generator = small()
    for part in generator.modules():
        if isinstance(part, Block):
            del part.fused_modconv_default
    return generator, "forward", {"fused_modconv": True, "noise_mode": "random"}


def make_synthesis() -> tuple[object, ...]:
    """The second network alone."""
    return small().synthesis, "forward", {"noise_mode": "none"}
