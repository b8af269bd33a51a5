"""A variational autoencoder whose decoder is a method, with one activation for every layer."""

from torch import Tensor, nn

from architectures._weights import filled


class VAE(nn.Module):
    """Images (B, 3, 16, 16) in [0, 1] to latents (B, 6) and back."""

    def __init__(self, latent_dim: int = 6, width: int = 4) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.fc_mu = nn.Linear(2 * width * 16, latent_dim)
        self.fc_log_var = nn.Linear(2 * width * 16, latent_dim)
        self.decoder_input = nn.Linear(latent_dim, 2 * width * 16)
        self.deconv1 = nn.ConvTranspose2d(2 * width, width, 4, 2, 1)
        self.deconv2 = nn.ConvTranspose2d(width, width, 4, 2, 1)
        self.final = nn.Conv2d(width, 3, 3, padding=1)
        self.relu = nn.ReLU()

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.encoder(images)
        return self.fc_mu(features), self.fc_log_var(features)

    def decode(self, z: Tensor) -> Tensor:
        maps = self.relu(self.decoder_input(z).view(z.shape[0], -1, 4, 4))
        maps = self.relu(self.deconv1(maps))
        maps = self.relu(self.deconv2(maps))
        image: Tensor = self.final(maps).sigmoid()
        return image

    def forward(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images)[0])


def make_generator() -> tuple[nn.Module, str]:
    return filled(VAE()), "decode"
