"""The decoder of a latent diffusion model's autoencoder: `decode(z).sample`."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from architectures._weights import filled

GROUPS = 2


@dataclass
class DecoderOutput:
    sample: Tensor


class ResnetBlock2D(nn.Module):
    """(B, C, H, W) to (B, C', H, W), with a shortcut."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, channels_out)
        self.dropout = nn.Dropout(0.1)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.nonlinearity = nn.SiLU()
        self.conv_shortcut = (
            nn.Conv2d(channels_in, channels_out, 1) if channels_in != channels_out else None
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(self.nonlinearity(self.norm1(x)))
        h = self.conv2(self.dropout(self.nonlinearity(self.norm2(h))))
        shortcut = x if self.conv_shortcut is None else self.conv_shortcut(x)
        out: Tensor = (shortcut + h) / 1.0
        return out


class Attention(nn.Module):
    """Self-attention over positions with one head, added to what it is given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(GROUPS, channels)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels), nn.Dropout(0.0)])

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        tokens = self.group_norm(x.view(batch, channels, height * width)).transpose(1, 2)
        query, key, value = (
            part(tokens).unsqueeze(1) for part in (self.to_q, self.to_k, self.to_v)
        )
        read = functional.scaled_dot_product_attention(query, key, value).squeeze(1)
        read = self.to_out[1](self.to_out[0](read))
        out: Tensor = read.transpose(-1, -2).reshape(batch, channels, height, width) + x
        return out


class UNetMidBlock2D(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(ResnetBlock2D(channels, channels) for _ in range(2))
        self.attentions = nn.ModuleList([Attention(channels)])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.resnets[1](self.attentions[0](self.resnets[0](x)))
        return out


class Upsample2D(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


class UpDecoderBlock2D(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, upsample: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            [ResnetBlock2D(channels_in, channels_out), ResnetBlock2D(channels_out, channels_out)]
        )
        self.upsamplers = nn.ModuleList([Upsample2D(channels_out)]) if upsample else None

    def forward(self, x: Tensor) -> Tensor:
        for resnet in self.resnets:
            x = resnet(x)
        for upsampler in self.upsamplers or ():
            x = upsampler(x)
        return x


class Decoder(nn.Module):
    def __init__(self, latent: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        first, second = channels
        self.conv_in = nn.Conv2d(latent, first, 3, padding=1)
        self.mid_block = UNetMidBlock2D(first)
        self.up_blocks = nn.ModuleList(
            [UpDecoderBlock2D(first, first, True), UpDecoderBlock2D(first, second, False)]
        )
        self.conv_norm_out = nn.GroupNorm(GROUPS, second)
        self.conv_act = nn.SiLU()
        self.conv_out = nn.Conv2d(second, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(z))
        for block in self.up_blocks:
            x = block(x)
        image: Tensor = self.conv_out(self.conv_act(self.conv_norm_out(x)))
        return image


class AutoencoderKL(nn.Module):
    """Latents (B, 4, 8, 8) to images (B, 3, 16, 16), not limited by a last nonlinearity."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, 8, 3, padding=1)  # it takes no part in decoding
        self.decoder = Decoder(4, (8, 6))
        self.post_quant_conv = nn.Conv2d(4, 4, 1)

    def decode(
        self, z: Tensor, return_dict: bool = True, generator: torch.Generator | None = None
    ) -> DecoderOutput | tuple[Tensor]:
        image: Tensor = self.decoder(self.post_quant_conv(z))
        return DecoderOutput(sample=image) if return_dict else (image,)


def make_generator() -> tuple[nn.Module, str, dict[str, object], str]:
    return (
        filled(AutoencoderKL(), gain=1.0, colours=0.35),
        "decode",
        {"return_dict": True},
        "sample",
    )


def make_generator_by_index() -> tuple[nn.Module, str, dict[str, object], int]:
    return filled(AutoencoderKL(), gain=1.0, colours=0.35), "decode", {"return_dict": False}, 0
