"""A small WGAN-GP for CIFAR-10, whose weights somebody else trained."""

from torch import Tensor, nn
from torch.nn import functional


class Generator(nn.Module):
    """Latents (B, 100) to images (B, 3, 32, 32) in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(100, 256 * 4 * 4)
        self.batch_norm1 = nn.BatchNorm2d(256)
        self.trans_conv1 = nn.ConvTranspose2d(256, 128, 2, 2)
        self.batch_norm2 = nn.BatchNorm2d(128)
        self.trans_conv2 = nn.ConvTranspose2d(128, 64, 2, 2)
        self.batch_norm3 = nn.BatchNorm2d(64)
        self.trans_conv3 = nn.ConvTranspose2d(64, 3, 2, 2)

    def forward(self, z: Tensor) -> Tensor:
        x = functional.relu(self.batch_norm1(self.linear(z).view(-1, 256, 4, 4)))
        x = functional.relu(self.batch_norm2(self.trans_conv1(x)))
        x = functional.relu(self.batch_norm3(self.trans_conv2(x)))
        image: Tensor = self.trans_conv3(x).tanh()
        return image


def make_generator() -> nn.Module:
    return Generator()
