"""Factories whose methods take lists of tensors, numbers of samples, and labels of no width."""

import torch
from torch import Tensor, nn

from architectures._weights import filled
from factory_toys import SIDE, Parts


class Styled(Parts):
    """A list of styles, as ports of StyleGAN take them: one for half of the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.style = nn.Linear(5, 5)

    def forward(self, styles: list[Tensor], strength: float = 1.0) -> Tensor:
        mapped = [self.style(each) for each in styles]
        first, last = self.maps(mapped[0]), self.maps(mapped[-1])
        return self.image(strength * torch.cat([first[:, :2], last[:, 2:]], dim=1))


class Unannotated(Styled):
    def forward(self, styles, strength=1.0):  # type: ignore[no-untyped-def]  # as many people write
        if not isinstance(styles, list):
            raise TypeError("styles is no list")
        return super().forward(styles, strength)


class Drawing(Parts):
    """Draws latents in one of several ways."""

    latent_dim = 5

    def __init__(self, way: str = "randn") -> None:
        super().__init__()
        self.way = way

    def drawn(self, n: int) -> Tensor:
        mean, deviation = torch.full((n, 5), 0.5), torch.full((n, 5), 2.0)
        if self.way == "randn":
            return torch.randn(n, self.latent_dim)
        if self.way == "uniform_":
            return torch.empty(n, 5).uniform_(-1, 1)
        if self.way == "normal_":
            return torch.empty((n, 5)).normal_(0.5, 2.0)
        if self.way == "normal":
            return torch.normal(mean, deviation)
        if self.way == "distribution":
            distribution = torch.distributions.Normal(mean, deviation)
            sample: Tensor = distribution.sample()  # type: ignore[no-untyped-call]
            return sample
        return torch.ones(n, 5)


class Sampling(Drawing):
    """Is given a number of samples alone."""

    def sample(self, num_samples: int, device: str) -> Tensor:
        assert device == "cpu"
        return self.image(self.maps(self.drawn(num_samples)))

    def forward(self, n):  # type: ignore[no-untyped-def]  # as many people write
        return self.image(self.maps(self.drawn(n)))


class SamplingNoisily(Drawing):
    """Draws noise behind its latents, and is given labels beside the number of samples."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 5)

    def forward(self, batch_size: int, label: Tensor) -> Tensor:
        maps = self.maps(self.drawn(batch_size) + self.table(label))
        return self.image(maps + 0.5 * torch.randn(batch_size, 4, SIDE, SIDE))


class Labelled(Parts):
    """Takes labels whose width its attribute tells; without classes they have none."""

    def __init__(self, c_dim: int) -> None:
        super().__init__()
        self.c_dim = c_dim
        self.embed = nn.Linear(5 + c_dim, 5)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return self.image(self.maps(self.embed(torch.cat([z, c], dim=1))))


def styled() -> nn.Module:
    return filled(Styled())


def unannotated() -> nn.Module:
    return filled(Unannotated())


def randn() -> Sampling:
    return filled(Sampling())


def uniform_() -> nn.Module:
    return filled(Sampling("uniform_"))


def normal_() -> nn.Module:
    return filled(Sampling("normal_"))


def normal() -> nn.Module:
    return filled(Sampling("normal"))


def distribution() -> nn.Module:
    return filled(Sampling("distribution"))


def draws_nothing() -> nn.Module:
    return filled(Sampling("not at all"))


def sampling_method() -> tuple[object, ...]:
    return filled(Sampling()), "sample", {"device": "cpu"}


def sampling_noisily() -> SamplingNoisily:
    return filled(SamplingNoisily())


def unconditional() -> nn.Module:
    return filled(Labelled(c_dim=0))


def conditional() -> nn.Module:
    return filled(Labelled(c_dim=3))
