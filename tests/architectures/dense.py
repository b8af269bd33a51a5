"""An autoencoder of fully connected layers only."""

from torch import Tensor, nn

from architectures._weights import filled

SIDE = 8


class Autoencoder(nn.Module):
    """Images (B, 1, 8, 8) in [0, 1] to codes (B, 5) and back."""

    def __init__(self, code: int = 5) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 16), nn.ReLU())
        self.bottleneck = nn.Linear(16, code)
        self.decoder = nn.Sequential(
            nn.Linear(code, 16),
            nn.ReLU(),
            nn.Linear(16, 24),
            nn.BatchNorm1d(24),
            nn.LeakyReLU(0.2),
            nn.Linear(24, SIDE**2),
            nn.Sigmoid(),
            nn.Unflatten(1, (1, SIDE, SIDE)),
        )

    def decode(self, code: Tensor) -> Tensor:
        image: Tensor = self.decoder(code)
        return image

    def forward(self, images: Tensor) -> Tensor:
        return self.decode(self.bottleneck(self.encoder(images)))


def make_generator() -> tuple[nn.Module, str]:
    return filled(Autoencoder()), "decode"
