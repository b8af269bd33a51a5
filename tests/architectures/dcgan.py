"""DCGAN: transposed convolutions in one `nn.Sequential`, in-place ReLUs, numbers for names."""

from torch import Tensor, nn

from architectures._weights import filled

LATENT = 12


class Generator(nn.Module):
    """Latents (B, 12, 1, 1) to images (B, 3, 32, 32) in [-1, 1]."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(LATENT, width * 4, 4, 1, 0, bias=False),
            nn.BatchNorm2d(width * 4),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(width * 4, width * 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width * 2),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(width * 2, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, input: Tensor) -> Tensor:
        image: Tensor = self.main(input)
        return image


def make_generator() -> nn.Module:
    return filled(Generator())
